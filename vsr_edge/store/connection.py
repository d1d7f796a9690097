"""The SQLite file: making, opening and upgrading it, and what its errors mean to the user."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from vsr_edge.errors import ArchiveDamaged, ArchiveError, ArchiveLocked, ArchiveNotFound
from vsr_edge.store.lock import UPKEEP, WriterLock
from vsr_edge.store.migrations import (
    APPLICATION_ID,
    READABLE_BY,
    READABLE_VERSION,
    SCHEMA_VERSION,
    migrate,
)

DATABASE_FILE = "archive.db"
# A copy of another archive that is not whole yet: by this name nobody opens it as one.
MIGRATING_FILE = "archive.db.migrating"

# A clip's row is a little over 1 KiB at 512 dimensions: seven fit in 8 KiB, three in the default
# 4 KiB.
PAGE_BYTES = 8192
_BUSY_SECONDS = 10.0
_WAL_LIMIT_BYTES = 64 << 20


def make_folder(folder: Path) -> None:
    """Make the folder of an archive, unless it is there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArchiveError(
            f"{folder} cannot be made ({error.strerror}): choose another folder"
        ) from error


def sync(path: Path) -> None:
    """Wait until a file, or which entries a folder has, outlives a power cut."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def create_archive(folder: Path, bundle_id: str, dim: int, *, page_bytes: int = PAGE_BYTES) -> None:
    """Make an empty archive where there is none, or finish making it."""
    database = folder / DATABASE_FILE
    make_folder(folder)
    if database.exists() and _is_made(folder):
        return
    if (folder / MIGRATING_FILE).exists():
        raise unfinished_copy(folder)
    with (
        WriterLock(folder, UPKEEP),
        translate_errors(folder),
        closing(connect(database, create=True, page_bytes=page_bytes)) as connection,
    ):
        if check_version(connection, folder) < SCHEMA_VERSION:
            migrate(connection)
        with transaction(connection, write=True):
            connection.execute(
                "INSERT OR IGNORE INTO meta (id, bundle_id, dim, created_at) VALUES (1, ?, ?, ?)",
                [bundle_id, dim, datetime.now(UTC).isoformat(timespec="seconds")],
            )


def _is_made(folder: Path) -> bool:
    try:
        connection, _ = open_archive(folder)
    except ArchiveNotFound:
        return False
    with closing(connection), translate_errors(folder):
        return encoded_with(connection) is not None


def open_archive(folder: Path) -> tuple[sqlite3.Connection, bool]:
    """A connection to an archive of the present schema, and whether it is read-only."""
    database = folder / DATABASE_FILE
    if not database.is_file():
        raise not_found(folder)
    read_only = not (os.access(folder, os.W_OK) and os.access(database, os.W_OK))
    with translate_errors(folder):
        connection = _connect_read_only(database) if read_only else connect(database)
        try:
            version = check_version(connection, folder)
            if version == 0:
                raise not_found(folder)
            if version < SCHEMA_VERSION:
                _upgrade(connection, folder, version, read_only)
        except BaseException:
            connection.close()
            raise
    return connection, read_only


def open_to_copy(folder: Path) -> sqlite3.Connection:
    """A connection to an archive of this version or an earlier one, which it stays."""
    database = folder / DATABASE_FILE
    if not database.is_file():
        raise not_found(folder)
    with translate_errors(folder):
        connection = _connect_read_only(database)
        try:
            if check_version(connection, folder) == 0:
                raise not_found(folder)
        except BaseException:
            connection.close()
            raise
    return connection


def connect(
    database: Path, *, create: bool = False, page_bytes: int = PAGE_BYTES
) -> sqlite3.Connection:
    """Open for reading and writing; nothing begins or commits a transaction by itself.

    ``page_bytes`` only counts for a file that is still empty.
    """
    connection = _connect(database, "rwc" if create else "rw")
    try:
        if create:
            # Both only take effect on an empty file, outside a transaction.
            connection.execute(f"PRAGMA page_size = {page_bytes}")
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA foreign_keys = ON")
        # One sync a video: what was reported as indexed is still there after a power cut.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_to_look(database: Path) -> sqlite3.Connection:
    """Open for a look at an archive of whatever version; nothing of it is changed or made."""
    return _connect(database, "ro")


def _connect_read_only(database: Path) -> sqlite3.Connection:
    """Open where nothing can be written, such as a read-only medium."""
    connection = _connect(database, "ro")
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.OperationalError:
        connection.close()
    else:
        return connection
    # A database in WAL mode wants its -shm file beside it. Where that cannot be made, nobody
    # writes either, and the file may be read as it is, unless a log holds changes that it lacks.
    log = database.with_name(database.name + "-wal")
    if log.is_file() and log.stat().st_size:
        raise ArchiveError(
            f"{database.parent} was copied while it was written and cannot be changed here: "
            "open it once where it can be written, then copy the folder again"
        )
    return _connect(database, "ro&immutable=1")


def _connect(database: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{database.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )


def _upgrade(connection: sqlite3.Connection, folder: Path, version: int, read_only: bool) -> None:
    if read_only and version < READABLE_VERSION:
        raise ArchiveError(
            f"{folder} was written by an older version and cannot be changed here: open it once "
            "where it can be written"
        )
    if read_only:
        connection.execute("PRAGMA temp_store = MEMORY")
        for step, statements in READABLE_BY.items():
            for statement in statements if step > version else ():
                connection.execute(statement)
        return
    with WriterLock(folder, UPKEEP):
        if check_version(connection, folder) < SCHEMA_VERSION:
            migrate(connection)


def check_version(connection: sqlite3.Connection, folder: Path) -> int:
    """The archive's schema; 0 for a file that nothing was written to yet."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
    # Creation may have been interrupted between making the table of steps and the first step.
    begun = {row[0] for row in tables} <= {"_sqlite_migrations"}
    if application != APPLICATION_ID and not begun:
        raise ArchiveError(
            f"{folder / DATABASE_FILE} belongs to another program: choose another folder"
        )
    if version > SCHEMA_VERSION:
        raise ArchiveError(
            f"{folder} was written by a newer version of vsr-edge (schema {version}, this one "
            f"knows {SCHEMA_VERSION}): update vsr-edge, or index into another folder"
        )
    return version


@contextmanager
def transaction(connection: sqlite3.Connection, *, write: bool) -> Iterator[sqlite3.Connection]:
    """One transaction; reading inside sees one state of the archive whatever others write."""
    # IMMEDIATE: a transaction that begins by reading and then writes can fail half-way with "busy".
    connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def encoded_with(connection: sqlite3.Connection) -> tuple[str, int] | None:
    """The bundle of an archive and its dimension D; None while the archive is being made."""
    row = connection.execute("SELECT bundle_id, dim FROM meta").fetchone()
    return None if row is None else (str(row[0]), int(row[1]))


def generation(connection: sqlite3.Connection) -> int:
    """A number that grows with each change of clips, or of what filters ask of videos."""
    return int(connection.execute("SELECT generation FROM meta").fetchone()[0])


@contextmanager
def translate_errors(folder: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours, saying what to do."""
    try:
        yield
    except sqlite3.Error as error:
        if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
            raise
        raise _translated(folder, error) from error


def _translated(folder: Path, error: sqlite3.Error) -> ArchiveError:
    # A vector of the wrong length is found by us, and has no code.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    if code == sqlite3.SQLITE_READONLY_DBMOVED:
        return moved(folder)
    if "no such module: fts5" in str(error):
        return ArchiveError(
            f"the SQLite of this Python ({sqlite3.sqlite_version}) was built without FTS5, which "
            f"{folder} needs for words: use another build of Python, such as python.org's"
        )
    code &= 0xFF
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}:
        return damaged(folder, str(error))
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return ArchiveLocked(f"{folder} is busy in another process: try again in a moment")
    if code == sqlite3.SQLITE_FULL:
        return ArchiveError(f"the disk of {folder} is full: free some space and run it again")
    if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}:
        return ArchiveError(f"{folder} cannot be written: change its permissions")
    return ArchiveError(
        f"{folder / DATABASE_FILE} cannot be used ({error}): make sure that the folder lies on a "
        "local disk and that you may read it"
    )


def not_found(folder: Path) -> ArchiveNotFound:
    """The error for a folder without an archive."""
    if (folder / MIGRATING_FILE).exists():
        return unfinished_copy(folder)
    return ArchiveNotFound(
        f"{folder} holds no archive yet: index some videos into it first with `vsr-edge index "
        "FOLDER`, or name another archive with --archive"
    )


def unfinished_copy(where: object) -> ArchiveNotFound:
    """The error for what is not an archive yet, but a copy of one on its way."""
    return ArchiveNotFound(
        f"{where} holds a migration that has not finished, and no archive yet: run the same "
        "`vsr-edge migrate` again, or name another archive with --archive"
    )


def damaged(folder: Path, reason: str) -> ArchiveDamaged:
    """The error for a database that cannot be trusted."""
    return ArchiveDamaged(
        f"{folder / DATABASE_FILE} is damaged ({reason}): restore it from a copy, or delete "
        f"{folder} and index the videos again; the videos themselves are not affected"
    )


def moved(folder: Path) -> ArchiveError:
    """The error for a database that was taken away while it was open."""
    return ArchiveError(
        f"{folder} was removed or replaced while it was written, and what was stored is lost with "
        "it: run the same command again"
    )
