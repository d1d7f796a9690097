"""The sixty real queries in ``data/real_queries``: two equal halves, and none is asked twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from vsr_edge.evaluation.benchmarks import read_queries
from vsr_edge.evaluation.records import Query

FOLDER = Path(__file__).parent / "data" / "real_queries"
HALVES = ("choose", "report")


def read(half: str) -> tuple[Query, ...]:
    return read_queries(FOLDER / f"{half}.jsonl", "jsonl")


@pytest.mark.parametrize("half", HALVES)
def test_a_half_is_half_present_and_half_absent(half: str) -> None:
    queries = read(half)
    assert Counter(query.present for query in queries) == {True: 15, False: 15}
    sources = Counter(query.video.split("/")[0] for query in queries if query.video)
    assert sources == {"cctv": 10, "samples": 5}
    misses = Counter(query.extra["absent"] for query in queries if not query.present)
    assert set(misses) == {"near", "far"}
    assert set(misses.values()) == {7, 8}


@pytest.mark.parametrize("half", HALVES)
def test_spans_lie_in_their_clips_one_after_another(half: str) -> None:
    for query in read(half):
        times = [time for span in query.spans for time in span]
        assert times == sorted(set(times)), query.qid
        if query.present:
            assert query.duration is not None
            assert 0 <= times[0] < times[-1] <= query.duration, query.qid


def test_nothing_is_asked_twice() -> None:
    every = [query for half in HALVES for query in read(half)]
    assert len({query.qid for query in every}) == 60
    assert len({" ".join(query.query.lower().split()) for query in every}) == 60
    assert len({query.video for query in every if query.present}) == 30
