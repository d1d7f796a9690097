"""Walk the boxes, chunks and segments that a file is made of, by what their heads say.

Every size may be damaged: a walk ends where a box ends behind the file, or makes no sense.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Protocol

_RIFF_SLACK = 16
_MOST_ELEMENTS = 10_000
_SEGMENT = 0x18538067
# EBML's header, Void, CRC-32: whatever else follows a segment is none.
_BETWEEN_SEGMENTS = frozenset({0x1A45DFA3, 0xEC, 0xBF})


class Bytes(Protocol):
    """What is used of an open file."""

    def read(self, size: int, /) -> bytes: ...

    def seek(self, offset: int, whence: int = 0, /) -> int: ...

    def tell(self) -> int: ...


def mp4_boxes(file: Bytes) -> Iterator[tuple[int, bytes]]:
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


def riff_chunks(file: Bytes) -> Iterator[int]:
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


def matroska_segments(file: Bytes) -> Iterator[int]:
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


def _size(file: Bytes) -> int:
    """How long it is; left at its beginning. Behind it, not every place can be sought."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size


def _vint(file: Bytes, *, keep_marker: bool) -> int | None:
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
