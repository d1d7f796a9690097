"""Overlap in time: symmetric, in [0, 1], and whole for the same span alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vsr_edge.evaluation.metrics import pairwise_iou, temporal_iou

# On a grid, so that equality is exact and lengths are not lost to rounding.
times = st.integers(0, 6400).map(lambda ticks: ticks / 64)
spans = st.tuples(times, times).map(lambda pair: (min(pair), max(pair)))
any_spans = st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)).map(lambda p: (min(p), max(p)))


@given(any_spans, any_spans, st.booleans())
def test_iou_is_symmetric_and_between_0_and_1(
    a: tuple[float, float], b: tuple[float, float], hull: bool
) -> None:
    overlap = float(temporal_iou(a, b, hull=hull))
    assert overlap == float(temporal_iou(b, a, hull=hull))
    assert 0.0 <= overlap <= 1.0


@given(spans, spans, st.booleans())
def test_iou_is_1_for_equal_spans_alone(
    a: tuple[float, float], b: tuple[float, float], hull: bool
) -> None:
    overlap = float(temporal_iou(a, b, hull=hull))
    assert (overlap == 1.0) == (a == b and a[1] > a[0])


@given(spans, spans)
def test_hull_and_true_union_give_the_same_overlap(
    a: tuple[float, float], b: tuple[float, float]
) -> None:
    np.testing.assert_allclose(temporal_iou(a, b), temporal_iou(a, b, hull=True), rtol=1e-12)


@given(st.lists(spans, max_size=5), st.lists(spans, max_size=5))
def test_pairs_are_what_single_overlaps_are(
    first: list[tuple[float, float]], second: list[tuple[float, float]]
) -> None:
    matrix = pairwise_iou(first, second)
    assert matrix.shape == (len(first), len(second))
    for row, a in enumerate(first):
        for column, b in enumerate(second):
            assert matrix[row, column] == temporal_iou(a, b)


def test_known_overlaps() -> None:
    assert temporal_iou([0, 10], [5, 15]) == 1 / 3
    assert temporal_iou([0, 10], [10, 15]) == 0.0
    assert temporal_iou([0, 10], [2, 4]) == 0.2
    assert temporal_iou([3, 3], [3, 3]) == 0.0


def test_a_prediction_that_ends_before_it_starts_overlaps_nothing() -> None:
    assert temporal_iou([5, 3], [0, 10], hull=True) == 0.0
    assert temporal_iou([5, 3], [0, 10]) == 0.0


def test_single_precision_stays_single() -> None:
    a = np.array([[0, 7]], dtype=np.float32)
    assert temporal_iou(a, np.array([0, 10], np.float32)).dtype == np.float32
    assert temporal_iou(a, [0.0, 10.0]).dtype == np.float64
