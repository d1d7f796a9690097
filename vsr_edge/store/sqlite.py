"""An archive in a local folder: SQLite is the truth, the vector file is a cache."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import numpy as np

from vsr_edge.config import usable_threads
from vsr_edge.errors import ArchiveError, BundleMismatch, UsageError
from vsr_edge.query import Filter
from vsr_edge.store.base import ArchiveStats
from vsr_edge.store.check import check_rows
from vsr_edge.store.connection import (
    DATABASE_FILE,
    connect,
    create_archive,
    encoded_with,
    generation,
    moved,
    not_found,
    open_archive,
    transaction,
    translate_errors,
)
from vsr_edge.store.corrections import read_correction
from vsr_edge.store.filters import where_video
from vsr_edge.store.frames import LAST, LocalFrames, Span, read_frames, read_spans
from vsr_edge.store.lock import UPKEEP, WriterLock
from vsr_edge.store.rows import (
    CLIP_COLUMNS,
    VIDEO_COLUMNS,
    checked_query,
    clip,
    matrix,
    path_value,
    stored_video,
)
from vsr_edge.store.shadow import LocalShadowArchive, unfinished_reindex
from vsr_edge.store.texts import TextTables
from vsr_edge.store.vectors import CACHE_FILES, VectorFile
from vsr_edge.store.writer import LocalWriter
from vsr_edge.types import (
    Clip,
    ClipHit,
    Correction,
    FrameFeatures,
    HalfVectors,
    StoredVideo,
    Vectors,
)


class LocalStore(TextTables):
    """The store of one folder. Arguments and errors: :func:`vsr_edge.store.open_store`.

    Each thread that reads has a connection of its own for as long as it reads.
    """

    def __init__(
        self, folder: Path, *, bundle_id: str | None, dim: int | None, create: bool, threads: int
    ) -> None:
        if create:
            if bundle_id is None or dim is None:
                raise UsageError("creating an archive needs the bundle's id and its dimension")
            create_archive(folder, bundle_id, dim)
        self._folder = folder
        self._notices: list[str] = []
        connection, self._read_only = open_archive(folder)
        self._idle, self._closed = [connection], False
        try:
            with translate_errors(folder):
                present = encoded_with(connection)
            if present is None:
                raise not_found(folder)
            self._bundle_id, self._dim = present
            self._check_bundle(bundle_id, dim)
        except BaseException:
            self.close()
            raise
        self._of_thread = threading.local()
        self._threads = threads or usable_threads()
        self._vectors = VectorFile(folder, self._dim, self._threads, self._notices)

    @property
    def bundle_id(self) -> str:
        return self._bundle_id

    @property
    def dim(self) -> int:
        return self._dim

    @property
    def notices(self) -> list[str]:
        return list(self._notices)

    @contextmanager
    def reading(self) -> Iterator[None]:
        with self._reading(to_search=True):
            yield

    @contextmanager
    def writer(self) -> Iterator[LocalWriter]:
        with self._writing() as connection:
            yield LocalWriter(self._folder, connection, self._dim)

    def shared(self) -> None:
        """One process writes at a time."""

    @contextmanager
    def shadow_archive(self) -> Iterator[LocalShadowArchive]:
        def open_store(folder: Path, bundle_id: str, dim: int) -> LocalStore:
            threads = self._threads
            return LocalStore(folder, bundle_id=bundle_id, dim=dim, create=False, threads=threads)

        with self._writing() as connection:
            yield LocalShadowArchive(self._folder, connection, open_store, self._notices)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """The lock, and a connection of its own; at the end the vector file is brought up."""
        if self._read_only:
            raise ArchiveError(
                f"{self._folder} cannot be written: change its permissions, or index into "
                "another folder"
            )
        with (
            WriterLock(self._folder),
            translate_errors(self._folder),
            # Closing it takes back what is not committed.
            closing(connect(self._folder / DATABASE_FILE)) as connection,
        ):
            opened = self._identity()
            self._check_current(connection)
            before = generation(connection)
            yield connection
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if self._identity() != opened:
                raise moved(self._folder)
            if generation(connection) != before:
                # After a switch the dimension may be another one.
                _, dim = encoded_with(connection) or (None, self._dim)
                VectorFile(self._folder, dim, self._threads, self._notices).save(connection)
                if self._identity() != opened:
                    raise moved(self._folder)

    def _identity(self) -> tuple[int, int]:
        """Which file lies at the database's path now.

        An open database goes on working when its folder is removed or another takes its place;
        but what is written into a file that nobody can find again is not stored.
        """
        try:
            status = (self._folder / DATABASE_FILE).stat()
        except OSError as error:
            raise moved(self._folder) from error
        return status.st_dev, status.st_ino

    def videos(self, where: Filter | None = None) -> list[StoredVideo]:
        if where is None or where.between is None:
            return self._videos(*where_video(where))
        with self._reading() as connection:
            kept = self._vectors.filters.kept(connection, where)
            found = self.videos_of([*kept.videos.tolist(), *kept.partly.tolist()])
        return sorted(found.values(), key=lambda stored: os.fsencode(stored.video.path))

    def untimed(self) -> list[StoredVideo]:
        return self._videos("recorded_from IS NULL", [])

    def tags(self) -> dict[str, int]:
        with self._reading() as connection:
            counted = connection.execute("SELECT tag, count(*) FROM tags GROUP BY tag ORDER BY tag")
            return dict(counted.fetchall())

    def videos_of(self, video_ids: Iterable[int]) -> dict[int, StoredVideo]:
        wanted = json.dumps(sorted(set(video_ids)))
        found = self._videos("id IN (SELECT value FROM json_each(?))", [wanted])
        return {stored.video_id: stored for stored in found}

    def find(self, path: Path) -> StoredVideo | None:
        return next(iter(self._videos("path = ?", [path_value(path)])), None)

    def find_fingerprint(self, fingerprint: str) -> list[StoredVideo]:
        return self._videos("fingerprint = ?", [fingerprint])

    def _videos(self, condition: str, parameters: Sequence[Any]) -> list[StoredVideo]:
        with self._reading() as connection:
            rows = connection.execute(
                f"SELECT {VIDEO_COLUMNS} FROM videos WHERE {condition}"
                " ORDER BY CAST(path AS BLOB), id",
                parameters,
            ).fetchall()
        return [stored_video(row) for row in rows]

    def search(self, vector: Vectors, k: int, where: Filter | None = None) -> list[ClipHit]:
        query = checked_query(vector, k, self._dim)
        with self._reading(to_search=True) as connection:
            candidates = self._vectors.candidates(connection, query, k, where)
            rows = connection.execute(
                f"SELECT {CLIP_COLUMNS}, vector FROM clips"
                " WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id",
                [json.dumps(candidates.tolist())],
            ).fetchall()
            vectors = matrix([row[-1] for row in rows], self._dim)
        # Row by row in float64: a matrix product rounds differently depending on where a row
        # stands, and equal clips must get equal scores.
        scores = (vectors.astype(np.float64) * query.astype(np.float64)).sum(axis=1)
        best = np.argsort(-scores, kind="stable")[:k]
        return [ClipHit(clip(rows[i][:-1]), float(scores[i])) for i in best]

    def sample(self, count: int, where: Filter | None = None) -> HalfVectors:
        if count < 1:
            raise ValueError(f"count must be at least 1, not {count}")
        with self._reading(to_search=True) as connection:
            return self._vectors.sample(connection, count, where)

    def frames(
        self,
        video_id: int,
        first: int | None = None,
        last: int | None = None,
        *,
        regions: bool = False,
    ) -> FrameFeatures:
        span = (video_id, first or 0, LAST if last is None else last)
        return self.frames_of([span], regions=regions)[0]

    def frames_of(
        self, spans: Sequence[tuple[int, int, int]], *, regions: bool = False
    ) -> list[FrameFeatures]:
        def read(whole: Sequence[Span]) -> list[FrameFeatures]:
            with self._reading() as connection:
                rows = LocalFrames(connection)
                return [read_frames(rows, span, regions, self._dim) for span in whole]

        return read_spans(spans, read)

    def frame_count(self, where: Filter | None = None) -> int:
        condition, parameters = where_video(where)
        with self._reading() as connection:
            if where is not None and where.timed:
                return self._vectors.filters.kept(connection, where).frames
            row = connection.execute(
                f"SELECT coalesce(sum(frame_count), 0) FROM videos WHERE {condition}", parameters
            ).fetchone()
        return int(row[0])

    def correction(self, name: str) -> Correction | None:
        return read_correction(self._folder, name)

    def clips(self, video_id: int) -> list[Clip]:
        with self._reading() as connection:
            rows = connection.execute(
                f"SELECT {CLIP_COLUMNS} FROM clips WHERE video_id = ? ORDER BY start_time, id",
                [video_id],
            ).fetchall()
        return [clip(row) for row in rows]

    def stats(self) -> ArchiveStats:
        with self._reading() as connection:
            row = connection.execute(
                "SELECT count(*), count(partial), coalesce(sum(frame_count), 0),"
                " coalesce(sum(clip_count), 0), coalesce(sum(duration), 0.0) / 3600,"
                " coalesce(max(region_count), 0) > 0, (SELECT count(*) FROM cues),"
                " (SELECT generation FROM meta) FROM videos"
            ).fetchone()
        videos, partial, frames, clips, hours, regions, cues, number = row
        return ArchiveStats(
            *(videos, partial, frames, clips, hours, bool(regions), self._bundle_id, self._dim),
            database_bytes=self._size(*(DATABASE_FILE + end for end in ("", "-wal", "-shm"))),
            cache_bytes=self._size(*CACHE_FILES),
            reindex=unfinished_reindex(self._folder, self._bundle_id),
            cues=cues,
            generation=number,
        )

    def _size(self, *patterns: str) -> int:
        total = 0
        for file in (file for pattern in patterns for file in self._folder.glob(pattern)):
            with suppress(OSError):
                total += file.stat().st_size
        return total

    def check(self) -> list[str]:
        with self._reading() as connection:
            problems = check_rows(connection, self._dim)
            problem = self._vectors.check(connection)
        if problem is not None:
            problems.append(f"{problem}: the next search rebuilds it")
        return problems

    def close(self) -> None:
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @contextmanager
    def _reading(self, *, to_search: bool = False) -> Iterator[sqlite3.Connection]:
        """A transaction of this thread; ``to_search`` brings the vector file up before it."""
        inside: sqlite3.Connection | None = getattr(self._of_thread, "connection", None)
        if inside is not None:
            yield inside
            return
        with translate_errors(self._folder), self._connection() as connection:
            while True:
                with transaction(connection, write=False):
                    self._check_current(connection)
                    if self._read_only or not (to_search and self._vectors.behind(connection)):
                        self._of_thread.connection = connection
                        try:
                            yield connection
                        finally:
                            self._of_thread.connection = None
                        return
                to_search = False
                self._bring_up(connection)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        if self._closed:
            raise sqlite3.ProgrammingError("Cannot operate on a closed database.")
        try:
            connection = self._idle.pop()
        except IndexError:
            connection, _ = open_archive(self._folder)
        try:
            yield connection
        finally:
            self._idle.append(connection)
            if self._closed:
                self.close()

    def _bring_up(self, connection: sqlite3.Connection) -> None:
        """Repair or append to the vector file, if that does not get in a writer's way."""
        lock = WriterLock(self._folder, UPKEEP)
        try:
            if not lock.try_acquire():
                return
        except ArchiveError:
            return
        with lock:
            self._check_current(connection)
            self._vectors.save(connection)

    def _check_bundle(self, bundle_id: str | None, dim: int | None) -> None:
        if bundle_id in (None, self._bundle_id) and dim in (None, self._dim):
            return
        raise BundleMismatch(
            f"{self._folder} was indexed with the bundle {self._bundle_id!r} ({self._dim} "
            f"dimensions), not with {bundle_id or self._bundle_id!r} ({dim or self._dim}): use "
            "that bundle, or change the archive over to this one with "
            "`vsr-edge reindex --bundle BUNDLE`"
        )

    def _check_current(self, connection: sqlite3.Connection) -> None:
        """Raise BundleMismatch if the archive was switched since this store was opened.

        Called in every transaction: what this store knows, and whoever holds it, is about the
        vectors of the former bundle.
        """
        present = encoded_with(connection)
        if present not in (None, (self._bundle_id, self._dim)):
            raise BundleMismatch(
                f"{self._folder} was re-indexed with the bundle {present[0]!r} since it was opened "
                f"with {self._bundle_id!r}: open it again with that bundle"
            )
