"""Candidates: the frames around what hits point at, read from the store; no video is opened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vsr_edge.bundle.manifest import REACH
from vsr_edge.runtime.heads import Footage
from vsr_edge.store.base import Store
from vsr_edge.types import ClipHit, FrameFeatures, StoredVideo, Vectors

# A clip of more frames than this may hold several moments, and yields a candidate for every so many
# of its frames, but never more than a few: one long video must not fill a turn.
FRAMES_PER_CANDIDATE = 128
MOST_CANDIDATES_A_CLIP = 4


@dataclass(frozen=True, slots=True)
class Window:
    """Frames ``first`` to ``last`` of a video around ``best``, the one most like the query.

    ``score`` is that frame's inner product with the query; ``unit_frames`` is how many frames the
    vector stands for that it was found by.
    """

    video: StoredVideo
    best: int
    first: int
    last: int
    score: float
    unit_frames: int


class Candidates:
    """The windows that hits of one search point at, each once, however often it is retrieved."""

    def __init__(self, store: Store, query: Vectors) -> None:
        """In a clip, however long, it is the frame most like ``query`` float32 [D] that counts."""
        self._store = store
        self._query = query
        self._of_clip: dict[int, list[Window]] = {}
        self._centres: dict[int, list[int]] = {}

    def new(self, hits: Iterable[ClipHit], count: int) -> list[Window]:
        """At most so many more, best hit first, none within reach of one that was given before."""
        found: list[Window] = []
        for hit in hits:
            if hit.clip.clip_id not in self._of_clip:
                self._of_clip[hit.clip.clip_id] = list(self._windows(hit))
            for window in self._of_clip[hit.clip.clip_id]:
                others = self._centres.setdefault(window.video.video_id, [])
                if all(abs(window.best - other) > REACH for other in others):
                    if len(found) == count:
                        return found
                    others.append(window.best)
                    found.append(window)
        return found

    def _windows(self, hit: ClipHit) -> Iterator[Window]:
        """Around the best frames of a clip; none if another process removed the video."""
        clip, video = hit.clip.window, self._store.video(hit.clip.video_id)
        if video is None:
            return
        frames = self._store.frames(video.video_id, clip.first, clip.last)
        scores = frames.vectors.astype(np.float32) @ self._query
        most = min(1 + len(scores) // FRAMES_PER_CANDIDATE, MOST_CANDIDATES_A_CLIP)
        for peak in _peaks(scores, most):
            best = clip.first + peak
            first, last = max(best - REACH, 0), min(best + REACH, video.frames - 1)
            yield Window(video, best, first, last, float(scores[peak]), len(scores))


def _peaks(scores: Vectors, most: int) -> list[int]:
    """The best frame, then the best out of its reach, and so on."""
    peaks: list[int] = []
    for place in np.argsort(-scores, kind="stable").tolist():
        if all(abs(place - peak) > REACH for peak in peaks):
            peaks.append(place)
            if len(peaks) == most:
                break
    return peaks


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What a window shows: its frames with their regions."""

    window: Window
    frames: FrameFeatures


def show(store: Store, chosen: Iterable[Window]) -> list[Shown]:
    """Read the frames of windows; those without frames or regions are left out."""
    shown = []
    for window in chosen:
        frames = store.frames(window.video.video_id, window.first, window.last, regions=True)
        if len(frames) and frames.regions is not None:
            shown.append(Shown(window, frames))
    return shown


def footage(shown: Sequence[Shown]) -> Footage:
    """Windows as one batch for the verifier, the shorter ones filled up and masked."""
    longest = max(len(one.frames) for one in shown)
    width = shown[0].frames.vectors.shape[1]
    cells = next(one.frames.regions.shape[1] for one in shown if one.frames.regions is not None)
    frames = np.zeros((len(shown), longest, width), np.float32)
    regions = np.zeros((len(shown), longest, cells, width), np.float32)
    mask = np.zeros((len(shown), longest), np.float32)
    for row, one in enumerate(shown):
        count = len(one.frames)
        frames[row, :count], mask[row, :count] = one.frames.vectors, 1
        regions[row, :count] = one.frames.regions
    return Footage(frames, regions, mask)


def best_frames(shown: Sequence[Shown]) -> Footage:
    """The best frame of each window, as the refiner takes its evidence: [E, 1, …]."""
    places = [one.window.best - one.window.first for one in shown]
    frames = np.stack([one.frames.vectors[i] for one, i in zip(shown, places, strict=True)])
    regions = np.stack(
        [
            one.frames.regions[i]
            for one, i in zip(shown, places, strict=True)
            if one.frames.regions is not None
        ]
    )
    return Footage(
        frames[:, None].astype(np.float32),
        regions[:, None].astype(np.float32),
        np.ones((len(shown), 1), np.float32),
    )
