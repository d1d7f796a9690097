"""What a filter lets through: of videos by what they are, of clips by when they were recorded.

A video that lies wholly in the time that is wanted counts with all its clips. Only of those at an
edge of it, a few however large the archive, are the clips looked at.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vsr_edge.query import Filter
from vsr_edge.times import spans_within, windows
from vsr_edge.types import LEAST_SECONDS, Times

Ids = NDArray[np.int64]

_NONE = np.empty(0, np.int64)


class FilterRows(Protocol):
    """What filters ask of a database, inside a read transaction."""

    def generation(self) -> int:
        """The state that it is in."""

    def videos(self) -> list[Any]:
        """Of all videos by id: id, when it was recorded, duration, frames."""

    def matching(self, patterns: tuple[str, ...]) -> Iterable[int]:
        """The videos that any of the patterns matches."""

    def tagged(self, tag: str) -> Iterable[int]:
        """The videos with a tag."""

    def clips(self, video: int, start: float, stop: float) -> Iterable[tuple[int, int, int]]:
        """The clips of a video that lie in a stretch of it: id, first and last frame."""


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """The videos that count whole, the clips of others that count, both ascending, and those others
    themselves; and how many frames all these clips show. ``everything``: nothing is left out.
    """

    videos: Ids
    clips: Ids
    partly: Ids
    frames: int
    everything: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Videos:
    """What filters ask of all videos, ascending by id: float64 [n] but for ``ids``."""

    ids: Ids
    begins: Times
    durations: Times
    frames: Times
    tagged: dict[str, NDArray[np.bool_]] = field(default_factory=dict)  # as they are asked for


class KeptCache:
    """Filters resolved. What videos there are is read once for each state of the archive, and the
    last filter kept: a search asks often.
    """

    def __init__(self) -> None:
        self._read: tuple[int, _Videos] | None = None
        self._last: tuple[tuple[int, Filter], Kept] | None = None

    def of(self, rows: FilterRows, where: Filter) -> Kept:
        """What the filter lets through."""
        state = rows.generation()
        key, last, read = (state, where), self._last, self._read
        if last is None or last[0] != key:
            if read is None or read[0] != state:
                read = self._read = (state, _videos(rows))
            last = self._last = (key, _kept(rows, where, read[1]))
        return last[1]


def _videos(rows: FilterRows) -> _Videos:
    ids, begins, durations, frames = np.array(rows.videos(), np.float64).reshape(-1, 4).T
    return _Videos(ids.astype(np.int64), begins, durations, frames)


def _kept(rows: FilterRows, where: Filter, of: _Videos) -> Kept:
    chosen = np.ones(len(of.ids), np.bool_)
    if where.videos:
        chosen &= _among(of, rows.matching(where.videos))
    for tag in where.tags:
        if (name := tag.lstrip("-")) not in of.tagged:
            of.tagged[name] = _among(of, rows.tagged(name))
        chosen &= ~of.tagged[name] if tag.startswith("-") else of.tagged[name]
    if where.min_duration is not None:
        chosen &= of.durations >= where.min_duration
    if where.max_duration is not None:
        chosen &= of.durations <= where.max_duration
    begins = of.begins
    ends = begins + np.maximum(of.durations, LEAST_SECONDS)
    partly = np.zeros(len(of.ids), np.bool_)
    if where.timed:
        of_chosen = (begins, ends) if chosen.all() else (begins[chosen], ends[chosen])
        starts, stops = windows(where, *of_chosen)
        # Of each video, the first stretch of that time that ends after it begins.
        place = np.searchsorted(stops, begins, side="right")
        starts, stops = np.append(starts, np.inf)[place], np.append(stops, np.inf)[place]
        whole = (starts <= begins) & (stops >= ends)
        partly = chosen & (starts < ends) & ~whole
        chosen &= whole
    clips, total = [_NONE], int(of.frames[chosen].sum())
    for one in np.flatnonzero(partly).tolist():
        span = float(begins[one]), float(ends[one])
        found = _clips(rows, where, int(of.ids[one]), *span)
        clips.append(found[:, 0])
        total += _covered(found[:, 1:])
    every = np.sort(np.concatenate(clips))
    return Kept(of.ids[chosen], every, of.ids[partly], total, bool(chosen.all()))


def _among(of: _Videos, ids: Iterable[int]) -> NDArray[np.bool_]:
    """Which of the videos these are."""
    return np.isin(of.ids, np.fromiter(ids, np.int64))


def _clips(rows: FilterRows, where: Filter, video: int, begin: float, end: float) -> Ids:
    """The clips of a video that lie in the time wanted: int64 [n, 3] of id, first, last frame."""
    found: set[tuple[int, int, int]] = set()
    for start, stop in spans_within(where, begin, end):
        found.update(rows.clips(video, start - begin, stop - begin))
    return np.array(sorted(found), np.int64).reshape(-1, 3)


def _covered(frames: Ids) -> int:
    """How many frames the clips [n, 2], from first to last, show: those that overlap, once."""
    ordered = frames[np.argsort(frames[:, 0], kind="stable")]
    reached = np.maximum.accumulate(np.append(-1, ordered[:, 1]))[:-1]
    return int(np.maximum(ordered[:, 1] - np.maximum(ordered[:, 0] - 1, reached), 0).sum())
