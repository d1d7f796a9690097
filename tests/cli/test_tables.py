"""Tables that fit: nothing is wider than the terminal, no path and no number is broken inside."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from vsr_edge.cli.tables import Column, fold, layout, shortened

PATH = "/srv/footage/camera 1/2024-05-06/a-long-name-of-one-recording-0001.mp4"
FOUND = (
    *(Column(title, "number") for title in ("#", "match", "score", "from", "to")),
    Column("video", "path"),
)
ROWS = (
    ("1", "43%", "0.710", "0:10.5", "0:16.5", PATH),
    ("2?", "3%", "0.510", "1:10:10.5", "1:10:16.5", "/srv/b.mp4"),
)


def lines(width: int | None) -> list[str]:
    return [line for line, _ in layout(FOUND, ROWS, width, (0, 5))]


def test_a_path_is_folded_at_its_separators() -> None:
    assert fold(PATH, 40, "path") == [
        "/srv/footage/camera 1/2024-05-06/",
        "a-long-name-of-one-recording-0001.mp4",
    ]
    assert fold(r"C:\footage\camera 1\a.mp4", 12, "path") == [
        "C:\\footage\\",
        "camera 1\\",
        "a.mp4",
    ]


def test_a_name_that_is_too_long_is_shortened_in_its_middle() -> None:
    assert fold(PATH, 24, "path")[-1] == "a-long-name…ing-0001.mp4"
    assert shortened("日本語日本語.mp4", 10) == "日本語…mp4"
    assert shortened("short.mp4", 9) == "short.mp4"


def test_words_stay_whole_and_one_that_is_too_long_is_cut() -> None:
    assert fold("trained on Flickr8k (research use)", 16) == [
        "trained on",
        "Flickr8k",
        "(research use)",
    ]
    assert fold("x" * 7, 3) == ["xxx", "xxx", "x"]


def test_a_pipe_has_every_row_in_one_line() -> None:
    header, first, second = lines(None)
    assert header.split() == ["#", "match", "score", "from", "to", "video"]
    assert first.endswith(f"  {PATH}")
    assert second.endswith("  /srv/b.mp4")


@pytest.mark.parametrize("width", [80, 60, 40, 25])
def test_it_fits_and_tells_the_same(width: int) -> None:
    shown = lines(width)
    assert max(map(cell_len, shown)) <= width
    for word in ("43%", "0.710", "1:10:16.5", "/srv/b.mp4", "score"):
        assert any(word in line for line in shown)
    if width in (80, 40):  # between these, the name's column is narrower than the name
        assert PATH in re.sub(r"\s*\n\s*", "", "\n".join(shown))


texts = st.text(st.sampled_from("ab -/\\日é"), max_size=60)


@given(texts, st.integers(2, 40), st.sampled_from(["text", "path"]))
def test_no_line_is_too_long_and_text_loses_nothing(text: str, width: int, kind: str) -> None:
    folded = fold(text, width, kind)  # type: ignore[arg-type]
    assert all(cell_len(line) <= width for line in folded)
    if kind == "text":
        assert "".join("".join(folded).split()) == "".join(text.split())
