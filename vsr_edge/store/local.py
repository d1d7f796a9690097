"""An archive in a local folder: SQLite is the truth, the usearch file is a cache."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from vsr_edge.config import EXACT_SEARCH_LIMIT, usable_threads
from vsr_edge.errors import ArchiveError, BundleMismatch, UsageError
from vsr_edge.store import checkup
from vsr_edge.store.base import ArchiveStats, Filter
from vsr_edge.store.cache import CACHE_FILE
from vsr_edge.store.connection import (
    DATABASE_FILE,
    connect,
    damaged,
    explained,
    moved,
    transaction,
)
from vsr_edge.store.lock import UPKEEP, WriterLock
from vsr_edge.store.opening import create_archive, not_found, open_archive
from vsr_edge.store.retrieval import Retrieval, generation
from vsr_edge.store.rows import (
    CLIP_COLUMNS,
    VIDEO_COLUMNS,
    clip,
    matrix,
    path_value,
    stored_video,
    where_video,
)
from vsr_edge.store.succession import LocalSuccession, encoded_with, unfinished_reindex
from vsr_edge.store.writer import LocalWriter
from vsr_edge.types import Clip, ClipHit, FrameFeatures, HalfVectors, StoredVideo, Vectors


class LocalStore:
    """The store of one folder. Arguments and errors: :func:`vsr_edge.store.base.open_store`."""

    def __init__(
        self,
        folder: Path,
        *,
        bundle_id: str | None,
        dim: int | None,
        create: bool,
        exact_limit: int | None,
        threads: int,
    ) -> None:
        if create and (bundle_id is None or dim is None):
            raise UsageError("creating an archive needs the bundle's id and its dimension")
        self._folder = folder
        self._guard = threading.RLock()
        self._notices: list[str] = []
        if create and bundle_id is not None and dim is not None:
            create_archive(folder, bundle_id, dim)
        self._connection, self._read_only = open_archive(folder)
        try:
            with explained(folder):
                present = encoded_with(self._connection)
            if present is None:
                raise not_found(folder)
            self._bundle_id, self._dim = present
            self._check_bundle(bundle_id, dim)
        except BaseException:
            self._connection.close()
            raise
        self._exact_limit = EXACT_SEARCH_LIMIT if exact_limit is None else exact_limit
        self._threads = threads or usable_threads()
        self._retrieval = self._new_retrieval(self._dim)

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
    def writer(self) -> Iterator[LocalWriter]:
        with self._writing() as connection:
            yield LocalWriter(self._folder, connection, self._dim)

    @contextmanager
    def succession(self) -> Iterator[LocalSuccession]:
        with self._writing() as connection:
            yield LocalSuccession(
                self._folder,
                connection,
                exact_limit=self._exact_limit,
                threads=self._threads,
                notices=self._notices,
            )

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """The lock, and a connection of its own; at the end the search cache is brought up."""
        if self._read_only:
            raise ArchiveError(
                f"{self._folder} cannot be written: change its permissions, or index into "
                "another folder"
            )
        with WriterLock(self._folder), explained(self._folder):
            connection = connect(self._folder / DATABASE_FILE)
            opened = self._identity()
            try:
                self._check_current(connection)
                before = generation(connection)
                yield connection
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                self._check_there(opened)
                if generation(connection) != before:
                    # Not the one that this store searches with: building a graph takes minutes,
                    # and other threads go on searching.
                    # After a switch the dimension is another one.
                    _, dim = encoded_with(connection) or (None, self._dim)
                    retrieval = self._new_retrieval(dim)
                    retrieval.open(connection)
                    retrieval.save(connection, build_graph=True)
                    self._check_there(opened)
            finally:
                # Takes back what is not committed.
                connection.close()

    def _identity(self) -> tuple[int, int] | None:
        """Which file lies at the database's path now; None if none does."""
        try:
            status = (self._folder / DATABASE_FILE).stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _check_there(self, opened: tuple[int, int] | None) -> None:
        """What was written into a file that nobody can find again was not stored.

        An open database goes on working when its folder is removed or another takes its place.
        """
        if opened is None or self._identity() != opened:
            raise moved(self._folder)

    def videos(self, where: Filter | None = None) -> list[StoredVideo]:
        condition, parameters = where_video(where)
        return self._videos(condition, parameters)

    def video(self, video_id: int) -> StoredVideo | None:
        return next(iter(self._videos("id = ?", [video_id])), None)

    def videos_of(self, video_ids: Iterable[int]) -> dict[int, StoredVideo]:
        wanted = json.dumps(sorted(set(video_ids)))
        found = self._videos("id IN (SELECT value FROM json_each(?))", [wanted])
        return {stored.video_id: stored for stored in found}

    def find(self, path: Path) -> StoredVideo | None:
        return next(iter(self._videos("path = ?", [path_value(path)])), None)

    def find_fingerprint(self, fingerprint: str) -> list[StoredVideo]:
        return self._videos("fingerprint = ?", [fingerprint])

    def search(self, vector: Vectors, k: int, where: Filter | None = None) -> list[ClipHit]:
        return self.search_many(np.asarray(vector)[np.newaxis], k, where)[0]

    def search_many(
        self, vectors: Vectors, k: int, where: Filter | None = None
    ) -> list[list[ClipHit]]:
        queries = np.asarray(vectors, np.float32)
        if queries.ndim != 2 or queries.shape[1] != self._dim:
            raise ValueError(f"queries must be [Q, {self._dim}], not {list(queries.shape)}")
        if not np.isfinite(queries).all():
            raise ValueError("a query holds NaN or infinite values")
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        with self._guard, explained(self._folder):
            if not self._connection.in_transaction:
                self._retrieval.open(self._connection)
            with self._reading():
                hits = self._retrieval.search(self._connection, queries, k, where)
            if not self._connection.in_transaction:
                self._save_cache()
        return hits

    def frames(
        self,
        video_id: int,
        first: int | None = None,
        last: int | None = None,
        *,
        regions: bool = False,
    ) -> FrameFeatures:
        span = (video_id, first or 0, 2**62 if last is None else last)
        return self.frames_of([span], regions=regions)[0]

    def frames_of(
        self, spans: Sequence[tuple[int, int, int]], *, regions: bool = False
    ) -> list[FrameFeatures]:
        wanted = json.dumps(list(spans))
        with self._reading() as connection:
            rows = connection.execute(_OF_SPANS.format("time, vector", "frames"), [wanted])
            times, vectors = _grouped(rows, len(spans), 2)
            blobs: list[list[Any]] = [[] for _ in spans]
            if regions:
                rows = connection.execute(_OF_SPANS.format("vectors", "regions"), [wanted])
                (blobs,) = _grouped(rows, len(spans), 1)
            return [
                FrameFeatures(
                    np.array(times[i], np.float64),
                    matrix(vectors[i], self._dim),
                    self._regions(span[0], len(times[i]), blobs[i]),
                )
                for i, span in enumerate(spans)
            ]

    def _regions(self, video_id: int, frames: int, blobs: list[bytes]) -> HalfVectors | None:
        if not blobs:
            return None
        count = len(blobs[0]) // (2 * self._dim)
        flat = matrix(blobs, count * self._dim)
        if len(flat) != frames:
            raise damaged(self._folder, f"regions are missing for video {video_id}")
        return flat.reshape(len(flat), count, self._dim)

    def frame_count(self, where: Filter | None = None) -> int:
        condition, parameters = where_video(where)
        with self._reading() as connection:
            row = connection.execute(
                f"SELECT coalesce(sum(frame_count), 0) FROM videos WHERE {condition}", parameters
            ).fetchone()
        return int(row[0])

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
                " coalesce(max(region_count), 0) > 0 FROM videos"
            ).fetchone()
        videos, partial, frames, clips, hours, regions = row
        return ArchiveStats(
            videos=videos,
            partial_videos=partial,
            frames=frames,
            clips=clips,
            hours=hours,
            regions=bool(regions),
            bundle_id=self._bundle_id,
            dim=self._dim,
            database_bytes=sum(
                _size(self._folder / (DATABASE_FILE + end)) for end in ("", "-wal", "-shm")
            ),
            cache_bytes=_size(self._folder / CACHE_FILE),
            reindex=unfinished_reindex(self._folder, self._bundle_id),
        )

    def check(self) -> list[str]:
        with self._guard, explained(self._folder):
            self._check_current(self._connection)
            return checkup.check(self._folder, self._connection, self._dim)

    def close(self) -> None:
        with self._guard:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def reading(self) -> Iterator[None]:
        with self._guard, explained(self._folder):
            if self._connection.in_transaction:
                yield
                return
            self._retrieval.open(self._connection)
            with self._reading():
                yield
            self._save_cache()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._guard, explained(self._folder):
            if self._connection.in_transaction:
                # Within `reading`, whose thread is the only one that gets past the guard.
                yield self._connection
                return
            with transaction(self._connection, write=False) as connection:
                self._check_current(connection)
                yield connection

    def _videos(self, condition: str, parameters: list[Any]) -> list[StoredVideo]:
        with self._reading() as connection:
            rows = connection.execute(
                f"SELECT {VIDEO_COLUMNS} FROM videos WHERE {condition}"
                " ORDER BY CAST(path AS BLOB), id",
                parameters,
            ).fetchall()
        return [stored_video(row) for row in rows]

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

    def _new_retrieval(self, dim: int) -> Retrieval:
        return Retrieval(
            self._folder,
            dim,
            exact_limit=self._exact_limit,
            threads=self._threads,
            notices=self._notices,
        )

    def _save_cache(self) -> None:
        """Save what was repaired, if that is possible without getting in a writer's way."""
        if self._read_only or not self._retrieval.wants_saving():
            return
        lock = WriterLock(self._folder, UPKEEP)
        try:
            if not lock.try_acquire():
                return
        except ArchiveError:
            return
        with lock:
            self._retrieval.save(self._connection, build_graph=False)


# {columns} of the frames of each span, a JSON list of (video id, first, last): one statement.
_OF_SPANS = """
    SELECT span.key, {0} FROM json_each(?) AS span CROSS JOIN {1} AS frame
    WHERE frame.video_id = json_extract(span.value, '$[0]')
      AND frame.number BETWEEN json_extract(span.value, '$[1]') AND json_extract(span.value, '$[2]')
    ORDER BY span.key, frame.number
"""


def _grouped(rows: Iterable[Sequence[Any]], spans: int, columns: int) -> list[list[list[Any]]]:
    """The columns after the first, each cut into the spans that the first one names."""
    found: list[list[list[Any]]] = [[[] for _ in range(spans)] for _ in range(columns)]
    for span, *values in rows:
        for column, value in zip(found, values, strict=True):
            column[span].append(value)
    return found


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
