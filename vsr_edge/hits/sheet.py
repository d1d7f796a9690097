"""A contact sheet: all hits of an answer in one picture. Needs Pillow, the ``pictures`` extra."""

from __future__ import annotations

import importlib.util
import io
import math
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from vsr_edge.answer import Moment, SearchResult
from vsr_edge.errors import UsageError, printable
from vsr_edge.hits.in_words import is_guess, likelihood, recorded, span, verdict_in_words
from vsr_edge.hits.thumbnails import Thumbnail

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

    Font = FreeTypeFont | ImageFont

# The formats of a sheet, by the ending of its name.
FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
# A sheet of more would be of no use, and beyond what a JPEG can hold.
MOST = 100
TILE = (400, 225)
GAP = 16
LINE = 22
_LARGE, _TEXT = 26, 16
_GROUND, _INK, _SOFT, _EMPTY = "#ffffff", "#1c2024", "#56606a", "#dfe3e6"
_MATCH, _GUESS = "#1b6e43", "#8a4b00"
# Pillow's own font has Latin letters alone; these have more, where one is installed.
_FONTS = (
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "segoeui.ttf"),
    *("Arial.ttf", "Arial Unicode.ttf", "NotoSansCJK-Regular.ttc", "wqy-microhei.ttc"),
    *("msyh.ttc", "PingFang.ttc"),
)


def check_sheet(path: Path) -> None:
    """Raise ``UsageError`` unless a sheet can be made that is called so."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{path}: a contact sheet's name ends in {', '.join(FORMATS)}")
    if importlib.util.find_spec("PIL") is None:
        raise UsageError("a contact sheet needs Pillow: pip install 'vsr-edge[pictures]'")


def contact_sheet(
    found: SearchResult, pictures: Sequence[Thumbnail], kind: str = "JPEG", zone: str = ""
) -> bytes:
    """The sheet of an answer's moments, at most ``MOST``, as a file of this kind of Pillow's; times
    by a zone's clocks.
    """
    from PIL import Image, ImageDraw

    shown = list(zip(found.moments, pictures, strict=True))[:MOST]
    columns = max(1, math.ceil(math.sqrt(len(shown))))
    labels = 3 if any(_note(*one, zone) for one in shown) else 2
    width, height = TILE[0] + GAP, TILE[1] + labels * LINE + GAP
    across = GAP + columns * width
    draw_heading, heading = _heading(found, across - 2 * GAP)
    rows = math.ceil(len(shown) / columns)
    sheet = Image.new("RGB", (across, heading + rows * height + GAP), _GROUND)
    draw = ImageDraw.Draw(sheet)
    draw_heading(draw)
    for place, (moment, picture) in enumerate(shown):
        row, column = divmod(place, columns)
        left, top = GAP + column * width, heading + row * height
        draw.rectangle((left, top, left + TILE[0] - 1, top + TILE[1] - 1), fill=_EMPTY)
        if picture.jpeg is None:
            said = f"no picture: {picture.remark}"
            _line(draw, (left + GAP, top + TILE[1] // 2 - LINE // 2), said, _INK, TILE[0] - 2 * GAP)
        else:
            tile = Image.open(io.BytesIO(picture.jpeg))
            tile.thumbnail(TILE)
            inset = (TILE[0] - tile.width) // 2, (TILE[1] - tile.height) // 2
            sheet.paste(tile, (left + inset[0], top + inset[1]))
        under = left, top + TILE[1] + 4
        _label(draw, under, moment, _note(moment, picture, zone), guess=is_guess(found, moment))
    out = io.BytesIO()
    sheet.save(out, kind, quality=88)
    return out.getvalue()


def _heading(found: SearchResult, room: int) -> tuple[Callable[[ImageDraw], None], int]:
    """What draws the query and the verdict, and how high both are."""
    lines = [
        *((line, _LARGE, _INK) for line in _folded(found.query, room, _LARGE)),
        *((line, _TEXT, _SOFT) for line in _folded(verdict_in_words(found), room, _TEXT)),
    ]

    def draw_on(draw: ImageDraw) -> None:
        top = GAP
        for text, size, colour in lines:
            draw.text((GAP, top), text, fill=colour, font=_font_for(text, size))
            top += round(size * 1.35)

    return draw_on, 2 * GAP + sum(round(size * 1.35) for _, size, _ in lines)


def _label(draw: ImageDraw, at: tuple[int, int], moment: Moment, note: str, *, guess: bool) -> None:
    """Rank, probability and time; the video; what else there is to say."""
    left, top = at
    likely = f"{moment.rank}.  {likelihood(moment)}{'  a guess' if guess else ''}"
    _line(draw, at, likely, _GUESS if guess else _MATCH, TILE[0] // 2)
    when = span(moment)
    wide = round(draw.textlength(when, font=_font_for(when, _TEXT)))
    draw.text((left + TILE[0] - wide, top), when, fill=_INK, font=_font_for(when, _TEXT))
    _line(draw, (left, top + LINE), moment.video.name, _SOFT, TILE[0])
    _line(draw, (left, top + 2 * LINE), note, _SOFT, TILE[0])


def _note(moment: Moment, picture: Thumbnail, zone: str) -> str:
    """When it was recorded, where that is known; what is to know of its picture."""
    remark = picture.remark if picture.jpeg else ""
    return "; ".join(part for part in (recorded(moment, zone), remark) if part)


def _line(draw: ImageDraw, at: tuple[int, int], text: str, colour: str, room: int) -> None:
    """One line; of a text too long for it the middle is left out."""
    text = printable(text).replace("\n", " ")
    font = _font_for(text, _TEXT)
    shown = text
    for kept in range(len(text) - 1, 0, -1):
        if draw.textlength(shown, font=font) <= room:
            break
        shown = f"{text[: kept // 2]}…{text[len(text) - (kept + 1) // 2 :]}"
    draw.text(at, shown, fill=colour, font=font)


def _folded(text: str, room: int, size: int) -> list[str]:
    """Text in lines that fit, broken between words, or within one that is too long by itself."""
    text = " ".join(printable(text).split())
    font = _font_for(text, size)
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getbbox(longer)[2] <= room:
            lines[-1] = longer
            continue
        lines += [""] if lines[-1] else []
        for character in word:
            if lines[-1] and font.getbbox(lines[-1] + character)[2] > room:
                lines.append("")
            lines[-1] += character
    return lines


def _font_for(text: str, size: int) -> Font:
    """The first font that has all the characters, or the one that has the most of them."""
    return max(_fonts(size), key=lambda font: sum(_has(font, one) for one in set(text)))


@cache
def _fonts(size: int) -> list[Font]:
    from PIL import ImageFont

    found: list[Font] = []
    for name in _FONTS:
        try:
            found.append(ImageFont.truetype(name, size))
        except OSError:  # not installed
            continue
    return [*found, ImageFont.load_default(size)]


@cache
def _has(font: Font, character: str) -> bool:
    """Whether it draws it as anything but the sign for what it lacks."""
    return character.isspace() or bytes(font.getmask(character)) != bytes(
        font.getmask("\U0010fffe")
    )
