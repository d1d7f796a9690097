"""Recordings that were joined byte by byte, with a header of its own for each part.

FFmpeg reads on behind the first part, but with the decoder's parameters of that part. So those of
the others are put before their first frame, as parameter sets amid the stream, which the decoders
of H.264 (ISO/IEC 14496-15) and HEVC take at any time. It reads two joined Matroska files, and of
MP4 only fragments behind the first: what lies farther is not read.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, cast

from av.packet import Packet
from av.video.stream import VideoStream

from vsr_edge.media.boxes import matroska_segments, mp4_boxes

_HEADER_BYTES = 4 << 20
_EBML = b"\x1a\x45\xdf\xa3"
_MP4_CONFIGURATION = {"h264": b"avcC", "hevc": b"hvcC"}
# CodecPrivate, with a size of one or two bytes, of a configuration in its only version.
_MATROSKA_CONFIGURATION = re.compile(rb"\x63\xa2(?:[\x81-\xfe]|[\x40-\x7f].)(\x01.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Recording:
    """A further recording: where its header begins in the file, and the parameter sets in it.

    The sets are in the form of the stream's packets, each behind its length; empty where the
    decoder needs none, or takes them in no such form.
    """

    start: int
    sets: bytes


def later_recordings(path: Path, container: str, stream: VideoStream) -> list[Recording]:
    """The recordings behind the first in a file of MP4 or Matroska, in its order."""
    codec = stream.codec_context
    first = codec.extradata or b""
    width = 0
    if codec.name in _MP4_CONFIGURATION and first[:1] == b"\x01":
        width = first[4 if codec.name == "h264" else 21] % 4 + 1
    with path.open("rb") as file:
        return [
            Recording(start, _sets(header, container, codec.name, width) if width else b"")
            for start, header in _later_headers(file, container)
        ]


def _sets(header: bytes, container: str, codec: str, width: int) -> bytes:
    configuration = _configuration(header, container, codec)
    try:
        sets = [] if configuration is None else _parameter_sets(configuration, codec)
    except (IndexError, struct.error):
        return b""  # damaged
    return b"".join(len(one).to_bytes(width, "big") + one for one in sets)


def with_parameters(packet: Packet[VideoStream], sets: bytes) -> Packet[VideoStream]:
    """The same packet with parameter sets before its frame."""
    whole: Any = Packet(sets + bytes(packet))
    whole.pts, whole.dts, whole.time_base = packet.pts, packet.dts, packet.time_base
    return cast("Packet[VideoStream]", whole)


def _later_headers(file: BinaryIO, container: str) -> Iterator[tuple[int, bytes]]:
    """Where each header but the first begins, with its bytes."""
    if "mp4" in container:
        boxes = mp4_boxes(file)
        later = (span for span, kind in _spans(boxes) if kind == b"moov")
        next(later, None)
    elif "matroska" in container:
        later = ((end, following) for end, following in pairwise(_segment_ends(file)))
    else:
        return
    for start, end in later:
        file.seek(start)
        header = file.read(min(end - start, _HEADER_BYTES))
        if "mp4" in container or header.startswith(_EBML):
            yield start, header
        file.seek(end)


def _spans(boxes: Iterator[tuple[int, bytes]]) -> Iterator[tuple[tuple[int, int], bytes]]:
    start = 0
    for end, kind in boxes:
        yield (start, end), kind
        start = end


def _segment_ends(file: BinaryIO) -> Iterator[int]:
    """Where each segment of a Matroska file ends, and where the file does."""
    size = file.seek(0, os.SEEK_END)
    for end in matroska_segments(file):
        if end >= size:
            break
        yield end
    yield size


def _configuration(header: bytes, container: str, codec: str) -> bytes | None:
    """The decoder's configuration in a header, from its version on."""
    if "matroska" in container:
        found = _MATROSKA_CONFIGURATION.search(header)
        return None if found is None else found[1]
    at = header.find(_MP4_CONFIGURATION[codec])
    if at < 4:
        return None
    (size,) = struct.unpack_from(">I", header, at - 4)
    return header[at + 4 : at - 4 + size]


def _parameter_sets(configuration: bytes, codec: str) -> list[bytes]:
    sets: list[bytes] = []
    at = 5 if codec == "h264" else 23
    arrays = 2 if codec == "h264" else configuration[22]
    for number in range(arrays):
        if codec == "h264":
            # Five bits count the sequence parameter sets, eight the picture parameter sets.
            count = configuration[at] & (0x1F if number == 0 else 0xFF)
            at += 1
        else:
            (count,) = struct.unpack_from(">H", configuration, at + 1)
            at += 3
        for _ in range(count):
            (size,) = struct.unpack_from(">H", configuration, at)
            sets.append(configuration[at + 2 : at + 2 + size])
            at += 2 + size
    return sets
