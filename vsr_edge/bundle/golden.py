"""Golden vectors: what every machine must compute of a few sentences and generated pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from vsr_edge.bundle.manifest import GoldenImage, GoldenText
from vsr_edge.types import Pixels, Vectors

# Integer kernels round differently from one instruction set to the next; a wrong graph is far below
# this.
GOLDEN_COSINE = 0.98
# Golden vectors nearer to each other than this tell nothing apart.
_ALIKE = 0.999
_BLOBS = 6

Sample = TypeVar("Sample", GoldenText, GoldenImage)


@dataclass(frozen=True, slots=True)
class GoldenReport:
    """Lowest cosine between what was computed here and what the manifest holds, for each side."""

    text_cosine: float
    image_cosine: float


def golden_picture(seed: int, side: int) -> Pixels:
    """A picture uint8 [side, side, 3] that any machine can make: a few soft coloured blobs."""
    random = np.random.default_rng(seed)
    places = np.arange(side) / side
    # The ground is a last blob, which is everywhere.
    down, across = np.ones((_BLOBS + 1, side)), np.ones((_BLOBS + 1, side, 3))
    across[_BLOBS] = random.uniform(40, 200, 3)
    for blob in range(_BLOBS):
        y, x = random.uniform(0, 1, 2)
        width = random.uniform(0.05, 0.3)
        # A Gaussian of two axes is the product of one on each.
        down[blob] = np.exp(-(((places - y) / width) ** 2))
        gaussian = np.exp(-(((places - x) / width) ** 2))
        across[blob] = gaussian[:, None] * random.uniform(-150, 150, 3)
    # No matrix product: the threads of NumPy's library for these wait busily for the next one, on
    # the cores that the graph is to be run by (a third of the check's time).
    picture: Pixels = np.einsum("by,bxc->yxc", down, across).clip(0, 255).astype(np.uint8)
    return picture


def telling(golden: Sequence[Sample]) -> list[Sample]:
    """The first and what is least like it: of two, either being right and both not the same tells
    nearly all that more would.
    """
    if len(golden) < 2:
        return list(golden)
    vectors = np.array([one.vector for one in golden])
    return [golden[0], golden[int((vectors @ vectors[0]).argmin())]]


def lowest_cosine(vectors: Vectors, golden: Sequence[GoldenText | GoldenImage]) -> float:
    """Of vectors [n, D], each to its golden one; less where its length is another.

    NaN where a vector is zero, infinite or no number: whoever compares this must ask so that it
    does not pass.
    """
    expected = np.asarray([one.vector for one in golden], np.float64)
    found = np.asarray(vectors, np.float64)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        length, right = np.linalg.norm(found, axis=1), np.linalg.norm(expected, axis=1)
        cosines = (found * expected).sum(1) / (length * right)
        return float((cosines * np.minimum(length / right, right / length)).min())


def told_apart(vectors: Vectors, golden: Sequence[GoldenText | GoldenImage]) -> bool:
    """Is each of the vectors [n, D] nearer to its golden one than to any other?

    Where all that a model knows lies close together, whoever answers everything alike is near to
    all of it.
    """
    expected = np.asarray([one.vector for one in golden], np.float64)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    others = expected @ expected.T < _ALIKE
    near = np.asarray(vectors, np.float64) @ expected.T
    return not (others & ~(near.diagonal()[:, None] > near)).any()
