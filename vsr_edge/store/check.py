"""Reading all rows once, to name what is wrong before a search stumbles over it."""

from __future__ import annotations

import sqlite3

import numpy as np

from vsr_edge.store.connection import DATABASE_FILE
from vsr_edge.store.region_codes import is_sound

_REPAIR = "index these videos again"
_SHOWN = 20


def check_rows(connection: sqlite3.Connection, dim: int) -> list[str]:
    """Problems with what to do about each; an empty list means sound. Inside a transaction."""
    try:
        rows = connection.execute(f"PRAGMA integrity_check({_SHOWN})").fetchall()
    except sqlite3.DatabaseError as error:
        rows = [(str(error),)]
    if broken := [row[0] for row in rows if row[0] != "ok"]:
        # Further reading of a file with broken pages says nothing reliable.
        return [
            f"{DATABASE_FILE} is damaged ({what}): restore a copy, or delete it and index again"
            for what in broken
        ]
    return [
        *_check_references(connection),
        *_check_counts(connection),
        *_check_vectors(connection, dim),
        *_check_words(connection),
    ]


def _check_references(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute("PRAGMA foreign_key_check").fetchall()
    tables = sorted({row[0] for row in rows})
    return [f"rows of {table} belong to no video: {_REPAIR}" for table in tables]


def _check_counts(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute(
        """
        SELECT id, CAST(path AS TEXT) FROM videos AS v
        WHERE frame_count <> (SELECT count(*) FROM frames WHERE video_id = v.id)
           OR frame_count <> coalesce(
                (SELECT max(number) + 1 FROM frames WHERE video_id = v.id), 0)
           OR clip_count <> (SELECT count(*) FROM clips WHERE video_id = v.id)
           OR (region_count > 0
               AND (SELECT count(*) FROM frames WHERE video_id = v.id AND vector <> x'')
                <> (SELECT count(*) FROM regions WHERE video_id = v.id))
           OR EXISTS (SELECT 1 FROM clips WHERE video_id = v.id AND last_frame >= v.frame_count)
        """
    ).fetchmany(_SHOWN)
    return [f"video {row[0]} ({row[1]}) lacks frames or clips: {_REPAIR}" for row in rows]


def _check_words(connection: sqlite3.Connection) -> list[str]:
    """Each cue must be found by its words, and no words be of a cue that is gone."""
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'passages'").fetchone():
        return []  # of an earlier version, where nothing can be written
    (unlike,) = connection.execute(
        "SELECT (SELECT count(*) FROM cues WHERE id NOT IN (SELECT id FROM passages_docsize))"
        " + (SELECT count(*) FROM passages_docsize WHERE id NOT IN (SELECT id FROM cues))"
    ).fetchone()
    return [f"the words of {unlike} cues cannot be found: {_REPAIR}"] if unlike else []


def _check_vectors(connection: sqlite3.Connection, dim: int) -> list[str]:
    problems = []
    for table, count in (
        ("frames", "(number = 0 OR vector <> x'')"),
        ("clips", "1"),
        ("regions", "(SELECT region_count FROM videos WHERE id = video_id)"),
    ):
        column = "vectors" if table == "regions" else "vector"
        bad: set[int] = set()
        rows = connection.execute(f"SELECT video_id, {column}, {count} FROM {table}")
        for video_id, blob, vectors in rows:
            if table == "regions":
                sound = is_sound(blob, vectors, dim)
            else:
                sound = isinstance(blob, bytes) and len(blob) == 2 * dim * vectors
                sound = sound and bool(np.isfinite(np.frombuffer(blob, np.float16)).all())
            if not sound:
                bad.add(video_id)
        problems += [f"vectors in {table} of video {i} are unfit: {_REPAIR}" for i in sorted(bad)]
    return problems[:_SHOWN]
