"""Every frame of a video, by how much it is like some sentences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vsr_edge.bundle.manifest import REACH
from vsr_edge.search.order import Floats
from vsr_edge.search.places import CONTEXT_SECONDS
from vsr_edge.search.spans import ScoredFrames, Window
from vsr_edge.store.base import Store
from vsr_edge.types import StoredVideo, Times, stretch

FRAMES_AT_ONCE = 16_384


@dataclass(frozen=True, slots=True, eq=False)
class ScoredVideo:
    """``scores`` [P, n] are the inner products of P sentences and the frames at ``times`` [n]."""

    video: StoredVideo
    times: Times
    scores: Floats

    def window(self, part: int, frame: int) -> Window:
        """What a verifier sees around a frame."""
        video, count = self.video, len(self.times)
        first, last = max(frame - REACH, 0), min(frame + REACH, count - 1)
        span = stretch(self.times, frame, frame, 0.0, video.video.duration)
        return Window(0, video, *span, float(self.scores[part, frame]), first, last, 1, frame)

    def around(self, part: int, window: Window) -> ScoredFrames:
        """The frames in and around a window, by how much they are like the part."""
        context = round(CONTEXT_SECONDS * self.video.sampling.fps)
        first, last = max(window.first - context, 0), window.last + context
        times = self.times[first : last + 1]
        more_behind = last + 1 < len(self.times)
        end = float(times[-1]) if more_behind else self.video.video.duration
        begin = float(times[0]) if first else 0.0
        return ScoredFrames(times, self.scores[part, first : last + 1], end, begin, first)


def scored(store: Store, video: StoredVideo, vectors: Floats) -> ScoredVideo:
    """For sentences' vectors [P, D]; of a video however long, few frames are held at once."""
    times: list[Times] = [np.empty(0)]
    scores: list[Floats] = [np.empty((len(vectors), 0), np.float32)]
    for first in range(0, video.frames, FRAMES_AT_ONCE):
        read = store.frames(video.video_id, first, first + FRAMES_AT_ONCE - 1)
        times.append(read.times)
        scores.append(vectors @ read.vectors.astype(np.float32).T)
    return ScoredVideo(video, np.concatenate(times), np.concatenate(scores, axis=1))
