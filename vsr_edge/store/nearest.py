"""Which vectors are nearest: every one of them is compared, by codes of a byte a number.

A graph finds two thirds of the true neighbours in footage, whose clips cluster by scene, where
comparing a million vectors takes 30 ms of one core.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from vsr_edge.store.vector_codes import Codes, encode, margin
from vsr_edge.types import Vectors

try:
    import numkong  # the kernels of usearch, which brings them from 2.25 on
except ImportError:
    numkong = None  # type: ignore[assignment]

Ids = NDArray[np.int64]
Scores = NDArray[np.float64]

# How many are compared at a time: 25 MB at 384 dimensions.
BLOCK = 65_536
# Threads pay for themselves from so many on.
_MANY = 16_384

# To copy fewer costs less than to compare them by themselves.
_FEW = 256


@dataclass(frozen=True, slots=True)
class Part:
    """Coded vectors [n, D], and whose they are.

    ``runs`` is int64 [m, 4]: video, first clip, how many, first row. Vectors of no run do not
    count: their clips were removed.
    """

    codes: Codes
    runs: Ids

    def of(self, videos: Ids, clips: Ids | None = None) -> Part:
        """What belongs to these videos, or are these clips (ascending) of others."""
        runs = self.runs[np.isin(self.runs[:, 0], videos)]
        if clips is not None and len(clips):
            both = np.concatenate([runs, self._runs_of(clips)])
            runs = both[np.argsort(both[:, 3], kind="stable")]
        return Part(self.codes, runs)

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
                    yield Part(self.codes, block)

    def packed(self) -> Codes:
        """The vectors that count, in the order of the runs: not copied where nothing lies between
        them."""
        counts, firsts = self.runs[:, 2], self.runs[:, 3]
        total, start = int(counts.sum()), int(firsts[0])
        if firsts[-1] + counts[-1] - start == total:
            return self.codes[start : start + total]
        rows = np.arange(total) + np.repeat(firsts - np.cumsum(counts) + counts, counts)
        return self.codes[rows]

    def clips(self, places: Ids) -> Ids:
        """The clips at these places of :meth:`packed`."""
        ends = np.cumsum(self.runs[:, 2])
        run = np.searchsorted(ends, places, side="right")
        return np.asarray(self.runs[run, 1] + places - ends[run] + self.runs[run, 2])


def _gaps(runs: Ids) -> Ids:
    """The runs whose vectors do not follow those of the one before."""
    return np.flatnonzero(np.diff(runs[:, 3]) != runs[:-1, 2]) + 1


def sampled(parts: Sequence[Part], count: int) -> Ids:
    """At most ``count`` of the clips that count, ascending and evenly spaced."""
    # Whichever part they lie in, and wherever in it.
    runs = np.concatenate([part.runs for part in parts])
    runs = runs[np.argsort(runs[:, 1], kind="stable")]
    ends = np.cumsum(runs[:, 2])
    total = int(ends[-1]) if len(ends) else 0
    places = np.arange(min(count, total)) * total // max(min(count, total), 1)
    run = np.searchsorted(ends, places, side="right")
    return np.asarray(runs[run, 1] + places - ends[run] + runs[run, 2])


class _Best:
    """The ``least`` that a clip must reach to be among the ``k`` best of those seen so far."""

    def __init__(self, k: int) -> None:
        self.least = -np.inf
        self._k = k
        self._best = np.empty(0)
        self._guard = Lock()

    def saw(self, scores: Scores) -> None:
        """Of other clips."""
        with self._guard:
            seen = np.concatenate([self._best, scores[scores >= self.least]])
            if len(seen) >= self._k:
                seen = np.partition(seen, -self._k)[-self._k :]
                self.least = float(seen[0])
            self._best = seen


def nearest(blocks: Sequence[Part], query: Vectors, k: int, threads: int) -> Ids:
    """The clips that the ``k`` nearest to float32 [D] are surely among.

    Clips that the codes cannot tell apart are all among them: the store scores them again by their
    vectors, so that neither rounding nor ties decide who is in.
    """
    length = float(np.linalg.norm(query.astype(np.float64)))
    asked = Codes.of(encode(query[np.newaxis] / (length or 1.0)))
    best = _Best(k)

    def compare(block: Part) -> tuple[Ids, Scores]:
        codes = block.packed()
        scores = DOT(codes.numbers, asked.numbers[0]) * asked.steps[0]
        scores *= codes.steps
        places = np.flatnonzero(scores + margin(asked, codes.steps.max()) >= best.least)
        scores, off = scores[places], margin(asked, codes.steps[places])
        best.saw(scores - off)
        return block.clips(places), scores + off

    if threads == 1 or sum(int(block.runs[:, 2].sum()) for block in blocks) < _MANY:
        found = list(map(compare, blocks))
    else:
        with ThreadPoolExecutor(threads) as pool:
            found = list(pool.map(compare, blocks))
    ids = np.concatenate([np.empty(0, np.int64), *(some for some, _ in found)])
    scores = np.concatenate([np.empty(0), *(of_some for _, of_some in found)])
    return ids[scores >= best.least]


def by_kernel(numbers: NDArray[np.int8], query: NDArray[np.int8]) -> Scores:
    """Inner products of int8 [n, D] and [D]."""
    return np.asarray(numkong.cdist(query[np.newaxis], numbers, "dot"), np.float64).ravel()


def by_numpy(numbers: NDArray[np.int8], query: NDArray[np.int8]) -> Scores:
    """The same in six times the time, without the kernels."""
    return np.asarray(numbers.astype(np.float32) @ query.astype(np.float32), np.float64)


DOT = by_numpy if numkong is None else by_kernel
