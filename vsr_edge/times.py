"""Instants, times of day and lengths as people say them, and the stretches of time they mean.

Instants are seconds since 1970 (UTC). A zone is an IANA name; an empty one is the machine's own.
What people type is by its clocks, unless it says another offset itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Unpack
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from vsr_edge.errors import UsageError
from vsr_edge.query import Daily, Filter, FilterWords
from vsr_edge.types import LEAST_SECONDS, Times

DAY = 86_400
_DAYS = 100_000  # three centuries
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = {"w": 604_800.0, "d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_LENGTH = re.compile(
    "".join(rf"(?:(?P<{unit}>\d+(?:\.\d+)?)\s*{unit}\s*)?" for unit in _UNITS), re.ASCII
)
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?", re.ASCII)
_TAG = re.compile(r"[\w.:-]{1,64}")
_DAYS_AGO = {"today": 0, "yesterday": 1}


def zone_of(name: str) -> tzinfo | None:
    """The zone of this name; None is the machine's own, as for ``datetime.astimezone``.

    Raises:
        UsageError: no zone is called so.
    """
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError) as error:
        raise UsageError(
            f"no time zone is called {name!r}: give an IANA name, such as Europe/Berlin or UTC"
        ) from error


def at_zone(instant: float, zone: str = "") -> datetime:
    """The date and time that clocks of the zone show, with their offset."""
    when = _EPOCH + timedelta(seconds=instant)
    try:
        return when.astimezone(zone_of(zone))
    except (OSError, OverflowError):
        return when  # before or after what this system knows a zone for


def iso(instant: float, zone: str = "") -> str:
    """ISO 8601 with offset, to the millisecond where it is not a whole second."""
    whole = round(instant * 1000) % 1000 == 0
    when = at_zone(round(instant, 3), zone)
    return when.isoformat(timespec="seconds" if whole else "milliseconds")


def shown(instant: float, zone: str = "") -> str:
    """``2026-03-04 10:15:07``."""
    return at_zone(instant, zone).strftime("%Y-%m-%d %H:%M:%S")


def seconds_of(said: str | float, option: str = "") -> float:
    """A length: ``90``, ``1m30s``, ``2h``, ``1.5d``.

    Raises:
        UsageError: it is none; the message begins with the ``option`` that said it.
    """
    found = None
    try:
        found = float(said)
    except (TypeError, ValueError):
        if (parts := _LENGTH.fullmatch(str(said).strip().lower())) and any(parts.groups()):
            found = sum(float(parts[unit] or 0) * size for unit, size in _UNITS.items())
    if found is None or not 0 <= found < float("inf"):
        told = f"{option}: " if option else ""
        raise UsageError(f"{told}{said!r} is no length of time: say 90, 1m30s, 2h or 3d")
    return found


def instant_of(
    said: str | date | datetime | float, zone: str = "", now: float | None = None
) -> float:
    """An instant: an ISO date (its first moment) or time, ``22:00`` (today), ``yesterday``, ``2h``
    or ``1d12h`` (so long ago).

    Raises:
        UsageError: it is none, or one that no calendar has.
    """
    if isinstance(said, int | float):
        return _finite(float(said), said)
    if isinstance(said, str):
        text, present = said.strip().lower(), datetime.now(UTC).timestamp() if now is None else now
        if text == "now":
            return present
        if text in _DAYS_AGO:
            said = at_zone(present, zone).date() - timedelta(days=_DAYS_AGO[text])
        elif clock := _CLOCK.fullmatch(text):
            midnight = datetime.combine(at_zone(present, zone), datetime.min.time())
            said = midnight + timedelta(seconds=_clock(clock, said, 23))
        elif (ago := _LENGTH.fullmatch(text)) and any(ago.groups()):
            return _finite(present - seconds_of(text), said)
        else:
            try:
                said = datetime.fromisoformat(said.strip())
            except ValueError as error:
                raise _no_instant(said) from error
    if not isinstance(said, datetime):
        said = datetime.combine(said, datetime.min.time())
    try:
        known = said if said.tzinfo else said.replace(tzinfo=zone_of(zone))
        return known.timestamp()
    except (OSError, OverflowError, ValueError) as error:
        raise _no_instant(said) from error


def daily_of(said: str, zone: str = "") -> Daily:
    """A time of day: ``22:00-06:00``, ``9:30-17:00``, ``18:00-24:00``.

    Raises:
        UsageError: it is none.
    """
    begins, dash, ends = re.sub(r"\s|–", lambda m: "-" if m[0] == "–" else "", said).partition("-")
    one, other = _CLOCK.fullmatch(begins), _CLOCK.fullmatch(ends)
    if not (dash and one and other):
        raise UsageError(f"{said!r} is no time of day: say it like 22:00-06:00")
    since, until = _clock(one, said, 23), _clock(other, said, 24)
    if since == until:
        raise UsageError(f"{said!r} begins where it ends: say it like 22:00-06:00")
    return Daily(since, until, zone)


def tag_of(said: str) -> str:
    """A tag's name, as it is kept: in small letters.

    Raises:
        UsageError: it cannot be one.
    """
    name = said.strip().casefold()
    if not _TAG.fullmatch(name) or name.startswith("-"):
        raise UsageError(
            f"{said!r} cannot be a tag: letters, digits and _ . : - can, up to 64 of them, and "
            "none begins with -"
        )
    return name


def filter_of(
    zone: str = "", now: float | None = None, **said: Unpack[FilterWords]
) -> Filter | None:
    """The filter that somebody means; None if nothing was said.

    Raises:
        UsageError: what cannot be, or what nothing can meet; with the name of the condition.
    """
    given = {name: value for name, value in said.items() if value is not None}
    if unknown := given.keys() - FilterWords.__annotations__.keys():
        raise UsageError(f"no filter is called {', '.join(sorted(unknown))}")
    found: dict[str, object] = {}
    for name, value in given.items():
        try:
            if name == "tags":
                names = [value] if isinstance(value, str) else value
                found[name] = tuple(sorted({_wanted_tag(one) for one in names}))  # type: ignore[attr-defined]
            elif name == "between":
                found[name] = daily_of(str(value), zone)
            elif name in ("after", "before"):
                found[name] = instant_of(value, zone, now)  # type: ignore[arg-type]
            else:
                found[name] = seconds_of(value)  # type: ignore[arg-type]
        except UsageError as error:
            raise UsageError(f"{name.replace('_', '-')}: {error}") from error
    where = Filter(**found)  # type: ignore[arg-type]
    for least, most in (("after", "before"), ("min_duration", "max_duration")):
        low, high = getattr(where, least), getattr(where, most)
        if low is not None and high is not None and low > high:
            raise UsageError(f"{least} lies behind {most}: nothing is both".replace("_", "-"))
    return None if where == Filter() else where


def _wanted_tag(said: str) -> str:
    """A tag, or with a ``-`` before it what must not be one."""
    return f"-{tag_of(said[1:])}" if said.startswith("-") else tag_of(said.removeprefix("+"))


def windows(where: Filter, begins: Times, ends: Times) -> tuple[Times, Times]:
    """Starts and ends of the stretches of time that a filter means, as far as footage that begins
    and ends then may lie in them: ascending, apart, half open.
    """
    least = -np.inf if where.after is None else where.after
    most = np.inf if where.before is None else where.before
    if where.between is None or least >= most:
        return np.array([least])[: least < most], np.array([most])[: least < most]
    first = np.floor(np.maximum(begins, least) / DAY).astype(np.int64)
    last = np.floor(np.minimum(ends, most) / DAY).astype(np.int64)
    days = _days(first, last)
    spans: list[list[float]] = []
    for start, end in (span for day in days for span in _day(where.between, day)):
        if spans and spans[-1][1] == start:
            spans[-1][1] = end
        else:
            spans.append([start, end])
    found = np.array(spans, np.float64).reshape(-1, 2).clip(least, most)
    found = found[found[:, 0] < found[:, 1]]
    return found[:, 0], found[:, 1]


def _days(first: NDArray[np.int64], last: NDArray[np.int64]) -> list[int]:
    """The days of all stretches from a first to a last one [n], ascending; some may be empty."""
    here = first <= last
    if not here.all():
        first, last = first[here], last[here]
    if not len(first):
        return []
    start = int(first.min())
    if (count := int(last.max()) + 1 - start) <= _DAYS:
        # Of so many days, each can be marked: most footage lies within one.
        touched = np.zeros(count, np.bool_)
        touched[first - start] = touched[last - start] = True
        for one in np.flatnonzero(last - first > 1).tolist():
            touched[first[one] - start : last[one] - start] = True
        return (np.flatnonzero(touched) + start).tolist()
    pairs = zip(first.tolist(), last.tolist(), strict=True)
    return sorted({day for one, other in pairs for day in range(one, other + 1)})


def spans_within(where: Filter, begin: float, end: float) -> list[tuple[float, float]]:
    """The stretches of time that a filter means and that footage from ``begin`` to ``end`` has a
    part in.
    """
    end = max(end, begin + LEAST_SECONDS)
    starts, ends = windows(where, np.array([begin]), np.array([end]))
    meet = (starts < end) & (ends > begin)
    return list(zip(starts[meet].tolist(), ends[meet].tolist(), strict=True))


def holds(where: Filter, instants: Times) -> NDArray[np.bool_]:
    """Which of the instants [n] lie in a filter's stretches of time."""
    starts, ends = windows(where, instants, instants)
    place = np.searchsorted(ends, instants, side="right")
    return np.append(starts, np.inf)[place] <= instants


@lru_cache(maxsize=16_384)
def _day(daily: Daily, day: int) -> Sequence[tuple[float, float]]:
    """The stretches of a time of day within a day of UTC, counted from 1970."""
    found = []
    for first, last, offset in _offsets(day * DAY, (day + 1) * DAY, daily.zone):
        midnight = (first + offset) // DAY * DAY - offset
        length = (daily.until - daily.since) % DAY or DAY
        for start in range(midnight - DAY + daily.since, last, DAY):
            begin, end = max(start, first), min(start + length, last)
            if begin < end:
                found.append((float(begin), float(end)))
    return found


def _offsets(first: int, last: int, zone: str) -> Iterator[tuple[int, int, int]]:
    """The parts of a day in which clocks keep one offset from UTC: from, to, offset in seconds."""
    offset = _offset(first, zone)
    while offset != _offset(last - 1, zone):
        same, other = first, last - 1
        while other - same > 1:
            middle = (same + other) // 2
            same, other = (middle, other) if _offset(middle, zone) == offset else (same, middle)
        yield first, other, offset
        first, offset = other, _offset(other, zone)
    yield first, last, offset


def _offset(instant: int, zone: str) -> int:
    offset = at_zone(instant, zone).utcoffset()
    return 0 if offset is None else round(offset.total_seconds())


def _clock(found: re.Match[str], said: str, most_hours: int) -> int:
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    total = hours * 3600 + minutes * 60 + seconds
    if hours > most_hours or minutes > 59 or seconds > 59 or total > DAY:
        raise UsageError(f"{said!r} has a time that no clock shows")
    return total


def _finite(instant: float, said: object) -> float:
    try:
        _EPOCH + timedelta(seconds=instant)
    except (OverflowError, ValueError) as error:
        raise _no_instant(said) from error
    return instant


def _no_instant(said: object) -> UsageError:
    return UsageError(
        f"{str(said)!r} is no date or time: say 2026-03-04, 2026-03-04T22:00, 22:00, yesterday, "
        "2h or 3d"
    )
