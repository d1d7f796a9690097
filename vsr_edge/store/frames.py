"""Reading a video's frames: those that are stored without vectors have those of one before."""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from vsr_edge.store.region_codes import decode_regions
from vsr_edge.store.rows import RowsDamaged, matrix
from vsr_edge.types import FrameFeatures

Span = tuple[int, int, int]  # video id, first and last frame
LAST = 2**62


class FrameRows(Protocol):
    """What reading frames asks of a database, inside a read transaction."""

    def frames(self, span: Span) -> list[tuple[float, bytes]]:
        """Times and vectors, in order; a vector is empty where it is that of a frame before."""

    def full_before(self, video_id: int, number: int) -> tuple[int, bytes] | None:
        """The last frame before this that has a vector: its number, and that."""

    def regions(self, span: Span) -> list[bytes]:
        """The regions of those frames that have any of their own, in order."""


class LocalFrames:
    """:class:`FrameRows` of SQLite."""

    _WITHIN = "WHERE video_id = ? AND number BETWEEN ? AND ? ORDER BY number"

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def frames(self, span: Span) -> list[tuple[float, bytes]]:
        return self._connection.execute(
            f"SELECT time, vector FROM frames {self._WITHIN}", span
        ).fetchall()

    def full_before(self, video_id: int, number: int) -> tuple[int, bytes] | None:
        found: tuple[int, bytes] | None = self._connection.execute(
            "SELECT number, vector FROM frames WHERE video_id = ? AND number < ?"
            " AND vector <> x'' ORDER BY number DESC LIMIT 1",
            (video_id, number),
        ).fetchone()
        return found

    def regions(self, span: Span) -> list[bytes]:
        rows = self._connection.execute(f"SELECT vectors FROM regions {self._WITHIN}", span)
        return [blob for (blob,) in rows]


def read_frames(rows: FrameRows, span: Span, regions: bool, dim: int) -> FrameFeatures:
    """The frames of a span, both ends included.

    Raises:
        RowsDamaged: vectors or regions are missing.
    """
    video_id, first, last = span
    read = rows.frames(span)
    times = np.array([time for time, _ in read], np.float64)
    stored = [vector for _, vector in read]
    if stored and not stored[0]:
        # It has the vectors of the last frame before it that has any.
        found = rows.full_before(video_id, first)
        if found is None:
            raise RowsDamaged(f"vectors are missing for video {video_id}")
        first, stored[0] = found
    of_frame = np.cumsum([bool(vector) for vector in stored], dtype=np.int64) - 1
    vectors = matrix([vector for vector in stored if vector], dim)
    shared = len(vectors) < len(times)
    blobs = rows.regions((video_id, first, last)) if regions else []
    cells = None
    if blobs:
        if len(blobs) != len(vectors):
            raise RowsDamaged(f"regions are missing for video {video_id}")
        cells = decode_regions(blobs, dim)
        cells = cells[of_frame] if shared else cells
    return FrameFeatures(times, vectors[of_frame] if shared else vectors, cells)


def read_spans(
    spans: Sequence[Span], read: Callable[[Sequence[Span]], list[FrameFeatures]]
) -> list[FrameFeatures]:
    """The frames of each span: what they share is read once, and what follows one another together.

    ``read`` is given spans that are apart.
    """
    whole: list[Span] = []
    for video_id, first, last in sorted(spans):
        if whole and whole[-1][0] == video_id and first <= whole[-1][2] + 1:
            video_id, first, end = whole.pop()
            last = max(last, end)
        whole.append((video_id, first, last))
    of_whole = read(whole)
    found = []
    for video_id, first, last in spans:
        place = bisect_right(whole, (video_id, first, LAST)) - 1
        start = first - whole[place][1]
        found.append(of_whole[place][start : start + last - first + 1])
    return found
