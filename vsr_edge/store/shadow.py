"""A shadow archive: filled by another bundle beside the archive, which it replaces at a stroke.

It is a whole archive in a folder of its own below the first one's. The switch copies its pages
over those of ``archive.db`` in one transaction (SQLite's online backup), so that a crash leaves the
old or the new archive, and whoever reads keeps the state that he began with. To rename the files
instead would not do: a log (``-wal``) that belongs to the old file would be played into the new.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from fnmatch import fnmatch
from pathlib import Path

from vsr_edge.errors import ArchiveDamaged, ArchiveError, BundleMismatch
from vsr_edge.store.base import Store, UnfinishedReindex
from vsr_edge.store.check import check_rows
from vsr_edge.store.connection import (
    DATABASE_FILE,
    create_archive,
    encoded_with,
    generation,
    open_archive,
    transaction,
    translate_errors,
)
from vsr_edge.store.lock import LOCK_FILE
from vsr_edge.store.vectors import CACHE_FILES

NEXT_FOLDER = "archive.next"

# Renamed first, a folder is gone at once: a crash amid its removal must not leave a log that the
# next database of that name would take for its own.
_DISCARDED_FOLDER = "archive.next.discarded"

# The archive's folder may be one that the user keeps videos in: nothing but this is ever deleted.
_OUR_FILES = (f"{DATABASE_FILE}*", LOCK_FILE, *CACHE_FILES)

# The ids of each generation begin at the next multiple, also past those that the old archive
# hands out while a re-index lies unfinished. So no clip's id ever means another clip: not to a
# reader that stayed open while an archive was changed over and back.
_IDS_APART = 1_000_000_000
_NUMBERED = ("videos", "clips", "vector_segments")


class LocalShadowArchive:
    """:class:`vsr_edge.store.base.ShadowArchive`; the store holds the writer's lock for it."""

    def __init__(
        self,
        folder: Path,
        connection: sqlite3.Connection,
        open_store: Callable[[Path, str, int], Store],
        notices: list[str],
    ) -> None:
        self._folder = folder
        self._next = folder / NEXT_FOLDER
        self._connection = connection
        self._open_store = open_store
        self._notices = notices

    @property
    def bundle_id(self) -> str:
        with translate_errors(self._folder):
            present = encoded_with(self._connection)
        assert present is not None
        return present[0]

    def open(self, bundle_id: str, dim: int) -> Store:
        self.tidy()
        _refuse_foreign(self._next)
        try:
            return self._begin(bundle_id, dim)
        except (ArchiveDamaged, BundleMismatch) as error:
            why = "it was damaged" if isinstance(error, ArchiveDamaged) else "by another bundle"
            self._notices.append(f"the unfinished re-index ({why}) was thrown away and begun anew")
        self._discard()
        return self._begin(bundle_id, dim)

    def _begin(self, bundle_id: str, dim: int) -> Store:
        with translate_errors(self._folder):
            # The pages of one are to become the pages of the other.
            page_bytes = int(self._connection.execute("PRAGMA page_size").fetchone()[0])
        create_archive(self._next, bundle_id, dim, page_bytes=page_bytes)
        # Refused before anything of it is changed.
        self._open_store(self._next, bundle_id, dim).close()
        with (
            translate_errors(self._next),
            closing(open_archive(self._next)[0]) as connection,
            transaction(connection, write=True),
        ):
            for table in _NUMBERED:
                present = _last_id(self._connection, table)
                if _last_id(connection, table) <= present:
                    first = (present // _IDS_APART + 1) * _IDS_APART
                    connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", [table])
                    connection.execute(
                        "INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", [table, first]
                    )
        return self._open_store(self._next, bundle_id, dim)

    def switch(self) -> None:
        with translate_errors(self._next), closing(open_archive(self._next)[0]) as source:
            self._check(source)
            with transaction(source, write=True):
                # Readers are to notice that it is another one, and nothing else.
                source.execute(
                    "UPDATE meta SET generation = 1 + max(generation, ?)",
                    [generation(self._connection)],
                )
            self._bring_vectors()
            with translate_errors(self._folder):
                # All pages in one step, so that nothing of it can be committed without the rest.
                # Memory does not grow with them; the log does, up to their size.
                source.backup(self._connection)
        try:
            self.tidy()
        except ArchiveError as error:
            self._notices.append(str(error))
        with suppress(sqlite3.Error):
            # Or a reader that stays open would keep the log, as large as the archive, on the disk.
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def _bring_vectors(self) -> None:
        """Have its vector file beside the archive's: no two have one name.

        If it does not come, the archive's writer writes one anew.
        """
        for file in (file for pattern in CACHE_FILES for file in self._next.glob(pattern)):
            beside = self._folder / file.name
            with suppress(OSError):
                beside.unlink(missing_ok=True)
                try:
                    beside.hardlink_to(file)
                except OSError:
                    # A file system without links.
                    shutil.copyfile(file, beside)

    def _check(self, source: sqlite3.Connection) -> None:
        """Hours of encoding lie between its first row and this moment, perhaps a crash too."""
        _, dim = encoded_with(source) or ("", 0)
        try:
            with translate_errors(self._next), transaction(source, write=False):
                problems = check_rows(source, dim)
        except ArchiveDamaged as error:
            problems = [str(error)]
        if not problems:
            return
        source.close()
        self._discard()
        raise ArchiveDamaged(
            f"what was encoded anew is damaged ({problems[0]}): it was thrown away, and "
            f"{self._folder} is as it was; run the same command again"
        )

    def tidy(self) -> UnfinishedReindex | None:
        found = _found(self._next)
        if found is not None and found.bundle_id == self.bundle_id:
            # The switch was made: only its removal is missing.
            self._discard()
            found = None
        self._remove_discarded()
        return found

    def _discard(self) -> None:
        self._remove_discarded()
        _refuse_foreign(self._next)
        try:
            self._next.rename(self._folder / _DISCARDED_FOLDER)
        except FileNotFoundError:
            return
        except OSError as error:
            raise ArchiveError(
                f"{self._next} cannot be removed ({error.strerror}): remove it, then run the same "
                "command again"
            ) from error
        self._remove_discarded()

    def _remove_discarded(self) -> None:
        discarded = self._folder / _DISCARDED_FOLDER
        _refuse_foreign(discarded)
        # What cannot be removed now, as where somebody has it open, is removed next time.
        shutil.rmtree(discarded, ignore_errors=True)


def unfinished_reindex(folder: Path, bundle_id: str) -> UnfinishedReindex | None:
    """What lies beside the archive of that bundle, to replace it; None if nothing (readable)."""
    found = _found(folder / NEXT_FOLDER)
    return None if found is None or found.bundle_id == bundle_id else found


def _found(folder: Path) -> UnfinishedReindex | None:
    try:
        with translate_errors(folder), closing(open_archive(folder)[0]) as connection:
            row = connection.execute(
                "SELECT bundle_id, (SELECT count(*) FROM videos) FROM meta"
            ).fetchone()
    except ArchiveError:
        return None
    return None if row is None else UnfinishedReindex(str(row[0]), int(row[1]))


def _last_id(connection: sqlite3.Connection, table: str) -> int:
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", [table]).fetchone()
    return 0 if row is None else int(row[0])


def _refuse_foreign(folder: Path) -> None:
    """Raise if anything lies there that no archive consists of."""
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.is_dir() or not any(fnmatch(entry.name, pattern) for pattern in _OUR_FILES):
            raise ArchiveError(
                f"{entry} is none of the archive's files: move it elsewhere, then run the same "
                "command again"
            )
