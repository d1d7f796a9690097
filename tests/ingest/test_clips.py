"""What a clip stands for: every frame is in one, bounds lie half-way, one frame's vector is its."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from tests.store.archives import unit_vectors
from vsr_edge.ingest.clips import clip_vectors, cut
from vsr_edge.types import ClipWindow, FrameFeatures, Granularity, HalfVectors, Sampling

TIMES = np.array([0.0, 1.0, 2.0, 3.5, 4.0, 5.0])
DURATION = 5.2


def features(vectors: HalfVectors) -> FrameFeatures:
    return FrameFeatures(TIMES[: len(vectors)], vectors, None)


def windows(vectors: HalfVectors, granularity: Granularity) -> list[tuple[float, float, int, int]]:
    found = cut(features(vectors), DURATION, Sampling(granularity=granularity))
    assert all(isinstance(window, ClipWindow) for window in found)
    return [(one.start, one.end, one.first, one.last) for one in found]


@pytest.fixture
def vectors() -> HalfVectors:
    return unit_vectors(np.random.default_rng(0), len(TIMES), 64)


def test_a_frame_reaches_half_way_to_its_neighbours(vectors: HalfVectors) -> None:
    assert windows(vectors, "frame") == [
        (0.0, 0.5, 0, 0),
        (0.5, 1.5, 1, 1),
        (1.5, 2.75, 2, 2),
        (2.75, 3.75, 3, 3),
        (3.75, 4.5, 4, 4),
        (4.5, DURATION, 5, 5),
    ]


def test_frames_in_a_row_with_one_vector_are_one(vectors: HalfVectors) -> None:
    vectors[1:4] = vectors[1]
    assert windows(vectors, "frame") == [
        (0.0, 0.5, 0, 0),
        (0.5, 3.75, 1, 3),
        (3.75, 4.5, 4, 4),
        (4.5, DURATION, 5, 5),
    ]
    vectors[:] = vectors[0]
    assert windows(vectors, "frame") == [(0.0, DURATION, 0, 5)]


def test_a_scene_ends_where_the_picture_changes() -> None:
    base = np.eye(64, dtype=np.float32)
    # Little by little the first scene turns by more than the cut to the next takes at once.
    rows = [base[0], base[0] + 0.5 * base[1], base[0] + 2 * base[1], base[2], base[2], base[3]]
    stacked = np.stack([row / np.linalg.norm(row) for row in rows]).astype(np.float16)
    assert windows(stacked, "scene") == [
        (0.0, 2.75, 0, 2),
        (2.75, 4.5, 3, 4),
        (4.5, DURATION, 5, 5),
    ]


def test_a_video_is_one(vectors: HalfVectors) -> None:
    assert windows(vectors, "video") == [(0.0, DURATION, 0, 5)]
    assert windows(vectors[:1], "video") == [(0.0, DURATION, 0, 0)]


def test_clips_are_windows_of_some_seconds(vectors: HalfVectors) -> None:
    sampling = Sampling(granularity="clip", clip_seconds=2, clip_stride=2)
    found = cut(features(vectors), DURATION, sampling)
    assert [(one.start, one.end) for one in found] == [(0, 2), (2, 4), (4, DURATION)]


@pytest.mark.parametrize("granularity", ["frame", "clip", "scene", "video"])
def test_every_frame_is_in_a_clip_of_unit_length(
    vectors: HalfVectors, granularity: Granularity
) -> None:
    vectors[3] = vectors[2]
    found = cut(features(vectors), DURATION, Sampling(granularity=granularity))
    assert {n for one in found for n in range(one.first, one.last + 1)} == set(range(len(TIMES)))
    assert (found[0].start, found[-1].end) == (0.0, DURATION)
    if granularity != "clip":
        assert all(one.end == other.start for one, other in pairwise(found))
    made = clip_vectors(vectors, found)
    assert np.linalg.norm(made.astype(np.float32), axis=1) == pytest.approx(1, abs=2e-3)


def test_the_vector_of_one_frame_is_that_of_the_frame(vectors: HalfVectors) -> None:
    vectors[3] = vectors[2]
    found = cut(features(vectors), DURATION, Sampling())
    assert clip_vectors(vectors, found).tobytes() == vectors[[0, 1, 2, 4, 5]].tobytes()
