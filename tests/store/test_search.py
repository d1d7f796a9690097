"""Search against numpy, exhaustive and by graph."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vsr_edge.store.base import Filter

from .archives import (
    DIM,
    a_query,
    brute_force,
    footage,
    open_archive,
    rows,
    store_footage,
    unit_vectors,
)

PATTERNS = [None, "*", "*.mp4", "cam1/*", "cam[12]/?.mp4", "none*", "/v/cam1/0.mp4"]


@settings(max_examples=30, database=None)
@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=5),
    removed=st.sets(st.integers(0, 4), max_size=2),
    copies=st.integers(1, 40),
    k=st.integers(1, 80),
    pattern=st.sampled_from(PATTERNS),
    seed=st.integers(0, 2**32 - 1),
    spare=st.sampled_from([0, 32]),
    few=st.sampled_from([0, 1024]),
)
def test_search_finds_what_brute_force_finds(
    sizes: list[int],
    removed: set[int],
    copies: int,
    k: int,
    pattern: str | None,
    seed: int,
    spare: int,
    few: int,
) -> None:
    rng = np.random.default_rng(seed)
    queries = unit_vectors(rng, 3, DIM).astype(np.float32)
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory() as place,
        open_archive(Path(place)) as store,
    ):
        patch.setattr("vsr_edge.store.index._SPARE", spare)
        patch.setattr("vsr_edge.store.index._FEW", few)
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
        found = store.search_many(queries, k, Filter(() if pattern is None else (pattern,)))
        for hits, query in zip(found, queries, strict=True):
            expected = brute_force(Path(place), query, k, pattern)
            assert [(hit.clip.clip_id, hit.score) for hit in hits] == expected
        with open_archive(Path(place)) as again:
            assert (
                again.search_many(queries, k, Filter(() if pattern is None else (pattern,)))
                == found
            )


def graph_in_use(folder: Path) -> bool:
    return bool(rows(folder, "SELECT graph FROM search_cache ORDER BY id DESC LIMIT 1")[0][0])


def test_a_graph_is_built_beyond_the_limit_and_keeps_up(tmp_path: Path) -> None:
    # One thread: a graph that several built together may leave a clip out of reach.
    made = [footage(f"/v/{i}.mp4", clips=100, batches=1) for i in range(6)]
    with open_archive(tmp_path, exact_limit=150, threads=1) as store:
        with store.writer() as writer:
            first = store_footage(writer, made[0])
        assert not graph_in_use(tmp_path)
        with store.writer() as writer:
            ids = [first, *(store_footage(writer, one) for one in made[1:5])]
        assert graph_in_use(tmp_path)
    with open_archive(tmp_path, exact_limit=150, threads=1) as store:
        for one in made[:5]:
            for number in range(0, 100, 10):
                hit = store.search(one.vectors[number].astype(np.float32), 1)[0]
                assert hit.clip.window == one.windows[number]
        with store.writer() as writer:
            store_footage(writer, made[5])
            writer.remove(ids[:1])
        assert graph_in_use(tmp_path)
        hits = store.search(made[5].vectors[7].astype(np.float32), 3)
        assert hits[0].clip.window == made[5].windows[7]
        gone = store.search(made[0].vectors[7].astype(np.float32), 20)
        assert ids[0] not in {hit.clip.video_id for hit in gone}
        assert len(gone) == 20
    with open_archive(tmp_path, exact_limit=150, threads=1) as store:
        assert len(store.search(a_query(), 1000)) == 500
        assert (
            store.search(a_query(), 9, Filter(("/v/3.mp4",)))
            == [hit for hit in store.search(a_query(), 1000) if hit.clip.video_id == ids[3]][:9]
        )
        with store.writer() as writer:
            writer.remove(ids[1:])
        assert not graph_in_use(tmp_path)
        assert len(store.search(a_query(), 1000)) == 100


def test_a_search_in_passing_does_not_build_a_graph(tmp_path: Path) -> None:
    with open_archive(tmp_path) as store, store.writer() as writer:
        store_footage(writer, footage("/v/a.mp4", clips=100, batches=1))
    with open_archive(tmp_path, exact_limit=10) as store:
        hits = store.search(a_query(), 5)
        assert [(hit.clip.clip_id, hit.score) for hit in hits] == brute_force(
            tmp_path, a_query(), 5
        )
    assert not graph_in_use(tmp_path)
