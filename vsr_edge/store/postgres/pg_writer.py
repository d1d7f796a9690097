"""Writing: many at once, one short transaction a video.

What is on its way in waits in a file of this machine, in the form in which COPY takes it. So no
transaction is open while a video is decoded, and one that is cut short, by a server that restarts,
is made again.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, TypeVar

import psycopg
from psycopg import sql

from vsr_edge.errors import ArchiveLocked, printable
from vsr_edge.store.base import Texts
from vsr_edge.store.entry import Entry
from vsr_edge.store.postgres.pg_connection import (
    Address,
    Connection,
    connect_again,
    is_lost,
    is_passing,
    key_of,
    lift_limits,
    names,
    translate_errors,
)
from vsr_edge.store.postgres.pg_rows import (
    copy_rows,
    fetch,
    halfvec,
    path_bytes,
    real,
    row_of,
    whole,
)
from vsr_edge.store.postgres.pg_texts import checked, write_cues
from vsr_edge.store.recoding import recode
from vsr_edge.store.rows import video_values
from vsr_edge.types import (
    ClipWindow,
    Correction,
    FrameFeatures,
    HalfVectors,
    Recorded,
    Regions,
    Sampling,
    Seconds,
    TextSource,
    Video,
)

Made = TypeVar("Made")

_TRIES = 4
# A video on its way in is kept in memory up to this.
_IN_MEMORY = 16 << 20
# So that open readers know that clips, or what filters ask of videos, have changed. Every writer
# changes this row: last, so that none waits long for another.
_NEXT_GENERATION = "UPDATE meta SET generation = generation + 1"
_TAG = "INSERT INTO tags (video_id, tag) VALUES (%s, %s) ON CONFLICT DO NOTHING"


class ServerConnection:
    """A connection to write with, which comes again when it breaks.

    It holds a lock as long as it lives: writers share it, and who has the archive replaced has it
    alone. ``schemas`` is where tables are looked for, the generation's first.
    """

    def __init__(self, address: Address, schemas: Sequence[str], *, alone: bool) -> None:
        self.address = address
        self._schemas = schemas
        self._alone = alone
        self._connection: Connection | None = None
        self._open()

    def _open(self) -> Connection:
        connection = connect_again(self.address)
        try:
            with translate_errors(self.address):
                connection.execute(sql.SQL("SET search_path TO {}").format(names(*self._schemas)))
                lift_limits(connection)
                # Writing a video waits for another's transaction, not for ever.
                connection.execute("SET lock_timeout = '60s'")
                shared = "" if self._alone else "_shared"
                key = key_of("archive", self._schemas[0])
                row = connection.execute(
                    f"SELECT pg_try_advisory_lock{shared}(%s)", [key]
                ).fetchone()
        except BaseException:
            connection.close()
            raise
        if row is None or not row[0]:
            connection.close()
            raise ArchiveLocked(
                f"{self.address.shown} is being written by another process"
                f"{'' if self._alone else ', which re-indexes it'}: wait until it has finished, or "
                "stop it"
            )
        self._connection = connection
        return connection

    @property
    def locked(self) -> Connection:
        """The connection that holds the lock: who works on it has the lock, or an error."""
        assert self._connection is not None
        return self._connection

    def run(self, change: Callable[[Connection], Made]) -> Made:
        """One transaction, made again if it fails by no fault of its own."""
        with translate_errors(self.address):
            for tries_left in reversed(range(_TRIES)):
                connection = self._connection
                try:
                    if connection is None or connection.closed:
                        connection = self._open()
                    with connection.transaction():
                        return change(connection)
                except psycopg.Error as error:
                    if not tries_left or not is_passing(error):
                        raise
                    if is_lost(error) and connection is not None:
                        connection.close()
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # A server ends a session, and with it its locks, some time after its client has gone.
            with suppress(psycopg.Error):
                connection.rollback()
                connection.execute("SELECT pg_advisory_unlock_all()")
            connection.close()


class ServerWriter:
    """The writer of an archive on a server; the store hands it out."""

    def __init__(self, connection: ServerConnection, dim: int) -> None:
        self._connection = connection
        self._dim = dim
        self._entry: ServerVideoWriter | None = None

    def begin(
        self,
        video: Video,
        sampling: Sampling,
        *,
        recorded: Recorded | None = None,
        tags: Iterable[str] = (),
    ) -> ServerVideoWriter:
        if self._entry is not None and self._entry.is_open:
            raise RuntimeError("the video before this one was neither finished nor given up")
        values = video_values(video, sampling) | {"path": path_bytes(video.path)}
        if recorded is not None:
            values |= {"recorded_at": recorded.at, "recorded_from": recorded.source}
        self._entry = ServerVideoWriter(self._connection, self._dim, sampling.regions, values, tags)
        return self._entry

    def rename(self, video_id: int, path: Path, *, size_bytes: int, modified_ns: int) -> None:
        def change(connection: Connection) -> None:
            named = path_bytes(path)
            _lock_path(connection, named)
            connection.execute(
                "DELETE FROM videos WHERE sha256(path) = sha256(%s) AND id <> %s",
                [named, video_id],
            )
            connection.execute(
                "UPDATE videos SET path = %s, size_bytes = %s, modified_ns = %s WHERE id = %s",
                [named, size_bytes, modified_ns, video_id],
            )
            connection.execute(_NEXT_GENERATION)

        self._connection.run(change)

    def touch(self, video_id: int, *, size_bytes: int, modified_ns: int) -> None:
        def change(connection: Connection) -> None:
            connection.execute(
                "UPDATE videos SET size_bytes = %s, modified_ns = %s WHERE id = %s",
                [size_bytes, modified_ns, video_id],
            )
            connection.execute(_NEXT_GENERATION)

        self._connection.run(change)

    def record(self, times: Mapping[int, Recorded]) -> None:
        rows = [(*recorded, video_id) for video_id, recorded in times.items()]

        def change(connection: Connection) -> None:
            with connection.cursor() as cursor:
                cursor.executemany(
                    "UPDATE videos SET recorded_at = %s, recorded_from = %s WHERE id = %s", rows
                )
            connection.execute(_NEXT_GENERATION)

        self._connection.run(change)

    def tag(
        self, video_ids: Iterable[int], add: Iterable[str] = (), drop: Iterable[str] = ()
    ) -> None:
        ids, added, dropped = sorted(video_ids), list(add), list(drop)

        def change(connection: Connection) -> None:
            for tag in added:
                connection.execute(
                    "INSERT INTO tags (video_id, tag) SELECT id, %s FROM videos"
                    " WHERE id = ANY(%s::bigint[]) ON CONFLICT DO NOTHING",
                    [tag, ids],
                )
            connection.execute(
                "DELETE FROM tags WHERE video_id = ANY(%s::bigint[]) AND tag = ANY(%s::text[])",
                [ids, dropped],
            )
            connection.execute(_NEXT_GENERATION)

        self._connection.run(change)

    def recode(self, video_id: int, code: Regions) -> None:
        def change(connection: Connection) -> None:
            recode(connection.cursor(), "%s", video_id, code, self._dim)
            connection.execute(_NEXT_GENERATION)

        self._connection.run(change)

    def compact(self) -> None:
        """The server does, and fills what is free by new rows."""

    def remove(self, video_ids: Iterable[int]) -> int:
        ids = sorted(video_ids)

        def change(connection: Connection) -> int:
            delete = "DELETE FROM videos WHERE id = ANY(%s::bigint[])"
            removed = connection.execute(delete, [ids]).rowcount
            if removed:
                connection.execute(_NEXT_GENERATION)
            return removed

        return self._connection.run(change)

    def correct(self, name: str, correction: Correction | None) -> None:
        self._connection.run(lambda connection: write_correction(connection, name, correction))

    def set_texts(self, video_id: int, source: TextSource, texts: Texts | None) -> None:
        checked(texts)
        self._connection.run(lambda connection: write_cues(connection, video_id, source, texts))


class ServerVideoWriter(Entry):
    """One video, which waits here until it is whole."""

    def __init__(
        self,
        connection: ServerConnection,
        dim: int,
        code: Regions,
        values: dict[str, Any],
        tags: Iterable[str],
    ) -> None:
        super().__init__(dim, code)
        self._connection = connection
        self._values = values
        self._tags = frozenset(tags)
        self._video_id = connection.run(
            lambda connected: int(fetch(connected, "SELECT nextval('video_ids')")[0][0])
        )
        self._spooled = [_spool(), _spool()]

    @property
    def is_open(self) -> bool:
        """Whether it is neither finished nor given up."""
        return self._open

    def _write(self, frames: FrameFeatures, full: Sequence[bool], regions: Sequence[bytes]) -> None:
        video_id = whole(self._video_id)
        in_frames, in_regions = self._spooled
        following = iter(regions)
        for place, is_full in enumerate(full):
            number = whole(self._frames + place)
            vector = frames.vectors[place].tobytes() if is_full else b""
            in_frames.write(row_of(video_id, number, real(float(frames.times[place])), vector))
            if is_full and regions:
                in_regions.write(row_of(video_id, number, next(following)))

    def _commit(
        self,
        clips: Sequence[ClipWindow],
        vectors: HalfVectors,
        duration: Seconds | None,
        partial: str | None,
    ) -> int:
        values = self._values | {
            "id": self._video_id,
            "frame_count": self._frames,
            "clip_count": len(clips),
            "region_count": self._region_count or 0,
            "partial": None if partial is None else printable(partial),
            "indexed_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        if duration is not None:
            values["duration"] = duration
        ids = self._connection.run(lambda connection: _clip_ids(connection, len(clips)))
        self._connection.run(
            lambda connection: self._store(connection, values, ids, clips, vectors)
        )
        self._close()
        return self._video_id

    def _store(
        self,
        connection: Connection,
        values: Mapping[str, Any],
        ids: Sequence[int],
        clips: Sequence[ClipWindow],
        vectors: HalfVectors,
    ) -> None:
        path = values["path"]
        _lock_path(connection, path)
        if fetch(connection, "SELECT 1 FROM videos WHERE id = %s", [self._video_id]):
            return  # the connection broke after all was stored
        former = fetch(
            connection,
            "SELECT tag FROM tags JOIN videos ON id = video_id"
            " WHERE sha256(path) = sha256(%s) AND fingerprint = %s",
            [path, values["fingerprint"]],
        )
        connection.execute("DELETE FROM videos WHERE sha256(path) = sha256(%s)", [path])
        connection.execute(
            f"INSERT INTO videos ({', '.join(values)}) VALUES ({', '.join(['%s'] * len(values))})",
            list(values.values()),
        )
        in_frames, in_regions = self._spooled
        copy_rows(connection, "frames (video_id, number, time, vector)", in_frames)
        if self._region_count:
            copy_rows(connection, "regions (video_id, number, vectors)", in_regions)
        with _spool() as spooled:
            for clip_id, w, v in zip(ids, clips, vectors, strict=True):
                spooled.write(
                    row_of(
                        *(whole(clip_id), whole(self._video_id), real(w.start), real(w.end)),
                        *(whole(w.first), whole(w.last), halfvec(v)),
                    )
                )
            columns = "id, video_id, start_time, end_time, first_frame, last_frame, vector"
            copy_rows(connection, f"clips ({columns})", spooled)
        with connection.cursor() as cursor:
            every = {*(tag for (tag,) in former), *self._tags}
            cursor.executemany(_TAG, [(self._video_id, tag) for tag in sorted(every)])
        connection.execute(_NEXT_GENERATION)

    def _give_up(self) -> None:
        self._close()

    def _close(self) -> None:
        for spooled in self._spooled:
            spooled.close()


def write_correction(connection: Connection, name: str, correction: Correction | None) -> None:
    """As :meth:`vsr_edge.store.base.Writer.correct`, inside its transaction."""
    connection.execute("DELETE FROM corrections WHERE name = %s", [name])
    if correction is not None:
        content = json.dumps(asdict(correction))
        connection.execute("INSERT INTO corrections VALUES (%s, %s)", [name, content])


def _spool() -> IO[bytes]:
    return tempfile.SpooledTemporaryFile(_IN_MEMORY)


def _clip_ids(connection: Connection, count: int) -> list[int]:
    """So many numbers one after the other, which no other writer takes some of in between: what is
    where in the archive is known then from the first of each video. In a transaction of its own.
    """
    connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(current_schema(), %s))", [key_of("clips")]
    )
    given = "SELECT nextval('clip_ids') FROM generate_series(1, %s::bigint)"
    return sorted(one for (one,) in fetch(connection, given, [count]))


def _lock_path(connection: Connection, path: bytes) -> None:
    """One writer a video: another that has the same waits until this transaction has ended."""
    connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(current_schema(), %s))",
        [key_of("video", path)],
    )
