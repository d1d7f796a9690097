"""What PostgreSQL is asked for a filter, and for frames.

Paths are matched here, not there: they need not be text to PostgreSQL.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from vsr_edge.store.frames import Span
from vsr_edge.store.postgres.pg_connection import Connection
from vsr_edge.store.postgres.pg_rows import RECORDED, fetch
from vsr_edge.types import LEAST_SECONDS


class ServerRows:
    """:class:`vsr_edge.store.kept.FilterRows` and :class:`vsr_edge.store.frames.FrameRows`."""

    def __init__(self, connection: Connection, generation: int) -> None:
        self._connection = connection
        self._generation = generation

    def generation(self) -> int:
        return self._generation

    def videos(self) -> list[Any]:
        return fetch(
            self._connection,
            f"SELECT id, {RECORDED}, duration, frame_count FROM videos ORDER BY id",
        )

    def matching(self, patterns: tuple[str, ...]) -> Iterator[int]:
        rows = fetch(self._connection, "SELECT id, path FROM videos")
        matches = [matcher(pattern) for pattern in patterns]
        for video_id, path in rows:
            text = os.fsdecode(path)
            if any(match(text) for match in matches):
                yield video_id

    def tagged(self, tag: str) -> list[int]:
        rows = fetch(self._connection, "SELECT video_id FROM tags WHERE tag = %s", [tag])
        return [row[0] for row in rows]

    def clips(self, video: int, start: float, stop: float) -> list[tuple[int, int, int]]:
        return fetch(
            self._connection,
            "SELECT id, first_frame, last_frame FROM clips WHERE video_id = %s"
            f" AND start_time < %s AND greatest(end_time, start_time + {LEAST_SECONDS}) > %s",
            [video, stop, start],
        )

    def frames(self, span: Span) -> list[tuple[float, bytes]]:
        return fetch(
            self._connection,
            "SELECT time, vector FROM frames WHERE video_id = %s AND number BETWEEN %s AND %s"
            " ORDER BY number",
            span,
        )

    def full_before(self, video_id: int, number: int) -> tuple[int, bytes] | None:
        rows = fetch(
            self._connection,
            "SELECT number, vector FROM frames WHERE video_id = %s AND number < %s"
            " AND vector <> '' ORDER BY number DESC LIMIT 1",
            [video_id, number],
        )
        return rows[0] if rows else None

    def regions(self, span: Span) -> list[bytes]:
        rows = fetch(
            self._connection,
            "SELECT vectors FROM regions WHERE video_id = %s AND number BETWEEN %s AND %s"
            " ORDER BY number",
            span,
        )
        return [blob for (blob,) in rows]


@lru_cache(256)
def matcher(pattern: str) -> Any:
    """What says whether a pattern of :class:`vsr_edge.query.Filter` matches a path."""
    if os.name == "nt":
        pattern = pattern.replace("\\", "/")
    name = pattern.rstrip("/").removeprefix("./")
    if not name:
        return lambda _: bool(pattern)
    itself = re.escape(name)
    # Whatever brackets mean in a glob, a folder with brackets in its name means itself.
    kept = [
        *map(_expression, (f"{name}/*", f"*/{name}/*")),
        f"{itself}/.*" if os.path.isabs(name) else f".*/{itself}/.*",  # noqa: PTH117
    ]
    if not pattern.endswith("/"):
        kept += [_expression(name), _expression(f"*/{name}"), itself]
    compiled = re.compile("|".join(kept), re.DOTALL)

    def match(path: str) -> bool:
        return compiled.fullmatch(path.replace("\\", "/") if os.name == "nt" else path) is not None

    return match


def _expression(glob: str) -> str:
    """A regular expression for what SQLite's GLOB matches."""
    parts, place = [""], 0  # between stars
    while place < len(glob):
        char = glob[place]
        place += 1
        if char == "*":
            parts.append("")
        elif char == "?":
            parts[-1] += "."
        elif char == "[":
            start = place + glob.startswith("^", place)
            end = glob.find("]", start + 1)
            if end < 0:
                return "(?!)"  # brackets that are not closed match nothing
            parts[-1] += f"[{'^' if start > place else ''}{_set(glob[start:end])}]"
            place = end + 1
        else:
            parts[-1] += re.escape(char)
    if len(parts) == 1:
        return parts[0]
    first, *middle, last = parts
    # The first place where a part fits is as good as any: without looking for others, which takes
    # time that doubles with each star, none is missed.
    return first + "".join(f"(?>.*?{part})" for part in middle if part) + f".*{last}"


def _set(inner: str) -> str:
    """What stands between brackets, for ``re``. A range that ends before it begins holds but its
    beginning, and neither the end of a range nor a bracket in the first place begins another.
    """
    found, place, begins = "", 0, ""
    while place < len(inner):
        char = inner[place]
        if char == "-" and begins and place + 1 < len(inner):
            place += 1
            if begins <= inner[place]:
                found += f"{re.escape(begins)}-{re.escape(inner[place])}"
            begins = ""
        else:
            found += re.escape(char)
            begins = "" if char == "]" else char
        place += 1
    return found
