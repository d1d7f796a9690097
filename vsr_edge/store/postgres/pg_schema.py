"""The numbered steps from an empty schema to the present one.

An archive named ``vsr_edge`` is a schema of that name, which says which generation counts, and one
schema for each generation, ``vsr_edge_1`` and so on: a re-index fills the next one and has the
first point to it. Numbers of videos and clips are handed out by the first, so that none means two
things. A step that was released is never edited: add the next one.
"""

from __future__ import annotations

# In the archive's own schema; ``{dim}`` is the length of its vectors.
BASE = (
    """
    CREATE TABLE IF NOT EXISTS archive (
        id int PRIMARY KEY CHECK (id = 1), present int NOT NULL, following int
    )
    """,
    "CREATE SEQUENCE IF NOT EXISTS video_ids",
    "CREATE SEQUENCE IF NOT EXISTS clip_ids",
    """
    CREATE TABLE IF NOT EXISTS corrections (name text PRIMARY KEY, content json NOT NULL)
    """,
)

# A copy of another archive that is not whole yet: while there is this table, there is no archive.
MIGRATION = "CREATE TABLE migration (generation int NOT NULL, came_from text NOT NULL)"

META = """
    CREATE TABLE meta (
        id int PRIMARY KEY CHECK (id = 1), bundle_id text NOT NULL, dim int NOT NULL,
        generation bigint NOT NULL DEFAULT 0, version int NOT NULL DEFAULT 0,
        created_at timestamptz NOT NULL DEFAULT now()
    )
"""

# A path is its bytes: one that is not UTF-8 is no text to PostgreSQL. It may be longer than an
# index takes, so that its hash is what is unique. A frame whose vector is empty has that of the
# last one before it whose is not. Vectors do not compress.
STEPS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE videos (
            id bigint PRIMARY KEY, path bytea NOT NULL, fingerprint text NOT NULL,
            size_bytes bigint NOT NULL, modified_ns bigint NOT NULL, duration float8 NOT NULL,
            width int NOT NULL, height int NOT NULL, rotation int NOT NULL, codec text NOT NULL,
            container text NOT NULL, frame_rate float8, audio_streams int NOT NULL,
            sampling text NOT NULL, frame_count bigint NOT NULL, clip_count bigint NOT NULL,
            region_count int NOT NULL, partial text, indexed_at text NOT NULL,
            recorded_at float8, recorded_from text
        )
        """,
        "CREATE UNIQUE INDEX videos_path ON videos (sha256(path))",
        "CREATE INDEX videos_fingerprint ON videos (fingerprint)",
        """
        CREATE TABLE frames (
            video_id bigint NOT NULL REFERENCES videos (id) ON DELETE CASCADE,
            number bigint NOT NULL, time float8 NOT NULL, vector bytea NOT NULL,
            PRIMARY KEY (video_id, number)
        )
        """,
        """
        CREATE TABLE regions (
            video_id bigint NOT NULL REFERENCES videos (id) ON DELETE CASCADE,
            number bigint NOT NULL, vectors bytea NOT NULL, PRIMARY KEY (video_id, number)
        )
        """,
        "ALTER TABLE frames ALTER COLUMN vector SET STORAGE EXTERNAL",
        "ALTER TABLE regions ALTER COLUMN vectors SET STORAGE EXTERNAL",
        """
        CREATE TABLE clips (
            id bigint PRIMARY KEY,
            video_id bigint NOT NULL REFERENCES videos (id) ON DELETE CASCADE,
            start_time float8 NOT NULL, end_time float8 NOT NULL, first_frame bigint NOT NULL,
            last_frame bigint NOT NULL, vector halfvec({dim}) NOT NULL
        )
        """,
        "CREATE INDEX clips_times ON clips"
        " (video_id, start_time, end_time, first_frame, last_frame, id)",
        """
        CREATE TABLE tags (
            video_id bigint NOT NULL REFERENCES videos (id) ON DELETE CASCADE, tag text NOT NULL,
            PRIMARY KEY (video_id, tag)
        )
        """,
        "CREATE INDEX tags_tag ON tags (tag)",
    ),
    # A row of cues also holds the words of its passage: its own, and those of the next where it
    # goes on in that.
    (
        """
        CREATE TABLE texts (
            video_id bigint NOT NULL REFERENCES videos (id) ON DELETE CASCADE,
            source text NOT NULL, stamp text NOT NULL, passages bigint NOT NULL,
            words bigint NOT NULL, PRIMARY KEY (video_id, source)
        )
        """,
        """
        CREATE TABLE cues (
            video_id bigint NOT NULL, source text NOT NULL, number bigint NOT NULL,
            start_time float8 NOT NULL, end_time float8 NOT NULL, text text NOT NULL,
            goes_on boolean NOT NULL, words tsvector NOT NULL,
            PRIMARY KEY (video_id, source, number),
            FOREIGN KEY (video_id, source) REFERENCES texts (video_id, source) ON DELETE CASCADE
        )
        """,
        "CREATE INDEX cues_words ON cues USING gin (words)",
    ),
    # From here on regions may be coded (vsr_edge/store/region_codes.py).
    (),
)

SCHEMA_VERSION = len(STEPS)
