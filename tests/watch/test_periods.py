"""Lengths of time, rates and hours of the day."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsr_edge.errors import UsageError
from vsr_edge.watch.periods import Hours, rate_of, seconds_of

NOON = datetime(2026, 5, 4, 12).timestamp()


def test_lengths_and_rates_are_read() -> None:
    assert [seconds_of(text, "--x") for text in ("10s", "1.5m", "2h", "30d", "1w")] == [
        *(10, 90, 7200, 30 * 86400, 7 * 86400)
    ]
    assert rate_of("1/hour") == 1
    assert rate_of("3/day") == pytest.approx(3 / 24)
    assert rate_of("0.5/week") == pytest.approx(0.5 / 168)


@pytest.mark.parametrize("text", ["", "10", "s", "-1s", "10 years", "1e3s"])
def test_what_is_no_length_is_refused_by_its_option(text: str) -> None:
    with pytest.raises(UsageError, match="--settle"):
        seconds_of(text, "--settle")


@pytest.mark.parametrize("text", ["", "1", "0/day", "1/second", "/day", "-1/day"])
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="1/day"):
        rate_of(text)


@pytest.mark.parametrize("text", ["", "22-6", "24:00-06:00", "22:60-06:00", "06:00-06:00"])
def test_what_is_no_part_of_a_day_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Hours.of(text)


def test_hours_may_go_past_midnight() -> None:
    night, day = Hours.of("22:00-06:00"), Hours.of("6:00-22:00")
    for hour in range(24):
        moment = datetime(2026, 5, 4, hour, 30).timestamp()
        assert night.hold(moment) is (hour >= 22 or hour < 6)
        assert day.hold(moment) is not night.hold(moment)


@given(st.integers(0, 2 * 86400), st.floats(1, 86400))
def test_the_hours_and_the_rest_of_the_day_share_footage_between_them(
    start: int, duration: float
) -> None:
    night, day = Hours.of("22:00-06:00"), Hours.of("06:00-22:00")
    parts = night.seconds_in(NOON + start, duration), day.seconds_in(NOON + start, duration)
    assert sum(parts) == pytest.approx(duration)
    assert min(parts) >= 0


def test_footage_counts_to_the_minute() -> None:
    assert Hours.of("12:00-12:10").seconds_in(NOON - 300, 3600) == pytest.approx(600, abs=60)
