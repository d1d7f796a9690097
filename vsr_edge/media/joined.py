"""Recordings that were joined byte by byte, with a header of its own for each part.

FFmpeg reads on behind the first part, but with the decoder's parameters of that part. So those of
the others are put before their first frame, as parameter sets amid the stream, which the decoders
of H.264 (ISO/IEC 14496-15) and HEVC take at any time.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from av.packet import Packet
from av.video.stream import VideoStream

from vsr_edge.media.completeness import matroska_segments, mp4_boxes

_HEADER_BYTES = 16 << 20
_EBML = b"\x1a\x45\xdf\xa3"
_MP4_CONFIGURATION = {"h264": b"avcC", "hevc": b"hvcC"}
# CodecPrivate, with a size of one or two bytes, of a configuration in its only version.
_MATROSKA_CONFIGURATION = re.compile(rb"\x63\xa2(?:[\x81-\xfe]|[\x40-\x7f].)(\x01.+)", re.DOTALL)


def later_parameters(path: Path, container: str, stream: VideoStream) -> list[tuple[int, bytes]]:
    """Where further headers begin in the file, and the parameter sets in each.

    The sets are in the form of the stream's packets, each behind its length.
    """
    codec = stream.codec_context
    first = codec.extradata
    if codec.name not in _MP4_CONFIGURATION or not first or first[0] != 1:
        return []
    with path.open("rb") as file:
        if "mp4" in container:
            headers = _mp4_headers(file, _MP4_CONFIGURATION[codec.name])
        elif "matroska" in container:
            headers = _matroska_headers(file)
        else:
            return []
        found = []
        for offset, configuration in headers:
            try:
                sets = _parameter_sets(configuration, codec.name)
            except (IndexError, struct.error):
                continue
            width = first[4 if codec.name == "h264" else 21] % 4 + 1
            found.append((offset, b"".join(len(s).to_bytes(width, "big") + s for s in sets)))
    return found


def with_parameters(packet: Packet[VideoStream], sets: bytes) -> Packet[VideoStream]:
    """The same packet with parameter sets before its frame."""
    whole: Any = Packet(sets + bytes(packet))
    whole.pts, whole.dts, whole.time_base = packet.pts, packet.dts, packet.time_base
    return cast("Packet[VideoStream]", whole)


def _mp4_headers(file: BinaryIO, kind: bytes) -> Iterator[tuple[int, bytes]]:
    before = 0
    first = True
    for end, box in mp4_boxes(file):
        start, before = before, end
        if box != b"moov":
            continue
        if not first:
            file.seek(start)
            moov = file.read(min(end - start, _HEADER_BYTES))
            at = moov.find(kind)
            if at >= 4:
                (size,) = struct.unpack_from(">I", moov, at - 4)
                yield start, moov[at + 4 : at - 4 + size]
        first = False


def _matroska_headers(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    size = file.seek(0, 2)
    file.seek(0)
    for end in matroska_segments(file):
        if end >= size:
            return
        file.seek(end)
        header = file.read(_HEADER_BYTES)
        if not header.startswith(_EBML):
            return
        found = _MATROSKA_CONFIGURATION.search(header)
        if found is not None:
            yield end, found[1]
        file.seek(end)


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
