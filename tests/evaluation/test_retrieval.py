"""Ranks and recall at k."""

from __future__ import annotations

import math
from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vsr_edge.evaluation.metrics import moment_ranks, rank_of_first, recall_at

THRESHOLDS = [0.3, 0.5, 0.7, 0.9]
times = st.integers(0, 240).map(lambda ticks: ticks / 8)
spans = st.tuples(times, times).map(lambda pair: [min(pair), max(pair) + 0.125])
moments = st.tuples(spans, st.booleans())


def ranks_of(
    listed: list[tuple[list[float], bool]], truth: list[list[float]], agreement: int = 1
) -> np.ndarray:
    windows = [window for window, _ in listed]
    same = [in_video for _, in_video in listed]
    return moment_ranks(windows, same, truth, THRESHOLDS, agreement=agreement)


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
    given = windows, same, [[0, 10]], [0.5]
    assert moment_ranks(*given).tolist() == [2.0]
    assert moment_ranks(*given, video_given=True).tolist() == [1.0]


def test_two_annotators_must_agree_where_asked() -> None:
    truth = [[0, 10], [0, 10], [20, 30], [40, 50]]
    windows = [[20, 30], [0, 10]]
    assert moment_ranks(windows, [True, True], truth, [0.5], agreement=2).tolist() == [2.0]


def test_an_overlap_at_the_threshold_counts_in_single_precision() -> None:
    window, truth = np.array([[0, 7]], np.float32), np.array([[0, 10]], np.float32)
    assert moment_ranks(window, [True], truth, [0.7]).tolist() == [1.0]


def test_rank_of_the_right_video() -> None:
    assert rank_of_first([video == "a" for video in "bac"]) == 2.0
    assert rank_of_first([False, False]) == math.inf
    assert rank_of_first([]) == math.inf


def test_recall_of_no_queries_is_no_number() -> None:
    assert math.isnan(recall_at([], 5))
    assert recall_at([1.0, 3.0, math.inf, 5.0], 3) == 0.5
