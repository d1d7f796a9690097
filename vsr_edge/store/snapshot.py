"""One state of an archive, copied while others read and write it; and put in another's place.

Rows are copied by SQLite's online backup inside one read transaction: what is committed meanwhile
does not make it begin anew, as it would if pages alone were copied. The vector file is opened in
the same transaction, before its name can go; it is only ever appended to, so that the bytes which
that state speaks of stay what they are.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vsr_edge.config import usable_threads
from vsr_edge.errors import ArchiveDamaged, ArchiveError
from vsr_edge.store.check import check_rows
from vsr_edge.store.connection import (
    DATABASE_FILE,
    connect,
    encoded_with,
    generation,
    not_found,
    open_archive,
    open_to_copy,
    transaction,
    translate_errors,
)
from vsr_edge.store.migrations import APPLICATION_ID
from vsr_edge.store.vector_codes import row_bytes
from vsr_edge.store.vectors import CACHE_FILES, VECTOR_SUFFIX, VectorFile

Step = Callable[[int], object]

_PAGES = 64
# Instructions of SQLite's between two looks at whether somebody pressed Ctrl-C.
_INSTRUCTIONS = 200_000
LOG_FILES = (f"{DATABASE_FILE}-wal", f"{DATABASE_FILE}-shm")
FORMER = "former"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was copied; ``vectors`` is the name of the vector file and how many bytes of it the
    rows speak of, and ``opened`` that file, None where it is missing.
    """

    bundle_id: str
    dim: int
    generation: int
    schema: int
    videos: int
    mode: int
    vectors: tuple[str, int] | None
    opened: BinaryIO | None


@contextmanager
def copied_rows(folder: Path, copy: Path, on_step: Step) -> Iterator[Snapshot]:
    """Copy the rows of an archive into the new file ``copy``, and check them.

    Args:
        on_step: told of each piece, in bytes; what it raises ends the work.

    Raises:
        ArchiveNotFound: there is none.
        ArchiveDamaged: what was copied is not sound.
        ArchiveError: it is of a newer version, or the disk is full.
    """
    with translate_errors(folder), closing(open_to_copy(folder)) as source:
        with transaction(source, write=False):
            present = encoded_with(source)
            if present is None:
                raise not_found(folder)
            vectors, opened = _opened_vectors(source, folder, present[1])
            try:
                found = Snapshot(
                    *present,
                    generation(source),
                    int(source.execute("PRAGMA user_version").fetchone()[0]),
                    int(source.execute("SELECT count(*) FROM videos").fetchone()[0]),
                    (folder / DATABASE_FILE).stat().st_mode & 0o777,
                    vectors,
                    opened,
                )
                with translate_errors(copy.parent):
                    _copy_pages(source, copy, on_step)
            except BaseException:
                if opened is not None:
                    opened.close()
                raise
        # The log of the source need not grow any longer.
        try:
            if problems := _checked(copy, found.dim, on_step):
                raise ArchiveDamaged(
                    f"{folder} is damaged, and is not backed up ({problems[0]}); `vsr-edge doctor` "
                    "names all that is wrong"
                )
            yield found
        finally:
            if opened is not None:
                opened.close()


def _opened_vectors(
    connection: sqlite3.Connection, folder: Path, dim: int
) -> tuple[tuple[str, int] | None, BinaryIO | None]:
    """The vector file of the present state, and how long it is in it."""
    table = "SELECT 1 FROM sqlite_schema WHERE name = 'vector_segments'"
    if connection.execute(table).fetchone() is None:
        return None, None
    sql = "SELECT file, (SELECT sum(rows) FROM vector_segments) FROM vector_segments LIMIT 1"
    row = connection.execute(sql).fetchone()
    if row is None or not row[0].endswith(VECTOR_SUFFIX):
        return None, None
    name, size = str(row[0]), row_bytes(dim) * int(row[1])
    try:
        opened = (folder / name).open("rb")
    except OSError:  # a cache: whoever searches makes it anew
        return None, None
    if os.fstat(opened.fileno()).st_size < size:
        opened.close()
        return None, None
    return (name, size), opened


def _copy_pages(source: sqlite3.Connection, copy: Path, on_step: Step) -> None:
    left: list[int] = []
    page = int(source.execute("PRAGMA page_size").fetchone()[0])

    def report(_status: int, remaining: int, total: int) -> None:
        on_step((left[0] if left else total) * page - remaining * page)
        left[:] = [remaining]

    with closing(sqlite3.connect(copy, isolation_level=None)) as target:
        # Nothing of it counts before all of it is there.
        target.execute("PRAGMA synchronous = OFF")
        source.backup(target, pages=_PAGES, progress=report)
        # As one file, without a log; whoever looks at it makes none beside it.
        target.execute("PRAGMA journal_mode = DELETE")


def _checked(copy: Path, dim: int, on_step: Step) -> list[str]:
    """What is wrong with the rows that were copied."""
    with closing(sqlite3.connect(f"{copy.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        connection.set_progress_handler(lambda: 0, _INSTRUCTIONS)
        try:
            return check_rows(connection, dim)
        except sqlite3.OperationalError:
            on_step(0)  # a Ctrl-C that came amid SQLite's work is told here
            raise


def prepare_rows(staged: Path) -> tuple[str, int, int]:
    """Bring the archive in the folder ``staged``, one file without a log, up to the present schema;
    returns its bundle's id, its dimension, and how many videos it has.

    Raises:
        ArchiveError: it is of a newer version, or no archive.
    """
    with translate_errors(staged), closing(connect(staged / DATABASE_FILE)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    opened, _ = open_archive(staged)
    with translate_errors(staged), closing(opened) as connection:
        present = encoded_with(connection)
        if present is None:
            raise not_found(staged)
        videos = int(connection.execute("SELECT count(*) FROM videos").fetchone()[0])
        return *present, videos


def put_rows(staged: Path, folder: Path) -> Path | None:
    """Put the archive of ``staged`` in the place of that in ``folder``, if there is one, in one
    step; the caller holds the writer's lock of both.

    Whoever reads goes on with the state that he began with, and then with the new one. One that is
    damaged beyond that is set aside, and its new path returned.
    """
    database, former = folder / DATABASE_FILE, None
    if database.exists():
        try:
            _replace_pages(staged, folder)
        except ArchiveDamaged:
            former = _set_aside(folder)
        else:
            return None
    for name in LOG_FILES:  # of a database that somebody removed: not for this one
        (folder / name).unlink(missing_ok=True)
    (staged / DATABASE_FILE).replace(database)
    return former


def _replace_pages(staged: Path, folder: Path) -> None:
    with translate_errors(folder), closing(connect(folder / DATABASE_FILE)) as target:
        page_bytes = int(target.execute("PRAGMA page_size").fetchone()[0])
        # Reads its schema, which tells whether it is a database at all.
        tables = {row[0] for row in target.execute("SELECT name FROM sqlite_schema")}
        application = target.execute("PRAGMA application_id").fetchone()[0]
        if tables and application != APPLICATION_ID:
            raise ArchiveError(
                f"{folder / DATABASE_FILE} belongs to another program: choose another folder"
            )
        before = generation(target) if "meta" in tables else 0
        with translate_errors(staged), closing(connect(staged / DATABASE_FILE)) as source:
            if int(source.execute("PRAGMA page_size").fetchone()[0]) != page_bytes:
                source.execute("PRAGMA journal_mode = DELETE")
                source.execute(f"PRAGMA page_size = {page_bytes}")
                source.execute("VACUUM")
            with transaction(source, write=True):
                # Readers are to notice that it is another one.
                source.execute("UPDATE meta SET generation = 1 + max(generation, ?)", [before])
            source.backup(target)
        # Not for long is whoever reads waited for: the log only stays larger.
        target.execute("PRAGMA busy_timeout = 0")
        target.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()


def _set_aside(folder: Path) -> Path:
    """Rename the database with its log, under a name that is free."""
    number = 1
    while (aside := folder / f"{DATABASE_FILE}.{FORMER}{number}").exists():
        number += 1
    for name in (*LOG_FILES, DATABASE_FILE):
        file = folder / name
        try:
            file.rename(f"{aside}{name.removeprefix(DATABASE_FILE)}")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ArchiveError(
                f"{file} cannot be renamed ({error.strerror}): change its permissions"
            ) from error
    return aside


def is_vector_file(name: str) -> bool:
    """Whether a vector file may have this name."""
    from fnmatch import fnmatchcase

    return fnmatchcase(name, CACHE_FILES[0])


def tidy_vectors(folder: Path, dim: int) -> list[str]:
    """Make the vector file the one of the rows, and remove former ones; returns what was repaired.

    The caller holds the writer's lock.
    """
    notices: list[str] = []
    with translate_errors(folder), closing(connect(folder / DATABASE_FILE)) as connection:
        vectors = VectorFile(folder, dim, usable_threads(), notices)
        with transaction(connection, write=False):
            vectors.check(connection)  # what lay here before may be damaged
        vectors.save(connection)
    return notices
