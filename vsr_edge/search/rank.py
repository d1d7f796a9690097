"""Clip hits → moments: where each begins and ends, and in which order. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vsr_edge.types import ClipHit, Seconds, Times

# A frame belongs to the moment while its score stays above this share of the way from the video's
# usual level to the moment's peak.
BOUNDARY = 0.5
# Where the peak stands out less than this from the usual level, scores do not tell scenes apart.
LEAST_CONTRAST = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class ScoredFrames:
    """Frames around a hit: ``times`` float64 [n] and ``scores`` float [n], inner products with the
    query.
    """

    times: Times
    scores: NDArray[np.floating]
    duration: Seconds


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of one video with the score of the best clip in it."""

    video_id: int
    start: Seconds
    end: Seconds
    score: float

    def touches(self, other: Span) -> bool:
        """Same video, and overlapping or adjacent."""
        apart = self.start > other.end or other.start > self.end
        return self.video_id == other.video_id and not apart


def moments(
    hits: Sequence[ClipHit], frames_of: Callable[[ClipHit], ScoredFrames], limit: int
) -> list[Span]:
    """Turn hits, best first, into at most ``limit`` spans, best first, no two of which touch.

    The best hit that no span covers yet becomes a span that is fitted to the scene by its frames;
    hits that overlap it are part of it. ``frames_of`` is asked for the frames around such a hit
    only.
    """
    spans: list[Span] = []
    for hit in hits:
        window = hit.clip.window
        clip = Span(hit.clip.video_id, window.start, window.end, hit.score)
        if any(clip.touches(span) for span in spans):
            continue
        if len(spans) == limit:
            break
        fitted = fit_span(hit, frames_of(hit))
        touching = [span for span in spans if span.touches(fitted)]
        for span in touching:
            fitted = Span(
                fitted.video_id,
                min(fitted.start, span.start),
                max(fitted.end, span.end),
                max(fitted.score, span.score),
            )
        spans = [span for span in spans if span not in touching] + [fitted]
    return sorted(spans, key=lambda span: -span.score)


def fit_span(hit: ClipHit, frames: ScoredFrames) -> Span:
    """Widen or narrow a clip to the run of frames around its best frame that score alike.

    A boundary lies half-way between the last frame inside and the first one outside.
    """
    window = hit.clip.window
    times, scores = frames.times, frames.scores
    inside = np.flatnonzero((times >= window.start) & (times <= window.end))
    if not len(inside):
        return Span(hit.clip.video_id, window.start, window.end, hit.score)
    peak = int(inside[scores[inside].argmax()])
    usual = float(np.median(scores))
    contrast = float(scores[peak]) - min(usual, float(scores.mean()))
    if contrast < LEAST_CONTRAST:
        return Span(hit.clip.video_id, window.start, window.end, hit.score)
    alike = scores >= scores[peak] - (1 - BOUNDARY) * contrast
    first = last = peak
    while first > 0 and alike[first - 1]:
        first -= 1
    while last + 1 < len(times) and alike[last + 1]:
        last += 1
    start = 0.0 if first == 0 else float(times[first - 1] + times[first]) / 2
    end = frames.duration if last + 1 == len(times) else float(times[last] + times[last + 1]) / 2
    return Span(hit.clip.video_id, start, end, hit.score)
