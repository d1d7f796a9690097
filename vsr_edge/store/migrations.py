"""The numbered steps from an empty file to the present schema.

Each step runs in a transaction together with the record that it ran. It also sets
``user_version`` to its number, so that opening an archive that is up to date reads one integer
and need not import sqlite-utils. A step that was released is never edited: add the next one.
"""

from __future__ import annotations

import sqlite3

from sqlite_utils import Database, Migrations

from vsr_edge.store.opening import APPLICATION_ID

migrations = Migrations("vsr_edge")


def migrate(connection: sqlite3.Connection) -> None:
    """Apply the steps that are missing. The caller holds the writer's lock."""
    migrations.apply(Database(connection, execute_plugins=False))


@migrations(name="0001_videos_frames_clips")
def _videos_frames_clips(db: Database) -> None:
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(
        """
        CREATE TABLE meta (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            bundle_id TEXT NOT NULL,
            dim INTEGER NOT NULL CHECK (dim > 0),
            generation INTEGER NOT NULL DEFAULT 0,
            created_at TEXT NOT NULL
        )
        """
    )
    # A path is TEXT, or a BLOB of its bytes where those are not UTF-8.
    db.execute(
        """
        CREATE TABLE videos (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            path TEXT NOT NULL UNIQUE,
            fingerprint TEXT NOT NULL,
            size_bytes INTEGER NOT NULL,
            modified_ns INTEGER NOT NULL,
            duration REAL NOT NULL,
            width INTEGER NOT NULL,
            height INTEGER NOT NULL,
            rotation INTEGER NOT NULL,
            codec TEXT NOT NULL,
            container TEXT NOT NULL,
            frame_rate REAL,
            audio_streams INTEGER NOT NULL,
            sampling TEXT NOT NULL,
            frame_count INTEGER NOT NULL,
            clip_count INTEGER NOT NULL,
            partial TEXT,
            indexed_at TEXT NOT NULL
        )
        """
    )
    db.execute("CREATE INDEX videos_fingerprint ON videos (fingerprint)")
    db.execute(
        """
        CREATE TABLE frames (
            video_id INTEGER NOT NULL REFERENCES videos (id) ON DELETE CASCADE,
            number INTEGER NOT NULL,
            time REAL NOT NULL,
            vector BLOB NOT NULL,
            PRIMARY KEY (video_id, number)
        )
        """
    )
    # AUTOINCREMENT: the id of a removed clip never comes back, so a cache that still holds it
    # cannot be mistaken about whose vector it is.
    db.execute(
        """
        CREATE TABLE clips (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            video_id INTEGER NOT NULL REFERENCES videos (id) ON DELETE CASCADE,
            start_time REAL NOT NULL,
            end_time REAL NOT NULL,
            first_frame INTEGER NOT NULL,
            last_frame INTEGER NOT NULL,
            vector BLOB NOT NULL
        )
        """
    )
    db.execute("CREATE INDEX clips_video ON clips (video_id)")
    db.execute("PRAGMA user_version = 1")


@migrations(name="0002_regions")
def _regions(db: Database) -> None:
    # A frame's regions weigh nine times its vector: in a table of their own, reading vectors
    # skips them.
    db.execute("ALTER TABLE videos ADD COLUMN region_count INTEGER NOT NULL DEFAULT 0")
    db.execute(
        """
        CREATE TABLE regions (
            video_id INTEGER NOT NULL,
            number INTEGER NOT NULL,
            vectors BLOB NOT NULL,
            PRIMARY KEY (video_id, number),
            FOREIGN KEY (video_id, number) REFERENCES frames (video_id, number) ON DELETE CASCADE
        )
        """
    )
    db.execute("PRAGMA user_version = 2")


@migrations(name="0003_search_cache")
def _search_cache(db: Database) -> None:
    db.execute(
        """
        CREATE TABLE search_cache (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            sha256 TEXT NOT NULL UNIQUE,
            clips INTEGER NOT NULL,
            max_clip_id INTEGER NOT NULL,
            generation INTEGER NOT NULL,
            graph INTEGER NOT NULL,
            written_at TEXT NOT NULL
        )
        """
    )
    db.execute("PRAGMA user_version = 3")
