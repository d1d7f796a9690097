"""Is the end of the file there? Asked of the bytes it promises and of its declared duration.

FFmpeg reads a Matroska or fast-start MP4 file that was cut short without a word, as far as it goes.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from av.container import InputContainer
from av.video.stream import VideoStream

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
_RIFF_SLACK = 16
_MOST_ELEMENTS = 10_000
_SEGMENT = 0x18538067
# EBML's header, Void, CRC-32: whatever else follows a segment is none.
_BETWEEN_SEGMENTS = frozenset({0x1A45DFA3, 0xEC, 0xBF})
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
            chunks = _riff_chunks(file)
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


def mp4_boxes(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Where each box ends, and its kind."""
    size_of_file = _size(file)
    position, kind = 0, b""
    while header := file.read(16):
        if len(header) < 8:
            # Zeros may be padding, but the data of a fragment follows its head.
            if any(header) or kind == b"moof":
                yield position + 8, b"mdat"
            return
        size, kind = struct.unpack_from(">I4s", header)
        if size == 1 and len(header) == 16:
            (size,) = struct.unpack_from(">Q", header, 8)
        if size < 8:
            return  # "To the end of the file", or garbage behind the last box.
        position += size
        if not kind.isalnum():
            return
        yield position, kind
        if position >= size_of_file:
            return
        file.seek(position)


def _riff_chunks(file: BinaryIO) -> Iterator[int]:
    """Where each RIFF chunk ends; AVI files above 1 GB have several."""
    size_of_file = _size(file)
    position = 0
    while len(header := file.read(8)) == 8 and header[:4] == b"RIFF":
        (size,) = struct.unpack_from("<I", header, 4)
        if size == 0xFFFFFFFF:
            return  # never filled in
        position += 8 + size
        # Some writers count the head, and pad behind the end.
        yield position - _RIFF_SLACK
        if position >= size_of_file:
            return
        file.seek(position)


def _size(file: BinaryIO) -> int:
    """How long it is; left at its beginning. Behind it, not every place can be sought."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size


def matroska_segments(file: BinaryIO) -> Iterator[int]:
    """Where each segment ends, unless it was written to a stream and its size left open."""
    size_of_file = _size(file)
    for _ in range(_MOST_ELEMENTS):
        identifier = _vint(file, keep_marker=True)
        size = _vint(file, keep_marker=False)
        if identifier is None or size is None:
            return
        end = file.tell() + size
        if identifier == _SEGMENT:
            yield end
        elif identifier not in _BETWEEN_SEGMENTS:
            return
        if end >= size_of_file:
            return
        file.seek(end)


def _vint(file: BinaryIO, *, keep_marker: bool) -> int | None:
    """EBML's number of variable length; None at the file's end, or where it means "unknown"."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    length = 9 - first[0].bit_length()
    rest = file.read(length - 1)
    value = int.from_bytes(first + rest, "big")
    marker = 1 << 7 * length
    if len(rest) != length - 1 or (not keep_marker and value == 2 * marker - 1):
        return None
    return value if keep_marker else value - marker
