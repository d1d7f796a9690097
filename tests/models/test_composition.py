"""Composed footage: every photo once, scenes end to end, transitions that sum up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data.composition import (
    TRANSITION_SECONDS,
    Composition,
    Scene,
    compose,
)

SEEDS = st.integers(0, 2**32 - 1)


def composed(seed: int, photos: int = 60, videos: int = 12) -> list[Composition]:
    return compose(range(photos), videos, np.random.default_rng(seed), mirror=0.5)


@given(SEEDS)
def test_every_photo_is_shown_once_and_scenes_follow_each_other(seed: int) -> None:
    videos = composed(seed)
    shown = sorted(scene.photo for video in videos for scene in video.scenes)
    assert shown == list(range(60))
    assert len({video.name for video in videos}) == 12
    for video in videos:
        assert video.scenes[0].start == 0.0
        for before, after in zip(video.scenes, video.scenes[1:], strict=False):
            assert before.end == after.start
            assert after.end - after.start > TRANSITION_SECONDS[1]


@given(SEEDS, st.floats(0, 1))
def test_the_scene_that_is_due_is_never_outweighed(seed: int, share: float) -> None:
    video = composed(seed)[0]
    time = share * video.duration
    shown = video.shown(time)
    weights = [weight for _, weight in shown]
    assert sum(weights) <= 1 + 1e-9
    due = max((s for s in video.scenes if s.start <= time), key=lambda scene: scene.start)
    mine = sum(weight for scene, weight in shown if scene is due)
    assert mine >= max(weights, default=0.0) - 1e-9


def test_some_videos_are_long() -> None:
    counts = sorted(len(video.scenes) for video in composed(0, photos=400, videos=100))
    assert counts[0] == 1
    assert counts[-1] >= 3 * counts[50]


def test_a_fade_is_half_way_at_the_boundary_and_black_is_black_there() -> None:
    fade = Composition(
        "a", (Scene(0, 0, 5), Scene(1, 5, 9, transition="fade", transition_seconds=1)), 10
    )
    assert [w for _, w in fade.shown(5.0)] == [0.5, 0.5]
    assert [s.photo for s, _ in fade.shown(4.4)] == [0]
    assert [s.photo for s, _ in fade.shown(5.6)] == [1]
    black = Composition(
        "b", (Scene(0, 0, 5), Scene(1, 5, 9, transition="black", transition_seconds=1)), 10
    )
    assert black.shown(5.0) == []
    assert black.shown(4.75)[0][1] == pytest.approx(0.5)


def test_the_same_seed_gives_the_same_plan() -> None:
    assert composed(5) == composed(5)
    assert composed(5) != composed(6)


def test_too_few_photos_are_refused() -> None:
    with pytest.raises(ValueError, match="3 photos do not fill 4 videos"):
        compose(range(3), 4, np.random.default_rng(0))
