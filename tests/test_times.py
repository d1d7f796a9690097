"""What people type as times, lengths and tags, and the stretches of time that are meant."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vsr_edge.errors import UsageError
from vsr_edge.query import Daily, Filter
from vsr_edge.times import (
    at_zone,
    daily_of,
    filter_of,
    holds,
    instant_of,
    iso,
    seconds_of,
    shown,
    spans_within,
    tag_of,
    zone_of,
)

BERLIN = "Europe/Berlin"
NOW = datetime(2026, 3, 4, 12, 30, tzinfo=ZoneInfo(BERLIN)).timestamp()
# Zones whose clocks change by an hour, by half an hour, at midnight, never, and in Ramadan.
ZONES = st.sampled_from(
    [BERLIN, "America/Havana", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca", "UTC"]
)
DAYS = st.dates(date(1995, 1, 1), date(2035, 12, 31))


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("2026-03-04", "2026-03-04T00:00:00+01:00"),
        ("2026-03-04T22:00", "2026-03-04T22:00:00+01:00"),
        ("2026-03-04 22:00:05", "2026-03-04T22:00:05+01:00"),
        ("2026-07-04T22:00", "2026-07-04T22:00:00+02:00"),
        ("2026-03-04T22:00Z", "2026-03-04T23:00:00+01:00"),
        ("2026-03-04T22:00-05:00", "2026-03-05T04:00:00+01:00"),
        ("22:00", "2026-03-04T22:00:00+01:00"),
        ("9:05:30", "2026-03-04T09:05:30+01:00"),
        ("today", "2026-03-04T00:00:00+01:00"),
        ("Yesterday", "2026-03-03T00:00:00+01:00"),
        ("now", "2026-03-04T12:30:00+01:00"),
        ("2h", "2026-03-04T10:30:00+01:00"),
        ("3d", "2026-03-01T12:30:00+01:00"),
        ("1d12h", "2026-03-03T00:30:00+01:00"),
        ("90m", "2026-03-04T11:00:00+01:00"),
        ("1w", "2026-02-25T12:30:00+01:00"),
        # Of a time that clocks skip, the instant that they skip it at is meant; of one that they
        # show twice, the first.
        ("2026-03-29T02:30", "2026-03-29T03:30:00+02:00"),
        ("2026-10-25T02:30", "2026-10-25T02:30:00+02:00"),
    ],
)
def test_an_instant_is_what_clocks_of_the_zone_show(said: str, meant: str) -> None:
    assert iso(instant_of(said, BERLIN, NOW), BERLIN) == meant


def test_values_of_python_are_instants_too() -> None:
    assert instant_of(5, BERLIN) == instant_of(5.0) == 5.0
    assert instant_of(date(2026, 3, 4), BERLIN) == instant_of("2026-03-04", BERLIN)
    naive = datetime(2026, 3, 4, 22)
    assert instant_of(naive, BERLIN) == instant_of("2026-03-04T22:00", BERLIN)
    assert instant_of(naive.replace(tzinfo=UTC), BERLIN) == naive.replace(tzinfo=UTC).timestamp()
    # Without a zone, by the clocks of the machine.
    assert instant_of(naive) == naive.timestamp()


@pytest.mark.parametrize(
    "said",
    ["", "soon", "2026-13-01", "2026-02-30", "25:00", "10:61", "2x", "-2h", "h", "1e99", "9999999w",
     float("nan"), float("inf"), 1e18],
)  # fmt: skip
def test_what_is_no_instant_is_refused(said: str | float) -> None:
    with pytest.raises(UsageError, match=r"no date or time|no clock shows"):
        instant_of(said, BERLIN, NOW)


@given(st.datetimes(datetime(1971, 1, 1), datetime(2037, 1, 1)), ZONES)
def test_what_is_shown_is_read_back(when: datetime, zone: str) -> None:
    instant = when.replace(tzinfo=UTC, microsecond=0).timestamp()
    assert instant_of(iso(instant, zone)) == instant
    back = instant_of(shown(instant, zone), zone)
    # The second time that clocks show the same is taken for the first.
    assert back == instant or at_zone(instant, zone).fold == 1


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("90", 90.0), (90, 90.0), ("1.5", 1.5), ("1m30s", 90.0), ("2h", 7200.0), ("1.5h", 5400.0),
     ("2H 5m", 7500.0), ("3d", 259_200.0), ("0", 0.0)],
)  # fmt: skip
def test_a_length_is_a_sum_of_units(said: str | float, seconds: float) -> None:
    assert seconds_of(said) == seconds


@pytest.mark.parametrize("said", ["", "m", "1m30", "-5", "nan", "inf", "5 apples", "30s1m"])
def test_what_is_no_length_is_refused(said: str) -> None:
    with pytest.raises(UsageError, match="no length of time"):
        seconds_of(said)


@given(*[st.integers(0, 99)] * 5)
def test_lengths_of_all_units_add_up(w: int, d: int, h: int, m: int, s: int) -> None:
    meant = timedelta(weeks=w, days=d, hours=h, minutes=m, seconds=s).total_seconds()
    assert seconds_of(f"{w}w{d}d{h}h{m}m{s}s") == meant


@pytest.mark.parametrize(
    ("said", "since", "until"),
    [("22:00-06:00", 79_200, 21_600), ("9:30-17:00", 34_200, 61_200), ("0:00-24:00", 0, 86_400),
     ("18:00 – 24:00", 64_800, 86_400)],
)  # fmt: skip
def test_a_time_of_day_goes_from_one_time_to_another(said: str, since: int, until: int) -> None:
    assert daily_of(said, BERLIN) == Daily(since, until, BERLIN)


@pytest.mark.parametrize(
    "said", ["", "22:00", "22:00-", "22-6", "24:00-06:00", "10:00-10:00", "22:00-06:00-07:00"]
)
def test_what_is_no_time_of_day_is_refused(said: str) -> None:
    with pytest.raises(UsageError):
        daily_of(said)


@settings(max_examples=150, deadline=None)
@given(DAYS, ZONES, st.integers(0, 1439), st.integers(1, 1440))
def test_a_time_of_day_is_what_clocks_show_on_any_day(
    day: date, zone: str, since: int, until: int
) -> None:
    where = Filter(between=Daily(since * 60, until * 60, zone))
    if since == until:
        return
    start = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
    instants = (start + np.arange(-180, 1800) * 60.0).astype(np.float64)
    clocks = [at_zone(at, zone) for at in instants]
    minutes = np.array([clock.hour * 60 + clock.minute for clock in clocks])
    expected = (
        (minutes >= since) & (minutes < until)
        if since < until
        else (minutes >= since) | (minutes < until)
    )
    assert (holds(where, instants) == expected).all()
    covered = np.zeros(len(instants), np.bool_)
    for begin, end in spans_within(where, float(instants[0]), float(instants[-1]) + 60):
        assert begin < end
        covered |= (instants >= begin) & (instants < end)
    assert (covered == expected).all()


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-28", 8), ("2026-03-29", 7), ("2026-10-25", 9), ("2026-07-01", 8)]
)
def test_the_night_in_which_clocks_change_is_shorter_or_longer(day: str, hours: int) -> None:
    noon = instant_of(f"{day}T12:00", BERLIN)
    night = Filter(between=daily_of("22:00-06:00", BERLIN))
    # The night before that day.
    ((begin, end),) = spans_within(night, noon - 86_400, noon)
    assert (end - begin) / 3600 == hours
    assert shown(begin, BERLIN)[11:] == "22:00:00"
    assert shown(end, BERLIN)[11:] == "06:00:00"


def test_conditions_of_time_hold_together() -> None:
    where = filter_of(
        BERLIN, NOW, after="2026-03-01T23:00", before="2026-03-03T23:00", between="22:00-06:00"
    )
    assert where is not None
    spans = spans_within(where, NOW - 10 * 86_400, NOW)
    assert [(shown(a, BERLIN)[5:16], shown(b, BERLIN)[5:16]) for a, b in spans] == [
        ("03-01 23:00", "03-02 06:00"),
        ("03-02 22:00", "03-03 06:00"),
        ("03-03 22:00", "03-03 23:00"),
    ]


def test_a_filter_is_made_of_words() -> None:
    assert filter_of() is None
    assert filter_of(after=None, tags=[]) is None
    assert filter_of(BERLIN, NOW, after="2h", min_duration="1m", tags=["-Test", "door"]) == Filter(
        after=NOW - 7200, min_duration=60.0, tags=("-test", "door")
    )
    assert filter_of(tags="night") == Filter(tags=("night",))


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ({"after": "soon"}, "after: 'soon'"),
        ({"min_duration": "long"}, "min-duration: 'long'"),
        ({"between": "night"}, "between: 'night'"),
        ({"tags": ["a b"]}, "tags: 'a b'"),
        ({"after": "1h", "before": "2h"}, "after lies behind before"),
        ({"min_duration": "2h", "max_duration": "1h"}, "min-duration lies behind max-duration"),
        ({"afer": "1h"}, "no filter is called afer"),
    ],
)
def test_what_cannot_be_is_named_by_its_condition(said: dict[str, str], named: str) -> None:
    with pytest.raises(UsageError) as refused:
        filter_of(BERLIN, NOW, **said)
    assert named in str(refused.value)


def test_tags_are_kept_in_small_letters() -> None:
    assert tag_of(" Night ") == "night"
    assert tag_of("cam:front-door_2.x") == "cam:front-door_2.x"
    assert tag_of("Größe") == "grösse"
    for wrong in ("", "a b", "-x", "a,b", "x" * 65, "a/b"):
        with pytest.raises(UsageError, match="cannot be a tag"):
            tag_of(wrong)


def test_an_unknown_zone_is_refused() -> None:
    assert zone_of("") is None
    for wrong in ("Europe/Nowhere", "../etc/passwd", "Europe"):
        with pytest.raises(UsageError, match="no time zone is called"):
            zone_of(wrong)
