"""Seconds, frames and timecode: exact, at the rate of the video."""

from __future__ import annotations

import math
import re
from fractions import Fraction

from vsr_edge.errors import UsageError
from vsr_edge.types import LEAST_SECONDS, Seconds, clock_time

# Where a file says none.
_DEFAULT_RATE = Fraction(25)
_NTSC = tuple(Fraction(base * 1000, 1001) for base in (12, 15, 24, 30, 48, 60, 120))
# How far the rate that a file says may be from the one that is meant: a third of what lies between
# 30 and 29.97.
_NEAR = 3e-4
_TIMECODE = re.compile(r"(\d\d?):(\d\d):(\d\d)([:;.])(\d{2,3})")


def seconds_of(text: str) -> Seconds:
    """``83.5``, ``1:23.5`` or ``0:01:23.5`` in seconds; ``UsageError`` for anything else."""
    found = clock_time(text)
    if found is None:
        raise UsageError(f"{text!r} is no time: say seconds, 83.5, or a clock, 1:23.5")
    return found


def exact_rate(rate: float | None) -> Fraction:
    """Frames a second as a fraction: 29.97 → 30000/1001."""
    if rate is None or not 0 < rate < math.inf:
        return _DEFAULT_RATE
    nearest = min((*_NTSC, Fraction(max(round(rate), 1))), key=lambda one: abs(one - rate))
    return (
        nearest if abs(nearest - rate) <= _NEAR * rate else Fraction(rate).limit_denominator(1001)
    )


def frames_of(start: Seconds, end: Seconds, rate: Fraction, duration: Seconds) -> tuple[int, int]:
    """The frames that are on screen in a span: the first, and the first one behind it.

    As in a cut, a frame that begins or ends within ``LEAST_SECONDS`` of a bound is outside.
    """
    count = max(math.ceil((duration - LEAST_SECONDS) * rate), 1)
    first = min(max(math.floor((start + LEAST_SECONDS) * rate), 0), count - 1)
    behind = min(math.ceil((end - LEAST_SECONDS) * rate), count)
    return first, max(behind, first + 1)


def drops(rate: Fraction) -> int:
    """How many numbers drop-frame timecode passes over each minute: 2 at 29.97, 4 at 59.94."""
    return round(rate) // 15 if rate.denominator == 1001 and round(rate) in (30, 60) else 0


def timecode(frame: int, rate: Fraction, *, drop: bool = True) -> str:
    """Hours, minutes, seconds and frames; drop-frame, with a semicolon, at 29.97 and 59.94 unless
    ``drop`` is false.

    At other broken rates frames are counted without dropping; it begins anew after a day.
    """
    base, dropped = max(round(rate), 1), drops(rate) if drop else 0
    if dropped:
        tens, rest = divmod(frame, 600 * base - 9 * dropped)
        minutes = max(rest - dropped, 0) // (60 * base - dropped)
        frame += dropped * (9 * tens + minutes)
    seconds, frames = divmod(frame, base)
    mark = ";" if dropped else ":"
    digits = len(str(base - 1)) if base > 100 else 2
    hours, minutes, seconds = seconds // 3600 % 24, seconds // 60 % 60, seconds % 60
    return f"{hours:02}:{minutes:02}:{seconds:02}{mark}{frames:0{digits}}"


def frame_of(code: str, rate: Fraction) -> int:
    """The frame that a timecode names, within a day; ``UsageError`` for what is none.

    A colon before the frames says that none were dropped, at 29.97 too.
    """
    found = _TIMECODE.fullmatch(code.strip())
    base = max(round(rate), 1)
    if found is None:
        raise UsageError(f"{code!r} is no timecode")
    hours, minutes, seconds, frames = (int(found[group]) for group in (1, 2, 3, 5))
    dropped = drops(rate) if found[4] != ":" else 0
    minutes += 60 * hours
    return (60 * minutes + seconds) * base + frames - dropped * (minutes - minutes // 10)
