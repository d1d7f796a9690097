"""Vectors at a byte a number: half of what they take as float16, and less than half of the time to
compare them.

A vector is turned first, by a fixed rotation that looks random (a Hartley transform of it with
random signs), after which its numbers are as good as normally distributed whatever the encoder is:
none is so large that the others are lost beside it, as the one which carries hubness in a query.
Then each is rounded to a 127th of the largest, the vector's step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from vsr_edge.types import Vectors

Rows = NDArray[np.uint8]

_LARGEST = 127
# Whether one rounds up or down is as good as random, so that what an inner product is off by adds
# up to a sum of some hundred parts. Beyond so many standard deviations it is with a chance of
# 1e-15; of few numbers it never is.
_DEVIATIONS = 8.0
_STEP = np.dtype("<f4")


@dataclass(frozen=True, slots=True)
class Codes:
    """Vectors as ``numbers`` int8 [n, D] times ``steps`` float32 [n], turned."""

    numbers: NDArray[np.int8]
    steps: Vectors

    @classmethod
    def of(cls, rows: Rows) -> Codes:
        """Of rows as :func:`encode` gives them; the numbers stay where they are."""
        steps = np.ascontiguousarray(rows[:, -_STEP.itemsize :]).view(_STEP)
        return cls(rows[:, : -_STEP.itemsize].view(np.int8), steps[:, 0].astype(np.float32))

    @classmethod
    def joined(cls, parts: Iterable[Codes]) -> Codes:
        """One after the other."""
        numbers, steps = zip(*((part.numbers, part.steps) for part in parts), strict=True)
        return cls(np.concatenate(numbers), np.concatenate(steps))

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, which: slice | NDArray[np.int64]) -> Codes:
        return Codes(self.numbers[which], self.steps[which])


def row_bytes(dim: int) -> int:
    """What a vector of so many numbers takes."""
    return dim + _STEP.itemsize


def encode(vectors: NDArray[np.floating]) -> Rows:
    """Vectors [n, D] as uint8 [n, row_bytes(D)]."""
    turned = _turned(vectors)
    steps = np.abs(turned).max(axis=1, keepdims=True, initial=0) / _LARGEST
    turned /= np.where(steps > 0, steps, 1)
    rows = np.empty((len(vectors), row_bytes(vectors.shape[1])), np.uint8)
    rows[:, : -_STEP.itemsize] = np.rint(turned).astype(np.int8).view(np.uint8)
    rows[:, -_STEP.itemsize :] = steps.astype(_STEP).view(np.uint8)
    return rows


def margin(query: Codes, steps: NDArray[np.floating]) -> NDArray[np.floating]:
    """How far from the true inner product that of a query's code with codes of these steps is at
    most, where the vectors have length 1, or nearly so.
    """
    return np.asarray(_DEVIATIONS * np.sqrt((query.steps[0] ** 2 + steps**2) / 12))


def _turned(vectors: NDArray[np.floating]) -> Vectors:
    """Rotated, float32 [n, D]."""
    dim = vectors.shape[1]
    found = np.fft.rfft(vectors.astype(np.float32) * _signs(dim), norm="ortho")
    sines, cosines = found.imag, found.real
    rest = slice((dim - 1) // 2, 0, -1)
    turned = np.concatenate([cosines - sines, (cosines + sines)[:, rest]], axis=1)
    return np.asarray(turned, np.float32)


@cache
def _signs(dim: int) -> Vectors:
    # No generator of random numbers is the same in all versions of all libraries.
    drawn = np.frombuffer(hashlib.shake_128(b"vectors").digest(dim // 8 + 1), np.uint8)
    return np.where(np.unpackbits(drawn)[:dim], 1, -1).astype(np.float32)
