"""Photos from outside: no more than pictures, and no larger than may be decoded for anybody."""

from __future__ import annotations

from pathlib import Path

from vsr_edge.media.picture import picture_of
from vsr_edge.server.refusals import Refused
from vsr_edge.types import Pixels

MOST_PIXELS = 40_000_000
_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*")
_NAME = Path("photo")


def picture_in(content: bytes) -> Pixels:
    """A photo's pixels, upright, uint8 [H, W, 3] RGB.

    FFmpeg reads much else, such as lists of addresses to be opened: a file that does not begin as a
    picture is not shown to it.

    Raises:
        Refused: it begins as no picture does.
        UnreadableMedia: it cannot be decoded, or is too large.
    """
    if not _is_picture(content):
        raise Refused(415, "NotAPicture", "send a JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF")
    return picture_of(content, _NAME, MOST_PIXELS)


def _is_picture(content: bytes) -> bool:
    if content[:4] == b"RIFF":
        return content[8:12] == b"WEBP"
    if content[4:8] == b"ftyp":
        return content[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis")
    return content.startswith(_STARTS)
