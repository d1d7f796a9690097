"""What SQLite is asked for a filter; what it means is in :mod:`vsr_edge.store.kept`."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from vsr_edge.query import Filter
from vsr_edge.store.connection import generation
from vsr_edge.store.kept import Kept, KeptCache
from vsr_edge.store.rows import RECORDED
from vsr_edge.types import LEAST_SECONDS


class FilterCache:
    """Filters resolved (:class:`vsr_edge.store.kept.KeptCache`)."""

    def __init__(self) -> None:
        self._cache = KeptCache()

    def kept(self, connection: sqlite3.Connection, where: Filter) -> Kept:
        """What the filter lets through. Inside a read transaction."""
        return self._cache.of(_Rows(connection), where)


class _Rows:
    """:class:`vsr_edge.store.kept.FilterRows`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def generation(self) -> int:
        return generation(self._connection)

    def videos(self) -> list[Any]:
        return self._connection.execute(
            f"SELECT id, {RECORDED}, duration, frame_count FROM videos ORDER BY id"
        ).fetchall()

    def matching(self, patterns: tuple[str, ...]) -> Iterator[int]:
        condition, parameters = where_video(Filter(videos=patterns))
        return self._ids(f"SELECT id FROM videos WHERE {condition}", parameters)

    def tagged(self, tag: str) -> Iterator[int]:
        return self._ids("SELECT video_id FROM tags WHERE tag = ?", [tag])

    def clips(self, video: int, start: float, stop: float) -> list[tuple[int, int, int]]:
        return self._connection.execute(
            "SELECT id, first_frame, last_frame FROM clips WHERE video_id = ?"
            f" AND start_time < ? AND max(end_time, start_time + {LEAST_SECONDS}) > ?",
            [video, stop, start],
        ).fetchall()

    def _ids(self, sql: str, parameters: Sequence[Any]) -> Iterator[int]:
        return (row[0] for row in self._connection.execute(sql, parameters))


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
