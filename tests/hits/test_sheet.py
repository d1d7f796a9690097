"""The contact sheet: a tile for each hit, of the right moment, with what is said of it."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.hits.pictures import number_at, opened
from tests.hits.test_hits_page import found
from tests.media_files import HEIGHT, WIDTH, number_of
from vsr_edge.answer import SearchResult
from vsr_edge.archive import Archive
from vsr_edge.errors import UsageError
from vsr_edge.hits.sheet import FORMATS, GAP, LINE, MOST, TILE, check_sheet, contact_sheet
from vsr_edge.hits.thumbnails import Thumbnail, thumbnails_of
from vsr_edge.media.picture import jpeg
from vsr_edge.types import Pixels

LABELS = 2


def tiles(sheet: Pixels, count: int) -> list[Pixels]:
    """The tiles of a sheet, by where the layout puts them: from its end, as headings differ."""
    columns = math.ceil(math.sqrt(count))
    across, down = TILE[0] + GAP, TILE[1] + LABELS * LINE + GAP
    top = len(sheet) - GAP - math.ceil(count / columns) * down
    places = [divmod(place, columns) for place in range(count)]
    return [
        sheet[top + row * down :, GAP + column * across :][: TILE[1], : TILE[0]]
        for row, column in places
    ]


def inner(tile: Pixels) -> Pixels:
    """The picture in the middle of a tile, which is smaller than it."""
    top, left = (TILE[1] - HEIGHT) // 2, (TILE[0] - WIDTH) // 2
    return tile[top : top + HEIGHT, left : left + WIDTH]


@pytest.mark.parametrize("name", ["out.jpg", "out.PNG", "out.webp"])
def test_each_tile_is_of_its_moment(name: str, archive: Archive, answer: SearchResult) -> None:
    kind = FORMATS[Path(name).suffix.lower()]
    content = contact_sheet(answer, thumbnails_of(archive, answer.moments), kind)
    assert Image.open(io.BytesIO(content)).format == kind
    shown = tiles(opened(content), len(answer.moments))
    assert [number_of(inner(tile)) for tile in shown] == [
        number_at(m.video, m.shown_at) for m in answer.moments
    ]


def ink(sheet: Pixels, tile: int, count: int) -> list[int]:
    """How many pixels of each line below a tile are not the ground's."""
    columns = math.ceil(math.sqrt(count))
    row, column = divmod(tile, columns)
    across, down = TILE[0] + GAP, TILE[1] + LABELS * LINE + GAP
    top = len(sheet) - GAP - (math.ceil(count / columns) - row) * down + TILE[1]
    lines = [sheet[top + LINE * n :][:LINE, GAP + column * across :] for n in range(LABELS)]
    return [int((line[:, : TILE[0]].min(axis=2) < 160).sum()) for line in lines]


def test_time_probability_and_name_stand_below() -> None:
    picture = Thumbnail(jpeg(np.zeros((90, 160, 3), np.uint8)))
    drawn = opened(contact_sheet(found("q", Path("/v/a.mp4")), [picture], "PNG"))
    named = opened(contact_sheet(found("q", Path("/v/abcdefgh.mp4")), [picture], "PNG"))
    likelier = replace(found("q", Path("/v/a.mp4")).moments[0], match_probability=1.0)
    other = replace(found("q", Path("/v/a.mp4")), moments=(likelier,))
    assert all(count > 20 for count in ink(drawn, 0, 1))
    assert ink(named, 0, 1)[1] > ink(drawn, 0, 1)[1]
    assert ink(named, 0, 1)[0] == ink(drawn, 0, 1)[0]
    assert ink(opened(contact_sheet(other, [picture], "PNG")), 0, 1) != ink(drawn, 0, 1)


def test_a_guess_has_another_colour() -> None:
    def greenish(decision: str) -> int:
        picture = Thumbnail(jpeg(np.zeros((90, 160, 3), np.uint8)))
        answer = found("q", Path("/v/a.mp4"), decision)
        sheet = opened(contact_sheet(answer, [picture], "PNG")).astype(int)
        return int(((sheet[:, :, 1] - sheet[:, :, 0]) > 60).sum())

    assert greenish("match") > 20
    assert greenish("no_match") == 0


def test_what_has_no_picture_says_so() -> None:
    answer = found("q", Path("/v/a.mp4"))
    (tile,) = tiles(opened(contact_sheet(answer, [Thumbnail(None, "the file is gone")], "PNG")), 1)
    assert 50 < (tile.max(axis=2) < 100).sum() < tile.size / 20


@pytest.mark.parametrize(
    "text", ["", "x" * 900, "犬が走る " * 40, "caf\udce9", "a\nb\x1b[0m", "👍"]
)
def test_any_query_and_name_fit(text: str) -> None:
    answer = found(text.replace("\udce9", ""), Path("/v", f"{text[:80]}.mp4"))
    sheet = opened(contact_sheet(answer, [Thumbnail(None, text or "why")], "PNG"))
    assert (sheet[:, : GAP - 4] == 255).all()
    assert (sheet[:, -GAP // 2 :] == 255).all()


def test_an_answer_of_nothing_is_a_sheet_too() -> None:
    nothing = replace(found("a dog", Path("/v/a.mp4")), moments=())
    assert len(opened(contact_sheet(nothing, []))) > 3 * GAP


def test_of_very_many_hits_the_first_are_shown() -> None:
    answer = found("q", Path("/v/a.mp4"))
    many = replace(answer, moments=answer.moments * (MOST + 50))
    sheet = opened(contact_sheet(many, [Thumbnail(None, "none")] * (MOST + 50)))
    assert sheet.shape[1] == GAP + 10 * (TILE[0] + GAP)
    assert sheet.shape[0] < 11 * (TILE[1] + LABELS * LINE + GAP)


def test_a_sheet_of_another_kind_is_refused() -> None:
    for name in ("out.gif", "out", "out.html"):
        with pytest.raises(UsageError, match=r"ends in \.jpg, \.jpeg, \.png, \.webp"):
            check_sheet(Path(name))
    check_sheet(Path("OUT.JPG"))


def test_without_pillow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"pip install 'vsr-edge\[pictures\]'"):
        check_sheet(Path("out.jpg"))
