"""Intervals: how often they hold the truth, and that the same seed gives the same ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike

from vsr_edge.errors import UsageError
from vsr_edge.evaluation.bootstrap import Interval, Ratio, ratio_intervals


def interval(ratio: Ratio, groups: np.ndarray | None = None, **how: Any) -> Interval:
    (found,) = ratio_intervals([ratio], groups, **how)
    return found


def difference(ratio: Ratio, other: Ratio, **how: Any) -> Interval:
    (found,) = ratio_intervals([ratio], minus=[other], **how)
    return found


def mean_interval(values: ArrayLike, **how: Any) -> Interval:
    return interval(Ratio.mean(values), **how)


def mean_difference(values: ArrayLike, other: ArrayLike, **how: Any) -> Interval:
    return difference(Ratio.mean(values), Ratio.mean(other), **how)


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


def test_an_interval_is_that_of_means_drawn_one_by_one() -> None:
    values = np.random.default_rng(5).random(150)
    rng = np.random.default_rng(0)
    drawn = [values[rng.integers(150, size=150)].mean() for _ in range(2000)]
    found = mean_interval(values)
    assert found.estimate == pytest.approx(values.mean())
    assert found[1:] == pytest.approx(np.quantile(drawn, [0.025, 0.975]))


def test_two_runs_that_are_the_same_differ_by_nothing() -> None:
    values = np.random.default_rng(6).random(50)
    assert mean_difference(values, values, resamples=200) == (0.0, 0.0, 0.0)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(7).random(50)
    assert mean_interval(values, seed=1) == mean_interval(values, seed=1)
    assert mean_interval(values, seed=1) != mean_interval(values, seed=2)


def test_a_higher_level_is_wider() -> None:
    values = np.random.default_rng(8).random(50)
    narrow, wide = mean_interval(values, level=0.8), mean_interval(values, level=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_draws_in_which_a_share_is_one_of_nothing_are_left_out() -> None:
    claims = np.array([True] + [False] * 4)
    found = interval(Ratio.mean(claims, claims), resamples=200)
    assert (found.low, found.high) == (1.0, 1.0)
    nothing = interval(Ratio.mean(claims, claims & False), resamples=10)
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


def test_a_ratio_counts_only_what_counts() -> None:
    ratio = Ratio.mean([1.0, 0.0, 9.0, np.nan], [True, True, False, False])
    assert ratio.value == 0.5
    found = interval(ratio)
    assert (found.low, found.high) == (0.0, 1.0)
    assert math.isnan(Ratio.mean([1.0], [False]).value)


def test_queries_that_go_together_widen_the_interval() -> None:
    rng = np.random.default_rng(9)
    groups = np.repeat(np.arange(40), 10)
    values = np.repeat(rng.random(40) < 0.5, 10)
    alone = interval(Ratio.mean(values))
    together = interval(Ratio.mean(values), groups=groups)
    assert together.high - together.low > 2 * (alone.high - alone.low)
    assert together.estimate == alone.estimate


def test_grouped_intervals_cover_a_known_rate_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(10)
    covered, trials, groups = 0, 300, np.repeat(np.arange(60), 5)
    for trial in range(trials):
        # Each group has its own rate: queries of one group are alike.
        values = rng.random(300) < rng.beta(1.5, 3.5, 60).repeat(5)
        found = interval(Ratio.mean(values), groups=groups, level=0.9, seed=trial)
        covered += found.low <= 0.3 <= found.high
    assert 0.84 <= covered / trials <= 0.96


def test_a_difference_of_ratios_over_other_queries_is_that_of_their_values() -> None:
    rng = np.random.default_rng(11)
    values, first, second = rng.random(80), rng.random(80) < 0.5, rng.random(80) < 0.7
    a, b = Ratio.mean(values, first), Ratio.mean(values, second)
    found = difference(a, b)
    assert found.estimate == pytest.approx(a.value - b.value)
    assert found.low < found.estimate < found.high
    with pytest.raises(UsageError, match="80 and 79"):
        difference(a, Ratio.mean(values[1:]))
