"""What a filter lets through: videos by a condition of SQL, and by when their clips were recorded.

A video that lies wholly in the time that is wanted counts with all its clips. Only of those at an
edge of it, a few however large the archive, are the clips looked at.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsr_edge.query import Filter
from vsr_edge.store.connection import generation
from vsr_edge.store.rows import RECORDED
from vsr_edge.times import spans_within, windows
from vsr_edge.types import LEAST_SECONDS, Times

Ids = NDArray[np.int64]

_NONE = np.empty(0, np.int64)


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


class FilterCache:
    """Filters resolved. What videos there are is read once for each state of the archive, and the
    last filter kept: a search asks often.
    """

    def __init__(self) -> None:
        self._read: tuple[int, _Videos] | None = None
        self._last: tuple[tuple[int, Filter], Kept] | None = None

    def kept(self, connection: sqlite3.Connection, where: Filter) -> Kept:
        """What the filter lets through. Inside a read transaction."""
        state = generation(connection)
        key, last, read = (state, where), self._last, self._read
        if last is None or last[0] != key:
            if read is None or read[0] != state:
                read = self._read = (state, _videos(connection))
            last = self._last = (key, _kept(connection, where, read[1]))
        return last[1]


def _videos(connection: sqlite3.Connection) -> _Videos:
    rows = connection.execute(
        f"SELECT id, {RECORDED}, duration, frame_count FROM videos ORDER BY id"
    ).fetchall()
    ids, begins, durations, frames = np.array(rows, np.float64).reshape(-1, 4).T
    return _Videos(ids.astype(np.int64), begins, durations, frames)


def _kept(connection: sqlite3.Connection, where: Filter, of: _Videos) -> Kept:
    chosen = np.ones(len(of.ids), np.bool_)
    if where.videos:
        condition, parameters = where_video(Filter(videos=where.videos))
        chosen &= _among(connection, of, f"SELECT id FROM videos WHERE {condition}", parameters)
    for tag in where.tags:
        if (name := tag.lstrip("-")) not in of.tagged:
            tagged = "SELECT video_id FROM tags WHERE tag = ?"
            of.tagged[name] = _among(connection, of, tagged, [name])
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
        found = _clips(connection, where, int(of.ids[one]), *span)
        clips.append(found[:, 0])
        total += _covered(found[:, 1:])
    every = np.sort(np.concatenate(clips))
    return Kept(of.ids[chosen], every, of.ids[partly], total, bool(chosen.all()))


def _among(
    connection: sqlite3.Connection, of: _Videos, sql: str, parameters: Sequence[Any]
) -> NDArray[np.bool_]:
    """Which of the videos a query gives."""
    rows = connection.execute(sql, parameters)
    return np.isin(of.ids, np.fromiter((row[0] for row in rows), np.int64))


def _clips(
    connection: sqlite3.Connection, where: Filter, video: int, begin: float, end: float
) -> Ids:
    """The clips of a video that lie in the time wanted: int64 [n, 3] of id, first, last frame."""
    found: set[tuple[int, int, int]] = set()
    for start, stop in spans_within(where, begin, end):
        found.update(
            connection.execute(
                "SELECT id, first_frame, last_frame FROM clips WHERE video_id = ?"
                f" AND start_time < ? AND max(end_time, start_time + {LEAST_SECONDS}) > ?",
                [video, stop - begin, start - begin],
            )
        )
    return np.array(sorted(found), np.int64).reshape(-1, 3)


def _covered(frames: Ids) -> int:
    """How many frames the clips [n, 2], from first to last, show: those that overlap, once."""
    ordered = frames[np.argsort(frames[:, 0], kind="stable")]
    reached = np.maximum.accumulate(np.append(-1, ordered[:, 1]))[:-1]
    return int(np.maximum(ordered[:, 1] - np.maximum(ordered[:, 0] - 1, reached), 0).sum())


def where_video(where: Filter | None) -> tuple[str, list[Any]]:
    """The SQL condition on ``videos`` for a filter, with its parameters.

    What is recorded at the wrong time of day is let through; before or after, it is not.
    """
    conditions: list[str] = ["1"]
    parameters: list[Any] = []

    def add(condition: str, *values: Any) -> None:
        conditions.append(condition)
        parameters.extend(values)

    if where is None:
        return "1", []
    if where.videos:
        matches = [_matches(pattern) for pattern in where.videos]
        values = [value for _, of_one in matches for value in of_one]
        add(f"({' OR '.join(condition for condition, _ in matches)})", *values)
    if where.before is not None:
        add(f"{RECORDED} < ?", where.before)
    if where.after is not None:
        add(f"{RECORDED} + max(duration, {LEAST_SECONDS}) > ?", where.after)
    if where.min_duration is not None:
        add("duration >= ?", where.min_duration)
    if where.max_duration is not None:
        add("duration <= ?", where.max_duration)
    if where.after is not None and where.before is not None and where.after >= where.before:
        add("0")
    for tag in where.tags:
        tagged = "id IN (SELECT video_id FROM tags WHERE tag = ?)"
        add(tagged.replace("IN", "NOT IN") if tag.startswith("-") else tagged, tag.lstrip("-"))
    return " AND ".join(conditions), parameters


def _matches(pattern: str) -> tuple[str, list[bytes]]:
    text = "CAST(path AS TEXT)"
    if os.name == "nt":
        pattern, text = pattern.replace("\\", "/"), "replace(CAST(path AS TEXT), '\\', '/')"
    name = pattern.rstrip("/").removeprefix("./")
    if not name:
        return ("1" if pattern else "0"), []
    # Parameters are bytes cast to text: a pattern, like a path, need not be UTF-8.
    this = "CAST(? AS TEXT)"
    itself = [f"{text} GLOB {this}", f"{text} GLOB '*/' || {this}", f"{text} = {this}"]
    inside = [f"{text} GLOB {this} || '/*'", f"{text} GLOB '*/' || {this} || '/*'"]
    # Whatever brackets mean in a glob, a folder with brackets in its name means itself.
    inside.append(
        f"substr({text}, 1, length({this}) + 1) = {this} || '/'"
        if os.path.isabs(name)  # noqa: PTH117 — a pattern is no path
        else f"instr({text}, '/' || {this} || '/') > 0"
    )
    condition = " OR ".join(inside if pattern.endswith("/") else [*itself, *inside])
    return f"({condition})", [os.fsencode(name)] * condition.count("?")
