"""Single pictures out of a video, for people to look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from vsr_edge.media.decode import FrameReader
from vsr_edge.media.plan import plan_frames
from vsr_edge.media.probe import probe
from vsr_edge.media.source import SourceFile
from vsr_edge.types import FrameBatch, Pixels, Seconds, Times


def picture_at(path: Path, time: Seconds, width: int | None = None) -> Pixels:
    """The frame nearest to a time, upright, in full size or so wide: uint8 [H, W, 3] RGB.

    Raises:
        MediaError: the file is gone, or no frame near can be read.
    """
    with SourceFile(path.absolute()) as source:
        # No two files are compared: a fingerprint would take reading all of it once more.
        video, index = probe(source, known_fingerprint="none")
        size = (video.width, video.height)
        if width is not None:
            size = (width, max(2, round(width * video.height / video.width / 2) * 2))
        plan = plan_frames(video, index, np.array([np.abs(index.times - time).argmin()]))
        with FrameReader(plan, source=source, size=size, batch_frames=1) as batches:
            picture: Pixels = next(iter(batches)).pixels[0]
    return picture


def pictures_at(path: Path, times: Sequence[Seconds], within: tuple[int, int]) -> list[Pixels]:
    """Of each time the nearest frame, upright, no larger than ``within`` (width, height), its shape
    kept; the file is gone through once for all of them.

    Raises:
        MediaError: the file is gone, or no frame can be read.
    """
    with SourceFile(path.absolute()) as source:
        video, index = probe(source, known_fingerprint="none")
        share = min(1.0, within[0] / video.width, within[1] / video.height)
        size = max(1, round(video.width * share)), max(1, round(video.height * share))
        nearest = [int(np.abs(index.times - time).argmin()) for time in times]
        plan = plan_frames(video, index, np.unique(nearest))
        with FrameReader(plan, source=source, size=size, batch_frames=1) as batches:
            read = [(float(batch.times[0]), batch.pixels[0]) for batch in batches]
    # A damaged file may have fewer.
    return [min(read, key=lambda one: abs(one[0] - index.times[at]))[1] for at in nearest]


def frames_near(path: Path, times: Times, longest: int) -> Iterator[FrameBatch]:
    """The frames nearest to ``times`` float64 [n], each once, upright, neither side longer.

    Raises:
        MediaError: the file is gone, or no frame can be read.
    """
    if not len(times):
        return
    with SourceFile(path.absolute()) as source:
        video, index = probe(source, known_fingerprint="none")
        share = min(1.0, longest / max(video.width, video.height))
        size = (max(2, round(video.width * share)), max(2, round(video.height * share)))
        behind = np.clip(np.searchsorted(index.times, times), 1, max(len(index.times) - 1, 1))
        nearer = times - index.times[behind - 1] <= index.times[behind % len(index.times)] - times
        plan = plan_frames(video, index, np.unique(np.where(nearer, behind - 1, behind)))
        with FrameReader(plan, source=source, size=size, batch_frames=4) as batches:
            yield from batches
