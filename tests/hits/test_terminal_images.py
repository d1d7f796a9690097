"""What a terminal is sent is the picture: decoded again, it shows the frame that was meant."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from tests.hits.sixel import decoded
from tests.media_files import is_upright, number_of, picture
from vsr_edge.hits.terminal_images import drawn, strip
from vsr_edge.media.picture import jpeg
from vsr_edge.types import Pixels

TILE, GAP = (260, 150), 20
NUMBERS = (7, 3001, 42)


@pytest.fixture(scope="module")
def image() -> Pixels:
    return strip([*(jpeg(picture(number)) for number in NUMBERS), None], TILE, GAP)


def tile(image: Pixels, place: int) -> Pixels:
    """The picture in a tile: 160 × 96 fits it 250 wide and 150 high."""
    left = place * (TILE[0] + GAP)
    return image[:, left + 5 : left + 255, :3]


def check(image: Pixels) -> None:
    assert image.shape == (TILE[1], 4 * TILE[0] + 3 * GAP, 4)
    for place, number in enumerate(NUMBERS):
        assert number_of(tile(image, place)) == number
        assert is_upright(tile(image, place))
    clear = image[:, :, 3] == 0
    assert clear[:, TILE[0] : TILE[0] + GAP].all()
    assert not clear[:, 5:255].any()
    assert not clear[:, 3 * (TILE[0] + GAP) :].any()  # what has no picture has a plain tile


def test_a_strip_is_pictures_side_by_side(image: Pixels) -> None:
    check(image)


@pytest.mark.parametrize("what", ["strip", "noise"])
def test_kitty_gets_it_in_pieces(what: str, image: Pixels) -> None:
    if what == "noise":  # which takes more than one piece
        image = np.random.default_rng(0).integers(0, 256, (64, 64, 4), np.uint8)
    text = drawn(image, "kitty", 110, 7)
    pieces = re.findall(r"\x1b_G([^;]*);([A-Za-z0-9+/=]*)\x1b\\", text)
    assert "".join(f"\x1b_G{head};{data}\x1b\\" for head, data in pieces) == text
    if what == "noise":
        assert len(pieces) > 4
    heads = ["a=T,f=100,q=2,c=110,r=7,", *[""] * (len(pieces) - 1)]
    more = ["m=1"] * (len(pieces) - 1) + ["m=0"]
    assert [head for head, _ in pieces] == [one + two for one, two in zip(heads, more, strict=True)]
    assert all(len(data) <= 4096 and len(data) % 4 == 0 for _, data in pieces)
    content = base64.b64decode("".join(data for _, data in pieces), validate=True)
    shown = Image.open(io.BytesIO(content))
    assert (shown.format, shown.mode) == ("PNG", "RGBA")
    assert (np.asarray(shown) == image).all()


def test_iterm2_gets_it_inline(image: Pixels) -> None:
    text = drawn(image, "iterm2", 110, 7)
    found = re.fullmatch(r"\x1b\]1337;File=([^:]*):([A-Za-z0-9+/=]*)\x07", text)
    assert found is not None
    content = base64.b64decode(found[2], validate=True)
    said = dict(part.split("=") for part in found[1].split(";"))
    assert said == {
        "inline": "1",
        "size": str(len(content)),
        "width": "110",
        "height": "7",
        "preserveAspectRatio": "0",
    }
    assert (np.asarray(Image.open(io.BytesIO(content))) == image).all()


def test_sixel_shows_it(image: Pixels) -> None:
    again = decoded(drawn(image, "sixel", 110, 7))
    check(again)
    assert (again[:, :, 3] == image[:, :, 3]).all()


def test_sixel_keeps_colours_on_the_whole() -> None:
    """Single pixels may differ where there are more than its terminal can have."""
    random = np.random.default_rng(0)
    for colour in random.integers(0, 256, (5, 3)):
        flat = np.full((64, 64, 4), (*colour, 255), np.uint8)
        again = decoded(drawn(flat, "sixel", 1, 1))
        assert np.abs(again[:, :, :3].mean((0, 1)) - colour).max() < 3
    slope = np.zeros((64, 256, 4), np.uint8)
    slope[:, :, 0], slope[:, :, 1] = np.arange(256), np.arange(64)[:, None] * 4
    slope[:, :, 3] = 255
    error = decoded(drawn(slope, "sixel", 1, 1)).astype(int) - slope
    assert abs(error.mean()) < 1
    assert np.abs(error).mean() < 8
    black_and_white = np.zeros((12, 8, 4), np.uint8)
    black_and_white[:6, :, :3], black_and_white[:, :, 3] = 255, 255
    again = decoded(drawn(black_and_white, "sixel", 1, 1))
    assert (again == black_and_white).all()


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (7, 13), (12, 9)])
def test_sixel_of_any_size(shape: tuple[int, int]) -> None:
    opaque = np.full((*shape, 4), 255, np.uint8)
    assert (decoded(drawn(opaque, "sixel", 1, 1)) == opaque).all()
