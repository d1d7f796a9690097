"""Queries that last: as JSON and back, by what was liked and rejected, under a name."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsr_edge import open_archive
from vsr_edge.errors import UsageError
from vsr_edge.hits.asked import query_document, query_of
from vsr_edge.hits.saved import (
    filters_of,
    forget_search,
    save_search,
    saved_search,
    saved_searches,
    where_of,
)
from vsr_edge.query import Place, Query

SENTENCES = st.text(min_size=1).filter(lambda s: s.strip() and s.isprintable())
PLACES = st.builds(
    Place,
    st.just("/v/a.mp4"),
    st.floats(0, 1e6),
    st.floats(0, 1e6),
    st.none() | st.text("0123456789abcdef", min_size=8, max_size=8),
)
QUERIES = st.builds(
    Query,
    SENTENCES,
    st.none() | PLACES | st.just(Path("/p/photo.jpg")),
    st.floats(0.01, 0.99),
    st.none() | SENTENCES,
    st.lists(PLACES, max_size=3).map(tuple),
    st.lists(PLACES, max_size=3).map(tuple),
)


@given(QUERIES)
def test_a_query_is_the_same_after_json(query: Query) -> None:
    document = json.loads(json.dumps(query_document(query)))
    assert query_of(document) == query


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59), st.integers(0, 9))
def test_a_time_is_read_as_a_clock_shows_it(
    hours: int, minutes: int, seconds: int, tenth: int
) -> None:
    place = Place.read(f"a@b.mp4@{hours}:{minutes:02d}:{seconds:02d}.{tenth}")
    assert place is not None
    assert place.video == "a@b.mp4"
    assert place.start == pytest.approx(3600 * hours + 60 * minutes + seconds + tenth / 10)
    total = 3600 * hours + 60 * minutes + seconds
    assert Place.read(f"b.mp4@{total}") == Place("b.mp4", total, total)


@pytest.mark.parametrize("text", ["a.mp4", "a.mp4@", "@1:23", "a.mp4@x", "a@2x.jpg", "a@-1"])
def test_what_is_no_moment_is_none(text: str) -> None:
    assert Place.read(text) is None


def test_a_file_may_be_called_like_a_moment(tmp_path: Path) -> None:
    photo = tmp_path / "me@12"
    assert isinstance(Query.read_like(str(photo)), Place)
    photo.touch()
    assert Query.read_like(str(photo)) == photo


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "nothing is asked for"),
        ({"text": " "}, "the query is empty"),
        ({"text": "a", "against": ""}, "the sentence of --not is empty"),
        ({"text": "a", "weight": 1.0}, "weight must lie between 0 and 1"),
        ({"against": "a cat"}, "nothing is asked for"),
    ],
)
def test_a_query_that_cannot_be_is_a_usage_error(given: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Query(**given)  # type: ignore[arg-type]


def test_pixels_cannot_be_kept() -> None:
    import numpy as np

    with pytest.raises(UsageError, match="in no file"):
        query_document(Query(like=np.zeros((2, 2, 3), np.uint8)))


def test_saved_searches_are_listed_run_replaced_and_forgotten(tmp_path: Path) -> None:
    first, second = Query("a red van"), Query("a dog", bad=(Place("/v/a.mp4", 1.0, 2.0),))
    assert not save_search(tmp_path, "vans", first)
    assert save_search(tmp_path, "vans", second)
    assert not save_search(tmp_path, "dogs", second)
    assert [one.name for one in saved_searches(tmp_path)] == ["dogs", "vans"]
    assert saved_search(tmp_path, "vans").query == second
    forget_search(tmp_path, "vans")
    with pytest.raises(UsageError, match="no search is saved as 'vans': there is dogs"):
        saved_search(tmp_path, "vans")
    assert [path.name for path in (tmp_path / "saved").iterdir()] == ["dogs.json"]


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "con", "a b", "x" * 300])
def test_a_name_that_is_no_plain_file_name_saves_nothing(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be saved as"):
        save_search(tmp_path, name, Query("a"))
    assert list(tmp_path.iterdir()) == []


def test_filters_are_kept_as_they_were_said(tmp_path: Path, demo_archive: Path) -> None:
    with open_archive(demo_archive) as archive:
        bikes = next(one.video.path for one in archive.videos() if one.video.path.stem == "bikes")
        said = {"video": [str(bikes), "*.mp4"], "after": "2d", "tags": None, "between": ""}
        kept = filters_of(archive, said)
        assert kept == {"video": [str(bikes), "*.mp4"], "after": "2d"}
        for wrong in ({"after": "rubbish"}, {"video": ["nowhere"]}, {"min_duration": "long"}):
            with pytest.raises(UsageError):
                filters_of(archive, wrong)
        save_search(tmp_path, "bikes", Query("a bicycle"), kept)
        found = saved_search(tmp_path, "bikes")
        assert found.filters == kept
        assert found.footage == f"video {bikes}, *.mp4; after 2d"
        where = where_of(archive, found.filters)
        assert where is not None
        assert where.videos == (str(bikes), "*.mp4")
        assert where.after == pytest.approx(time.time() - 2 * 86400, abs=3600)
        assert where_of(archive, {}) is None
    # Without any it is as versions wrote it that knew none.
    save_search(tmp_path, "plain", Query("a bicycle"))
    assert json.loads((tmp_path / "saved" / "plain.json").read_text())["format"] == 1
    assert saved_search(tmp_path, "plain").filters == {}


QUERY = json.dumps(query_document(Query("a")))


@pytest.mark.parametrize(
    "content",
    [
        *("", "{}", "[]", '{"format": 9}', '{"format": 1, "saved_at": ""}'),
        *(
            f'{{"format": 2, "saved_at": "", "query": {QUERY}, "filters": {filters}}}'
            for filters in ("[]", '{"colour": "red"}', '{"after": 5}', '{"tags": "x"}')
        ),
    ],
)
def test_a_damaged_one_is_named_and_hinders_no_other(content: str, tmp_path: Path) -> None:
    save_search(tmp_path, "sound", Query("a"))
    (tmp_path / "saved" / "broken.json").write_text(content)
    broken, sound = saved_searches(tmp_path)
    assert broken.query is None
    assert "vsr-edge saved forget broken" in (broken.problem or "")
    assert sound.query == Query("a")
    forget_search(tmp_path, "broken")
    assert len(saved_searches(tmp_path)) == 1
