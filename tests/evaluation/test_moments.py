"""Moment mAP and R1 by moment_detr's rules."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsr_edge.evaluation.metrics import best_overlap, moment_average_precision

times = st.integers(0, 240).map(lambda ticks: ticks / 8)
spans = st.tuples(times, times).map(lambda pair: [min(pair), max(pair) + 0.125])


def test_right_windows_first_score_1_at_every_threshold() -> None:
    truth = [[0, 10], [20, 30]]
    score = moment_average_precision([[20, 30], [0, 10], [5, 6]], [0.9, 0.8, 0.7], truth)
    np.testing.assert_array_equal(score, np.ones(10))


def test_a_wrong_window_first_halves_the_precision_of_one_true_window() -> None:
    score = moment_average_precision([[50, 60], [0, 10]], [0.9, 0.8], [[0, 10]], [0.5])
    assert score.tolist() == [0.5]


def test_windows_count_by_score_and_not_by_place() -> None:
    score = moment_average_precision([[50, 60], [0, 10]], [0.1, 0.8], [[0, 10]], [0.5])
    assert score.tolist() == [1.0]


def test_a_true_window_is_found_once() -> None:
    truth = [[0, 10], [20, 30]]
    score = moment_average_precision([[0, 10], [0, 10], [20, 30]], [3, 2, 1], truth, [0.5])
    assert score.tolist() == [pytest.approx((1 + 2 / 3) / 2)]


def test_a_window_takes_the_next_true_window_when_the_best_is_taken() -> None:
    truth = [[0, 10], [1, 11]]
    score = moment_average_precision([[0, 10], [0, 10]], [2, 1], truth, [0.5, 0.9])
    assert score.tolist() == [1.0, 0.5]


def test_precision_is_interpolated() -> None:
    truth = [[0, 10], [20, 30], [40, 50]]
    windows = [[0, 10], [90, 99], [20, 30], [40, 50]]
    # Precisions at the hits are 1, 2/3 and 3/4; the second is lifted to what comes after it.
    score = moment_average_precision(windows, [4, 3, 2, 1], truth, [0.5])
    assert score.tolist() == [pytest.approx((1 + 3 / 4 + 3 / 4) / 3)]


def test_windows_in_another_video_are_wrong() -> None:
    score = moment_average_precision(
        [[0, 10], [0, 10]], [2, 1], [[0, 10]], [0.5], same_video=[False, True]
    )
    assert score.tolist() == [0.5]


def test_nothing_found_scores_0_and_nothing_to_find_is_no_number() -> None:
    assert moment_average_precision([], [], [[0, 1]], [0.5]).tolist() == [0.0]
    assert np.isnan(moment_average_precision([[0, 1]], [1.0], [], [0.5])).all()


@given(st.lists(spans, max_size=8), st.lists(spans, min_size=1, max_size=4), st.data())
def test_the_order_of_windows_of_different_scores_is_no_matter(
    windows: list[list[float]], truth: list[list[float]], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(windows))))
    scores = np.arange(len(windows), dtype=float)
    before = moment_average_precision(windows, scores, truth)
    after = moment_average_precision([windows[i] for i in order], scores[order], truth)
    np.testing.assert_array_equal(before, after)
    assert ((before >= 0) & (before <= 1)).all()


@given(spans, st.integers(1, 5), st.lists(spans, min_size=1, max_size=4))
def test_copies_of_a_window_that_tie_may_change_places(
    window: list[float], copies: int, truth: list[list[float]]
) -> None:
    windows = [window] * copies
    score = moment_average_precision(windows, np.zeros(copies), truth)
    np.testing.assert_array_equal(
        score, moment_average_precision(windows, np.arange(copies), truth)
    )


@given(spans, st.lists(spans, min_size=1, max_size=5))
def test_r1_is_the_best_overlap(window: list[float], truth: list[list[float]]) -> None:
    alone = max(best_overlap(window, [true]) for true in truth)
    assert best_overlap(window, truth) == pytest.approx(alone)


def test_r1_without_true_windows_is_0() -> None:
    assert best_overlap([0, 1], []) == 0.0
