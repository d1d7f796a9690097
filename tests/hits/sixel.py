"""A decoder of Sixel, for what the encoder uses of it and what may lie around that."""

from __future__ import annotations

import re

import numpy as np

from vsr_edge.types import Pixels

_TOKEN = re.compile(r"#(\d+)(?:;2;(\d+);(\d+);(\d+))?|!(\d+)([?-~])|([?-~])|([$-])")


def decoded(text: str) -> Pixels:
    """The one picture of a text as uint8 [H, W, 4] RGBA, clear where nothing was drawn."""
    (found,) = re.findall(r'\x1bP[\d;]*q"1;1;(\d+);(\d+)([^\x1b]*)\x1b\\', text)
    width, height = int(found[0]), int(found[1])
    picture = np.zeros((height + 6, width, 4), np.uint8)
    palette: dict[int, list[int]] = {}
    colour, x, top, end = 0, 0, 0, 0
    for token in _TOKEN.finditer(found[2]):
        assert token.start() == end, found[2][end : end + 20]
        end = token.end()
        number, red, green, blue, count, repeated, single, control = token.groups()
        if number is not None:
            colour = int(number)
            if red is not None:
                palette[colour] = [round(int(part) * 2.55) for part in (red, green, blue)]
        elif control == "$":
            x = 0
        elif control == "-":
            x, top = 0, top + 6
        else:
            length = int(count or 1)
            for bit in range(6):
                if (ord(repeated or single) - 63) >> bit & 1:
                    picture[top + bit, x : x + length] = (*palette[colour], 255)
            x += length
            assert x <= width
    assert end == len(found[2])
    assert not picture[height:].any()
    return picture[:height]
