"""Searching: the cache, brought to the state of SQLite, and scores from the rows."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vsr_edge.store.base import Filter
from vsr_edge.store.cache import CACHE_FILE, newest_record, read_cache, write_cache
from vsr_edge.store.connection import transaction
from vsr_edge.store.index import ClipIndex, Ids
from vsr_edge.store.rows import CLIP_COLUMNS, clip, matrix, where_video
from vsr_edge.types import ClipHit, HalfVectors, Vectors

_ROWS_AT_ONCE = 8192

# Removed clips stay in the file until they are a tenth of it: taking them out means writing it
# anew.
_REMOVED_SHARE = 0.1


class Retrieval:
    """The clip index of one open store. The store lets one thread in at a time."""

    def __init__(
        self, folder: Path, dim: int, *, exact_limit: int, threads: int, notices: list[str]
    ) -> None:
        self._folder = folder
        self._dim = dim
        self._exact_limit = exact_limit
        self._threads = threads
        self._notices = notices
        self._index: ClipIndex | None = None
        self._live: Ids = np.empty(0, np.int64)
        self._generation = -1
        self._problem: str | None = None
        self._file_is_good = False
        self._behind = False
        self._record = 0

    def open(self, connection: sqlite3.Connection) -> None:
        """Load the cache, once. Outside a transaction: see :func:`read_cache`."""
        if self._index is not None:
            return
        found = read_cache(self._folder, connection, self._dim, self._threads)
        self._problem = found.problem
        self._file_is_good = found.index is not None
        self._index = self._empty(graph=False) if found.index is None else found.index
        self._record = newest_record(connection)

    def search(
        self, connection: sqlite3.Connection, vectors: Vectors, k: int, where: Filter | None
    ) -> list[list[ClipHit]]:
        """Inside one read transaction, after :meth:`open`."""
        index = self._refresh(connection)
        keep = None if len(self._live) == len(index) else self._live
        exact = len(self._live) <= self._exact_limit
        if where is not None and where.videos:
            keep, exact = _clips_of(connection, where), True
        found = [index.candidates(vector, k, keep, exact=exact) for vector in vectors]
        return [
            self._score(connection, ids, vector, k)
            for ids, vector in zip(found, vectors, strict=True)
        ]

    def wants_saving(self) -> bool:
        """Whether the file is missing, damaged or behind what is in memory."""
        return self._behind or not self._file_is_good

    def save(self, connection: sqlite3.Connection, *, build_graph: bool) -> None:
        """Write the cache if the file is not up to date. The caller holds the writer's lock.

        ``build_graph``: also take the time for a graph when the archive has outgrown the limit, or
        for clearing one of removed clips.
        """
        with transaction(connection, write=False):
            index = self._refresh(connection)
            large = len(self._live) > self._exact_limit
            removed = len(index) - len(self._live)
            rebuild = removed > _REMOVED_SHARE * len(index) and (build_graph or not index.graph)
            if rebuild or (large and build_graph and not index.graph):
                index = self._empty(graph=large and build_graph)
                _add_rows(index, connection, self._dim, self._live)
                self._index, self._behind = index, True
            elif newest_record(connection, self._generation) > self._record:
                # Another process was here first.
                self._behind, self._file_is_good = False, True
        if not self.wants_saving():
            return
        try:
            write_cache(self._folder, connection, index, self._generation)
        except (OSError, RuntimeError) as error:
            self._notices.append(
                f"{CACHE_FILE} could not be saved ({error}): searching starts more slowly"
            )
        self._record = newest_record(connection)
        # Once is enough: what could not be saved now is tried again by the next process.
        self._behind, self._file_is_good = False, True

    def _empty(self, *, graph: bool) -> ClipIndex:
        return ClipIndex(self._dim, graph=graph, threads=self._threads)

    def _refresh(self, connection: sqlite3.Connection) -> ClipIndex:
        """Bring the index to the state of the present transaction."""
        assert self._index is not None
        present = generation(connection)
        if present == self._generation:
            return self._index
        started = time.perf_counter()
        rows = connection.execute("SELECT id FROM clips ORDER BY id")
        live = np.fromiter((row[0] for row in rows), np.int64)
        new = np.setdiff1d(live, self._index.ids, assume_unique=True)
        try:
            _add_rows(self._index, connection, self._dim, new)
        except BaseException:
            # Only usearch knows how much of it was added: begin anew with the next search.
            self._index, self._generation = None, -1
            raise
        self._live, self._generation = live, present
        self._behind = self._behind or bool(len(new))
        if self._problem is not None:
            seconds = time.perf_counter() - started
            self._notices.append(
                f"{CACHE_FILE} {self._problem}: rebuilt from archive.db in {seconds:.1f} s"
            )
            self._problem = None
        return self._index

    def _score(
        self, connection: sqlite3.Connection, ids: Ids, vector: Vectors, k: int
    ) -> list[ClipHit]:
        """The ``k`` best of the candidates, from their rows."""
        rows = connection.execute(
            f"SELECT {CLIP_COLUMNS}, vector FROM clips"
            " WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id",
            [json.dumps(ids.tolist())],
        ).fetchall()
        if not rows:
            return []
        vectors = matrix([row[-1] for row in rows], self._dim)
        scores = _inner_products(vectors, vector)
        best = np.argsort(-scores, kind="stable")[:k]
        return [ClipHit(clip(rows[i][:-1]), float(scores[i])) for i in best]


def _inner_products(vectors: HalfVectors, query: Vectors) -> NDArray[np.float64]:
    # Row by row in float64: a matrix product rounds differently depending on where a row stands,
    # and equal clips must get equal scores.
    products = vectors.astype(np.float64) * query.astype(np.float64)
    return np.asarray(products.sum(axis=1))


def generation(connection: sqlite3.Connection) -> int:
    """A number that grows with each change of clips or paths."""
    return int(connection.execute("SELECT generation FROM meta").fetchone()[0])


def _clips_of(connection: sqlite3.Connection, where: Filter) -> Ids:
    condition, parameters = where_video(where)
    rows = connection.execute(
        f"SELECT id FROM clips WHERE video_id IN (SELECT id FROM videos WHERE {condition})",
        parameters,
    )
    return np.sort(np.fromiter((row[0] for row in rows), np.int64))


def _add_rows(index: ClipIndex, connection: sqlite3.Connection, dim: int, ids: Ids) -> None:
    """Add these clips' vectors from SQLite, a bounded number of rows at a time."""
    for wanted in _chunks(ids):
        rows = connection.execute(
            "SELECT id, vector FROM clips WHERE id BETWEEN ? AND ? ORDER BY id",
            [int(wanted[0]), int(wanted[-1])],
        )
        chosen = set(wanted.tolist())
        blobs = [row[1] for row in rows if row[0] in chosen]
        index.add(wanted, matrix(blobs, dim))


def _chunks(ids: Ids) -> Iterator[Ids]:
    for start in range(0, len(ids), _ROWS_AT_ONCE):
        yield ids[start : start + _ROWS_AT_ONCE]
