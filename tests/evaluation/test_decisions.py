"""Verdicts: how often they are right, and whether their confidence says so."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsr_edge.errors import UsageError
from vsr_edge.evaluation.metrics import expected_calibration_error, risk_coverage


def test_perfect_confidence_puts_every_error_last() -> None:
    right = np.array([True] * 80 + [False] * 20)
    curve = risk_coverage(np.linspace(1, 0, 100), right)
    assert (curve.risk[:80] == 0).all()
    assert curve.risk[-1] == pytest.approx(0.2)
    assert curve.area == pytest.approx(sum((n - 80) / n for n in range(81, 101)) / 100)
    # Geifman and El-Yaniv: about r + (1 − r) ln(1 − r) for an error rate r.
    assert curve.area == pytest.approx(0.2 + 0.8 * math.log(0.8), abs=0.0011)


def test_random_confidence_has_an_area_of_the_error_rate() -> None:
    rng = np.random.default_rng(0)
    right = rng.random(20_000) > 0.3
    area = risk_coverage(rng.random(20_000), right).area
    assert area == pytest.approx(0.3, abs=0.005)


def test_confidence_that_is_the_same_for_all_has_exactly_the_error_rate() -> None:
    curve = risk_coverage(np.full(10, 0.7), [True] * 7 + [False] * 3)
    np.testing.assert_allclose(curve.risk, 0.3)
    assert curve.coverage.tolist() == pytest.approx(np.arange(1, 11) / 10)


answers = st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.9]), st.booleans()), max_size=12)


@given(answers, st.data())
def test_shuffling_answers_changes_neither_curve_nor_calibration(
    given_answers: list[tuple[float, bool]], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(given_answers))
    before = np.array(given_answers).reshape(-1, 2)
    after = np.array(shuffled).reshape(-1, 2)
    first, second = risk_coverage(*before.T), risk_coverage(*after.T)
    np.testing.assert_allclose(first.risk, second.risk)
    errors = [expected_calibration_error(*rows.T) for rows in (before, after)]
    assert errors[0] == pytest.approx(errors[1], nan_ok=True)


@given(answers.filter(bool))
def test_the_area_lies_between_the_best_and_the_worst_order(
    given_answers: list[tuple[float, bool]],
) -> None:
    confidence, right = np.array(given_answers).T
    area = risk_coverage(confidence, right).area
    assert risk_coverage(right, right).area - 1e-12 <= area
    assert area <= risk_coverage(-right, right).area + 1e-12


def test_calibrated_probabilities_have_no_error() -> None:
    probability = np.repeat([0.2, 0.5, 0.8], [10, 10, 10])
    outcome = np.concatenate([np.arange(10) < count for count in (2, 5, 8)])
    assert expected_calibration_error(probability, outcome) == pytest.approx(0.0)
    assert expected_calibration_error(probability, outcome, bins=1) == pytest.approx(0.0)


def test_sampled_calibrated_probabilities_have_almost_no_error() -> None:
    rng = np.random.default_rng(1)
    probability = rng.random(50_000)
    outcome = rng.random(50_000) < probability
    assert expected_calibration_error(probability, outcome) < 0.02


def test_overconfidence_is_its_gap() -> None:
    assert expected_calibration_error([0.9] * 10, [True] * 6 + [False] * 4) == pytest.approx(0.3)
    assert expected_calibration_error([0.0, 1.0], [True, False]) == pytest.approx(1.0)


def test_what_is_no_probability_and_lists_of_two_lengths_are_refused() -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        expected_calibration_error([1.2], [True])
    with pytest.raises(UsageError, match="same length"):
        risk_coverage([0.5], [True, False])
    assert math.isnan(expected_calibration_error([], []))
    assert math.isnan(risk_coverage([], []).area)
