"""Moments that a query names, found in an archive: what it is like, what was liked and rejected."""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vsr_edge.errors import UsageError
from vsr_edge.query import Place
from vsr_edge.search.spans import MOST_SHARED, ScoredFrames, Window, extent, shared
from vsr_edge.search.video_names import named
from vsr_edge.store.base import Store
from vsr_edge.types import Seconds, StoredVideo, Vectors, clock

# Frames so many seconds around one say where its scene begins and ends, however long the video.
CONTEXT_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Stretch:
    """Frames ``first`` to ``last`` of a stored video, and when they begin and end."""

    video: StoredVideo
    first: int
    last: int
    start: Seconds
    end: Seconds

    @property
    def place(self) -> tuple[int, int, int]:
        """As a store is asked for its frames."""
        return self.video.video_id, self.first, self.last

    def holds(self, video: StoredVideo, frame: int) -> bool:
        return self.video.video_id == video.video_id and self.first <= frame <= self.last

    def covers(self, window: Window) -> bool:
        """Whether it is the same moment: by half of the shorter of the two, or more."""
        same = self.video.video_id == window.video.video_id
        spans = (self.start, self.end), (window.start, window.end)
        return same and shared(*spans) >= MOST_SHARED


def stretch_of(store: Store, place: Place) -> Stretch | None:
    """The frames of a moment; None if its video is not indexed, or no longer the same."""
    video = _video(store, place)
    if video is None:
        return None
    return Stretch(video, *_frames(store, video, place.start, place.end), place.start, place.end)


def named_frame(store: Store, place: Place) -> tuple[StoredVideo, int] | None:
    """The stored frame nearest to a time; None where the file is there and is not indexed.

    The video may be named as in `--video`, as long as that means one.

    Raises:
        UsageError: no such video, several, or one that is shorter.
    """
    video = _video(store, place)
    if video is None and Path(place.video).is_file():
        return None
    if video is None:
        found = store.videos(named(store, place.video))
        if len(found) > 1:
            names = ", ".join(str(one.video.path) for one in found[:3])
            raise UsageError(
                f"{os.fspath(place.video)!r} names {len(found)} indexed videos ({names}"
                f"{', …' if found[3:] else ''}): write more of the path"
            )
        (video,) = found
    if place.start > video.video.duration:
        raise UsageError(
            f"{video.video.path} is {clock(video.video.duration)} long: there is no "
            f"{clock(place.start)} in it"
        )
    first, _ = _frames(store, video, place.start, place.start)
    return video, first


def scene_around(store: Store, video: StoredVideo, frame: int, vector: Vectors) -> Stretch:
    """The run of frames around one that are about as much like a query float32 [D] as it is."""
    context = round(CONTEXT_SECONDS * video.sampling.fps)
    first, last = max(frame - context, 0), min(frame + context, video.frames - 1)
    frames = store.frames(video.video_id, first, last)
    times, scores = frames.times, frames.vectors.astype(np.float32) @ vector
    begin = 0.0 if first == 0 else float(times[0])
    end = video.video.duration if last + 1 == video.frames else float(times[-1])
    start, end = extent(ScoredFrames(times, scores, end, begin, first), frame - first)
    (within,) = np.nonzero((times >= start) & (times <= end))
    return Stretch(video, first + int(within[0]), first + int(within[-1]), start, end)


def kept(windows: Sequence[Window], left_out: Sequence[Stretch]) -> list[Window]:
    """The windows that are none of what is left out."""
    return [one for one in windows if not any(other.covers(one) for other in left_out)]


def _video(store: Store, place: Place) -> StoredVideo | None:
    there = store.find(Path(os.path.abspath(place.video)))  # noqa: PTH100 — as scan does
    if place.fingerprint is None or (there and there.video.fingerprint == place.fingerprint):
        return there
    return next(iter(store.find_fingerprint(place.fingerprint)), None)


def _frames(store: Store, video: StoredVideo, start: Seconds, end: Seconds) -> tuple[int, int]:
    """The first and last frame of a span, at least the one nearest to its middle."""

    def time(frame: int) -> float:
        return float(store.frames(video.video_id, frame, frame).times[0])

    numbers = range(video.frames)
    first = bisect_left(numbers, start, key=time)
    last = bisect_right(numbers, end, lo=first, key=time) - 1
    if first <= last:
        return first, last
    around = [frame for frame in (first - 1, first) if 0 <= frame < video.frames]
    middle = (start + end) / 2
    nearest = min(around, key=lambda frame: abs(time(frame) - middle))
    return nearest, nearest
