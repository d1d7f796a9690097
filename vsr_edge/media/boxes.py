"""The boxes, chunks and segments that a file is made of, by what their heads say.

Every size may be damaged: a walk ends where a box ends behind the file, or makes no sense.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice

from vsr_edge.media.source import SourceFile

# Some writers of RIFF count the head, and pad behind the end.
_RIFF_SLACK = 16
_MOST_ELEMENTS = 10_000
_SEGMENT = 0x18538067
# EBML's header, Void, CRC-32: whatever else follows a segment is none.
_BETWEEN_SEGMENTS = frozenset({0x1A45DFA3, 0xEC, 0xBF})

# A day of one-second fragments is 170,000 boxes; more is a damaged file that goes in small steps.
_MOST_CHUNKS = 1_000_000
_WITH_VIDEO = frozenset({b"mdat", b"moov", b"moof"})
# More than the unit that any disk or recorder writes by.
_PADDING_BYTES = 1 << 16


def mp4_boxes(file: SourceFile) -> Iterator[tuple[int, int, bytes]]:
    """Where each box begins and ends, and its kind."""
    size_of_file = file.rewind()
    start, kind = 0, b""
    while header := file.read(16):
        if len(header) < 8:
            # Zeros may be padding, but the data of a fragment follows its head.
            if any(header) or kind == b"moof":
                yield start, start + 8, b"mdat"
            return
        size, kind = struct.unpack_from(">I4s", header)
        if size == 1 and len(header) == 16:
            (size,) = struct.unpack_from(">Q", header, 8)
        # "To the end of the file", or garbage behind the last box.
        if size < 8 or not kind.isalnum():
            return
        yield start, start + size, kind
        start += size
        if start >= size_of_file:
            return
        file.seek(start)


def matroska_segments(file: SourceFile) -> Iterator[int]:
    """Where each segment ends, unless it was written to a stream and its size left open."""
    size_of_file = file.rewind()
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


def promised_bytes(file: SourceFile, container: str) -> int | None:
    """How long a file of FFmpeg's ``container`` says that it is; None where such files never do."""
    ends: Iterator[int]
    if "mp4" in container:
        ends = (end for _, end, kind in mp4_boxes(file) if kind in _WITH_VIDEO)
    elif "matroska" in container:
        ends = matroska_segments(file)
    elif container == "avi":
        ends = _riff_chunks(file)
    else:
        return None
    return max(islice(ends, _MOST_CHUNKS), default=0)


def ends_in_padding(file: SourceFile) -> bool:
    """Whether a recorder reserved room behind the video that it never used."""
    file.seek(max(file.rewind() - _PADDING_BYTES, 0))
    tail = file.read(_PADDING_BYTES)
    return bool(tail) and tail.count(tail[:1]) == len(tail) and tail[0] in (0x00, 0xFF)


def _riff_chunks(file: SourceFile) -> Iterator[int]:
    """Where each RIFF chunk ends; AVI files above 1 GB have several."""
    size_of_file = file.rewind()
    end = 0
    while len(header := file.read(8)) == 8 and header[:4] == b"RIFF":
        (size,) = struct.unpack_from("<I", header, 4)
        if size == 0xFFFFFFFF:
            return  # never filled in
        end += 8 + size
        yield end - _RIFF_SLACK
        if end >= size_of_file:
            return
        file.seek(end)


def _vint(file: SourceFile, *, keep_marker: bool) -> int | None:
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
