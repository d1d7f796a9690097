"""What two runs tell, and what they are too few to tell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vsr_edge.evaluation.archive_scores import compare
from vsr_edge.evaluation.paired import resolution, said_of, telling
from vsr_edge.evaluation.records import Prediction, Query
from vsr_edge.types import Decision


def query(number: int, *, present: bool = True) -> Query:
    video = f"{number}.mp4" if present else None
    return Query(number, "a query", video, ((0.0, 5.0),) if present else ())


def answer(to: Query, *, right: bool, decision: Decision = "match") -> Prediction:
    video = to.video if right and to.video else "elsewhere.mp4"
    one = np.array([[0.0, 5.0]])
    return Prediction(to.qid, to.query, (video,), one, np.array([0.5]), decision=decision)


def compared(ours: list[bool], theirs: list[bool], denied: int = 0, absent: int = 0) -> Any:
    """Two runs, right or not at each query present; the first denies ``denied`` of ``absent``."""
    present = [query(number) for number in range(len(ours))]
    away = [query(1000 + number, present=False) for number in range(absent)]
    first = [answer(q, right=r) for q, r in zip(present, ours, strict=True)]
    second = [answer(q, right=r) for q, r in zip(present, theirs, strict=True)]
    for place, one in enumerate(away):
        said: Decision = "no_match" if place < denied else "match"
        first.append(answer(one, right=False, decision=said))
        second.append(answer(one, right=False))
    return compare(first, second, [*present, *away])


def test_a_clear_difference_is_said_with_its_side() -> None:
    document = compared([True] * 190 + [False] * 10, [True] * 100 + [False] * 100)
    said = said_of(document, ("ours", "theirs"))
    assert said[0] == "the right video first: ours more often than theirs, by 45.0 points"
    turned = compared([True] * 100 + [False] * 100, [True] * 190 + [False] * 10)
    assert said_of(turned, ("ours", "theirs"))[0].endswith(
        "theirs more often than ours, by 45.0 points"
    )


def test_without_a_clear_difference_it_says_so() -> None:
    said = said_of(compared([True, False] * 20, [False, True] * 20), ("a", "b"))
    assert said[0].startswith("no certain difference in the right video first")


def test_few_queries_are_said_to_be_few_and_how_many_it_takes() -> None:
    document = compared([True, False] * 10, [False, True] * 10)
    least = resolution(document)["present"]
    assert least is not None
    assert 30 < least < 60  # ± 1.96 √(1 / 20), in points
    (few,) = (one for one in said_of(document, ("a", "b")) if "too few" in one)
    assert "20 about what is present" in few
    needed = int(few.rsplit(" ", 1)[-1])
    again = compared([True, False] * (needed // 2), [False, True] * (needed // 2))
    assert resolution(again)["present"] == pytest.approx(5, abs=1)
    assert (
        not any("too few" in one and "present" in one for one in said_of(again, ("a", "b")))
        or (resolution(again)["present"] or 0) > 5
    )


def test_two_runs_that_never_differ_prove_no_more_than_the_rule_of_three() -> None:
    document = compared([True] * 30, [True] * 30)
    assert document["difference"]["VR"]["r1"] == [0.0, 0.0, 0.0]
    assert resolution(document)["present"] == 10.0
    assert resolution(compared([True], [True]))["present"] == 100


def test_absent_queries_are_counted_for_themselves() -> None:
    document = compared([True] * 10, [True] * 10, denied=50, absent=60)
    assert resolution(document)["absent"] is not None
    assert any(
        one.startswith("“not there” of what is absent: a") for one in said_of(document, "ab")
    )
    without = compared([True] * 10, [True] * 10)
    assert resolution(without)["absent"] is None
    assert any("no query is about what is absent" in one for one in said_of(without, "ab"))


def test_what_is_shown_is_what_decides() -> None:
    document = compared([True] * 4, [False] * 4)
    shown = telling(document)["difference"]
    assert set(shown["VR"]) == {"r1", "r5"}
    assert set(shown["VCMR"]) == {"0.5-r1", "0.5-r5"}
    assert "mAP" in document["difference"]
    assert "mAP" not in shown
