"""In which order, and how near: the best chain of parts, by dynamic programming. Pure functions.

``steps`` follow one another in time; each is the numbers of the parts that lie together in it, in
any order. What follows begins at most ``within`` seconds later.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vsr_edge.types import Seconds, Times

Steps: TypeAlias = Sequence[Sequence[int]]
Floats: TypeAlias = NDArray[np.floating]

# Two spans that share so much of the shorter one do not follow one another.
MOST_SHARED = 0.5
# Of the ways to put the parts of one step together, the best are looked at.
MOST_COMBINED, MOST_TRIED = 64, 50_000


def potential(scores: Floats, times: Times, steps: Steps, within: Seconds) -> Floats:
    """Of each part at each frame [P, n], the sum of scores of the best chain that has it there;
    −inf where there is none.

    ``scores`` are [P, n]. A step's parts lie in a stretch of ``within`` seconds, its middle comes
    later than the last step's, and at most ``within`` seconds later, for each half of a stretch
    that has more than one part half of that more.
    """
    halves = [within / 2 if len(step) > 1 else 0.0 for step in steps]
    reach = [_bounds(times, -half, half) for half in halves]
    best = [
        np.stack([_largest(scores[part], *bounds) for part in step])
        for step, bounds in zip(steps, reach, strict=True)
    ]
    own = [rows.sum(axis=0) for rows in best]
    ahead, behind = [own[0]], [own[-1]]
    for place in range(1, len(steps)):
        most = within + halves[place - 1] + halves[place]
        low, high = _bounds(times, -most, 0.0, strict=True)
        ahead.append(own[place] + _largest(ahead[-1], low, high))
    for place in range(len(steps) - 2, -1, -1):
        most = within + halves[place] + halves[place + 1]
        low, high = _bounds(times, 0.0, most, strict=True)
        behind.insert(0, own[place] + _largest(behind[0], low, high))
    found = np.full(scores.shape, -np.inf)
    for place, step in enumerate(steps):
        whole = ahead[place] + behind[place] - own[place]
        for row, part in enumerate(step):
            others = whole - best[place][row]
            found[part] = scores[part] + _largest(others, *reach[place])
    return found


def _bounds(
    times: Times, begin: Seconds, end: Seconds, *, strict: bool = False
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Of each frame the first, and the one behind the last, that lie from ``begin`` to ``end``
    seconds after it; ``strict`` leaves out what is not earlier, or not later, than it.
    """
    slack = 1e-6
    low = np.searchsorted(times, times + begin - slack)
    high = np.searchsorted(times, times + end + slack, "right")
    if strict and end == 0:
        high = np.minimum(high, np.searchsorted(times, times))
    if strict and begin == 0:
        low = np.maximum(low, np.searchsorted(times, times, "right"))
    return low, high


def _largest(values: Floats, low: NDArray[np.intp], high: NDArray[np.intp]) -> Floats:
    """The largest of values[low:high] for each pair, −inf of none: a table of runs of 1, 2, 4, …"""
    table = [np.asarray(values, float)]
    longest = int((high - low).max(initial=0))
    while 2 ** len(table) <= longest:
        last, half = table[-1], 2 ** (len(table) - 1)
        table.append(np.maximum(last[:-half], last[half:]))
    found = np.full(len(low), -np.inf)
    length = high - low
    for level, runs in enumerate(table):
        size = 2**level
        some = (length >= size) & (length < 2 * size)
        found[some] = np.maximum(runs[low[some]], runs[high[some] - size])
    return found


@dataclass(frozen=True, slots=True)
class Link:
    """A span that may be a part's; ``value`` says how well it fits."""

    start: Seconds
    end: Seconds
    value: float


@dataclass(frozen=True, slots=True)
class _Joined:
    """The parts of a step together: which link each has."""

    start: Seconds
    end: Seconds
    value: float
    chosen: tuple[int, ...]

    def follows(self, other: _Joined, within: Seconds) -> bool:
        """Does it come after the other, soon enough?"""
        shared = other.end - self.start
        shorter = min(self.end - self.start, other.end - other.start)
        later = self.start > other.start and self.end > other.end
        return later and shared < MOST_SHARED * shorter and -shared <= within


def best_chains(
    links: Sequence[Sequence[Link]], steps: Steps, within: Seconds
) -> list[tuple[float, tuple[int, ...]]]:
    """Of the links of each part, those that make the best chain through each link; best first.

    A chain is its value, the sum of its links', and the number of each part's link.
    """
    joined = [_together([links[part] for part in step], within) for step in steps]
    ahead: list[list[tuple[float, tuple[int, ...]]]] = []
    for place, options in enumerate(joined):
        ahead.append([])
        for one in options:
            before = (
                [(0.0, ())]
                if not place
                else [
                    path
                    for other, path in zip(joined[place - 1], ahead[place - 1], strict=True)
                    if one.follows(other, within)
                ]
            )
            value, path = max(before, default=(-math.inf, ()))
            ahead[-1].append((value + one.value, (*path, *one.chosen)))
    behind: list[list[tuple[float, tuple[int, ...]]]] = [[(0.0, ()) for _ in joined[-1]]]
    for place in range(len(joined) - 2, -1, -1):
        behind.insert(0, [])
        for one in joined[place]:
            after = [
                (value + other.value, (*other.chosen, *path))
                for other, (value, path) in zip(joined[place + 1], behind[1], strict=True)
                if other.follows(one, within)
            ]
            behind[0].append(max(after, default=(-math.inf, ())))
    order = [part for step in steps for part in step]
    found = {
        tuple(chosen for _, chosen in sorted(zip(order, (*first, *then), strict=True))): a + b
        for ones, others in zip(ahead, behind, strict=True)
        for (a, first), (b, then) in zip(ones, others, strict=True)
        if a + b > -math.inf
    }
    return sorted(((value, chosen) for chosen, value in found.items()), key=lambda x: -x[0])


def _together(links: Sequence[Sequence[Link]], within: Seconds) -> list[_Joined]:
    """The best ways to have one link of each part in a stretch of ``within`` seconds."""
    found = []
    for chosen in islice(product(*(range(len(some)) for some in links)), MOST_TRIED):
        ones = [some[number] for some, number in zip(links, chosen, strict=True)]
        if max(one.start for one in ones) - min(one.end for one in ones) <= within:
            start, end = min(one.start for one in ones), max(one.end for one in ones)
            found.append(_Joined(start, end, sum(one.value for one in ones), chosen))
    return sorted(found, key=lambda one: -one.value)[:MOST_COMBINED]
