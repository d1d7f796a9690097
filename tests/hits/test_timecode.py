"""Seconds, frames and timecode are exact at every rate, and agree with OpenTimelineIO."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsr_edge.errors import UsageError
from vsr_edge.hits.timecode import drops, exact_rate, frame_of, frames_of, seconds_of, timecode

RATES = [
    *(Fraction(whole) for whole in (10, 24, 25, 30, 50, 60, 120)),
    *(Fraction(base * 1000, 1001) for base in (24, 30, 60)),
]
DAY = 24 * 3600


@given(st.sampled_from(RATES), st.integers(0, DAY * 9), st.booleans())
def test_frames_come_back_from_timecode(rate: Fraction, frame: int, drop: bool) -> None:
    code = timecode(frame, rate, drop=drop)
    assert (";" in code) == (drop and drops(rate) > 0)
    assert frame_of(code, rate) == frame


@given(st.sampled_from(RATES), st.integers(0, 30 * DAY))
def test_each_frame_comes_back_from_its_own_seconds(rate: Fraction, frame: int) -> None:
    start, end = float(frame / rate), float((frame + 3) / rate)
    assert frames_of(start, end, rate, 1e9) == (frame, frame + 3)
    # Whatever JSON rounds to milliseconds.
    assert frames_of(round(start, 3), round(end, 3), rate, 1e9) == (frame, frame + 3)


@given(
    st.sampled_from(RATES),
    st.floats(0, 1000),
    st.floats(0.001, 100),
    st.floats(0.01, 500),
)
def test_frames_are_those_on_screen_and_in_the_video(
    rate: Fraction, start: float, length: float, duration: float
) -> None:
    first, behind = frames_of(start, start + length, rate, duration)
    assert 0 <= first < behind
    assert behind <= max(float(duration * rate) + 1, 1)
    if start + length < duration - 1:
        assert float(first / rate) <= start + 0.0011
        assert float(behind / rate) >= start + length - 0.0011
        assert float((first + 1) / rate) > start
        assert float((behind - 1) / rate) < max(start + length, float((first + 1) / rate))


@given(st.sampled_from([r for r in RATES if r <= 60 and r != 10]), st.integers(0, DAY * 9))
def test_timecode_is_that_of_opentimelineio(rate: Fraction, frame: int) -> None:
    otio = pytest.importorskip("opentimelineio")
    time = otio.opentime.RationalTime(frame, float(rate))
    drop = drops(rate) > 0
    # Versions before 0.18 drop too few at 59.94.
    if drop and (rate < 31 or tuple(map(int, otio.__version__.split(".")[:2])) >= (0, 18)):
        assert timecode(frame, rate) == otio.opentime.to_timecode(time, float(rate), True)
    code = timecode(frame, rate, drop=False)
    assert code == otio.opentime.to_timecode(time, float(rate), False)


def test_no_number_of_drop_frame_timecode_is_one_that_is_dropped() -> None:
    rate = Fraction(30000, 1001)
    assert timecode(1799, rate) == "00:00:59;29"
    assert timecode(1800, rate) == "00:01:00;02"
    assert timecode(17982, rate) == "00:10:00;00"
    assert timecode(107892, rate) == "01:00:00;00"
    assert timecode(1800, rate, drop=False) == "00:01:00:00"


def test_rates_are_those_that_are_meant() -> None:
    for rate in RATES:
        assert exact_rate(float(rate)) == rate
    assert exact_rate(29.97) == Fraction(30000, 1001)
    assert exact_rate(23.98) == Fraction(24000, 1001)
    assert exact_rate(12.5) == Fraction(25, 2)
    assert exact_rate(None) == exact_rate(0.0) == 25
    assert exact_rate(0.5) == Fraction(1, 2)


def test_times_are_seconds_or_a_clock() -> None:
    said = {"83.5": 83.5, "1:23.5": 83.5, "1:02:03": 3723, "90:00": 5400, " 5 ": 5, ".5": 0.5}
    assert {text: seconds_of(text) for text in said} == said
    for text in ("", "1:60", "1:60:00", "-5", "1:2:3:4", "5 s", "nan", "1,5"):
        with pytest.raises(UsageError, match="is no time"):
            seconds_of(text)
