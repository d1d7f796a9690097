"""Words with their times: what of them is found, and what becomes of them when videos change."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.store.archives import Another, change, fill_up, index, open_archive, rows
from vsr_edge.errors import ArchiveError
from vsr_edge.query import Filter
from vsr_edge.store.base import Store, Texts
from vsr_edge.store.connection import translate_errors
from vsr_edge.store.texts import expressions
from vsr_edge.types import Cue

LINES = (
    "Good morning everyone",
    "The doors were closing when the fire",
    "door at the back opened.",
    "A fire engine is waiting by the door",
    "Firemen! 100% of them: C++ & “quotes”, it's crème brûlée",
)


WORDS = ["fire", "door", "open", "wait", "by", "the", "Ärger", "C++"]


def cues(*lines: str, every: float = 2.0, first: float = 0.0) -> tuple[Cue, ...]:
    return tuple(
        Cue(first + every * n, first + every * (n + 0.9), line) for n, line in enumerate(lines)
    )


def say(store: Store, video_id: int, *lines: str, source: str = "sidecar", **how: float) -> None:
    with store.writer() as writer:
        writer.set_texts(video_id, source, Texts("a", cues(*lines, **how)))  # type: ignore[arg-type]


@pytest.fixture
def spoken(store: Store) -> Store:
    """Two videos, one of which says something."""
    first, _ = index(store, "/v/a.mp4", "/w/b.mp4")
    say(store, first, *LINES)
    return store


@pytest.mark.parametrize(
    ("query", "start", "end"),
    [
        ("morning", 0.0, 1.8),
        ("good MORNING", 0.0, 1.8),
        ("door close", 2.0, 3.8),  # in all their forms
        ('"fire door"', 2.0, 5.8),  # over two cues
        ("fire door", 2.0, 5.8),  # the phrase before both words by themselves
        ('"engine is" door', 6.0, 7.8),
        ("engi*", 6.0, 7.8),
        ("creme brulee", 8.0, 9.8),
        ("c++ 100%", 8.0, 9.8),
        ("it's \"quotes", 8.0, 9.8),  # a quotation that is not closed
    ],
)
def test_words_are_found_with_their_time(
    spoken: Store, query: str, start: float, end: float
) -> None:
    best = spoken.find_text(query, 5)[0]
    assert (best.start, best.end) == (start, end)
    assert spoken.videos_of([best.video_id])[best.video_id].video.path == Path("/v/a.mp4")
    assert best.source == "sidecar"


@pytest.mark.parametrize(
    "query",
    ["morning engine", '"door fire"', "mornin", "elephant", "fire NOT door", "", "* -", '"'],
)
def test_what_is_not_said_so_is_not_found(spoken: Store, query: str) -> None:
    assert spoken.find_text(query, 5) == []


def test_words_that_stand_together_come_first_and_no_place_twice(spoken: Store) -> None:
    hits = spoken.find_text("fire door", 5)
    assert [(hit.start, hit.end) for hit in hits] == [(2.0, 5.8), (6.0, 7.8)]
    assert hits[0].text == f"{LINES[1]} {LINES[2]}"
    assert len(spoken.find_text("fire door", 1)) == 1


def test_a_long_silence_parts_two_sentences(spoken: Store) -> None:
    (video,) = spoken.find_fingerprint(spoken.videos()[1].video.fingerprint)
    say(spoken, video.video_id, "one unicorn", "two griffins", every=60.0)
    assert spoken.find_text("unicorn griffin", 5) == []
    assert len(spoken.find_text("griffin", 5)) == 1


def test_what_stands_on_the_screen_does_not_go_on(store: Store) -> None:
    (video,) = index(store, "/v/a.mp4")
    say(store, video, "emergency", "exit", source="ocr")
    assert store.find_text("emergency exit", 5) == []
    say(store, video, "emergency", "exit", source="speech")
    assert [hit.source for hit in store.find_text("emergency exit", 5)] == ["speech"]


def test_a_filter_narrows_words_too(spoken: Store) -> None:
    say(spoken, spoken.videos()[1].video_id, "good morning")
    assert len(spoken.find_text("morning", 5)) == 2
    (hit,) = spoken.find_text("morning", 5, Filter(("b.mp4",)))
    assert hit.video_id == spoken.videos()[1].video_id


def test_words_said_twice_in_one_place_are_one_hit(spoken: Store) -> None:
    say(spoken, spoken.videos()[0].video_id, *LINES, source="embedded")
    assert len(spoken.find_text("engine", 5)) == 1


@pytest.fixture(scope="module")
def table() -> Iterator[sqlite3.Connection]:
    """What is searched, in memory."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE VIRTUAL TABLE t USING fts5 (text, tokenize='porter unicode61')")
        yield connection


@given(st.text(max_size=40) | st.text('"*a^-+:(){} ANDORNOT', max_size=20))
def test_no_query_is_an_error(table: sqlite3.Connection, query: str) -> None:
    for expression, words in expressions(query):
        table.execute("SELECT * FROM t WHERE t MATCH ?", [expression]).fetchall()
        assert words > 0


@given(st.lists(st.sampled_from(WORDS), min_size=1))
def test_whatever_is_said_is_found_by_its_own_words(
    table: sqlite3.Connection, words: list[str]
) -> None:
    table.execute("DELETE FROM t")
    table.execute("INSERT INTO t VALUES (?)", [f"so {' '.join(words)}, he said"])
    for expression, _ in expressions(" ".join(words)):
        assert table.execute("SELECT count(*) FROM t WHERE t MATCH ?", [expression]).fetchone()[0]


def test_words_are_replaced_and_forgotten(spoken: Store) -> None:
    video = spoken.videos()[0].video_id
    assert spoken.stats().cues == len(LINES)
    say(spoken, video, "something else")
    assert spoken.find_text("morning", 5) == []
    assert spoken.texts(video)["sidecar"].cues == cues("something else")
    with spoken.writer() as writer:
        writer.set_texts(video, "sidecar", None)
    assert (spoken.stats().cues, spoken.texts(video), spoken.has_texts()) == (0, {}, False)
    assert spoken.check() == []


def test_words_go_with_their_video(spoken: Store) -> None:
    video = spoken.videos()[0].video_id
    with spoken.writer() as writer:
        writer.rename(video, Path("/v/moved.mp4"), size_bytes=1, modified_ns=1)
    assert spoken.find_text("morning", 5)[0].video_id == video
    with spoken.writer() as writer:
        writer.remove([video])
    assert (spoken.find_text("morning", 5), spoken.has_texts()) == ([], False)
    assert spoken.check() == []


def test_a_cue_that_cannot_be_stores_nothing(spoken: Store) -> None:
    video = spoken.videos()[0].video_id
    with spoken.writer() as writer, pytest.raises(ValueError, match="cannot be"):
        writer.set_texts(video, "sidecar", Texts("b", (Cue(3.0, 2.0, "backwards"),)))
    assert len(spoken.texts(video)["sidecar"].cues) == len(LINES)


def test_ten_hours_of_words_are_found_at_once(store: Store) -> None:
    (video,) = index(store, "/v/a.mp4")
    say(store, video, *(f"line {n} of the door" for n in range(12_000)), every=3.0)
    (hit,) = store.find_text("line 11777", 5)
    assert hit.start == 3.0 * 11_777
    assert len(store.find_text("door", 10)) == 10


def test_words_that_cannot_be_found_are_named(tmp_path: Path) -> None:
    with open_archive(tmp_path / "archive") as store:
        say(store, index(store, "/v/a.mp4")[0], *LINES)
        assert store.check() == []
        change(tmp_path / "archive", "DELETE FROM passages WHERE rowid = 2")
        (problem,) = store.check()
    assert "the words of 1 cues cannot be found" in problem


def test_an_archive_of_before_takes_words(tmp_path: Path) -> None:
    """One whose last step is the one before words."""
    with open_archive(tmp_path / "archive") as store:
        index(store, "/v/a.mp4")
    (version,) = rows(tmp_path / "archive", "PRAGMA user_version")[0]
    change(
        tmp_path / "archive",
        "DROP TABLE cues",
        "DROP TABLE texts",
        "DROP TABLE passages",
        "DELETE FROM _sqlite_migrations WHERE name LIKE '%_texts'",
        f"PRAGMA user_version = {version - 1}",
    )
    with open_archive(tmp_path / "archive") as store:
        assert store.find_text("morning", 5) == []
        say(store, store.videos()[0].video_id, *LINES)
        assert len(store.find_text("morning", 5)) == 1


def test_words_live_through_a_change_of_bundle(spoken: Store, place: Path | str) -> None:
    other = Another("other-test")
    before = {one.video.path: spoken.texts(one.video_id) for one in spoken.videos()}
    with spoken.shadow_archive() as shadow:
        with shadow.open(other.bundle_id, other.dim) as successor:
            fill_up(successor, ["/v/a.mp4", "/w/b.mp4"], other)
            with successor.writer() as writer:
                for one in successor.videos():
                    for source, texts in before[one.video.path].items():
                        writer.set_texts(one.video_id, source, texts)
        shadow.switch()
    with open_archive(place, bundle_id=other.bundle_id) as store:
        assert len(store.find_text("fire door", 5)) == 2
        assert store.check() == []


def test_a_python_without_full_text_search_is_named(tmp_path: Path) -> None:
    """Such a build gives this error, wherever it meets the table."""
    said = pytest.raises(ArchiveError, match=r"built without FTS5.*another build")
    with said, translate_errors(tmp_path):
        raise sqlite3.OperationalError("no such module: fts5")
