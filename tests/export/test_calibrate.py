"""Logits become probabilities that are as often right as they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.calibrate import Answers, fit, logit
from export.contract import CalibrationError
from models.logistic import logistic_fit


@given(st.floats(0.2, 3.0), st.floats(-2.0, 2.0), st.integers(0, 1000))
@settings(max_examples=20)
def test_a_logistic_curve_is_found_again(slope: float, bias: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    # The ridge takes 0.16 from the steepest slope, ever less from others; with so many, chance is
    # far below the rest.
    x = random.normal(0, 2, (200_000, 2))
    y = random.random(len(x)) < 1 / (1 + np.exp(-(slope * x[:, 0] + bias)))
    weights, found = logistic_fit(x, y)
    assert [*weights, found] == pytest.approx([slope, 0, bias], abs=0.02 + 0.02 * slope**2)


VIDEOS = 40


def answers(count: int = 4000, seed: int = 0) -> Answers:
    """Candidates whose match logits know something and whose scores know more."""
    random = np.random.default_rng(seed)
    right = np.zeros((count, 5), bool)
    present = random.random(count) < 0.8
    right[present, random.integers(0, 5, present.sum())] = True
    return Answers(
        match=random.normal(0, 2, right.shape) + 1.0 * right,
        scores=random.normal(0.3, 0.1, right.shape) + 0.2 * right,
        videos=np.argsort(random.random((count, VIDEOS)), axis=1)[:, :5],
        right=right,
        present=present,
        one_shot=random.random(count) < 0.3,
        frames=1000,
    )


def test_the_order_takes_from_scores_what_logits_do_not_know() -> None:
    found = fit(answers())
    assert found.score_weight > 10
    plain = (answers().match.argmax(1) == answers().right.argmax(1)) & answers().present
    assert found.loop > plain.mean() + 0.1


def test_the_threshold_lets_four_in_five_right_answers_through() -> None:
    found = fit(answers())
    assert found.accepted == pytest.approx(0.8, abs=0.01)
    assert found.denied is not None
    assert found.denied > 0.5
    assert found.calibration_error < 0.05
    # On others of the same kind it says the truth too.
    other = answers(seed=1)
    order = other.match + found.score_weight * other.scores
    best = order.argmax(1)
    rows = np.arange(len(best))
    p = 1 / (1 + np.exp(-(found.slope * order[rows, best] + found.bias)))  # 1,000 frames
    right = other.right[rows, best]
    for low in (0.0, 0.25, 0.5, 0.75):
        group = (p >= low) & (p < low + 0.25)
        if group.sum() > 100:
            assert right[group].mean() == pytest.approx(p[group].mean(), abs=0.06)


def test_smaller_archives_have_fewer_rivals() -> None:
    found = fit(answers())
    assert found.size_weight > 0
    part = answers().of_videos(np.arange(VIDEOS) < VIDEOS // 4, np.random.default_rng(0))
    assert part.frames == 250
    assert len(part.match) < 0.4 * len(answers().match)
    assert (part.videos[np.isfinite(part.match)] < VIDEOS // 4).all()
    assert part.first(20.0)[1].mean() > answers().first(20.0)[1].mean()


def test_sure_is_what_is_nearly_always_right() -> None:
    found = fit(answers())
    assert found.threshold <= found.sure <= 1
    order, right = answers().first(found.score_weight)
    p = 1 / (1 + np.exp(-(found.slope * order + found.bias)))
    assert found.sure < 1
    assert right[p >= found.sure].mean() >= 0.9


def test_nothing_right_or_nothing_wrong_teaches_nothing() -> None:
    known = answers(100)
    for right in (np.zeros_like(known.right), np.ones_like(known.right)):
        with pytest.raises(CalibrationError, match="all right or all wrong"):
            fit(replace(known, right=right))


def test_heads_that_know_nothing_are_refused() -> None:
    known = answers()
    # Surest where there is nothing to be found.
    match = np.where(known.present[:, None], 1.0 * known.right, 3.0)
    with pytest.raises(CalibrationError, match="know nothing"):
        fit(replace(known, match=match, scores=0 * match))


@given(st.floats(-20, 20))
def test_logits_come_back(x: float) -> None:
    assert logit(1 / (1 + np.exp(-x))) == pytest.approx(x, abs=1e-3)
