"""Highlight mAP and HIT@1 by moment_detr's rules."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsr_edge.evaluation.metrics import (
    clip_average_precision,
    hit_at_one,
    saliency_average_precision,
    saliency_matrix,
)


def test_clips_that_nobody_marked_score_0() -> None:
    matrix = saliency_matrix(9.5, {1: (4, 3, 2), 3: (1, 0, 1)})
    assert matrix.tolist() == [[0, 0, 0], [4, 3, 2], [0, 0, 0], [1, 0, 1]]
    with pytest.raises(IndexError):
        saliency_matrix(4, {2: (1, 1, 1)})


def test_average_precision_is_the_mean_over_rises_of_recall() -> None:
    # Positives at ranks 1 and 3.
    assert clip_average_precision([1, 0, 1, 0], [4, 3, 2, 1]) == pytest.approx((1 + 2 / 3) / 2)
    # A tie of a positive and a negative is one step with a precision of one half.
    assert clip_average_precision([1, 0, 0], [1, 1, 0]) == 0.5
    # Two positives in one step count once.
    assert clip_average_precision([1, 1, 0, 1], [2, 2, 1, 0]) == pytest.approx((1 + 3 / 4) / 2)


def test_average_precision_at_its_ends() -> None:
    assert clip_average_precision([0, 0], [1, 2]) == 0.0
    assert clip_average_precision([1, 1], [1, 2]) == 1.0


def test_scores_are_cut_or_filled_up_with_0() -> None:
    assert clip_average_precision([1, 0], [2, 1, 9]) == 1.0
    assert clip_average_precision([0, 1], [-1]) == 1.0


@given(st.lists(st.tuples(st.booleans(), st.integers(-2, 2)), min_size=1, max_size=12), st.data())
def test_shuffling_clips_changes_nothing_ties_or_not(
    clips: list[tuple[bool, int]], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(clips))
    score = clip_average_precision(*zip(*clips, strict=True))
    assert score == pytest.approx(clip_average_precision(*zip(*shuffled, strict=True)))
    assert 0.0 <= score <= 1.0


def test_annotators_are_averaged_for_precision_and_joined_for_a_hit() -> None:
    positive = np.array([[0, 0, 1], [1, 0, 0]], dtype=bool)
    assert saliency_average_precision(positive, [2, 1]) == pytest.approx((0.5 + 0 + 1) / 3)
    assert hit_at_one(positive, [2, 1])
    assert not hit_at_one(positive & False, [2, 1])


def test_a_hit_counts_the_first_of_equals_and_no_clip_beyond_the_end() -> None:
    positive = [[False], [True]]
    assert not hit_at_one(positive, [1, 1])
    assert not hit_at_one(positive, [0, 1, 2])
    assert not hit_at_one(positive, [])
