"""Read the planned frames: exact times, upright, in order, in bounded memory, past damage."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from types import TracebackType
from typing import Self

import av
import numpy as np
from av import VideoFrame

from vsr_edge.errors import UnreadableMedia, memory_is_short
from vsr_edge.media.decoder import MarksMeanNothing, PlannedDecoder
from vsr_edge.media.hwaccel import Device
from vsr_edge.media.opening import open_video
from vsr_edge.media.picture import Converter
from vsr_edge.media.plan import FramePlan, VideoPlan
from vsr_edge.media.source import unavailable
from vsr_edge.types import FrameBatch, Seconds


def read_frames(
    plan: VideoPlan,
    *,
    size: tuple[int, int] | None = None,
    crop: bool = False,
    threads: int = 0,
    device: Device | None = None,
    batch_frames: int = 16,
) -> FrameReader:
    """Read the frames of ``plan``, in batches of at most ``batch_frames``.

    size: (width, height) of the pictures, stretched to it; None keeps the upright size of the
    video.
    crop: keep the shape instead, and see the middle.
    threads: of the decoder; 0 means as many as FFmpeg finds processors.
    device: to decode on, if not the processor.

    Iterating raises:
        UnreadableMedia: not one frame can be decoded, or the file is gone.
        MediaUnavailable: the operating system refuses to give it, or memory.
    """
    return FrameReader(
        plan, size=size, crop=crop, threads=threads, device=device, batch_frames=batch_frames
    )


class FrameReader:
    """Iterates once over batches of frames; a context manager that closes the file.

    Times are those of the frames really read, strictly increasing. ``partial`` is complete after
    the last batch.
    """

    def __init__(
        self,
        plan: VideoPlan,
        *,
        size: tuple[int, int] | None,
        crop: bool,
        threads: int,
        device: Device | None,
        batch_frames: int,
    ) -> None:
        self._plan = plan
        self._convert = Converter(size, crop=crop)
        self._threads = threads
        self._device = device
        self._batch_frames = max(batch_frames, 1)
        self._batches = self._read()
        self._decoder: PlannedDecoder | None = None
        self._due = self._found = self._replaced = 0
        self._ended = False

    @property
    def partial(self) -> str | None:
        """Why only a part of the video could be read, or None if all of it was."""
        reasons = [] if self._plan.damage is None else [self._plan.damage]
        if self._decoder is not None and self._decoder.given_up:
            reasons.append("decoding was given up after too many failures in a row")
        elif self._decoder is not None and self._decoder.failures:
            reasons.append(f"packets that cannot be decoded: {self._decoder.failures}")
        if self._replaced and not self._repeats:
            reasons.append(f"damaged frames: {self._replaced}")
        wanted = len(self._plan.frames)
        if self._ended and self._found < wanted and not self._repeats:
            reasons.append(f"missing frames: {wanted - self._found} of {wanted}")
        return "; ".join(reasons) or None

    @property
    def _repeats(self) -> bool:
        """Whether a frame that did not come is none: its packet says to go on showing the last."""
        decoder = self._decoder
        sound = decoder is not None and not (decoder.failures or decoder.corrupt)
        return sound and len(self._plan.frames.order) > 0

    def __iter__(self) -> Iterator[FrameBatch]:
        return self._batches

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; no more batches will come."""
        self._batches.close()

    def _read(self) -> Generator[FrameBatch, None, None]:
        times: list[Seconds] = []
        pixels = np.empty((0, 0, 0, 3), np.uint8)
        for time, frame in self._planned():
            try:
                picture = self._convert(frame)
            except (av.FFmpegError, ValueError, MemoryError) as error:
                if memory_is_short():
                    raise unavailable(self._plan.video.path, error) from error
                continue
            self._found += 1
            # A batch is one array: it ends where the size of the picture changes.
            full = len(times) == len(pixels) or picture.shape != pixels.shape[1:]
            if times and full:
                yield FrameBatch(np.array(times), pixels[: len(times)])
                times = []
            if not times:
                pixels = np.empty((self._batch_frames, *picture.shape), np.uint8)
            pixels[len(times)] = picture
            times.append(time)
        if times:
            yield FrameBatch(np.array(times), pixels[: len(times)])
        self._ended = True
        if not self._found:
            raise UnreadableMedia(
                self._plan.video.path, "not one frame of its video can be decoded"
            )

    def _planned(self) -> Iterator[tuple[Seconds, VideoFrame]]:
        """The planned frames; one that is lost is replaced by a near one behind it."""
        frames = self._plan.frames
        try:
            yield from self._due_among(self._decoded(frames))
        except MarksMeanNothing:
            yield from self._due_among(self._decoded(frames.whole))

    def _decoded(self, frames: FramePlan) -> Iterator[tuple[int, VideoFrame]]:
        with open_video(self._plan.video.path, self._device) as video:
            self._decoder = PlannedDecoder(frames, video, self._threads)
            yield from self._decoder

    def _due_among(
        self, decoded: Iterable[tuple[int, VideoFrame]]
    ) -> Iterator[tuple[Seconds, VideoFrame]]:
        plan = self._plan.frames
        stamps = plan.stamps
        for stamp, frame in decoded:
            while self._due < len(stamps) and stamp > stamps[self._due] + plan.tolerance:
                self._due += 1
            if self._due == len(stamps):
                return
            if stamp < stamps[self._due]:
                continue
            if stamp == stamps[self._due]:
                time = float(plan.times[self._due])
            else:
                self._replaced += 1
                time = (stamp - plan.start) * float(plan.time_base)
            while self._due < len(stamps) and stamps[self._due] <= stamp:
                self._due += 1
            yield time, frame
