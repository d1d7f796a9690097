"""Thresholds keep to the budget on footage that is like the past."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsr_edge.watch.thresholds import LEAST_PAST, threshold

SCORES = st.lists(st.floats(-50, 50), min_size=LEAST_PAST, max_size=300)


def test_an_alert_without_a_past_is_silent() -> None:
    assert threshold([1.0] * (LEAST_PAST - 1), 100.0, 1.0).value is None
    assert threshold([1.0] * LEAST_PAST, 100.0, 1.0).value is not None
    assert threshold([1.0] * LEAST_PAST, 0.0, 1.0).value is None


@given(SCORES, st.floats(0.1, 1000), st.floats(0.001, 100))
def test_a_smaller_budget_never_has_a_lower_threshold(
    scores: list[float], hours: float, rate: float
) -> None:
    limits = [threshold(scores, hours, rate * share) for share in (1.0, 0.5, 0.1, 0.001)]
    values = [limit.value for limit in limits if limit.value is not None]
    assert len(values) == 4
    # From counting to extrapolating the way of reckoning changes, and may overlap a little.
    for way in (False, True):
        same = [limit.value or 0.0 for limit in limits if limit.extrapolated is way]
        assert same == sorted(same)
    assert np.isfinite(values).all()


@given(SCORES, st.floats(0.1, 1000), st.floats(0.001, 100))
def test_where_the_past_is_long_enough_its_own_alarms_are_within_the_budget(
    scores: list[float], hours: float, rate: float
) -> None:
    limit = threshold(scores, hours, rate)
    if not limit.extrapolated and limit.value is not None:
        assert sum(score > limit.value for score in scores) <= rate * hours


@pytest.mark.parametrize("kind", ["normal", "exponential"])
@pytest.mark.parametrize("allowed", [0.1, 2.0, 30.0])
def test_new_footage_like_the_past_costs_about_what_was_asked(kind: str, allowed: float) -> None:
    chance = np.random.default_rng(5)
    past, new, pasts = 300, 20_000, 300
    got = []
    for _ in range(pasts):
        drawn = getattr(chance, "standard_normal" if kind == "normal" else "standard_exponential")
        limit = threshold(drawn(past).tolist(), past / 10, allowed / (past / 10))
        assert limit.value is not None
        assert limit.extrapolated is (allowed < 10)
        got.append((drawn(new) > limit.value).sum() * past / new)
    # What is extrapolated goes by few scores; and a normal tail is lighter than the exponential one
    # that is taken for it: fewer alarms.
    assert np.mean(got) <= (2.0 if allowed < 1 else 1.3) * allowed
    if allowed >= 10 or kind == "exponential":
        assert np.mean(got) >= 0.5 * allowed
