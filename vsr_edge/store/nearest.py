"""Which vectors are nearest: every one of them is compared, by several threads.

A graph finds two thirds of the true neighbours in footage, whose clips cluster by scene, where
comparing a million vectors takes 50 ms of one core.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

# isort: off
# onnxruntime must come before usearch: loaded after it, onnxruntime's regular expressions use
# usearch's copy of the C++ library and crash the process (onnxruntime 1.31, usearch 2.26).
import vsr_edge.runtime.session  # noqa: F401
from usearch.compiled import MetricKind
from usearch.index import search

# isort: on
from vsr_edge.types import HalfVectors, Vectors

Ids = NDArray[np.int64]
Item = TypeVar("Item")
Result = TypeVar("Result")

# How many are compared, checked or written at a time: 3 MB at 384 dimensions.
BLOCK = 4096

# usearch rounds the query to float16, which moves an inner product of unit vectors by up to 2⁻¹¹;
# two of them, and float32 sums. Clips closer than this to the last place are all candidates: the
# store scores them again without rounding, so that neither rounding nor ties decide who is in.
_MARGIN = 1.2e-3
_SPARE = 32


@dataclass(frozen=True, slots=True)
class Part:
    """Vectors float16 [n, D], and whose they are.

    ``runs`` is int64 [m, 4]: video, first clip, how many, first row. Vectors of no run do not
    count: their clips were removed.
    """

    vectors: HalfVectors
    runs: Ids

    def of(self, videos: Ids) -> Part:
        """What belongs to these videos."""
        return Part(self.vectors, self.runs[np.isin(self.runs[:, 0], videos)])

    def blocks(self) -> Iterator[Part]:
        """The same in parts of about ``BLOCK`` vectors that count."""
        present = self.runs[self.runs[:, 2] > 0]
        counted = np.cumsum(present[:, 2])
        total = int(counted[-1]) if len(counted) else 0
        cuts = np.searchsorted(counted, np.arange(BLOCK, total + BLOCK, BLOCK)) + 1
        for runs in np.split(present, np.unique(cuts)):
            if len(runs):
                yield Part(self.vectors, runs)

    def packed(self) -> HalfVectors:
        """The vectors that count, in the order of the runs: not copied where nothing lies between
        them."""
        counts, firsts = self.runs[:, 2], self.runs[:, 3]
        total, start = int(counts.sum()), int(firsts[0])
        if firsts[-1] + counts[-1] - start == total:
            return self.vectors[start : start + total]
        rows = np.arange(total) + np.repeat(firsts - np.cumsum(counts) + counts, counts)
        return self.vectors[rows]

    def clips(self, places: Ids) -> Ids:
        """The clips at these places of :meth:`packed`."""
        ends = np.cumsum(self.runs[:, 2])
        run = np.searchsorted(ends, places, side="right")
        return np.asarray(self.runs[run, 1] + places - ends[run] + self.runs[run, 2])


def nearest(blocks: list[Part], queries: Vectors, k: int, threads: int) -> list[Ids]:
    # Scaled, so that the margin holds and nothing overflows float16.
    wide = queries.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    scaled = (wide / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
    if not blocks or not len(scaled):
        return [np.empty(0, np.int64) for _ in scaled]

    def compare(block: Part, count: int = k + _SPARE) -> tuple[Ids, NDArray[np.floating], bool]:
        """The best ``count`` for each query, and whether these are all."""
        vectors = block.packed()
        count = min(count, len(vectors))
        found = search(vectors, scaled, count, MetricKind.IP, exact=True, threads=1)
        places = found.keys.astype(np.int64).reshape(len(scaled), count)
        scores = 1.0 - found.distances.reshape(len(scaled), count)
        return block.clips(places), scores, count == len(vectors)

    found = dict(enumerate(each(compare, blocks, threads)))
    every = np.concatenate([scores for _, scores, _ in found.values()], axis=1)
    last = np.full((len(scaled), 1), -np.inf)
    if every.shape[1] > k:
        last = np.partition(every, -k, axis=1)[:, -k, np.newaxis] - _MARGIN

    def needs_more(_: Ids, scores: NDArray[np.floating], is_all: bool) -> bool:
        """Whether others that were not asked for may be within the margin."""
        return not is_all and bool((scores[:, -1:] >= last).any())

    count = k + _SPARE
    while more := [i for i, found_there in found.items() if needs_more(*found_there)]:
        count *= 4
        again = each(partial(compare, count=count), [blocks[i] for i in more], threads)
        found |= zip(more, again, strict=True)
    chosen = [(clips, scores >= last) for clips, scores, _ in found.values()]
    return [
        np.concatenate([clips[q][enough[q]] for clips, enough in chosen])
        for q in range(len(scaled))
    ]


def each(act: Callable[[Item], Result], items: Sequence[Item], threads: int) -> list[Result]:
    """``act`` on each item, by several threads."""
    if threads == 1 or len(items) == 1:
        return [act(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(act, items))
