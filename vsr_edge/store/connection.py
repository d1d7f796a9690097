"""Opening the SQLite file, and what its errors mean to the user."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vsr_edge.errors import ArchiveDamaged, ArchiveError, ArchiveLocked

DATABASE_FILE = "archive.db"

# A clip's row is a little over 1 KiB at 512 dimensions: seven fit in 8 KiB, three in the default
# 4 KiB.
PAGE_BYTES = 8192
_BUSY_SECONDS = 10.0
_WAL_LIMIT_BYTES = 64 << 20


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


def connect_read_only(database: Path) -> sqlite3.Connection:
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


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours, saying what to do."""
    try:
        yield
    except sqlite3.Error as error:
        if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
            raise
        raise _explain(folder, error) from error


def _explain(folder: Path, error: sqlite3.Error) -> ArchiveError:
    # A vector of the wrong length is found by us, and has no code.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    if code == sqlite3.SQLITE_READONLY_DBMOVED:
        return moved(folder)
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


def is_writable(folder: Path) -> bool:
    """Whether this process may change the archive's files."""
    return os.access(folder, os.W_OK) and os.access(folder / DATABASE_FILE, os.W_OK)
