"""Reading a video's frames: those that are stored without vectors have those of one before."""

from __future__ import annotations

import sqlite3

import numpy as np

from vsr_edge.store.rows import matrix
from vsr_edge.types import FrameFeatures


def read_frames(
    connection: sqlite3.Connection, span: tuple[int, int, int], regions: bool, dim: int
) -> FrameFeatures:
    """The frames of (video id, first, last), both included.

    Raises:
        sqlite3.DatabaseError: vectors or regions are missing, which only damage can bring about.
    """
    video_id, first, _ = span
    within = "WHERE video_id = ? AND number BETWEEN ? AND ? ORDER BY number"
    rows = connection.execute(f"SELECT time, vector FROM frames {within}", span).fetchall()
    times = np.array([time for time, _ in rows], np.float64)
    stored = [vector for _, vector in rows]
    if stored and not stored[0]:
        # It has the vectors of the last frame before it that has any.
        found = connection.execute(
            "SELECT number, vector FROM frames WHERE video_id = ? AND number < ?"
            " AND vector <> x'' ORDER BY number DESC LIMIT 1",
            span[:2],
        ).fetchone()
        if found is None:
            raise sqlite3.DatabaseError(f"vectors are missing for video {video_id}")
        first, stored[0] = found
    of_frame = np.cumsum([bool(vector) for vector in stored], dtype=np.int64) - 1
    vectors = matrix([vector for vector in stored if vector], dim)
    shared = len(vectors) < len(times)
    blobs = []
    if regions:
        places = (video_id, first, span[2])
        read = connection.execute(f"SELECT vectors FROM regions {within}", places)
        blobs = [blob for (blob,) in read]
    cells = None
    if blobs:
        count = len(blobs[0]) // (2 * dim)
        flat = matrix(blobs, count * dim)
        if len(flat) != len(vectors):
            raise sqlite3.DatabaseError(f"regions are missing for video {video_id}")
        cells = flat.reshape(len(flat), count, dim)
        cells = cells[of_frame] if shared else cells
    return FrameFeatures(times, vectors[of_frame] if shared else vectors, cells)
