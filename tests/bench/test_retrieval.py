"""Exhaustive search against a graph: where the switch belongs (``config.EXACT_SEARCH_LIMIT``)."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.bench.figures import shortest, show
from vsr_edge.config import usable_threads
from vsr_edge.store.index import ClipIndex

DIM, QUERIES, NEAREST = 384, 50, 10

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]


def unit(random: np.random.Generator, count: int) -> NDArray[np.float32]:
    vectors = random.normal(0, 1, (count, DIM)).astype(np.float32)
    lengths: NDArray[np.float32] = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths


@pytest.mark.parametrize(
    ("clips", "graph"),
    [(10_000, True), (50_000, True), (100_000, False), (500_000, False)],
)
def test_exhaustive_search_against_a_graph(clips: int, graph: bool) -> None:
    """Vectors without clusters, the graph's worst case; recall of the ten nearest."""
    random = np.random.default_rng(0)
    vectors = np.concatenate([unit(random, 10_000).astype(np.float16)] * (clips // 10_000))
    vectors += random.normal(0, 0.03, vectors.shape).astype(np.float16)
    ids, queries = np.arange(clips), unit(random, QUERIES)
    figures = {}
    found = {}
    for name in ("exhaustive", "graph") if graph else ("exhaustive",):
        index = ClipIndex(DIM, graph=name == "graph", threads=usable_threads())
        figures[f"{name}_build_s"] = shortest(lambda: index.add(ids, vectors), 1)  # noqa: B023
        exact = name == "exhaustive"
        answers = [
            index.candidates(query, NEAREST, None, exact=exact)[:NEAREST] for query in queries
        ]
        found[name] = answers
        seconds = shortest(
            lambda: [index.candidates(q, NEAREST, None, exact=exact) for q in queries],  # noqa: B023
            2,
        )
        figures[f"{name}_ms_a_query"] = seconds / QUERIES * 1e3
    if graph:
        both = zip(found["exhaustive"], found["graph"], strict=True)
        shared = [len(np.intersect1d(a, b)) for a, b in both]
        figures["graph_recall_at_10"] = float(np.mean(shared)) / NEAREST
    show(f"retrieval over {clips} clips", **figures)
