"""The gate before a bundle: each graph must agree with its source on what it was not calibrated on.

fp32 graphs with PyTorch, to rounding; graphs of less precision with fp32, in vectors and in what
they retrieve. A precision that is no faster than fp32 on this machine is allowed, and said.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from export.bundle import Graph
from export.quantize import Feeds
from vsr_edge.runtime.session import open_session

MIN_MEAN_COSINE = 0.99
MIN_LOWEST_COSINE = 0.95
MIN_TOP1_AGREEMENT = 0.95
# A share of the spread of a query's scores, which is 0.1 with some encoders and 0.02 with others.
DECIDED_MARGIN = 0.5
MIN_ORDER_AGREEMENT = 0.99
# Largest difference of any number from PyTorch's, relative to the tensor's largest where that is
# above 1.
MAX_DIFFERENCE = 1e-4


class ParityError(Exception):
    """A graph differs from its source by more than the tolerance."""


@dataclass(frozen=True)
class Parity:
    """Agreement of one side, and its speed relative to fp32 on this machine (above 1: faster)."""

    mean_cosine: float
    lowest_cosine: float
    speedup: float
    samples: int

    @property
    def pays(self) -> bool:
        """Whether it is faster than fp32 here."""
        return self.speedup > 1

    def to_json(self) -> dict[str, float | bool]:
        values: dict[str, float | bool] = {n: round(v, 5) for n, v in asdict(self).items()}
        return values | {"pays": self.pays}


def run_graph(
    graph: Graph, feeds: Feeds, output: str, repeats: int = 1
) -> tuple[NDArray[np.float32], float]:
    """One output over all batches, and the shortest time of a full pass in seconds.

    In a session of the runtime's, so that what is measured is what will run.
    """
    session = open_session({graph.precision or "": graph.path})
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        outputs = [session.run([output], feed)[0] for feed in feeds]
        times.append(time.perf_counter() - started)
    flat = [o.reshape(-1, o.shape[-1]) for o in outputs]
    return np.concatenate(flat).astype(np.float32), min(times)


def compare_to_torch(name: str, module: nn.Module, graph: Path, feeds: Feeds) -> float:
    """The largest difference of any output from PyTorch's.

    Raises:
        ParityError: more than ``MAX_DIFFERENCE``.
    """
    session = open_session({"fp32": graph})
    largest = 0.0
    for feed in feeds:
        found = session.run(list(session.outputs), feed)
        with torch.no_grad():
            expected = module(*(torch.from_numpy(array) for array in feed.values()))
        for a, b in zip(found, expected, strict=True):
            scale = max(float(b.abs().max()), 1.0)
            difference = float(np.abs(a - b.numpy()).max()) / scale
            # Not a number is no small difference.
            largest = max(largest, difference) if math.isfinite(difference) else math.inf
    if largest > MAX_DIFFERENCE:
        raise ParityError(
            f"{name}: the fp32 graph differs from PyTorch by {largest:.2g}; at most "
            f"{MAX_DIFFERENCE:.0e} is rounding"
        )
    return largest


def compare(
    source: Graph, found: Graph, feeds: Feeds, repeats: int = 3
) -> tuple[Parity, NDArray[np.float32], NDArray[np.float32]]:
    """Run both graphs on the same batches; also returns both sets of vectors [n, D]."""
    expected, slow = run_graph(source, feeds, "vector", repeats)
    vectors, fast = run_graph(found, feeds, "vector", repeats)
    cosines = cosines_of(expected, vectors)
    parity = Parity(float(cosines.mean()), float(cosines.min()), slow / fast, len(cosines))
    return parity, expected, vectors


def cosines_of(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Row by row; vectors of half precision are of unit length only nearly."""
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines: NDArray[np.float32] = (a * b).sum(1) / np.maximum(lengths, 1e-12)
    return cosines


def require(name: str, parity: Parity, min_cosine: float = MIN_MEAN_COSINE) -> None:
    """Raise ``ParityError`` where a side is past tolerance."""
    # Asked so that a cosine that is not a number does not pass.
    if not (parity.mean_cosine >= min_cosine and parity.lowest_cosine >= MIN_LOWEST_COSINE):
        raise ParityError(
            f"{name}: cosine to fp32 is {parity.mean_cosine:.4f} on average and "
            f"{parity.lowest_cosine:.4f} at worst; at least {min_cosine} and "
            f"{MIN_LOWEST_COSINE} are required. More or other calibration pictures may help."
        )


Both: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32]]


def top1_agreement(queries: Both, gallery: Both) -> float | None:
    """Share of decided queries whose nearest picture agrees; each pair is (fp32, int8).

    Decided are those whose nearest picture leads clearly in fp32, by ``DECIDED_MARGIN`` of the
    spread of the query's scores: where two pictures match a query equally well or badly, which one
    comes first says nothing. None where no query is decided.
    """
    expected, found = (q @ g.T for q, g in zip(queries, gallery, strict=True))
    best, second = -np.partition(-expected, 1, axis=1)[:, :2].T
    decided = best - second > _margins(expected)
    agree = expected.argmax(1) == found.argmax(1)
    return float(agree[decided].mean()) if decided.any() else None


def order_agreement(queries: Both, gallery: Both) -> float | None:
    """Share of decided pairs of pictures that a query puts in the same order; decided as above."""
    expected, found = (q @ g.T for q, g in zip(queries, gallery, strict=True))
    kept = decided = 0
    for exact, near, margin in zip(expected, found, _margins(expected), strict=True):
        before = exact[:, None] - exact[None] > margin
        decided += int(before.sum())
        kept += int((before & (near[:, None] > near[None])).sum())
    return kept / decided if decided else None


def _margins(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a lead is, for each query: [Q, P] → [Q]."""
    margins: NDArray[np.float32] = DECIDED_MARGIN * scores.std(axis=1)
    return margins
