"""Composed footage as a plan: which photos follow each other in which video, and how they move.

No pixels are touched here. ``models.data.footage`` films a plan, ``models.data.features`` turns one
into the features that its frames would have.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

Seconds: TypeAlias = float
Transition: TypeAlias = Literal["cut", "fade", "black"]
Crop: TypeAlias = tuple[float, float, float, float]

WHOLE: Crop = (0.0, 0.0, 1.0, 1.0)
TRANSITIONS: tuple[Transition, ...] = ("cut", "fade", "black")
TRANSITION_ODDS = (0.5, 0.3, 0.2)
TRANSITION_SECONDS = (0.4, 1.2)
SCENE_SECONDS = (2.5, 15.0)
SMALLEST_CROP = 0.7
FRAME_RATES = (10, 12, 15)
# One video in so many is a long one, which has so many times the scenes of the others.
LONG_VIDEO_EVERY, LONG_VIDEO_FACTOR = 20, 8.0


@dataclass(frozen=True, slots=True)
class Scene:
    """One photo on the screen from ``start`` to ``end`` seconds, panned and zoomed.

    The view moves evenly from crop ``first`` to crop ``last``, each (left, top, right, bottom) as
    shares of the photo. ``transition`` leads into the scene and is half-way done at ``start``.
    """

    photo: int
    start: Seconds
    end: Seconds
    first: Crop = WHOLE
    last: Crop = WHOLE
    mirrored: bool = False
    transition: Transition = "cut"
    transition_seconds: Seconds = 0.0

    def view(self, time: Seconds) -> Crop:
        """What part of the photo is seen at a time; it rests before ``start`` and after ``end``."""
        share = self.progress(time)
        left, top, right, bottom = (
            (1 - share) * a + share * b for a, b in zip(self.first, self.last, strict=True)
        )
        return left, top, right, bottom

    def progress(self, time: Seconds) -> float:
        """How much of the scene has passed, from 0 to 1."""
        return float(np.clip((time - self.start) / (self.end - self.start), 0.0, 1.0))

    def come(self, time: Seconds) -> float:
        """How much of this scene its transition has let in, from 0 to 1."""
        done = self._transition_done(time)
        return max(2 * done - 1, 0.0) if self.transition == "black" else done

    def left_of_before(self, time: Seconds) -> float:
        """How much of the scene before it the transition has left, from 1 to 0."""
        done = self._transition_done(time)
        return max(1 - 2 * done, 0.0) if self.transition == "black" else 1 - done

    def _transition_done(self, time: Seconds) -> float:
        if self.transition == "cut":
            return float(time >= self.start)
        return float(np.clip((time - self.start) / self.transition_seconds + 0.5, 0.0, 1.0))


@dataclass(frozen=True, slots=True)
class Composition:
    """One video: its scenes in order, each beginning where the one before it ends."""

    name: str
    scenes: tuple[Scene, ...]
    rate: int

    @property
    def duration(self) -> Seconds:
        return self.scenes[-1].end

    def shown(self, time: Seconds) -> list[tuple[Scene, float]]:
        """The scenes on the screen and their weights, which sum to at most 1; the rest is black.

        Scenes are longer than transitions, so these are the scene that is due and its neighbours.
        """
        due = max(bisect_right(self.scenes, time, key=lambda scene: scene.start) - 1, 0)
        nearby = self.scenes[max(due - 1, 0) : due + 2]
        weights = [1.0] * len(nearby)
        for place, scene in enumerate(nearby[1:]):
            weights[place] *= scene.left_of_before(time)
            weights[place + 1] *= scene.come(time)
        return [(scene, w) for scene, w in zip(nearby, weights, strict=True) if w > 0]


def compose(
    photos: Sequence[int],
    videos: int,
    random: np.random.Generator,
    *,
    mirror: float = 0.0,
    prefix: str = "video",
) -> list[Composition]:
    """Deal photos out to videos, each photo once: most videos have a few scenes, some have many.

    ``mirror`` is the share of scenes that are shown left to right.

    Raises:
        ValueError: fewer photos than videos.
    """
    if not 0 < videos <= len(photos):
        raise ValueError(f"{len(photos)} photos do not fill {videos} videos")
    weights = random.uniform(0.0, 2.0, videos)
    weights[::LONG_VIDEO_EVERY] = LONG_VIDEO_FACTOR
    counts = 1 + random.multinomial(len(photos) - videos, weights / weights.sum())
    names = random.permutation(videos)
    dealt = np.split(random.permutation(np.asarray(photos)), np.cumsum(counts)[:-1])
    return [
        Composition(
            f"{prefix}-{name:04d}",
            tuple(_scenes(chosen.tolist(), random, mirror)),
            int(random.choice(FRAME_RATES)),
        )
        for name, chosen in sorted(zip(names.tolist(), dealt, strict=True), key=lambda x: x[0])
    ]


def _scenes(photos: list[int], random: np.random.Generator, mirror: float) -> list[Scene]:
    scenes: list[Scene] = []
    start = 0.0
    for photo in photos:
        low, high = np.log(SCENE_SECONDS)
        end = round(start + float(np.exp(random.uniform(low, high))), 1)
        kind = TRANSITIONS[random.choice(len(TRANSITIONS), p=TRANSITION_ODDS)] if scenes else "cut"
        seconds = float(random.uniform(*TRANSITION_SECONDS)) if kind != "cut" else 0.0
        first, last = random_crop(random), random_crop(random)
        mirrored = bool(random.random() < mirror)
        scenes.append(Scene(photo, start, end, first, last, mirrored, kind, seconds))
        start = end
    return scenes


def random_crop(random: np.random.Generator) -> Crop:
    """A part of a photo with at least ``SMALLEST_CROP`` of its width and height."""
    side = float(random.uniform(SMALLEST_CROP, 1.0))
    left, top = (float(x) for x in random.uniform(0.0, 1.0 - side, 2))
    return left, top, left + side, top + side
