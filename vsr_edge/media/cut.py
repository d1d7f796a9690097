"""Single pictures out of a video, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vsr_edge.errors import UnreadableMedia
from vsr_edge.media.decode import FrameReader
from vsr_edge.media.picture import jpeg
from vsr_edge.media.plan import plan_frames
from vsr_edge.media.probe import probe
from vsr_edge.media.source import SourceFile
from vsr_edge.types import Pixels, Seconds


def thumbnails(path: Path, times: Sequence[Seconds], width: int = 240) -> list[bytes]:
    """The frame nearest to each time, upright, ``width`` pixels wide, as JPEG.

    Raises:
        MediaError: the file is gone, or no frame near can be read.
    """
    return [jpeg(picture) for picture in _pictures(path, times, width)]


def picture_at(path: Path, time: Seconds) -> Pixels:
    """The frame nearest to a time, upright, in full size: uint8 [H, W, 3] RGB.

    Raises:
        MediaError: as :func:`thumbnails`.
    """
    (picture,) = _pictures(path, [time])
    return picture


def _pictures(path: Path, times: Sequence[Seconds], width: int | None = None) -> list[Pixels]:
    """The frames nearest to the times, each decoded once, in full size or so wide."""
    with SourceFile(path.absolute()) as source:
        # No two files are compared: a fingerprint would take reading all of it once more.
        video, index = probe(source, known_fingerprint="none")
        size = (video.width, video.height)
        if width is not None:
            size = (width, max(2, round(width * video.height / video.width / 2) * 2))
        nearest = [int(np.abs(index.times - time).argmin()) for time in times]
        found: dict[float, Pixels] = {}
        plan = plan_frames(video, index, np.unique(nearest))
        with FrameReader(plan, source=source, size=size, batch_frames=1) as batches:
            for batch in batches:
                found[float(batch.times[0])] = batch.pixels[0]
    if not found:
        raise UnreadableMedia(path, "not one of the wanted frames can be decoded")
    read = np.array(list(found))
    pictures = list(found.values())
    # A frame that is damaged is replaced by the nearest that could be read.
    return [pictures[int(np.abs(read - index.times[n]).argmin())] for n in nearest]
