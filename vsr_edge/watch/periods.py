"""Lengths of time, rates and hours of the day, as they are typed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time
from typing import Self

from vsr_edge.errors import UsageError

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_UNITS = {"hour": 3600.0, "day": 86400.0, "week": 604800.0}
_PERIOD = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*(hour|day|week)")
_HOURS = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)-([01]?\d|2[0-3]):([0-5]\d)")
_STEP = 60.0


def seconds_of(text: str, option: str) -> float:
    """``90s``, ``5m``, ``12h``, ``30d``, ``2w`` → seconds.

    Raises:
        UsageError: anything else.
    """
    found = _PERIOD.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{option} is a length of time, such as 10s, 5m, 12h or 30d; not {text!r}")
    return float(found[1]) * _SECONDS[found[2]]


def rate_of(text: str) -> float:
    """``1/day``, ``0.5/hour``, ``2/week`` → how many in an hour.

    Raises:
        UsageError: anything else, or none at all.
    """
    found = _RATE.fullmatch(text.strip())
    if found is None or not float(found[1]):
        raise UsageError(
            f"false alarms are so many an hour, a day or a week, such as 1/day; not {text!r}"
        )
    return float(found[1]) * 3600.0 / _UNITS[found[2]]


@dataclass(frozen=True, slots=True)
class Hours:
    """A part of each day, in local time; ``22:00-06:00`` goes past midnight."""

    begin: time
    end: time

    @classmethod
    def of(cls, text: str) -> Self:
        """Raises UsageError for what is no such part."""
        found = _HOURS.fullmatch(text.strip())
        if found is None:
            raise UsageError(f"hours of the day are written as 22:00-06:00, not {text!r}")
        begin, end = time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4]))
        if begin == end:
            raise UsageError(f"{text} begins when it ends: leave it out for the whole day")
        return cls(begin, end)

    def hold(self, moment: float) -> bool:
        """Whether a time, in seconds since 1970 (UTC), is in it; its end is not."""
        now = datetime.fromtimestamp(moment).time()
        if self.begin < self.end:
            return self.begin <= now < self.end
        return now >= self.begin or now < self.end

    def seconds_in(self, start: float, duration: float) -> float:
        """How much of the footage from ``start`` on lies in it, to the minute."""
        steps = max(1, round(duration / _STEP))
        inside = sum(self.hold(start + (n + 0.5) * duration / steps) for n in range(steps))
        return duration * inside / steps
