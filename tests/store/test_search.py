"""Search against numpy."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.servers import Server
from vsr_edge.query import Filter
from vsr_edge.store import nearest

from .archives import (
    DIM,
    brute_force,
    footage,
    open_archive,
    store_footage,
    unit_vectors,
)

PATTERNS = [None, "*", "*.mp4", "cam1/*", "cam[12]/?.mp4", "none*", "/v/cam1/0.mp4"]

# The second is the first where usearch brings no kernels.
COMPARED = [nearest.by_numpy, nearest.DOT]

CASES = st.fixed_dictionaries(
    {
        "sizes": st.lists(st.integers(1, 60), min_size=1, max_size=5),
        "removed": st.sets(st.integers(0, 4), max_size=2),
        "copies": st.integers(1, 40),
        "k": st.integers(1, 80),
        "pattern": st.sampled_from(PATTERNS),
        "seed": st.integers(0, 2**32 - 1),
        "spare": st.sampled_from([0, 32]),
        "block": st.sampled_from([1, 7, 8192]),
        "few": st.sampled_from([1, 30, 256]),
        "compare": st.sampled_from(COMPARED),
    }
)


@settings(max_examples=30, database=None)
@given(CASES)
def test_search_finds_what_brute_force_finds(case: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert_found(Path(folder), **case)


@settings(
    max_examples=8, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(CASES)
def test_search_on_a_server_finds_it_too(server: Server, case: dict[str, Any]) -> None:
    assert_found(server.url(), **case)


def assert_found(
    place: Path | str,
    *,
    sizes: list[int],
    removed: set[int],
    copies: int,
    k: int,
    pattern: str | None,
    seed: int,
    spare: int,
    block: int,
    few: int,
    compare: Callable[..., Any],
) -> None:
    rng = np.random.default_rng(seed)
    queries = unit_vectors(rng, 3, DIM).astype(np.float32)
    with (
        pytest.MonkeyPatch.context() as patch,
        open_archive(place) as store,
    ):
        patch.setattr(nearest, "DOT", compare)
        patch.setattr(nearest, "_MANY", 4)
        patch.setattr("vsr_edge.store.postgres.pg_nearest._SPARE", spare)
        patch.setattr(nearest, "BLOCK", block)
        patch.setattr("vsr_edge.store.vectors._BATCH", block)
        patch.setattr(nearest, "_FEW", few)
        with store.writer() as writer:
            ids = []
            for number, size in enumerate(sizes):
                suffix = "mkv" if number == 3 else "mp4"
                made = footage(f"/v/cam{number % 3}/{number}.{suffix}", clips=size, batches=1)
                vectors = unit_vectors(rng, size, DIM)
                vectors[:copies] = vectors[0]
                ids.append(store_footage(writer, replace(made, vectors=vectors)))
        store.search(queries[0], 1)
        with store.writer() as writer:
            writer.remove([ids[i] for i in removed if i < len(ids)])
        where = None if pattern is None else Filter((pattern,))
        with open_archive(place) as again:
            for query in queries:
                hits = store.search(query, k, where)
                expected = brute_force(place, query, k, pattern)
                assert [(hit.clip.clip_id, hit.score) for hit in hits] == expected
                assert again.search(query, k, where) == hits
