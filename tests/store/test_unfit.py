"""What any store refuses to take in, or to search by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vsr_edge.store.base import Store
from vsr_edge.types import ClipWindow, FrameFeatures, HalfVectors, Sampling

from .archives import DIM, a_video, footage, store_footage, unit_vectors


def spoil(vectors: HalfVectors, value: float) -> Any:
    spoiled = vectors.astype(np.float32)
    spoiled[-1, -1] = value
    return spoiled


def with_regions(frames: FrameFeatures, change: Callable[[Any], Any]) -> FrameFeatures:
    assert frames.regions is not None
    return replace(frames, regions=change(frames.regions))


BAD_FRAMES: dict[str, tuple[Callable[[FrameFeatures], FrameFeatures], str]] = {
    "nan": (lambda f: replace(f, vectors=spoil(f.vectors, np.nan)), "frame vectors hold NaN"),
    "infinite": (lambda f: replace(f, vectors=spoil(f.vectors, np.inf)), "frame vectors hold NaN"),
    "beyond float16": (lambda f: replace(f, vectors=spoil(f.vectors, 1e6)), "or infinite values"),
    "another dimension": (
        lambda f: replace(f, vectors=f.vectors[:, :-1]),
        rf"frame vectors must be \[4, {DIM}\], not \[4, {DIM - 1}\]",
    ),
    "fewer vectors": (
        lambda f: replace(f, vectors=f.vectors[:-1]),
        rf"frame vectors must be \[4, {DIM}\], not \[3, {DIM}\]",
    ),
    "nan in a region": (
        lambda f: with_regions(f, lambda regions: regions * np.float16(np.nan)),
        "region vectors hold NaN",
    ),
    "regions of another dimension": (
        lambda f: with_regions(f, lambda regions: regions[..., :-1]),
        "region vectors must be",
    ),
    "no regions after some": (lambda f: replace(f, regions=None), "0 regions a frame after 9"),
    "backwards in time": (lambda f: replace(f, times=f.times[::-1]), "must not go backwards"),
    "before the last batch": (lambda f: replace(f, times=f.times - 4.5), "must not go backwards"),
    "time unknown": (lambda f: replace(f, times=f.times * np.nan), "must be finite"),
}


@pytest.mark.parametrize("fault", BAD_FRAMES)
def test_unfit_frames_are_refused(store: Store, fault: str) -> None:
    made = footage("/archive/a.mp4")
    spoiled, message = BAD_FRAMES[fault]
    with store.writer() as writer, writer.begin(made.video, made.sampling) as entry:
        entry.add_frames(made.batches[0])
        with pytest.raises(ValueError, match=message):
            entry.add_frames(spoiled(made.batches[1]))
    assert store.videos() == []
    assert store.stats().frames == 0


@pytest.mark.parametrize(
    ("windows", "vectors", "message"),
    [
        ([], np.empty((0, DIM)), "at least one frame and one clip"),
        ([ClipWindow(0.0, 4.0, 0, 3)], np.full((1, DIM), np.nan), "clip vectors hold NaN"),
        ([ClipWindow(0.0, 4.0, 0, 3)], np.full((1, DIM), 10.0), "row 0 has 40"),
        ([ClipWindow(0.0, 4.0, 0, 3)], np.zeros((1, DIM)), "row 0 has 0"),
        ([ClipWindow(0.0, 4.0, 0, 3)], np.eye(DIM + 1)[:1], rf"not \[1, {DIM + 1}\]"),
        ([ClipWindow(0.0, 4.0, 0, 3)], np.eye(DIM)[:2], rf"not \[2, {DIM}\]"),
        ([ClipWindow(0.0, 4.0, 0, 4)], np.eye(DIM)[:1], "does not lie within the 4 frames"),
        ([ClipWindow(0.0, 4.0, -1, 3)], np.eye(DIM)[:1], "does not lie within the 4 frames"),
        ([ClipWindow(0.0, 4.0, 3, 2)], np.eye(DIM)[:1], "does not lie within the 4 frames"),
        ([ClipWindow(4.0, 0.0, 0, 3)], np.eye(DIM)[:1], "does not end after it starts"),
        ([ClipWindow(0.0, float("nan"), 0, 3)], np.eye(DIM)[:1], "does not end after it starts"),
    ],
)
def test_unfit_clips_are_refused(
    store: Store, windows: list[ClipWindow], vectors: Any, message: str
) -> None:
    made = footage("/archive/a.mp4")
    with store.writer() as writer:
        with writer.begin(made.video, made.sampling) as entry:
            entry.add_frames(made.batches[0])
            with pytest.raises(ValueError, match=message):
                entry.finish(windows, vectors)
        store_footage(writer, made)
    assert len(store.videos()) == 1


def test_a_video_without_frames_is_refused(store: Store) -> None:
    with store.writer() as writer, writer.begin(a_video("/a.mp4"), Sampling()) as entry:
        entry.add_frames(
            FrameFeatures(np.empty(0), unit_vectors(np.random.default_rng(0), 0, DIM), None)
        )
        with pytest.raises(ValueError, match="at least one frame"):
            entry.finish([ClipWindow(0.0, 4.0, 0, 0)], np.eye(DIM, dtype=np.float16)[:1])
    assert store.videos() == []


@pytest.mark.parametrize(
    ("query", "k", "message"),
    [
        (np.full(DIM, np.nan), 1, "NaN or infinite"),
        (np.full(DIM, np.inf), 1, "NaN or infinite"),
        (np.ones(DIM + 1), 1, rf"must be \[{DIM}\], not \[{DIM + 1}\]"),
        (np.ones((1, DIM)), 1, rf"not \[1, {DIM}\]"),
        (np.ones(DIM), 0, "k must be at least 1, not 0"),
    ],
)
def test_an_unfit_query_is_refused(store: Store, query: Any, k: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        store.search(query, k)
