"""Is the end of the file there? Asked of the bytes it promises and of its declared duration.

FFmpeg reads a Matroska or fast-start MP4 file that was cut short without a word, as far as it goes.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from av.container import InputContainer
from av.video.stream import VideoStream

from vsr_edge.media.boxes import matroska_segments, mp4_boxes, riff_chunks
from vsr_edge.media.opening import rational
from vsr_edge.types import Seconds

# How much shorter than declared a video may be: writers round, and count or leave out the last
# frame.
TOLERANCE_SECONDS = 1.0
TOLERANCE_SHARE = 0.01

# A day of one-second fragments is 170,000 boxes; more is a damaged file that goes in small steps.
_MAX_CHUNKS = 1_000_000
# More than the unit that any disk or recorder writes by.
_PADDING_BYTES = 1 << 16
_WITH_VIDEO = frozenset({b"mdat", b"moov", b"moof"})


def missing_end(
    path: Path, container: InputContainer, stream: VideoStream, end: Seconds
) -> str | None:
    """Why the file's end seems missing, or None.

    ``end``: where the frames that were found end, in seconds. Compared with the duration of the
    video stream alone, for sound may be longer. A duration that FFmpeg estimates (TS, raw streams)
    says nothing.
    """
    name = container.format.name
    size = path.stat().st_size
    chunks: Iterator[int] | None = None
    with path.open("rb") as file:
        if "mp4" in name:
            chunks = (end for end, kind in mp4_boxes(file) if kind in _WITH_VIDEO)
        elif "matroska" in name:
            chunks = matroska_segments(file)
        elif name == "avi":
            chunks = riff_chunks(file)
        if chunks is None:
            return None
        promised = max(islice(chunks, _MAX_CHUNKS), default=0)
    if promised > size:
        return f"the file is cut short: {size:,} of at least {promised:,} bytes are there"
    declared = _declared_duration(container, stream)
    if declared - end > max(TOLERANCE_SECONDS, TOLERANCE_SHARE * declared):
        return f"frames end at {end:.1f} s of the {declared:.1f} s that the file declares"
    return None


def ends_in_padding(path: Path) -> bool:
    """Whether a recorder reserved room behind the video that it never used."""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - _PADDING_BYTES, 0))
        tail = file.read()
    return bool(tail) and tail.count(tail[:1]) == len(tail) and tail[0] in (0x00, 0xFF)


def _declared_duration(container: InputContainer, stream: VideoStream) -> Seconds:
    tag = stream.metadata.get("DURATION") or stream.metadata.get("DURATION-eng") or ""
    try:
        hours, minutes, seconds = tag.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        pass
    # Matroska declares the length of the whole file; with sound beside it, that says little.
    if "matroska" in container.format.name and len(container.streams) > 1:
        return 0.0
    base = rational(stream.time_base)
    return float(stream.duration * base) if stream.duration and base else 0.0
