"""Is a file encrypted? Without the key FFmpeg calls it damaged, or decodes grey pictures.

Each container says so, in the clear: MP4 by the kind of its track (ISO/IEC 23001-7, FairPlay),
Matroska by an element of its track, transport and program streams by two bits of each packet
(ISO/IEC 13818-1), ASF by an object of its header.
"""

from __future__ import annotations

import re
from itertools import islice
from uuid import UUID

from vsr_edge.media.boxes import mp4_boxes
from vsr_edge.media.source import SourceFile

_HEAD_BYTES = 1 << 20
_MOOV_BYTES = 64 << 20
_MOST_BOXES = 100_000

_ENCRYPTED_ENTRIES = (b"encv", b"drmi")
# As the kind of a track; behind "frma" it says what an encrypted one would be.
_CLEAR_ENTRY = re.compile(rb"(?<!frma)(?:avc[13]|hvc1|hev1|vp0[89]|av01|mp4v)\0\0\0\0\0\0")

# ContentEncodingType 1 (encryption), then ContentEncryption.
_MATROSKA = re.compile(rb"\x50\x33\x81\x01.{0,16}\x50\x35", re.DOTALL)

_ASF = UUID("75b22630-668e-11cf-a6d9-00aa0062ce6c").bytes_le
_ASF_ENCRYPTION = tuple(
    UUID(text).bytes_le
    for text in (
        "2211b3fb-bd23-11d2-b4b7-00a0c955fc6e",
        "298ae614-2622-4c17-b935-dae07ee9289c",
        "43058533-6981-49e6-9b74-ad12cb86d58c",
    )
)

_PLACES = 16
_PLACE_BYTES = 1 << 16
_TS_PACKET = 188
_TABLES = range(0x20)
_NULL_PACKETS = 0x1FFF
_VIDEO_PES = re.compile(rb"\x00\x00\x01[\xe0-\xef]..(.)", re.DOTALL)


def is_encrypted(file: SourceFile) -> bool:
    """Whether what the file shows cannot be read without a key."""
    file.rewind()
    head = file.read(_HEAD_BYTES)
    if head[4:8] in (b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"wide", b"skip"):
        return _mp4(file)
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return _MATROSKA.search(head) is not None
    if head.startswith(_ASF):
        return any(mark in head for mark in _ASF_ENCRYPTION)
    if head.startswith(b"\x00\x00\x01\xba"):
        return _mostly(_scrambled_pes(head))
    if head[:1] == b"\x47" == head[_TS_PACKET : _TS_PACKET + 1]:
        return _mostly(_scrambled_packets(file))
    return False


def _mp4(file: SourceFile) -> bool:
    for start, end, kind in islice(mp4_boxes(file), _MOST_BOXES):
        if kind == b"moov":
            file.seek(start)
            moov = file.read(min(end - start, _MOOV_BYTES))
            closed = any(entry in moov for entry in _ENCRYPTED_ENTRIES) and b"sinf" in moov
            return closed and _CLEAR_ENTRY.search(moov) is None
    return False


def _scrambled_pes(data: bytes) -> list[bool]:
    flags = [found[1][0] for found in _VIDEO_PES.finditer(data)]
    return [flag & 0x30 != 0 for flag in flags if flag & 0xC0 == 0x80]


def _scrambled_packets(file: SourceFile) -> list[bool]:
    """Of packets here and there in a transport stream, all but those of its tables."""
    found = []
    step = max(file.rewind() // _PLACES, _PLACE_BYTES) // _TS_PACKET * _TS_PACKET
    for place in range(_PLACES):
        file.seek(place * step)
        data = file.read(_PLACE_BYTES)
        for at in range(0, len(data) - 4, _TS_PACKET):
            if data[at] != 0x47:
                break
            program = (data[at + 1] & 0x1F) << 8 | data[at + 2]
            if program not in _TABLES and program != _NULL_PACKETS:
                found.append(data[at + 3] & 0xC0 != 0)
    return found


def _mostly(flags: list[bool]) -> bool:
    return sum(flags) > len(flags) / 2
