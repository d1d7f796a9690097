"""Intervals: how often they hold the truth, and that the same seed gives the same ones."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vsr_edge.errors import UsageError
from vsr_edge.evaluation.metrics import (
    bootstrap_difference,
    bootstrap_interval,
    mean_difference,
    mean_interval,
)
from vsr_edge.evaluation.metrics import precision_recall as precision


def test_the_interval_covers_a_known_difference_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    trials, queries, covered = 400, 120, 0
    for trial in range(trials):
        # One run is right with 0.55; the other turns one in six of its failures into successes.
        first = rng.random(queries) < 0.55
        second = first | (rng.random(queries) < 1 / 6)
        found = mean_difference(second, first, level=0.9, resamples=400, seed=trial)
        covered += found.low <= 0.45 / 6 <= found.high
    assert 0.85 <= covered / trials <= 0.95


def test_pairing_narrows_the_interval_of_runs_that_fail_on_the_same_queries() -> None:
    rng = np.random.default_rng(4)
    first = rng.random(200) < 0.5
    second = first | (rng.random(200) < 0.1)
    paired = mean_difference(second, first)
    alone = mean_interval(second)
    assert paired.high - paired.low < alone.high - alone.low
    assert paired.estimate == pytest.approx(second.mean() - first.mean())
    assert paired.low > 0


def test_any_metric_and_its_mean_agree() -> None:
    values = np.random.default_rng(5).random(150)
    general = bootstrap_interval(lambda chosen: float(values[chosen].mean()), 150)
    fast = mean_interval(values)
    assert general.estimate == pytest.approx(fast.estimate)
    assert general.low == pytest.approx(fast.low, abs=0.01)
    assert general.high == pytest.approx(fast.high, abs=0.01)


def test_two_runs_that_are_the_same_differ_by_nothing() -> None:
    values = np.random.default_rng(6).random(50)

    def median(chosen: np.ndarray) -> float:
        return float(np.median(values[chosen]))

    found = bootstrap_difference(median, median, 50, resamples=200)
    assert (found.estimate, found.low, found.high) == (0.0, 0.0, 0.0)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(7).random(50)
    assert mean_interval(values, seed=1) == mean_interval(values, seed=1)
    assert mean_interval(values, seed=1) != mean_interval(values, seed=2)


def test_a_higher_level_is_wider() -> None:
    values = np.random.default_rng(8).random(50)
    narrow, wide = mean_interval(values, level=0.8), mean_interval(values, level=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_draws_in_which_a_metric_is_undefined_are_left_out() -> None:
    claims = np.array([True] + [False] * 4)

    def precise(chosen: np.ndarray) -> float:
        return precision(claims[chosen], claims[chosen]).precision

    found = bootstrap_interval(precise, 5, resamples=200)
    assert (found.low, found.high) == (1.0, 1.0)
    nothing = bootstrap_interval(lambda _: float("nan"), 5, resamples=10)
    assert math.isnan(nothing.low)


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one query"):
        mean_interval([])
    with pytest.raises(UsageError, match="level"):
        mean_interval([1.0], level=95)
    with pytest.raises(UsageError, match="same queries"):
        mean_difference([1.0], [1.0, 0.0])
    with pytest.raises(UsageError, match="One value"):
        mean_interval(np.ones((2, 2)))
