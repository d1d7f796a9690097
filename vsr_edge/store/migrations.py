"""The numbered steps from an empty file to the present schema.

Each step runs in a transaction together with the record that it ran. It also sets
``user_version`` to its number, so that opening an archive that is up to date reads one integer
and need not import sqlite-utils. A step that was released is never edited: add the next one.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database, Migrations

# "VSRE": lets `file` and any other program tell an archive from other SQLite files.
APPLICATION_ID = 0x56535245

SEGMENTS_TABLE = """
    vector_segments (
        id INTEGER PRIMARY KEY AUTOINCREMENT, file TEXT NOT NULL, rows INTEGER NOT NULL,
        clips BLOB NOT NULL, checksum BLOB NOT NULL
    )
"""

TAGS_TABLE = """
    tags (
        video_id INTEGER NOT NULL REFERENCES videos (id) ON DELETE CASCADE, tag TEXT NOT NULL,
        PRIMARY KEY (video_id, tag)
    )
"""

CUES_TABLE = """
    cues (
        id INTEGER PRIMARY KEY,
        video_id INTEGER NOT NULL REFERENCES videos (id) ON DELETE CASCADE,
        source TEXT NOT NULL, start_time REAL NOT NULL, end_time REAL NOT NULL, text TEXT NOT NULL
    )
"""

Steps = tuple[str, ...]

# A path is TEXT, or a BLOB of its bytes where those are not UTF-8. AUTOINCREMENT: the id of a
# removed clip never comes back, so vectors that are still cached cannot be mistaken about whose
# they are. A frame's regions weigh nine times its vector: in a table of their own, reading vectors
# skips them.
STEPS: dict[str, Steps] = {
    "0001_videos_frames_clips": (
        f"PRAGMA application_id = {APPLICATION_ID}",
        """
        CREATE TABLE meta (
            id INTEGER PRIMARY KEY CHECK (id = 1), bundle_id TEXT NOT NULL,
            dim INTEGER NOT NULL CHECK (dim > 0), generation INTEGER NOT NULL DEFAULT 0,
            created_at TEXT NOT NULL
        )
        """,
        """
        CREATE TABLE videos (
            id INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL UNIQUE,
            fingerprint TEXT NOT NULL, size_bytes INTEGER NOT NULL, modified_ns INTEGER NOT NULL,
            duration REAL NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
            rotation INTEGER NOT NULL, codec TEXT NOT NULL, container TEXT NOT NULL,
            frame_rate REAL, audio_streams INTEGER NOT NULL, sampling TEXT NOT NULL,
            frame_count INTEGER NOT NULL, clip_count INTEGER NOT NULL, partial TEXT,
            indexed_at TEXT NOT NULL
        )
        """,
        "CREATE INDEX videos_fingerprint ON videos (fingerprint)",
        """
        CREATE TABLE frames (
            video_id INTEGER NOT NULL REFERENCES videos (id) ON DELETE CASCADE,
            number INTEGER NOT NULL, time REAL NOT NULL, vector BLOB NOT NULL,
            PRIMARY KEY (video_id, number)
        )
        """,
        """
        CREATE TABLE clips (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            video_id INTEGER NOT NULL REFERENCES videos (id) ON DELETE CASCADE,
            start_time REAL NOT NULL, end_time REAL NOT NULL, first_frame INTEGER NOT NULL,
            last_frame INTEGER NOT NULL, vector BLOB NOT NULL
        )
        """,
        "CREATE INDEX clips_video ON clips (video_id)",
    ),
    "0002_regions": (
        "ALTER TABLE videos ADD COLUMN region_count INTEGER NOT NULL DEFAULT 0",
        """
        CREATE TABLE regions (
            video_id INTEGER NOT NULL, number INTEGER NOT NULL, vectors BLOB NOT NULL,
            PRIMARY KEY (video_id, number),
            FOREIGN KEY (video_id, number) REFERENCES frames (video_id, number) ON DELETE CASCADE
        )
        """,
    ),
    "0003_search_cache": (
        """
        CREATE TABLE search_cache (
            id INTEGER PRIMARY KEY AUTOINCREMENT, sha256 TEXT NOT NULL UNIQUE,
            clips INTEGER NOT NULL, max_clip_id INTEGER NOT NULL, generation INTEGER NOT NULL,
            graph INTEGER NOT NULL, written_at TEXT NOT NULL
        )
        """,
    ),
    # The file of that cache, clips.usearch, is removed when the vector file is written.
    "0004_vector_segments": ("DROP TABLE search_cache", f"CREATE TABLE {SEGMENTS_TABLE}"),
    # From here on a frame whose vector is x'' has that of the last one before it whose is not, and
    # its regions, of which it has no row. Earlier versions would take that for damage.
    "0005_folded_frames": (),
    # recorded_from is NULL until the container was asked; see RECORDED in vsr_edge/store/rows.py.
    # The index holds all that a filter by time asks of a clip, which otherwise lies apart by the
    # size of a vector.
    "0006_times_and_tags": (
        "ALTER TABLE videos ADD COLUMN recorded_at REAL",
        "ALTER TABLE videos ADD COLUMN recorded_from TEXT",
        f"CREATE TABLE {TAGS_TABLE} WITHOUT ROWID",
        "CREATE INDEX tags_tag ON tags (tag)",
        "CREATE INDEX clips_times ON clips"
        " (video_id, start_time, end_time, first_frame, last_frame)",
    ),
    # Words with their times, and which were read with which stamp. A row of passages is a cue with
    # the one behind it, so that a sentence over two is found: what is searched can be made anew
    # from the cues.
    "0007_texts": (
        f"CREATE TABLE {CUES_TABLE}",
        "CREATE INDEX cues_video ON cues (video_id, source)",
        """
        CREATE TABLE texts (
            video_id INTEGER NOT NULL REFERENCES videos (id) ON DELETE CASCADE,
            source TEXT NOT NULL, stamp TEXT NOT NULL, PRIMARY KEY (video_id, source)
        )
        """,
        "CREATE VIRTUAL TABLE passages USING fts5 (text, tokenize = 'porter unicode61')",
        """
        CREATE TRIGGER cues_forgotten AFTER DELETE ON cues BEGIN
            DELETE FROM passages WHERE rowid = old.id;
        END
        """,
    ),
    # From here on regions may be coded (vsr_edge/store/region_codes.py). Earlier versions would
    # take that for damage.
    "0008_region_codes": (),
}

SCHEMA_VERSION = len(STEPS)

# What can be searched where nothing can be written: the steps after it change no row, and what they
# add stands in for itself there (READABLE_BY).
READABLE_VERSION = 3
# Of the steps from some version on: what a connection that may only read needs in their place.
# Names of temporary tables and views come before those of the file.
READABLE_BY: dict[int, Steps] = {
    4: (f"CREATE TEMP TABLE {SEGMENTS_TABLE}",),
    6: (
        "CREATE TEMP VIEW videos AS"
        " SELECT *, NULL AS recorded_at, NULL AS recorded_from FROM main.videos",
        f"CREATE TEMP TABLE {TAGS_TABLE.replace('REFERENCES videos (id) ON DELETE CASCADE', '')}",
    ),
    7: (f"CREATE TEMP TABLE {CUES_TABLE.replace('REFERENCES videos (id) ON DELETE CASCADE', '')}",),
}


def migrate(connection: sqlite3.Connection) -> None:
    """Apply the steps that are missing. The caller holds the writer's lock."""
    from sqlite_utils import Database

    migrations().apply(Database(connection, execute_plugins=False))


def migrations() -> Migrations:
    """The steps as sqlite-utils applies and records them."""
    # It takes 0.2 s to import, which a search in an archive that is up to date should not pay.
    from sqlite_utils import Migrations

    steps = Migrations("vsr_edge")
    for number, (name, statements) in enumerate(STEPS.items(), start=1):

        def step(db: Database, number: int = number, statements: Steps = statements) -> None:
            for statement in (*statements, f"PRAGMA user_version = {number}"):
                db.execute(statement)

        steps(name=name)(step)
    return steps
