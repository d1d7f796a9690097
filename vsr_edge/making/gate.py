"""Gate: graphs of less precision must agree with fp32, in vectors and in what they retrieve, on
what they were not calibrated on.

A precision that is no faster than fp32 on this machine is allowed, and said.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vsr_edge.bundle.manifest import IMAGE_ENCODER, TEXT_ENCODER
from vsr_edge.errors import ParityError
from vsr_edge.runtime.session import open_session

MIN_MEAN_COSINE = 0.99
MIN_LOWEST_COSINE = 0.95
MIN_TOP1_AGREEMENT = 0.95
# A share of the spread of a query's scores, which is 0.1 with some encoders and 0.02 with others.
DECIDED_MARGIN = 0.5
MIN_ORDER_AGREEMENT = 0.99

# What a graph takes, batch by batch.
Feeds: TypeAlias = Sequence[dict[str, NDArray[Any]]]
# Vectors of fp32 and of the graph that is compared with it.
Both: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True)
class Graph:
    """A file of a bundle; ``precision`` is None for what is no graph, ``float_nodes`` are those
    that were left in floating point.
    """

    path: Path
    precision: str | None
    float_nodes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Parity:
    """Agreement of one side, and its speed relative to fp32 on this machine (above 1: faster)."""

    mean_cosine: float
    lowest_cosine: float
    speedup: float
    samples: int

    def require(self, name: str, min_cosine: float = MIN_MEAN_COSINE) -> None:
        """Raise ``ParityError`` where a side is past tolerance."""
        # Asked so that a cosine that is not a number does not pass.
        if not (self.mean_cosine >= min_cosine and self.lowest_cosine >= MIN_LOWEST_COSINE):
            raise ParityError(
                f"{name}: cosine to fp32 is {self.mean_cosine:.4f} on average and "
                f"{self.lowest_cosine:.4f} at worst; at least {min_cosine} and "
                f"{MIN_LOWEST_COSINE} are required. More or other calibration pictures may help."
            )

    def to_json(self, graph: Graph) -> dict[str, Any]:
        """What the manifest records of a graph."""
        values: dict[str, Any] = {"precision": graph.precision}
        values |= {name: round(value, 5) for name, value in asdict(self).items()}
        if graph.precision != "fp32":
            values["pays"] = self.speedup > 1
        if graph.float_nodes:
            values["float_nodes"] = list(graph.float_nodes)
        return values


def pass_gate(
    fp32: Mapping[str, Path],
    graphs: Mapping[str, Sequence[Graph]],
    feeds: Mapping[str, Feeds],
    min_cosine: float = MIN_MEAN_COSINE,
) -> dict[str, Any]:
    """Compare every graph with fp32, and what the first ones retrieve; what the manifest records.

    Raises:
        ParityError: past tolerance.
    """
    report: dict[str, Any] = {}
    vectors: dict[str, Both] = {}
    for role, variants in graphs.items():
        expected, slow = run_graph(Graph(fp32[role], "fp32"), feeds[role], "vector", repeats=3)
        for graph in variants:
            found, fast = run_graph(graph, feeds[role], "vector", repeats=3)
            cosines = cosines_of(expected, found)
            mean, lowest = float(cosines.mean()), float(cosines.min())
            parity = Parity(mean, lowest, slow / fast, len(cosines))
            parity.require(f"{role} in {graph.precision}", min_cosine)
            if role not in report:
                vectors[role] = (expected, found)
                report[role] = parity.to_json(graph)
            else:
                also = report[role].setdefault("alternatives", {})
                also[str(graph.precision)] = parity.to_json(graph)
    queries, gallery = vectors[TEXT_ENCODER], vectors[IMAGE_ENCODER]
    for name, share, least in (
        ("top1_agreement", top1_agreement(queries, gallery), MIN_TOP1_AGREEMENT),
        ("order_agreement", order_agreement(queries, gallery), MIN_ORDER_AGREEMENT),
    ):
        if share is not None and not share >= least:
            raise ParityError(
                f"{name} with fp32 is {share:.1%} where fp32 decides; at least {least:.0%} is "
                "required"
            )
        report[name] = None if share is None else round(share, 5)
    return report


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


def cosines_of(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Row by row; vectors of half precision are of unit length only nearly."""
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines: NDArray[np.float32] = (a * b).sum(1) / np.maximum(lengths, 1e-12)
    return cosines
