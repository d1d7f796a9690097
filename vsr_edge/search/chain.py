"""A query of several parts → chains of spans: each part retrieved, verified and grounded by itself.

Videos that rank for one part may not do so for the others: of all that do for any, every frame is
scored for every part, dynamic programming finds the frames that make the best chains
(:mod:`vsr_edge.search.order`), and the footage around these is verified. Then the same is done with
the spans that came of it, by how likely they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vsr_edge.bundle.manifest import REACH
from vsr_edge.query import Filter, SearchOptions
from vsr_edge.search.candidates import Asked, likeliest_first
from vsr_edge.search.joint import Joint
from vsr_edge.search.order import Floats, Link, best_chains, potential
from vsr_edge.search.parts import Parts
from vsr_edge.search.scored import ScoredVideo, scored
from vsr_edge.search.spans import Window, corrected, extent, temporal_nms
from vsr_edge.times import holds
from vsr_edge.types import StoredVideo

# So many videos are looked at frame by frame, but no further ones behind so many frames.
VIDEOS, MOST_FRAMES = 64, 400_000
# Of each part, so many times the candidates of a turn are verified, this far from one another.
TURNS, SPACING = 2, REACH // 2


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """A window of each part, and how likely they are together; None where nothing was verified."""

    windows: tuple[Window, ...]
    value: float
    probability: float | None


def chains(
    asked: Sequence[Asked], parts: Parts, options: SearchOptions
) -> tuple[list[Chain], list[list[Window]]]:
    """The chains that there are, best first, and of each part the windows that were verified, the
    likeliest first; call it while reading one state of the archive. No part but the first is
    verified when the time is spent, and no further video is read then.
    """
    videos = _videos(asked)
    clock = asked[0].clock
    stage = clock.stage
    with stage("chain"):
        picked = _picked(videos, asked, parts, options)
    frames = asked[0].store.frame_count(asked[0].where)
    windows = []
    for part, (one, places) in enumerate(zip(asked, picked, strict=True)):
        shown = [videos[video].window(part, frame) for video, frame in places]
        if one.verifier is not None and not (part and clock.spent(options.max_ms)):
            with one.clock.stage("verify"):
                read = one.store.frames_of([window.place for window in shown], regions=True)
                seen = [replace(w, frames=f) for w, f in zip(shown, read, strict=True)]
                if seen := [window for window in seen if window.frames.regions is not None]:
                    shown = likeliest_first(one.verify(one.verifier, seen, frames))
        with one.clock.stage("ground"):
            windows.append(_grounded(shown, videos, part))
    judged = all(one.probability is not None for some in windows for one in some)
    verifier = asked[0].verifier
    joint = Joint(verifier.calibration, frames) if judged and verifier is not None else None
    with stage("chain"):
        found = [
            chain for video in videos for chain in _of_video(video, windows, asked, parts, joint)
        ]
    # The dynamic programming is by the sum alone, of which the probability has more to say.
    return sorted(found, key=lambda one: (-(one.probability or 0.0), -one.value)), windows


def _videos(asked: Sequence[Asked]) -> dict[int, ScoredVideo]:
    """The videos that are best for all parts together, by what was retrieved for any of them."""
    videos: dict[int, StoredVideo] = {}
    found = []
    for one in asked:
        best: dict[int, float] = {}
        for hit in one.retrieve(one.vector, VIDEOS):
            best.setdefault(hit.video.video_id, hit.score)
            videos[hit.video.video_id] = hit.video
        scores = one.standardised(np.array([*best.values()]))
        found.append(dict(zip(best, scores.tolist(), strict=True)))
    # What was not retrieved for a part scores at most as much as the last that was.
    floors = [min(scores.values(), default=0.0) for scores in found]
    promise = {
        video: sum(scores.get(video, low) for scores, low in zip(found, floors, strict=True))
        for video in videos
    }
    vectors = np.stack([one.vector for one in asked])
    shown: dict[int, ScoredVideo] = {}
    frames, clock, most = 0, asked[0].clock, asked[0].options.max_ms
    with clock.stage("retrieve"):
        for video in sorted(promise, key=lambda known: -promise[known])[:VIDEOS]:
            if frames < MOST_FRAMES and not (shown and clock.spent(most)):
                shown[video] = scored(asked[0].store, videos[video], vectors)
                frames += videos[video].frames
    return shown


def _picked(
    videos: dict[int, ScoredVideo], asked: Sequence[Asked], parts: Parts, options: SearchOptions
) -> list[list[tuple[int, int]]]:
    """Of each part the frames, as (video, number), that the best chains go through."""
    found: list[list[tuple[float, int, int]]] = [[] for _ in asked]
    wanted = TURNS * options.candidates
    least = -np.inf if options.min_score is None else options.min_score
    for video, one in videos.items():
        z = np.stack([a.standardised(row) for a, row in zip(asked, one.scores, strict=True)])
        z[one.scores < least] = -np.inf
        z[:, ~_wanted(one, asked[0].where)] = -np.inf
        for part, row in enumerate(potential(z, one.times, parts.steps, parts.within)):
            found[part] += ((value, video, frame) for frame, value in _peaks(row, wanted))
    best = [sorted(some, key=lambda one: -one[0])[:wanted] for some in found]
    return [[(video, frame) for _, video, frame in some] for some in best]


def _wanted(one: ScoredVideo, where: Filter | None) -> NDArray[np.bool_]:
    """Which frames [n] were recorded when a filter wants them to be."""
    began = one.video.recorded_at
    if where is None or not where.timed or began is None:
        return np.ones(len(one.times), np.bool_)
    return holds(where, began + one.times)


def _peaks(values: Floats, most: int) -> Iterator[tuple[int, float]]:
    """The largest of the values, then the largest away from it, and so on; none that is −inf."""
    free = np.isfinite(values)
    for place in np.argsort(-values, kind="stable").tolist():
        if most == 0:
            return
        if free[place]:
            yield place, float(values[place])
            free[max(place - SPACING + 1, 0) : place + SPACING] = False
            most -= 1


def _grounded(shown: Sequence[Window], videos: dict[int, ScoredVideo], part: int) -> list[Window]:
    """With the spans that the grounder chose, or of frames that score alike; no two of one span."""
    fitted = []
    for one in shown:
        frames = videos[one.video.video_id].around(part, one)
        if one.probability is None:
            start, end = extent(frames, one.best - frames.first)
            fitted.append(replace(one, start=start, end=end))
        else:
            fitted.append(corrected(one, frames))
    return temporal_nms(fitted, len(fitted))


def _of_video(
    video: int,
    windows: Sequence[Sequence[Window]],
    asked: Sequence[Asked],
    parts: Parts,
    joint: Joint | None,
) -> Iterator[Chain]:
    there = [[one for one in some if one.video.video_id == video] for some in windows]
    if not all(there):
        return
    links = []
    for one, some in zip(asked, there, strict=True):
        scores = np.array([window.score for window in some])
        values = one.standardised(scores) if joint is None else joint.evidence(some)
        pairs = zip(some, values.tolist(), strict=True)
        links.append([Link(window.start, window.end, value) for window, value in pairs])
    length = there[0][0].video.frames
    for value, chosen in best_chains(links, parts.steps, parts.within):
        chain = tuple(some[number] for some, number in zip(there, chosen, strict=True))
        evidence = [some[number].value for some, number in zip(links, chosen, strict=True)]
        yield Chain(chain, value, None if joint is None else joint.probability(evidence, length))
