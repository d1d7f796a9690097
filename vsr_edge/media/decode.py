"""Read the planned frames: exact times, upright, in order, in bounded memory, past damage."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import Self

import av
import numpy as np
from av import VideoFrame

from vsr_edge.errors import UnreadableMedia, memory_is_short
from vsr_edge.media.hwaccel import Device
from vsr_edge.media.opening import open_video
from vsr_edge.media.picture import Converter
from vsr_edge.media.plan import VideoPlan
from vsr_edge.media.runs import MarksMeanNothing, RunDecoder
from vsr_edge.media.source import SourceFile, opened, unavailable
from vsr_edge.types import FrameBatch, Seconds


class FrameReader:
    """Iterates once over batches of the frames of ``plan``; a context manager.

    Times are those of the frames really read, strictly increasing. ``partial`` is complete after
    the last batch.

    Iterating raises:
        UnreadableMedia: not one frame can be decoded, or the file is gone.
        MediaUnavailable: the operating system refuses to give it, or memory.
    """

    def __init__(
        self,
        plan: VideoPlan,
        *,
        source: SourceFile | None = None,
        size: tuple[int, int] | None = None,
        crop: bool = False,
        threads: int = 0,
        device: Device | None = None,
        batch_frames: int = 16,
    ) -> None:
        """
        Args:
            source: the file, if it is open.
            size: (width, height) of the pictures, stretched to it; None keeps the upright size of
                the video.
            crop: keep the shape instead, and see the middle.
            threads: of the decoder; 0 means as many as FFmpeg finds processors.
            device: to decode on, if not the processor.
            batch_frames: at most so many come at a time.
        """
        self._plan = plan
        self._source = source
        self._convert = Converter(size, crop=crop)
        self._threads = threads
        self._device = device
        self._batch_frames = max(batch_frames, 1)
        self._batches = self._read()
        self._decoder: RunDecoder | None = None
        self._due = self._found = self._replaced = 0
        self._ended = False

    @property
    def partial(self) -> str | None:
        """Why only a part of the video could be read, or None if all of it was."""
        damage, decoder = self._plan.index.damage, self._decoder
        reasons = [] if damage is None else [damage]
        if decoder is not None and decoder.given_up:
            reasons.append("decoding was given up after too many failures in a row")
        elif decoder is not None and decoder.failures:
            reasons.append(f"packets that cannot be decoded: {decoder.failures}")
        if self._replaced and not self._repeats:
            reasons.append(f"damaged frames: {self._replaced}")
        wanted = len(self._plan)
        if self._ended and self._found < wanted and not self._repeats:
            reasons.append(f"missing frames: {wanted - self._found} of {wanted}")
        return "; ".join(reasons) or None

    @property
    def _repeats(self) -> bool:
        """Whether a frame that did not come is none: its packet says to go on showing the last."""
        decoder = self._decoder
        sound = decoder is not None and not (decoder.failures or decoder.corrupt)
        return sound and len(self._plan.index.order) > 0

    def __iter__(self) -> Iterator[FrameBatch]:
        return self._batches

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Close what was opened; no more batches will come."""
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
        with opened(self._source or self._plan.video.path) as source:
            for plan in (self._plan, self._plan.whole):
                with open_video(source, self._device) as video:
                    self._decoder = RunDecoder(plan, video, self._threads)
                    try:
                        yield from self._due_among(self._decoder)
                    except MarksMeanNothing:
                        continue
                    return

    def _due_among(
        self, decoded: Iterable[tuple[int, VideoFrame]]
    ) -> Iterator[tuple[Seconds, VideoFrame]]:
        plan, index = self._plan, self._plan.index
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
                time = (stamp - int(index.pts[0])) * float(index.time_base)
            while self._due < len(stamps) and stamps[self._due] <= stamp:
                self._due += 1
            yield time, frame
