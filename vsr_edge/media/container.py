"""What a file says of itself that FFmpeg passes over: its length, its keys, and joined recordings.

It is asked of the boxes, chunks and segments that the file is made of. Every size may be damaged: a
walk ends where a box ends behind the file, or makes no sense.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import Any, cast
from uuid import UUID

from av.packet import Packet
from av.video.stream import VideoStream

from vsr_edge.media.source import SourceFile

# A day of one-second fragments is 170,000 boxes; more is a damaged file that goes in small steps.
_MOST_BOXES, _MOST_ELEMENTS = 1_000_000, 10_000
_WITH_VIDEO = frozenset({b"mdat", b"moov", b"moof"})
# Some writers of RIFF count the head, and pad behind the end.
_RIFF_SLACK = 16
_EBML = b"\x1a\x45\xdf\xa3"
_SEGMENT = 0x18538067
# EBML's header, Void, CRC-32: whatever else follows a segment is none.
_BETWEEN_SEGMENTS = frozenset({0x1A45DFA3, 0xEC, 0xBF})
# More than the unit that any disk or recorder writes by.
_PADDING_BYTES = 1 << 16

_HEAD_BYTES, _HEADER_BYTES, _MOOV_BYTES = 1 << 20, 4 << 20, 64 << 20
_MP4_KINDS = (b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"wide", b"skip")
_ENCRYPTED_ENTRIES = (b"encv", b"drmi")
# As the kind of a track; behind "frma" it says what an encrypted one would be.
_CLEAR_ENTRY = re.compile(rb"(?<!frma)(?:avc[13]|hvc1|hev1|vp0[89]|av01|mp4v)\0\0\0\0\0\0")
# ContentEncodingType 1 (encryption), then ContentEncryption.
_MATROSKA_ENCRYPTION = re.compile(rb"\x50\x33\x81\x01.{0,16}\x50\x35", re.DOTALL)
_ASF, *_ASF_ENCRYPTION = (
    UUID(text).bytes_le
    for text in (
        "75b22630-668e-11cf-a6d9-00aa0062ce6c",
        "2211b3fb-bd23-11d2-b4b7-00a0c955fc6e",
        "298ae614-2622-4c17-b935-dae07ee9289c",
        "43058533-6981-49e6-9b74-ad12cb86d58c",
    )
)
_PLACES, _PLACE_BYTES = 16, 1 << 16
_TS_PACKET = 188
_TABLES, _NULL_PACKETS = range(0x20), 0x1FFF
_VIDEO_PES = re.compile(rb"\x00\x00\x01[\xe0-\xef]..(.)", re.DOTALL)

_MP4_CONFIGURATION = {"h264": b"avcC", "hevc": b"hvcC"}
# CodecPrivate, with a size of one or two bytes, of a configuration in its only version.
_MATROSKA_CONFIGURATION = re.compile(rb"\x63\xa2(?:[\x81-\xfe]|[\x40-\x7f].)(\x01.+)", re.DOTALL)


def promised_bytes(file: SourceFile, container: str) -> int | None:
    """How long a file of FFmpeg's ``container`` says that it is; None where such files never do."""
    ends: Iterator[int]
    if "mp4" in container:
        ends = (end for _, end, kind in _mp4_boxes(file) if kind in _WITH_VIDEO)
    elif "matroska" in container:
        ends = _matroska_segments(file)
    elif container == "avi":
        ends = _riff_chunks(file)
    else:
        return None
    return max(islice(ends, _MOST_BOXES), default=0)


def ends_in_padding(file: SourceFile) -> bool:
    """Whether a recorder reserved room behind the video that it never used."""
    file.seek(max(file.rewind() - _PADDING_BYTES, 0))
    tail = file.read(_PADDING_BYTES)
    return bool(tail) and tail.count(tail[:1]) == len(tail) and tail[0] in (0x00, 0xFF)


def is_encrypted(file: SourceFile) -> bool:
    """Whether it cannot be read without a key: FFmpeg would call it damaged, or decode grey.

    Each container says so, in the clear: MP4 by the kind of its track (ISO/IEC 23001-7, FairPlay),
    Matroska by an element of its track, transport and program streams by two bits of each packet
    (ISO/IEC 13818-1), ASF by an object of its header.
    """
    file.rewind()
    head = file.read(_HEAD_BYTES)
    if head[4:8] in _MP4_KINDS:
        moov = next(_moovs(file, _MOOV_BYTES), (0, b""))[1]
        closed = any(entry in moov for entry in _ENCRYPTED_ENTRIES) and b"sinf" in moov
        return closed and _CLEAR_ENTRY.search(moov) is None
    if head.startswith(_EBML):
        return _MATROSKA_ENCRYPTION.search(head) is not None
    if head.startswith(_ASF):
        return any(mark in head for mark in _ASF_ENCRYPTION)
    flags: list[bool] = []
    if head.startswith(b"\x00\x00\x01\xba"):
        found = [found[1][0] for found in _VIDEO_PES.finditer(head)]
        flags = [flag & 0x30 != 0 for flag in found if flag & 0xC0 == 0x80]
    elif head[:1] == b"\x47" == head[_TS_PACKET : _TS_PACKET + 1]:
        flags = list(_scrambled_packets(file))
    return sum(flags) > len(flags) / 2


def later_recordings(
    file: SourceFile, container: str, codec: str, extradata: bytes
) -> Iterator[tuple[int, bytes]]:
    """The recordings that were joined byte by byte behind the first, in MP4 or Matroska.

    Of each, where its header begins, and the parameter sets in it, each behind its length; empty
    where the decoder needs none, or takes them in no such form. FFmpeg reads on behind the first
    recording, but with the decoder's parameters of that one (``extradata``). So those of the others
    are put before their first frame, where the decoders of H.264 (ISO/IEC 14496-15) and HEVC take
    them at any time. Of joined Matroska files it reads two, and of MP4 only fragments.
    """
    width = 0
    if codec in _MP4_CONFIGURATION and extradata[:1] == b"\x01":
        width = extradata[4 if codec == "h264" else 21] % 4 + 1
    headers: Iterator[tuple[int, bytes]] = iter(())
    if "mp4" in container:
        headers = islice(_moovs(file, _HEADER_BYTES), 1, None)
    elif "matroska" in container:
        headers = _later_segments(file)
    for start, header in headers:
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


def _mp4_boxes(file: SourceFile) -> Iterator[tuple[int, int, bytes]]:
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


def _moovs(file: SourceFile, most: int) -> Iterator[tuple[int, bytes]]:
    """Where each header of MP4 begins, and so many of its bytes."""
    for start, end, kind in islice(_mp4_boxes(file), _MOST_BOXES):
        if kind == b"moov":
            file.seek(start)
            yield start, file.read(min(end - start, most))


def _matroska_segments(file: SourceFile) -> Iterator[int]:
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


def _later_segments(file: SourceFile) -> Iterator[tuple[int, bytes]]:
    """Where each header of Matroska behind the first begins, and its bytes."""
    size = file.rewind()
    ends = [end for end in _matroska_segments(file) if end < size]
    for start, end in pairwise((*ends, size)):
        file.seek(start)
        header = file.read(min(end - start, _HEADER_BYTES))
        if header.startswith(_EBML):
            yield start, header


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


def _scrambled_packets(file: SourceFile) -> Iterator[bool]:
    """Of packets here and there in a transport stream, all but those of its tables."""
    step = max(file.rewind() // _PLACES, _PLACE_BYTES) // _TS_PACKET * _TS_PACKET
    for place in range(_PLACES):
        file.seek(place * step)
        data = file.read(_PLACE_BYTES)
        for at in range(0, len(data) - 4, _TS_PACKET):
            if data[at] != 0x47:
                break
            program = (data[at + 1] & 0x1F) << 8 | data[at + 2]
            if program not in _TABLES and program != _NULL_PACKETS:
                yield data[at + 3] & 0xC0 != 0


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
