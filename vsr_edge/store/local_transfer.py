"""Rows out of an archive's folder, and into one that is not an archive yet."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from vsr_edge.errors import ArchiveDamaged, ArchiveError, UsageError
from vsr_edge.store.connection import (
    DATABASE_FILE,
    MIGRATING_FILE,
    check_version,
    connect,
    encoded_with,
    make_folder,
    not_found,
    open_archive,
    sync,
    transaction,
    translate_errors,
)
from vsr_edge.store.corrections import read_corrections, write_corrections
from vsr_edge.store.lock import WriterLock
from vsr_edge.store.migrations import SCHEMA_VERSION, migrate
from vsr_edge.store.snapshot import tidy_vectors
from vsr_edge.store.texts import put_texts
from vsr_edge.store.transfer import (
    PATH_AT,
    SOME_ROWS,
    VIDEO_ROW,
    Head,
    Kind,
    Row,
    Rows,
    other_bundle,
    texts_of,
    unfit,
)

_VIDEOS = ", ".join(VIDEO_ROW).replace("path", "CAST(path AS BLOB)", 1)
_WITHIN = "WHERE video_id BETWEEN ? AND ?"
_READ: dict[Kind, str] = {
    "videos": f"SELECT {_VIDEOS} FROM videos WHERE id BETWEEN ? AND ? ORDER BY id",
    "frames": f"SELECT video_id, number, time, vector FROM frames {_WITHIN}"
    " ORDER BY video_id, number",
    "regions": f"SELECT video_id, number, vectors FROM regions {_WITHIN} ORDER BY video_id, number",
    "clips": "SELECT video_id, id, start_time, end_time, first_frame, last_frame, vector"
    f" FROM clips {_WITHIN} ORDER BY video_id, id",
    "tags": f"SELECT video_id, tag FROM tags {_WITHIN} ORDER BY video_id, tag",
    "texts": f"SELECT video_id, source, stamp FROM texts {_WITHIN} ORDER BY video_id, source",
    "cues": "SELECT video_id, source,"
    " row_number() OVER (PARTITION BY video_id, source ORDER BY id) - 1, start_time, end_time,"
    f" text FROM cues {_WITHIN} ORDER BY video_id, source, id",
}
_WRITTEN: dict[Kind, str] = {
    "videos": f"videos ({', '.join(VIDEO_ROW)})",
    "frames": "frames (video_id, number, time, vector)",
    "regions": "regions (video_id, number, vectors)",
    "clips": "clips (video_id, id, start_time, end_time, first_frame, last_frame, vector)",
    "tags": "tags (video_id, tag)",
}


class LocalRows:
    """:class:`vsr_edge.store.transfer.StoredRows` of SQLite."""

    def __init__(
        self,
        folder: Path,
        connection: sqlite3.Connection,
        errors: Callable[[Path], AbstractContextManager[None]] = translate_errors,
    ) -> None:
        self._folder = folder
        self._connection = connection
        self._errors = errors

    def head(self) -> Head:
        with self._errors(self._folder):
            row = self._connection.execute(
                "SELECT bundle_id, dim, created_at, generation FROM meta"
            ).fetchone()
            given = dict(self._connection.execute("SELECT name, seq FROM sqlite_sequence"))
        bundle_id, dim, created_at, generation = row
        numbers = (given.get("videos", 0), given.get("clips", 0))
        corrections = read_corrections(self._folder)
        return Head(bundle_id, dim, created_at, generation, *numbers, corrections)

    def videos(self) -> list[tuple[int, int]]:
        with self._errors(self._folder):
            return self._connection.execute(
                "SELECT id, frame_count + clip_count FROM videos ORDER BY id"
            ).fetchall()

    def read(self, kind: Kind, first: int, last: int) -> Rows:
        with self._errors(self._folder):
            if not self._has(kind):
                return
            with closing(self._connection.execute(_READ[kind], [first, last])) as cursor:
                while rows := cursor.fetchmany(SOME_ROWS):
                    yield rows

    def _has(self, kind: Kind) -> bool:
        """One of an earlier version, where nothing can be written, lacks some."""
        sql = (
            "SELECT 1 FROM sqlite_schema WHERE name = ?"
            " UNION ALL SELECT 1 FROM sqlite_temp_schema WHERE name = ?"
        )
        return self._connection.execute(sql, [kind, kind]).fetchone() is not None


@contextmanager
def local_rows(folder: Path, *, alone: bool) -> Iterator[LocalRows]:
    """As :func:`vsr_edge.store.transfer_places.stored_rows`."""
    connection, read_only = open_archive(folder)
    with ExitStack() as stack:
        stack.enter_context(closing(connection))
        if alone and not read_only:
            stack.enter_context(WriterLock(folder))
        with translate_errors(folder):
            connection.execute("BEGIN")
            if encoded_with(connection) is None:
                raise not_found(folder)
        yield LocalRows(folder, connection)


class LocalStaging:
    """:class:`vsr_edge.store.transfer.Staging` in a folder, whose lock the caller holds."""

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self._folder = folder
        self._connection = connection
        self.rows = LocalRows(folder, connection, _errors)
        with _errors(folder):
            table = "SELECT 1 FROM sqlite_schema WHERE name = 'migration'"
            there = connection.execute(table).fetchone() is not None
            self.came_from: str | None = (
                connection.execute("SELECT came_from FROM migration").fetchone()[0]
                if there
                else None  # it was sealed, and then killed
            )

    def put(self, first: int, last: int, read: Callable[[Kind], Rows]) -> None:
        delete = "DELETE FROM videos WHERE id BETWEEN ? AND ?"
        try:
            with _errors(self._folder), transaction(self._connection, write=True):
                self._connection.execute(delete, [first, last])
                for kind in _WRITTEN:
                    for rows in read(kind):
                        self._insert(kind, rows)
                self._put_texts(read)
        except sqlite3.IntegrityError as error:
            raise unfit(first, last, error) from error

    def _insert(self, kind: Kind, rows: Iterable[Row]) -> None:
        if kind == "videos":
            rows = [tuple(_path(v) if i == PATH_AT else v for i, v in enumerate(r)) for r in rows]
            paths = [(row[PATH_AT],) for row in rows]
            # Of another id, if the archive that is copied was changed in between.
            self._connection.executemany("DELETE FROM videos WHERE path = ?", paths)
        values = ", ".join("?" * (_WRITTEN[kind].count(",") + 1))
        self._connection.executemany(f"INSERT INTO {_WRITTEN[kind]} VALUES ({values})", rows)

    def _put_texts(self, read: Callable[[Kind], Rows]) -> None:
        for video, source, texts in texts_of(read):
            put_texts(self._connection, video, source, texts)

    def forget(self, video_ids: Iterable[int]) -> None:
        with _errors(self._folder), transaction(self._connection, write=True):
            self._connection.executemany(
                "DELETE FROM videos WHERE id = ?", [(one,) for one in video_ids]
            )

    def put_head(self, head: Head) -> None:
        with _errors(self._folder), transaction(self._connection, write=True):
            self._connection.execute(
                "UPDATE meta SET created_at = ?, generation = ?", [head.created_at, head.generation]
            )
            for table, last in (("videos", head.last_video), ("clips", head.last_clip)):
                self._connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", [table])
                if last:
                    self._connection.execute(
                        "INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", [table, last]
                    )
        write_corrections(self._folder, head.corrections)

    def seal(self) -> None:
        database, staged = self._folder / DATABASE_FILE, self._folder / MIGRATING_FILE
        with _errors(self._folder):
            with transaction(self._connection, write=True):
                self._connection.execute("DROP TABLE IF EXISTS migration")
            busy, *_ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            self._connection.close()
        log = staged.with_name(f"{staged.name}-wal")
        # Without its log it would lack rows, by its new name.
        if busy or (log.exists() and log.stat().st_size):
            raise ArchiveError(
                f"{staged} is open in another program: close that, then run the same command again"
            )
        if database.exists():
            raise _taken(self._folder)
        sync(staged)
        staged.rename(database)
        sync(self._folder)
        for end in ("-wal", "-shm"):
            staged.with_name(f"{staged.name}{end}").unlink(missing_ok=True)

    def bring_up(self) -> list[str]:
        _, dim = self._of_archive()
        return tidy_vectors(self._folder, dim)

    def _of_archive(self) -> tuple[str, int]:
        opened, _ = open_archive(self._folder)
        with _errors(self._folder), closing(opened) as connection:
            present = encoded_with(connection)
        assert present is not None
        return present


@contextmanager
def local_staging(
    folder: Path, bundle_id: str, dim: int, came_from: str, *, restart: bool
) -> Iterator[LocalStaging]:
    """As :func:`vsr_edge.store.transfer_places.staging`."""
    make_folder(folder)
    with WriterLock(folder):
        if (folder / DATABASE_FILE).exists():
            raise _taken(folder)
        staged = folder / MIGRATING_FILE
        if restart:
            for end in ("-wal", "-shm", ""):
                staged.with_name(f"{staged.name}{end}").unlink(missing_ok=True)
        with _errors(folder):
            connection = connect(staged, create=True)
        with closing(connection):
            with _errors(folder):
                _prepare(connection, staged, bundle_id, dim, came_from)
            yield LocalStaging(folder, connection)


@contextmanager
def _errors(folder: Path) -> Iterator[None]:
    """Of a copy that is not whole nothing is lost."""
    try:
        yield
    except sqlite3.Error as error:
        try:
            with translate_errors(folder):
                raise
        except ArchiveDamaged:
            raise ArchiveDamaged(
                f"{folder / MIGRATING_FILE} is damaged ({error}): run the same command again with "
                "--restart, which throws it away; the archive that is copied is as it was"
            ) from error


def _prepare(
    connection: sqlite3.Connection, staged: Path, bundle_id: str, dim: int, came_from: str
) -> None:
    if check_version(connection, staged) < SCHEMA_VERSION:
        migrate(connection)
    with transaction(connection, write=True):
        present = encoded_with(connection)
        if present is None:
            connection.execute("CREATE TABLE migration (came_from TEXT NOT NULL)")
            connection.execute("INSERT INTO migration VALUES (?)", [came_from])
            connection.execute(
                "INSERT INTO meta (id, bundle_id, dim, created_at) VALUES (1, ?, ?, ?)",
                [bundle_id, dim, datetime.now(UTC).isoformat(timespec="seconds")],
            )
        elif present != (bundle_id, dim):
            raise other_bundle(staged.parent, present[0], bundle_id)


def _taken(folder: Path) -> UsageError:
    return UsageError(f"{folder} holds another archive: name a folder that holds none")


def _path(stored: bytes) -> str | bytes:
    """As :func:`vsr_edge.store.rows.path_value`."""
    try:
        return stored.decode("utf-8")
    except UnicodeDecodeError:
        return stored
