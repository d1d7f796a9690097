"""Ranks and what follows from them: recall at k, NDCG."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsr_edge.evaluation.metrics import (
    correct_moments,
    distinct,
    graded_hits,
    moment_ranks,
    ndcg,
    rank_of_first,
    recall_at,
)

THRESHOLDS = [0.3, 0.5, 0.7, 0.9]
times = st.integers(0, 240).map(lambda ticks: ticks / 8)
spans = st.tuples(times, times).map(lambda pair: [min(pair), max(pair) + 0.125])
moments = st.tuples(spans, st.booleans())


def ranks_of(
    listed: list[tuple[list[float], bool]], truth: list[list[float]], agreement: int = 1
) -> np.ndarray:
    windows = [window for window, _ in listed]
    same = [in_video for _, in_video in listed]
    return moment_ranks(correct_moments(windows, same, truth, THRESHOLDS, agreement=agreement))


@given(st.lists(st.lists(moments, max_size=12), min_size=1, max_size=6), spans)
def test_recall_grows_with_k_and_falls_with_the_threshold(
    lists: list[list[tuple[list[float], bool]]], truth: list[float]
) -> None:
    ranks = np.array([ranks_of(listed, [truth]) for listed in lists])
    table = np.array(
        [[recall_at(ranks[:, t], k) for k in (1, 5, 10, 100)] for t in range(len(THRESHOLDS))]
    )
    assert (np.diff(table, axis=1) >= 0).all()
    assert (np.diff(table, axis=0) <= 0).all()
    assert ((table >= 0) & (table <= 1)).all()


@given(
    st.lists(moments, min_size=1, max_size=10),
    st.lists(spans, min_size=1, max_size=4),
    st.data(),
)
def test_shuffling_moments_that_tie_changes_no_recall_that_covers_them_all(
    listed: list[tuple[list[float], bool]], truth: list[list[float]], data: st.DataObject
) -> None:
    first = data.draw(st.integers(0, len(listed) - 1))
    last = data.draw(st.integers(first, len(listed) - 1))
    tied = data.draw(st.permutations(listed[first : last + 1]))
    before, after = (
        ranks_of(listed, truth),
        ranks_of(listed[:first] + tied + listed[last + 1 :], truth),
    )
    for k in [*range(first + 1), *range(last + 1, 12)]:
        np.testing.assert_array_equal(before <= k, after <= k)


@given(
    st.lists(moments, max_size=10),
    st.lists(spans, min_size=1, max_size=5),
    st.integers(1, 2),
    st.randoms(use_true_random=False),
)
def test_the_order_of_the_true_spans_is_no_matter(
    listed: list[tuple[list[float], bool]], truth: list[list[float]], agreement: int, random: Random
) -> None:
    shuffled = list(truth)
    random.shuffle(shuffled)
    np.testing.assert_array_equal(
        ranks_of(listed, truth, agreement), ranks_of(listed, shuffled, agreement)
    )


def test_a_moment_in_another_video_is_wrong_and_passed_over_within_the_right_one() -> None:
    windows, same = [[0, 10], [0, 10], [50, 60]], [False, True, True]
    correct = correct_moments(windows, same, [[0, 10]], [0.5])
    assert moment_ranks(correct).tolist() == [2.0]
    assert moment_ranks(correct, same).tolist() == [1.0]


def test_two_annotators_must_agree_where_asked() -> None:
    truth = [[0, 10], [0, 10], [20, 30], [40, 50]]
    windows = [[20, 30], [0, 10]]
    correct = correct_moments(windows, [True, True], truth, [0.5], agreement=2)
    assert moment_ranks(correct).tolist() == [2.0]


def test_an_overlap_at_the_threshold_counts_in_single_precision() -> None:
    window, truth = np.array([[0, 7]], np.float32), np.array([[0, 10]], np.float32)
    assert correct_moments(window, [True], truth, [0.7]).tolist() == [[True]]


def test_rank_of_the_right_video() -> None:
    videos = distinct(["b", "b", "a", "c", "a"])
    assert videos == ["b", "a", "c"]
    assert rank_of_first([video == "a" for video in videos]) == 2.0
    assert rank_of_first([False, False]) == math.inf
    assert rank_of_first([]) == math.inf


def test_recall_of_no_queries_is_no_number() -> None:
    assert math.isnan(recall_at([], 5))
    assert recall_at([1.0, 3.0, math.inf, 5.0], 3) == 0.5


def test_each_true_moment_is_earned_once() -> None:
    truth = [[0, 10], [20, 30]]
    windows = [[0, 10], [1, 10], [20, 31]]
    assert graded_hits(windows, truth, [1, 3], 0.5).tolist() == [1.0, 0.0, 3.0]


def test_an_overlap_at_the_threshold_earns_no_grade() -> None:
    assert graded_hits([[0, 5]], [[0, 10]], [2], 0.5).tolist() == [0.0]
    assert graded_hits([[0, 5]], [[0, 10]], [2], 0.49).tolist() == [2.0]
    assert graded_hits([[0, 10]], [[0, 10]], [2], 0.5, same_video=[[False]]).tolist() == [0.0]
    assert graded_hits([[0, 10]], [], [], 0.5).tolist() == [0.0]


def test_ndcg_of_a_worked_example() -> None:
    gained = (2**1 - 1) / math.log2(2) + (2**3 - 1) / math.log2(3)
    ideal = (2**3 - 1) / math.log2(2) + (2**1 - 1) / math.log2(3)
    assert ndcg([1, 3], [3, 1], 2) == pytest.approx(gained / ideal)
    assert ndcg([3, 1], [1, 3], 2) == pytest.approx(1.0)
    assert ndcg([0, 0], [0], 2) == 0.0


@given(st.lists(st.integers(0, 4), min_size=1, max_size=8), st.integers(1, 10), st.randoms())
def test_ndcg_is_at_most_1_and_best_in_order(grades: list[int], k: int, random: Random) -> None:
    shuffled = list(grades)
    random.shuffle(shuffled)
    best = ndcg(sorted(grades, reverse=True), grades, k)
    assert 0.0 <= ndcg(shuffled, grades, k) <= best + 1e-12
    assert best == pytest.approx(1.0 if any(grades) else 0.0)
