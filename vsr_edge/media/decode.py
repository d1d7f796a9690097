"""Read the planned frames: exact times, upright, in order, in bounded memory, past damage."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from types import TracebackType
from typing import Self

import av
import numpy as np
from av import VideoFrame

from vsr_edge.errors import UnreadableMedia
from vsr_edge.media.decoder import PlannedDecoder
from vsr_edge.media.opening import open_video
from vsr_edge.media.packets import PacketReader
from vsr_edge.media.picture import Converter
from vsr_edge.media.plan import VideoPlan
from vsr_edge.types import FrameBatch, Seconds


def read_frames(
    plan: VideoPlan,
    *,
    size: tuple[int, int] | None = None,
    crop: bool = False,
    threads: int = 0,
    batch_frames: int = 16,
) -> FrameReader:
    """Read the frames of ``plan``, in batches of at most ``batch_frames``.

    size: (width, height) of the pictures, stretched to it; None keeps the upright size of the
    video.
    crop: keep the shape instead, and see the middle.
    threads: of the decoder; 0 means as many as FFmpeg finds processors.

    Iterating raises:
        UnreadableMedia: not one frame can be decoded, or the file is gone.
    """
    return FrameReader(plan, size=size, crop=crop, threads=threads, batch_frames=batch_frames)


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
        batch_frames: int,
    ) -> None:
        self._plan = plan
        self._convert = Converter(size, crop=crop)
        self._threads = threads
        self._batch_frames = max(batch_frames, 1)
        self._batches = self._read()
        self._decoder: PlannedDecoder | None = None
        self._found = self._damaged = 0
        self._ended = False

    @property
    def partial(self) -> str | None:
        """Why only a part of the video could be read, or None if all of it was."""
        reasons = [] if self._plan.damage is None else [self._plan.damage]
        if self._decoder is not None and self._decoder.given_up:
            reasons.append("decoding was given up after too many failures in a row")
        elif self._decoder is not None and self._decoder.failures:
            reasons.append(f"packets that cannot be decoded: {self._decoder.failures}")
        if self._damaged:
            reasons.append(f"damaged frames: {self._damaged}")
        wanted = len(self._plan.frames)
        if self._ended and self._found < wanted:
            reasons.append(f"missing frames: {wanted - self._found} of {wanted}")
        return "; ".join(reasons) or None

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
        path = self._plan.video.path
        times: list[Seconds] = []
        pixels = np.empty((0, 0, 0, 3), np.uint8)
        with open_video(path) as (container, stream):
            self._decoder = PlannedDecoder(
                self._plan.frames,
                stream.codec_context,
                PacketReader(container, stream),
                self._threads,
            )
            for time, frame in self._planned(self._decoder):
                try:
                    picture = self._convert(frame)
                except (av.FFmpegError, ValueError):
                    continue
                self._found += 1
                self._damaged += frame.is_corrupt
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
            raise UnreadableMedia(path, "not one frame of its video can be decoded")

    def _planned(
        self, decoded: Iterable[tuple[int, VideoFrame]]
    ) -> Iterator[tuple[Seconds, VideoFrame]]:
        """The planned frames among those decoded; a near one behind it replaces a lost one."""
        plan = self._plan.frames
        stamps = plan.stamps.tolist()
        due = 0
        for stamp, frame in decoded:
            while due < len(stamps) and stamp > stamps[due] + plan.tolerance:
                due += 1
            if due == len(stamps):
                return
            if stamp == stamps[due]:
                yield float(plan.times[due]), frame
            elif stamp > stamps[due] and not frame.is_corrupt:
                yield (stamp - plan.start) * float(plan.time_base), frame
            else:
                continue
            while due < len(stamps) and stamps[due] <= stamp:
                due += 1
