"""Making, opening and upgrading an archive's folder."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from vsr_edge.errors import ArchiveError, ArchiveNotFound
from vsr_edge.store.connection import (
    DATABASE_FILE,
    PAGE_BYTES,
    connect,
    connect_read_only,
    explained,
    is_writable,
    transaction,
)
from vsr_edge.store.lock import UPKEEP, WriterLock

# "VSRE": lets `file` and any other program tell an archive from other SQLite files.
APPLICATION_ID = 0x56535245

# The number of the last step in migrations.py.
SCHEMA_VERSION = 3


def create_archive(folder: Path, bundle_id: str, dim: int, *, page_bytes: int = PAGE_BYTES) -> None:
    """Make an empty archive where there is none, or finish making it."""
    database = folder / DATABASE_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArchiveError(
            f"{folder} cannot be made ({error.strerror}): choose another folder"
        ) from error
    if database.exists() and _has_meta(folder):
        return
    with WriterLock(folder, UPKEEP), explained(folder):
        connection = connect(database, create=True, page_bytes=page_bytes)
        try:
            if _version(connection, folder) < SCHEMA_VERSION:
                _migrate(connection)
            with transaction(connection, write=True):
                connection.execute(
                    "INSERT OR IGNORE INTO meta (id, bundle_id, dim, created_at)"
                    " VALUES (1, ?, ?, ?)",
                    [bundle_id, dim, datetime.now(UTC).isoformat(timespec="seconds")],
                )
        finally:
            connection.close()


def _has_meta(folder: Path) -> bool:
    try:
        connection, _ = open_archive(folder)
    except ArchiveNotFound:
        return False
    try:
        with explained(folder):
            row = connection.execute("SELECT EXISTS (SELECT 1 FROM meta)").fetchone()
            return bool(row[0])
    finally:
        connection.close()


def open_archive(folder: Path) -> tuple[sqlite3.Connection, bool]:
    """A connection to an archive of the present schema, and whether it is read-only."""
    database = folder / DATABASE_FILE
    if not database.is_file():
        raise not_found(folder)
    read_only = not is_writable(folder)
    with explained(folder):
        connection = connect_read_only(database) if read_only else connect(database)
        try:
            version = _version(connection, folder)
            if version == 0:
                raise not_found(folder)
            if version < SCHEMA_VERSION:
                _upgrade(connection, folder, read_only)
        except BaseException:
            connection.close()
            raise
    return connection, read_only


def _upgrade(connection: sqlite3.Connection, folder: Path, read_only: bool) -> None:
    if read_only:
        raise ArchiveError(
            f"{folder} was written by an older version and cannot be changed here: open it once "
            "where it can be written"
        )
    with WriterLock(folder, UPKEEP):
        if _version(connection, folder) < SCHEMA_VERSION:
            _migrate(connection)


def _migrate(connection: sqlite3.Connection) -> None:
    # sqlite-utils takes 0.2 s to import, which a search in an archive that is up to date should
    # not pay.
    from vsr_edge.store.migrations import migrate

    migrate(connection)


def _version(connection: sqlite3.Connection, folder: Path) -> int:
    """The archive's schema; 0 for a file that nothing was written to yet."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if application != APPLICATION_ID and (tables or version) and not _unfinished(connection):
        raise ArchiveError(
            f"{folder / DATABASE_FILE} belongs to another program: choose another folder"
        )
    if version > SCHEMA_VERSION:
        raise ArchiveError(
            f"{folder} was written by a newer version of vsr-edge (schema {version}, this one "
            f"knows {SCHEMA_VERSION}): update vsr-edge, or index into another folder"
        )
    return version


def _unfinished(connection: sqlite3.Connection) -> bool:
    """Whether creation was interrupted between making the table of steps and the first step."""
    rows = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    return {row[0] for row in rows} <= {"_sqlite_migrations"}


def not_found(folder: Path) -> ArchiveNotFound:
    return ArchiveNotFound(
        f"{folder} holds no archive yet: index some videos into it first with `vsr-edge index "
        "FOLDER`, or name another archive with --archive"
    )
