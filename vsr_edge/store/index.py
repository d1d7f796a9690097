"""The clip vectors in memory, and which of them are nearest to a query.

Up to a limit the search is exhaustive: 100,000 clips of 512 dimensions take 4 ms a query on two
threads, where building a graph for approximate search takes half a minute or more. usearch always
links its vectors to a graph; without a use for it the cheapest one will do, which makes adding
100,000 cost 0.3 s.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

# isort: off
# onnxruntime must come before usearch: loaded after it, onnxruntime's regular expressions use
# usearch's copy of the C++ library and crash the process (onnxruntime 1.31, usearch 2.26).
import vsr_edge.runtime.session  # noqa: F401
from usearch.compiled import MetricKind, ScalarKind
from usearch.index import Index

# isort: on
from vsr_edge.types import HalfVectors, Vectors

Ids = NDArray[np.int64]

# (links per vector, breadth when building, breadth when searching)
_NO_GRAPH = (2, 1, 1)
_GRAPH = (16, 64, 512)

# usearch rounds the query to float16, which moves an inner product of unit vectors by up to 2⁻¹¹;
# two of them, and float32 sums. Clips closer than this to the last place are all candidates: the
# store scores them again without rounding, so that neither rounding nor ties decide who is in.
_MARGIN = 1.2e-3
_SPARE = 32

# So few clips are scored from their rows sooner than they are picked out of all the others.
_FEW = 1024


class ClipIndex:
    """Vectors by clip id. It may hold ids that were removed since: ``keep`` says who counts."""

    def __init__(self, dim: int, *, graph: bool, threads: int) -> None:
        links, building, searching = _GRAPH if graph else _NO_GRAPH
        self._index = Index(
            ndim=dim,
            metric=MetricKind.IP,
            dtype=ScalarKind.F16,
            connectivity=links,
            expansion_add=building,
            expansion_search=searching,
        )
        self._threads = threads
        self.graph = graph
        self.ids: Ids = np.empty(0, np.int64)

    @classmethod
    def load(cls, content: mmap.mmap, dim: int, *, graph: bool, threads: int) -> ClipIndex:
        """From the bytes of a saved index; they are copied.

        The caller has verified them: usearch crashes on altered bytes rather than to refuse them.

        Raises:
            ValueError: an index of another kind or dimension.
            RuntimeError: bytes that usearch refuses.
        """
        loaded = cls(dim, graph=graph, threads=threads)
        with memoryview(content) as buffer:
            # Loading would silently take over whatever kind of index this is.
            kind: dict[str, Any] = Index.metadata(buffer) or {}
            found = (kind.get("dimensions"), kind.get("kind_scalar"), kind.get("kind_metric"))
            if found != (dim, ScalarKind.F16, MetricKind.IP):
                raise ValueError(f"it does not hold float16 vectors of {dim} dimensions")
            loaded._index.load(buffer)
        if len(loaded._index):
            loaded.ids = np.sort(loaded._index.keys[:].astype(np.int64))
        return loaded

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, ids: Ids, vectors: HalfVectors) -> None:
        """Add clips by ascending id, none of which is in it yet."""
        self._index.add(ids.astype(np.uint64), vectors, threads=self._threads)
        in_order = not len(self.ids) or not len(ids) or ids[0] > self.ids[-1]
        merged = np.concatenate([self.ids, ids])
        self.ids = merged if in_order else np.sort(merged)

    def candidates(self, query: Vectors, k: int, keep: Ids | None, *, exact: bool) -> Ids:
        """The ids that may be among the ``k`` nearest to float32 [D].

        ``keep``, ascending, says who counts. With ``exact`` or without a graph, the ``k`` nearest
        are surely among them.
        """
        total = len(self.ids)
        if keep is not None and len(keep) <= _FEW:
            return keep
        if not total:
            return self.ids
        # Scaled, so that the margin holds and nothing overflows float16.
        wide = query.astype(np.float64)
        length = float(np.linalg.norm(wide))
        scaled = (wide / length if length > 0 else wide).astype(np.float32)
        share = 1.0 if keep is None else len(keep) / total
        count = min(total, int((k + _SPARE) / min(1.0, share)) + 1)
        while True:
            # Not every vector can be reached through a graph: who asks for all of them gets all.
            thorough = exact or not self.graph or count == total
            matches = self._index.search(scaled, count, exact=thorough, threads=self._threads)
            ids = matches.keys.astype(np.int64)
            scores = 1.0 - matches.distances
            kept = slice(None) if keep is None else _among(ids, keep)
            ids, kept_scores = ids[kept], scores[kept]
            if count == total:
                break
            if len(ids) > k and scores[-1] < kept_scores[k - 1] - _MARGIN:
                break
            count = min(total, 4 * count)
        if len(ids) > k:
            ids = ids[kept_scores >= kept_scores[k - 1] - _MARGIN]
        return ids

    def save(self, path: str) -> None:
        """Write it to a file; not atomic."""
        self._index.save(path)

    def save_bytes(self) -> bytes:
        """The same bytes in memory."""
        return bytes(self._index.save() or b"")


def _among(ids: Ids, keep: Ids) -> NDArray[np.bool_]:
    places = np.minimum(np.searchsorted(keep, ids), len(keep) - 1)
    return np.asarray(keep[places] == ids)
