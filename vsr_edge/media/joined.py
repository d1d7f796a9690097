"""Recordings that were joined byte by byte, with a header of its own for each part.

FFmpeg reads on behind the first part, but with the decoder's parameters of that part. So those of
the others are put before their first frame, as parameter sets amid the stream, which the decoders
of H.264 (ISO/IEC 14496-15) and HEVC take at any time. It reads two joined Matroska files, and of
MP4 only fragments behind the first: what lies farther is not read.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, cast

from av.packet import Packet
from av.video.stream import VideoStream

from vsr_edge.media.boxes import matroska_segments, mp4_boxes
from vsr_edge.media.source import SourceFile

_HEADER_BYTES = 4 << 20
_EBML = b"\x1a\x45\xdf\xa3"
_MP4_CONFIGURATION = {"h264": b"avcC", "hevc": b"hvcC"}
# CodecPrivate, with a size of one or two bytes, of a configuration in its only version.
_MATROSKA_CONFIGURATION = re.compile(rb"\x63\xa2(?:[\x81-\xfe]|[\x40-\x7f].)(\x01.+)", re.DOTALL)


def later_recordings(
    file: SourceFile, container: str, codec: str, extradata: bytes
) -> Iterator[tuple[int, bytes]]:
    """The recordings behind the first in a file of MP4 or Matroska, in its order.

    Of each, where its header begins in the file, and the parameter sets in it. These are in the
    form of the stream's packets, each behind its length; empty where the decoder needs none, or
    takes them in no such form. ``extradata`` are the decoder's parameters of the first.
    """
    width = 0
    if codec in _MP4_CONFIGURATION and extradata[:1] == b"\x01":
        width = extradata[4 if codec == "h264" else 21] % 4 + 1
    for start, header in _later_headers(file, container):
        sets: list[bytes] = []
        try:
            if width and (configuration := _configuration(header, container, codec)):
                sets = _parameter_sets(configuration, codec)
        except (IndexError, struct.error):
            pass  # damaged
        yield start, b"".join(len(one).to_bytes(width, "big") + one for one in sets)


def with_parameters(packet: Packet[VideoStream], sets: bytes) -> Packet[VideoStream]:
    """The same packet with parameter sets before its frame."""
    whole: Any = Packet(sets + bytes(packet))
    whole.pts, whole.dts, whole.time_base = packet.pts, packet.dts, packet.time_base
    return cast("Packet[VideoStream]", whole)


def _later_headers(file: SourceFile, container: str) -> Iterator[tuple[int, bytes]]:
    """Where each header but the first begins, with its bytes."""
    if "mp4" in container:
        later = ((start, end) for start, end, kind in mp4_boxes(file) if kind == b"moov")
        next(later, None)
    elif "matroska" in container:
        size = file.rewind()
        ends = [end for end in matroska_segments(file) if end < size]
        later = (span for span in pairwise((*ends, size)))
    else:
        return
    for start, end in later:
        file.seek(start)
        header = file.read(min(end - start, _HEADER_BYTES))
        if "mp4" in container or header.startswith(_EBML):
            yield start, header


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
