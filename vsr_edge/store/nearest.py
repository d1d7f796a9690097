"""Which vectors are nearest: every one of them is compared.

A graph finds two thirds of the true neighbours in footage, whose clips cluster by scene, where
comparing a million vectors takes 70 ms of one core.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

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

# usearch brings its kernels as a package from 2.25 on.
numkong: Any = import_module("numkong") if find_spec("numkong") else None

Ids = NDArray[np.int64]

Scored = tuple[Ids, NDArray[np.floating]]

# How many are compared at a time: 50 MB at 384 dimensions.
BLOCK = 65_536
# Threads pay for themselves from so many on.
_MANY = 16_384

# To copy fewer costs less than to compare them by themselves.
_FEW = 256

# The query is rounded to float16, which moves an inner product of unit vectors by up to 2⁻¹¹; two
# of them, and float32 sums. Clips closer than this to the last place are all candidates: the store
# scores them again without rounding, so that neither rounding nor ties decide who is in.
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

    def of(self, videos: Ids, clips: Ids | None = None) -> Part:
        """What belongs to these videos, or are these clips (ascending) of others."""
        runs = self.runs[np.isin(self.runs[:, 0], videos)]
        if clips is not None and len(clips):
            both = np.concatenate([runs, self._runs_of(clips)])
            runs = both[np.argsort(both[:, 3], kind="stable")]
        return Part(self.vectors, runs)

    def _runs_of(self, clips: Ids) -> Ids:
        """The runs of these clips, as far as they are here."""
        runs = self.runs[self.runs[:, 2] > 0]
        runs = runs[np.argsort(runs[:, 1], kind="stable")]
        place = np.searchsorted(runs[:, 1], clips, side="right") - 1
        here = (place >= 0) & (clips < (runs[:, 1] + runs[:, 2])[place] if len(runs) else False)
        clips, place = clips[here], place[here]
        begins = np.diff(clips, prepend=-2) != 1
        begins |= np.diff(place, prepend=-1) != 0
        firsts = np.flatnonzero(begins)
        of, first = runs[place[firsts]], clips[firsts]
        counts = np.diff(firsts, append=len(clips))
        return np.column_stack([of[:, 0], first, counts, of[:, 3] + first - of[:, 1]])

    def blocks(self) -> Iterator[Part]:
        """The same in parts of about ``BLOCK`` vectors that count.

        Many that lie together are parts of their own, which need not be copied.
        """
        runs = self.runs[self.runs[:, 2] > 0]
        if not len(runs):
            return
        apart = _gaps(runs)
        together = np.add.reduceat(runs[:, 2], np.append(0, apart))
        few = np.repeat(together < _FEW, np.diff(apart, prepend=0, append=len(runs)))
        for some, cuts in ((runs[~few], _gaps(runs[~few])), (runs[few], [])):
            ends = np.cumsum(some[:, 2])
            full = np.searchsorted(ends, np.arange(BLOCK, int(ends[-1:].sum()), BLOCK)) + 1
            for block in np.split(some, sorted({*cuts, *full})):
                if len(block):
                    yield Part(self.vectors, block)

    def packed(self) -> HalfVectors:
        """The vectors that count, in the order of the runs: not copied where nothing lies between
        them."""
        counts, firsts = self.runs[:, 2], self.runs[:, 3]
        total, start = int(counts.sum()), int(firsts[0])
        if firsts[-1] + counts[-1] - start == total:
            return self.vectors[start : start + total]
        rows = np.arange(total) + np.repeat(firsts - np.cumsum(counts) + counts, counts)
        return np.take(self.vectors, rows, axis=0, mode="clip")

    def clips(self, places: Ids) -> Ids:
        """The clips at these places of :meth:`packed`."""
        ends = np.cumsum(self.runs[:, 2])
        run = np.searchsorted(ends, places, side="right")
        return np.asarray(self.runs[run, 1] + places - ends[run] + self.runs[run, 2])


def _gaps(runs: Ids) -> Ids:
    """The runs whose vectors do not follow those of the one before."""
    return np.flatnonzero(np.diff(runs[:, 3]) != runs[:-1, 2]) + 1


def sample(parts: Sequence[Part], count: int) -> HalfVectors:
    """At most ``count`` of the vectors that count, evenly spaced in the order of their clips."""
    # Whichever part they lie in, and wherever in it.
    runs = np.concatenate([np.insert(part.runs, 4, i, axis=1) for i, part in enumerate(parts)])
    runs = runs[np.argsort(runs[:, 1], kind="stable")]
    ends = np.cumsum(runs[:, 2])
    total = int(ends[-1]) if len(ends) else 0
    places = np.arange(min(count, total)) * total // max(min(count, total), 1)
    run = np.searchsorted(ends, places, side="right")
    rows = runs[run, 3] + places - (ends - runs[:, 2])[run]
    found = np.empty((len(places), parts[0].vectors.shape[1]), np.float16)
    for number, part in enumerate(parts):
        here = runs[run, 4] == number
        found[here] = part.vectors[rows[here]]
    return found


def nearest(blocks: Sequence[Part], query: Vectors, k: int, threads: int) -> Ids:
    """The clips that the ``k`` nearest to float32 [D] are surely among."""
    # Scaled, so that the margin holds and nothing overflows float16.
    wide = query.astype(np.float64)
    scaled = (wide / (np.linalg.norm(wide) or 1.0)).astype(np.float16)
    if sum(int(block.runs[:, 2].sum()) for block in blocks) < _MANY:
        threads = 1
    found = COMPARE(blocks, scaled, k, threads)
    ids = np.concatenate([np.empty(0, np.int64), *(some for some, _ in found)])
    scores = np.concatenate([np.empty(0), *(of_some for _, of_some in found)])
    return ids[scores >= _last(scores, k)]


def _last(scores: NDArray[np.floating], k: int) -> float:
    """From which score on one may be among the best ``k``."""
    return float(np.partition(scores, -k)[-k]) - _MARGIN if len(scores) > k else -np.inf


def by_kernel(blocks: Sequence[Part], query: HalfVectors, k: int, threads: int) -> list[Scored]:
    """The clips of each block that may be among its best ``k``, by the kernel that usearch itself
    compares with: a block in one call takes 40 % of the time."""

    def compare(block: Part) -> Scored:
        scores: NDArray[np.floating] = np.asarray(
            numkong.cdist(query[np.newaxis], block.packed(), "dot")
        )[0]
        places = np.flatnonzero(scores >= _last(scores, k))
        return block.clips(places), scores[places]

    if threads == 1:
        return list(map(compare, blocks))
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(compare, blocks))


def by_usearch(blocks: Sequence[Part], query: HalfVectors, k: int, threads: int) -> list[Scored]:
    """The same by usearch, which wants to know how many. (Its calls from several threads of Python
    take twice as long as one after the other.)"""

    def compare(block: Part) -> Scored:
        vectors, count = block.packed(), k + _SPARE
        while True:
            some = min(count, len(vectors))
            found = search(vectors, query, some, MetricKind.IP, exact=True, threads=threads)
            scores = 1.0 - found.distances
            # Among others, which were not asked for, may be some within the margin.
            if some == len(vectors) or scores[-1] < _last(scores, k):
                return block.clips(found.keys.astype(np.int64)), scores
            count *= 4

    return list(map(compare, blocks))


COMPARE = by_usearch if numkong is None else by_kernel
