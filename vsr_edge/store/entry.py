"""A video on its way in: what is checked, and which frames share vectors, whatever stores it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from vsr_edge.store.region_codes import encode_regions
from vsr_edge.store.rows import half, unit
from vsr_edge.types import ClipWindow, FrameFeatures, HalfVectors, Regions, Seconds

# A frame like the one before it shares its vectors, but not more than so many in a row: whoever
# reads a few frames need not look far back.
MOST_FOLDED = 256


class Entry:
    """:class:`vsr_edge.store.base.VideoWriter`, but for where it is written."""

    def __init__(self, dim: int, code: Regions) -> None:
        self._dim = dim
        self._code = code
        self._frames = 0
        # The last frame, and how many in a row up to it share vectors.
        self._last: FrameFeatures | None = None
        self._folded = 0
        self._last_time = -np.inf
        self._region_count: int | None = None
        self._open = True

    def add_frames(self, features: FrameFeatures) -> None:
        self._check_open()
        count = len(features)
        times = np.asarray(features.times, np.float64)
        if times.shape != (count,) or not np.isfinite(times).all():
            raise ValueError("frame times must be finite [n]")
        if (np.diff(times, prepend=self._last_time) < 0).any():
            raise ValueError("frame times must not go backwards")
        vectors = half(features.vectors, "frame vectors", (count, self._dim))
        regions = self._check_regions(features)
        if not count:
            return
        frames = FrameFeatures(times, vectors, regions)
        full = self._full(frames)
        stored = [] if regions is None else encode_regions(regions[full], self._code)
        self._write(frames, full, stored)
        self._frames += count
        self._last_time = float(times[-1])

    def finish(
        self,
        clips: Sequence[ClipWindow],
        vectors: HalfVectors,
        *,
        duration: Seconds | None = None,
        partial: str | None = None,
    ) -> int:
        self._check_open()
        if not self._frames or not clips:
            raise ValueError("a video needs at least one frame and one clip")
        checked = unit(half(vectors, "clip vectors", (len(clips), self._dim)), "clip vectors")
        for window in clips:
            if not 0 <= window.first <= window.last < self._frames:
                raise ValueError(f"{window} does not lie within the {self._frames} frames")
            if not (np.isfinite([window.start, window.end]).all() and window.start <= window.end):
                raise ValueError(f"{window} does not end after it starts")
        video_id = self._commit(clips, checked, duration, partial)
        self._open = False
        return video_id

    def _write(self, frames: FrameFeatures, full: Sequence[bool], regions: Sequence[bytes]) -> None:
        """Write the next frames; ``full`` says which are stored with their vectors, and, if there
        are any, with the next of ``regions``.
        """
        raise NotImplementedError

    def _commit(
        self,
        clips: Sequence[ClipWindow],
        vectors: HalfVectors,
        duration: Seconds | None,
        partial: str | None,
    ) -> int:
        """Store the clips, and all of it for good; returns the video's id."""
        raise NotImplementedError

    def _give_up(self) -> None:
        """Take all of it back."""
        raise NotImplementedError

    def _full(self, features: FrameFeatures) -> list[bool]:
        """Which frames are stored with their vectors: the others have those of the one before."""
        found = []
        changes = features.after(self._last).changes.tolist()
        for changed in changes[-len(features) :]:
            self._folded = 0 if changed else (self._folded + 1) % MOST_FOLDED
            found.append(self._folded == 0)
        self._last = features[-1:]
        return found

    def _check_regions(self, features: FrameFeatures) -> HalfVectors | None:
        given = 0 if features.regions is None else features.regions.shape[1]
        if self._region_count is None:
            self._region_count = given
        if given != self._region_count:
            raise ValueError(
                f"{given} regions a frame after {self._region_count} in the same video"
            )
        if features.regions is None or not given:
            return None
        return half(features.regions, "region vectors", (len(features), given, self._dim))

    def _check_open(self) -> None:
        if not self._open:
            raise RuntimeError("this video is already finished or given up")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._open:
            self._open = False
            self._give_up()
