"""Pictures as what a terminal draws: kitty's graphics, iTerm2's inline images, and Sixel.

Pictures stand side by side in strips, clear between and around them, so that any background does.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vsr_edge.media.palette import paletted
from vsr_edge.media.picture import picture_of, png, scaled
from vsr_edge.types import Pixels

Protocol: TypeAlias = Literal["kitty", "iterm2", "sixel"]

_CHUNK = 4096  # kitty takes no longer piece of base64
_NONE = 256  # the number of what is clear
_MISSING = (96, 96, 96)


def strip(pictures: Sequence[bytes | None], tile: tuple[int, int], gap: int) -> Pixels:
    """JPEGs side by side, each in the middle of a tile (width, height): uint8 [H, W, 4] RGBA.

    What has no picture is a plain tile.
    """
    width, height = tile
    canvas = np.zeros((height, len(pictures) * (width + gap) - gap, 4), np.uint8)
    for place, jpeg in enumerate(pictures):
        left = place * (width + gap)
        if jpeg is None:
            canvas[:, left : left + width] = (*_MISSING, 255)
            continue
        pixels = picture_of(jpeg, Path("a thumbnail"))
        share = min(width / pixels.shape[1], height / pixels.shape[0])
        size = [max(1, round(side * share)) for side in (pixels.shape[1], pixels.shape[0])]
        x, y = left + (width - size[0]) // 2, (height - size[1]) // 2
        part = canvas[y : y + size[1], x : x + size[0]]
        part[:, :, :3], part[:, :, 3] = scaled(pixels, *size), 255
    return canvas


def drawn(picture: Pixels, protocol: Protocol, columns: int, rows: int) -> str:
    """What a terminal draws as a picture uint8 [H, W, 4] RGBA over so many of its cells."""
    if protocol == "sixel":
        return _sixel(picture)
    content = png(picture)
    data = base64.b64encode(content).decode("ascii")
    if protocol == "iterm2":
        shape = f"width={columns};height={rows};preserveAspectRatio=0"
        return f"\x1b]1337;File=inline=1;size={len(content)};{shape}:{data}\x07"
    pieces = [data[at : at + _CHUNK] for at in range(0, len(data), _CHUNK)]
    heads = [f"a=T,f=100,q=2,c={columns},r={rows},", *[""] * (len(pieces) - 1)]
    more = [1] * (len(pieces) - 1) + [0]
    return "".join(
        f"\x1b_G{head}m={goes_on};{piece}\x1b\\"
        for head, goes_on, piece in zip(heads, more, pieces, strict=True)
    )


def _sixel(picture: Pixels) -> str:
    """As DEC's terminals had it: bands of six rows, each colour of a band by itself."""
    height, width = picture.shape[:2]
    # The last rows may be no whole band: what is below the picture is clear.
    numbers = np.full((-(-height // 6) * 6, width), _NONE)
    shown, palette = paletted(picture[:, :, :3])
    numbers[:height] = np.where(picture[:, :, 3] > 127, shown.astype(int), _NONE)
    percent = np.rint(palette / 2.55).astype(int).tolist()
    used = (number for number in np.unique(numbers).tolist() if number != _NONE)
    colours = "".join(f"#{one};2;{';'.join(map(str, percent[one]))}" for one in used)
    bands = "-".join("$".join(_lines(band)) for band in numbers.reshape(-1, 6, width))
    return f'\x1bP0;1q"1;1;{width};{height}{colours}{bands}\x1b\\'


def _lines(band: NDArray[np.int64]) -> Iterator[str]:
    """Each colour of six rows [6, W]: its number, and a sign for every six pixels below another."""
    bits = 1 << np.arange(6)[:, None]
    for number in np.unique(band).tolist():
        if number == _NONE:
            continue
        signs = ((band == number) * bits).sum(0).tolist()
        runs = ((chr(63 + sign), len(list(same))) for sign, same in groupby(signs))
        line = "".join(sign * count if count < 4 else f"!{count}{sign}" for sign, count in runs)
        yield f"#{number}{line}"
