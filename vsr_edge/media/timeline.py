"""Put the packets of a stream on one timeline, where its clock jumps or is damaged.

Pure: arrays of timestamps in, in file order and in units of the stream's time base. The clock is
what the container stores: decoding timestamps, which in a sound file only run forward, or, where it
stores none, presentation timestamps, which step back by as much as frames are reordered.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Stands for "the file does not say"; no usable timestamp is so small.
UNKNOWN = -(2**62)
# Also what a damaged header may say: beyond it, differences of timestamps would overflow.
LIMIT = 2**61

# No codec stores more frames before one that is shown before them. In the deepest structures one
# frame in sixteen comes so late.
_MOST_REORDERED, _RULE = 16, 0.95
# In time lapses frames lie far apart, and some farther than others.
_USUAL_STEPS = 10
# So many stretches ahead the former clock is looked for behind damaged timestamps.
_LOOK_AHEAD = 8


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """``shifts`` int64 [k, 2]: from which packet on how much is to be added to its timestamps.

    ``bad`` bool [n]: packets whose timestamps are damaged, and mean nothing. ``parts`` int64 [p]:
    the packets with which the clock went back, where another recording begins.
    """

    shifts: NDArray[np.int64]
    bad: NDArray[np.bool_]
    parts: NDArray[np.int64]

    def shift(self, stamps: NDArray[np.int64]) -> NDArray[np.int64]:
        """Timestamps [n] of the packets on the one timeline; those that are unknown stay so."""
        added = np.zeros(len(stamps), np.int64)
        for first, shift in self.shifts.tolist():
            added[first:] = shift
        return np.where(stamps == UNKNOWN, UNKNOWN, stamps + added)


def one_timeline(
    clock: NDArray[np.int64],
    lengths: NDArray[np.int64],
    *,
    second: int,
    ahead: int,
    reordered: int = 0,
) -> Timeline:
    """Find where the clock restarts, and which timestamps are damaged.

    A step of more than a second either way ends a stretch. Where the clock soon goes on as it was
    before, what lies between was damaged. Where it does not, a step ahead is a pause; a step back,
    or one ahead by more than ``ahead`` beyond what the packet before it lasts (``lengths``), is a
    restart, as in recordings that were joined or continued, and time goes on without a gap.

    clock, lengths: int64 [n]; ``UNKNOWN`` in the former, 0 in the latter, where the file does not
    say. second: in units of the time base. reordered: where the clock is one of presentation, how
    many frames may be stored before one that is shown before them.
    """
    bad = np.zeros(len(clock), np.bool_)
    known = np.flatnonzero(clock != UNKNOWN)
    shifts: list[tuple[int, int]] = []
    parts: list[int] = []
    if len(known) > 1:
        stamps = clock[known]
        steps = np.diff(np.unique(stamps) if reordered else stamps)
        usual = int(np.median(steps[steps > 0])) if (steps > 0).any() else 0
        ahead = max(ahead, _USUAL_STEPS * usual)
        stretches = _stretches(stamps, lengths[known], second, ahead, reordered)
        shift, last, number = 0, stretches[0], 1
        while number < len(stretches):
            here = stretches[number]
            resumed = _resumed(last, stretches[number : number + _LOOK_AHEAD], usual, second)
            if resumed and stretches[number + resumed].first - last.end < len(known) / 2:
                number += resumed
                bad[known[last.end : stretches[number].first]] = True
                last = stretches[number]
            elif here.pause:
                last = here
            elif abs(restarted := shift + last.high + usual - here.low) + abs(here.high) < LIMIT:
                shifts.append((int(known[here.first]), restarted))
                if here.low < last.high:
                    parts.append(int(known[here.first]))
                shift, last = restarted, here
            else:
                bad[known[here.first : here.end]] = True
            number += 1
    return Timeline(np.array(shifts, np.int64).reshape(-1, 2), bad, np.array(parts, np.int64))


class _Stretch(NamedTuple):
    """Timestamps ``first`` to ``end``, exclusive, without a jump; with ``pause`` just late."""

    first: int
    end: int
    low: int
    high: int
    pause: bool


def _stretches(
    stamps: NDArray[np.int64], lengths: NDArray[np.int64], second: int, ahead: int, reordered: int
) -> list[_Stretch]:
    jumps = np.flatnonzero(np.abs(np.diff(stamps)) > second) + 1
    if reordered:
        jumps = _reordered_jumps(stamps, second, reordered)
    firsts = np.concatenate(([0], jumps))
    ends = np.concatenate((jumps, [len(stamps)]))
    lows, highs = np.minimum.reduceat(stamps, firsts), np.maximum.reduceat(stamps, firsts)
    steps = lows[1:] - highs[:-1]
    pauses = np.concatenate(([False], (steps > 0) & (steps - lengths[jumps - 1] <= ahead)))
    columns = (firsts.tolist(), ends.tolist(), lows.tolist(), highs.tolist(), pauses.tolist())
    return [_Stretch(*row) for row in zip(*columns, strict=True)]


def _reordered_jumps(stamps: NDArray[np.int64], second: int, reordered: int) -> NDArray[np.int64]:
    """Where presentation times jump: a step back is a jump only beyond what reordering explains.

    No timestamp may come behind more than ``reordered`` that are greater.
    """
    jumps: list[int] = []
    greatest: list[int] = []
    for number, stamp in enumerate(stamps.tolist()):
        full = len(greatest) > reordered
        if greatest and (stamp > greatest[-1] + second or (full and stamp < greatest[0] - second)):
            jumps.append(number)
            greatest.clear()
        insort(greatest, stamp)
        if len(greatest) > reordered + 1:
            del greatest[0]
    return np.array(jumps, np.int64)


def _resumed(last: _Stretch, following: list[_Stretch], usual: int, back: int) -> int:
    """Which of the stretches begins about where ``last`` would be by then, while what lies between
    is off; 0 if none.
    """
    low, high = last.high, last.high
    for number, one in enumerate(following):
        packets = one.first - last.end
        late = one.low - last.high - (packets + 1) * usual
        off = low < last.high - back or high > one.low + back
        if number and off and -back <= late <= 2 * packets * usual + back:
            return number
        low, high = min(low, one.low), max(high, one.high)
    return 0


def reordering(stamps: NDArray[np.int64]) -> int:
    """How many frames are stored before one that is shown before them, as a rule of the stream.

    Presentation times int64 [n] in file order. A few packets with damaged times do not count.
    """
    ahead = np.zeros(len(stamps), np.int64)
    for back in range(1, min(_MOST_REORDERED, len(stamps) - 1) + 1):
        ahead[back:] += stamps[:-back] > stamps[back:]
    return int(np.quantile(ahead, _RULE, method="lower")) if len(ahead) else 0
