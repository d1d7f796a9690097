"""Training's own loop is the runtime's: the same candidates, evidence and spans of one archive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models.data.features import PhotoViews
from models.data.worlds import (
    GRANULARITIES,
    Granularity,
    Queries,
    World,
    build_world,
    mean_vectors,
)
from models.episodes import Asked as AskedInTraining
from models.episodes import Corpus, Episode, best_span
from tests.store.archives import a_video
from vsr_edge.bundle.manifest import EVIDENCE
from vsr_edge.query import SearchOptions
from vsr_edge.runtime.heads import Judgements, TextEncoding, refiner_inputs
from vsr_edge.search.candidates import Asked, footage
from vsr_edge.search.spans import Window
from vsr_edge.store import open_store
from vsr_edge.store.base import Store
from vsr_edge.types import ClipWindow, FrameFeatures, Sampling

DIM, PHOTOS, VIEWS, QUERIES, CANDIDATES = 32, 80, 4, 12, 8


def unit_vectors(*shape: int) -> NDArray[np.float16]:
    vectors = np.random.default_rng(len(shape)).normal(size=shape)
    lengths: NDArray[np.float64] = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / lengths).astype(np.float16)


def as_stored(vectors: Tensor) -> Tensor:
    """Of unit length, as half precision has them."""
    return F.normalize(vectors, dim=1).half().float()


@pytest.fixture(scope="module")
def episode() -> Episode:
    """A world whose frames all differ, as exact as an archive stores it, and queries near them."""
    views = PhotoViews(
        unit_vectors(PHOTOS + 1, VIEWS, DIM), unit_vectors(PHOTOS + 1, VIEWS, 9, DIM)
    )
    world = build_world(views, np.arange(PHOTOS), np.random.default_rng(0))
    torch.manual_seed(0)
    frames = as_stored(world.vectors + 0.1 * torch.randn_like(world.vectors))
    units = {n: (as_stored(mean_vectors(frames, r)), r) for n, (_, r) in world.units.items()}
    world = replace(world, vectors=frames, units=units)
    asked = world.vectors[torch.randint(len(world.vectors), (QUERIES,))]
    vectors = as_stored(asked + 0.1 * torch.randn(QUERIES, DIM))
    blank, photos = torch.zeros(QUERIES, 1), np.zeros(QUERIES, np.intp)
    queries = Queries(blank, blank, blank, vectors, photos)
    every = np.arange(QUERIES)
    return Episode(Corpus(views, queries, cast("Any", None)), world, every, every)


@pytest.fixture(scope="module", params=GRANULARITIES)
def granularity(request: pytest.FixtureRequest) -> Granularity:
    return cast("Granularity", request.param)


@pytest.fixture(scope="module")
def archive(
    episode: Episode, granularity: Granularity, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    """The same world in a store: its units are the clips."""
    folder = tmp_path_factory.mktemp(granularity)
    with open_store(folder, bundle_id="a", dim=DIM, create=True) as store:
        fill(store, episode.world, granularity)
        yield store


def fill(store: Store, world: World, granularity: Granularity) -> None:
    vectors, ranges = world.units[granularity]
    with store.writer() as writer:
        for number, (begin, end) in enumerate(world.units["video"][1].tolist()):
            mine = (ranges[:, 0] >= begin) & (ranges[:, 1] <= end)
            clips = (ranges[mine] - begin).tolist()
            frames = slice(begin, end + 1)
            features = FrameFeatures(
                np.arange(end - begin + 1.0),
                world.vectors[frames].half().numpy(),
                world.regions[frames].numpy(),
            )
            video = a_video(f"/v/{number}.mp4", duration=float(end - begin + 1))
            with writer.begin(video, Sampling(granularity=granularity, regions="float16")) as entry:
                entry.add_frames(features)
                entry.finish(
                    [ClipWindow(first, last + 1.0, first, last) for first, last in clips],
                    vectors[torch.from_numpy(mine)].half().numpy(),
                )


def found_by_the_runtime(
    store: Store, episode: Episode
) -> Iterator[tuple[TextEncoding, list[Window]]]:
    options = SearchOptions(candidates=CANDIDATES, one_shot=True)  # the heads are those in training
    for vector in episode.corpus.queries.vectors.numpy():
        blank = np.zeros((1, 1, 1), np.float32)
        text = TextEncoding(vector[None], blank, np.ones((1, 1), np.int64))
        bundle = cast("Any", SimpleNamespace(encode_queries=lambda _, text=text: text))
        asked = Asked(store, bundle, "a query", options)
        yield text, asked.candidates(asked.retrieve(asked.vector, CANDIDATES))


def test_candidates_are_those_of_a_search(
    episode: Episode, granularity: Granularity, archive: Store
) -> None:
    world = episode.world
    trained = AskedInTraining(episode, episode.present, granularity).retrieve(CANDIDATES)
    begins = {f"/v/{i}.mp4": int(r[0]) for i, r in enumerate(world.units["video"][1])}
    for row, (_, windows) in enumerate(found_by_the_runtime(archive, episode)):
        judged = footage([one.frames for one in windows])
        assert len(windows) == CANDIDATES == int(trained.mask[row].any(1).sum())
        for place, window in enumerate(windows):
            begin = begins[window.video.video.path.as_posix()]
            frames = trained.frames[row, place][trained.mask[row, place].bool()]
            assert frames.tolist() == list(range(begin + window.first, begin + window.last + 1))
            np.testing.assert_array_equal(
                judged.frames[place][: len(frames)], world.vectors[frames].numpy()
            )
            np.testing.assert_array_equal(
                judged.regions[place][: len(frames)], world.regions[frames].float().numpy()
            )
            assert judged.mask[place].sum() == len(frames)


def test_evidence_is_that_of_a_search(
    episode: Episode, granularity: Granularity, archive: Store
) -> None:
    """Where no neighbour of what was retrieved is more like the query than all of its own frames:
    training takes the best frame of a candidate as evidence, the runtime that of what it found.
    """
    world, asked = episode.world, AskedInTraining(episode, episode.present, granularity)
    rejected = asked.retrieve(EVIDENCE)
    match = torch.randn(QUERIES, EVIDENCE)
    best, features, mask = asked.evidence(rejected, match)
    ranges = asked.ranges[rejected.units]
    own = (best >= ranges[..., 0]) & (best <= ranges[..., 1])
    assert own.float().mean() == 1 if granularity == "video" else own.float().mean() > 0.5
    for row, (text, windows) in enumerate(found_by_the_runtime(archive, episode)):
        shown = windows[:EVIDENCE]
        units = np.array([window.unit_frames for window in shown], np.float32)
        seen = footage([one.best_frame for one in shown])
        given = refiner_inputs(text, seen, match[row].numpy(), units)
        np.testing.assert_allclose(given["about"][0], features[row].numpy(), rtol=1e-6)
        np.testing.assert_array_equal(given["evidence_mask"][0], mask[row].numpy())
        kept = own[row].numpy()
        np.testing.assert_array_equal(
            given["frames"][0][kept], world.vectors[best[row]].numpy()[kept]
        )
        np.testing.assert_array_equal(
            given["frame_regions"][0][kept], world.regions[best[row]].float().numpy()[kept]
        )


def test_spans_are_the_same() -> None:
    torch.manual_seed(0)
    match, start, end = torch.randn(50), torch.randn(50, 12), torch.randn(50, 12)
    first, last = best_span(start, end)
    theirs = Judgements(match.numpy(), start.numpy(), end.numpy(), start.numpy()).spans()
    np.testing.assert_array_equal(np.stack([first.numpy(), last.numpy()]), np.stack(theirs))
