"""The search cache: one file beside the database, which the database can vouch for and replace.

The vectors in SQLite are the truth. Reading 100,000 of them takes a second, the cache's file 0.2
s including its checksum. Nothing is lost with the file; it is only trusted when SQLite knows its
SHA-256.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vsr_edge.store.connection import transaction
from vsr_edge.store.index import ClipIndex

CACHE_FILE = "clips.usearch"

# The record comes before the file that it describes, and the last two are kept: whichever of the
# two files a crash, or a replacement while someone reads, leaves in sight, its record is there.
_RECORDS_KEPT = 2


@dataclass(frozen=True, slots=True)
class CacheFile:
    """A file as found: ``problem`` says why it cannot be used, if so."""

    index: ClipIndex | None
    problem: str | None


def read_cache(
    folder: Path, connection: sqlite3.Connection, dim: int, threads: int, *, load: bool = True
) -> CacheFile:
    """Verify the file against its record and load it; ``load`` False only verifies.

    Call it outside a transaction: a record is committed before its file appears, so only a state
    that is read after the file was opened is sure to know it.
    """
    try:
        with (folder / CACHE_FILE).open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        written = connection.execute("SELECT EXISTS (SELECT 1 FROM search_cache)").fetchone()[0]
        return CacheFile(None, "was missing" if written else None)
    except ValueError:
        return CacheFile(None, "was damaged (empty)")
    except OSError as error:
        return CacheFile(None, f"could not be read ({error.strerror})")
    with content:
        digest = hashlib.sha256(content).hexdigest()
        record = connection.execute(
            "SELECT graph, EXISTS (SELECT 1 FROM clips WHERE clips.id <= max_clip_id)"
            " FROM search_cache WHERE sha256 = ?",
            [digest],
        ).fetchone()
        if record is None:
            return CacheFile(None, "was damaged or belongs to another archive (checksum differs)")
        if not load:
            return CacheFile(None, None)
        if not record[1]:
            # Sound, but nothing of it counts any more, perhaps not even its dimension: all of
            # its clips were removed, or encoded anew with another bundle.
            return CacheFile(ClipIndex(dim, graph=False, threads=threads), None)
        try:
            index = ClipIndex.load(content, dim, graph=bool(record[0]), threads=threads)
        except (ValueError, RuntimeError) as error:
            return CacheFile(None, f"was damaged ({error})")
    return CacheFile(index, None)


def newest_record(connection: sqlite3.Connection, generation: int = 0) -> int:
    """The id of the last record of this generation or a later one; 0 if there is none."""
    row = connection.execute(
        "SELECT coalesce(max(id), 0) FROM search_cache WHERE generation >= ?", [generation]
    ).fetchone()
    return int(row[0])


def write_cache(
    folder: Path, connection: sqlite3.Connection, index: ClipIndex, generation: int
) -> None:
    """Replace the file. The caller holds the writer's lock, and ``index`` is the present state.

    Raises:
        OSError, RuntimeError: it could not be written; the former file is untouched.
    """
    for leftover in folder.glob(f"{CACHE_FILE}.*.tmp"):
        leftover.unlink(missing_ok=True)
    temporary = folder / f"{CACHE_FILE}.{os.getpid()}.tmp"
    try:
        _save(index, temporary)
        with temporary.open("rb+") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        with transaction(connection, write=True):
            connection.execute(
                "INSERT OR REPLACE INTO search_cache"
                " (sha256, clips, max_clip_id, generation, graph, written_at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                [
                    digest,
                    len(index),
                    int(index.ids[-1]) if len(index) else 0,
                    generation,
                    index.graph,
                    datetime.now(UTC).isoformat(timespec="seconds"),
                ],
            )
            connection.execute(
                "DELETE FROM search_cache WHERE id NOT IN"
                " (SELECT id FROM search_cache ORDER BY id DESC LIMIT ?)",
                [_RECORDS_KEPT],
            )
        temporary.replace(folder / CACHE_FILE)
        _sync_folder(folder)
    finally:
        temporary.unlink(missing_ok=True)


def _save(index: ClipIndex, path: Path) -> None:
    try:
        name = str(path)
        name.encode("utf-8")
    except UnicodeEncodeError:
        # usearch takes only names that are UTF-8.
        path.write_bytes(index.save_bytes())
    else:
        index.save(name)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
