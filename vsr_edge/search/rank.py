"""Clip hits → moments: where each begins and ends, and in which order. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vsr_edge.types import ClipHit, Seconds, Times, check_span

# A frame belongs to the moment while its score has fallen by less than this share of the way from
# the moment's peak to the video's usual level,
SHARE_OF_CONTRAST = 0.5
# or by less than this, which is how much the score of one unchanging scene wavers.
WAVERING = 0.05
# Of two spans that share so much of the shorter one, the better one stands for both.
MOST_SHARED = 0.5
# No frame is shown for less; frames with one time stamp, or a video of no length, would give spans
# of no length.
LEAST_SECONDS = 0.001


@dataclass(frozen=True, slots=True, eq=False)
class ScoredFrames:
    """Frames around a hit: ``times`` float64 [n] and ``scores`` float [n], inner products with the
    query.

    ``begin`` and ``duration`` are the bounds of a moment that reaches the first or the last of
    them: those of the video, or of the frames where the video goes on.
    """

    times: Times
    scores: NDArray[np.floating]
    duration: Seconds
    begin: Seconds = 0.0


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of one video with the score of the best clip in it.

    Raises:
        ValueError: it ends before it starts, or starts before the video.
    """

    video_id: int
    start: Seconds
    end: Seconds
    score: float

    def __post_init__(self) -> None:
        check_span(self.start, self.end)

    def touches(self, other: Span) -> bool:
        """Same video, and overlapping or adjacent."""
        apart = self.start > other.end or other.start > self.end
        return self.video_id == other.video_id and not apart


def moments(
    hits: Sequence[ClipHit], frames_of: Callable[[ClipHit], ScoredFrames], limit: int
) -> list[Span]:
    """Turn hits, best first, into at most ``limit`` spans, best first, no two of which touch.

    The best hit that no span covers yet becomes a span that is fitted to its scene by its frames;
    hits that touch it are part of it. Where a fitted span touches an earlier one, the two are one
    moment if they score alike; if not, it is the edge of the better one and adds nothing.
    ``frames_of`` is asked for the frames around such a hit only.
    """
    spans: list[Span] = []
    for hit in hits:
        clip = _whole_clip(hit)
        if any(clip.touches(span) for span in spans):
            continue
        if len(spans) == limit:
            break
        fitted = fit_span(hit, frames_of(hit))
        touching = [span for span in spans if span.touches(fitted)]
        if any(span.score - fitted.score > WAVERING for span in touching):
            continue
        spans = [span for span in spans if span not in touching]
        spans.append(_union([fitted, *touching]))
    return sorted(spans, key=lambda span: -span.score)


def without_repeats(spans: Sequence[Span]) -> list[int]:
    """Places of the spans, best first, that a better one does not cover by half or more.

    Temporal non-maximum suppression: the overlap counts against the shorter of the two.
    """
    kept: list[int] = []
    for place, span in enumerate(spans):
        if all(_shared(span, spans[other]) < MOST_SHARED for other in kept):
            kept.append(place)
    return kept


def _shared(one: Span, other: Span) -> float:
    if one.video_id != other.video_id:
        return 0.0
    overlap = min(one.end, other.end) - max(one.start, other.start)
    return overlap / min(one.end - one.start, other.end - other.start)


def _whole_clip(hit: ClipHit) -> Span:
    window = hit.clip.window
    return Span(hit.clip.video_id, *inside(window.start, window.end, window.end), hit.score)


def _union(spans: list[Span]) -> Span:
    return Span(
        spans[0].video_id,
        min(span.start for span in spans),
        max(span.end for span in spans),
        max(span.score for span in spans),
    )


def fit_span(hit: ClipHit, frames: ScoredFrames) -> Span:
    """Widen or narrow a clip to the run of frames around its best frame that score alike.

    A boundary lies half-way between the last frame inside and the first one outside.
    """
    window = hit.clip.window
    times, scores = frames.times, frames.scores
    within = np.flatnonzero((times >= window.start) & (times <= window.end))
    if not len(within):
        return _whole_clip(hit)
    peak = int(within[scores[within].argmax()])
    return Span(hit.clip.video_id, *extent(frames, peak), hit.score)


def extent(frames: ScoredFrames, peak: int) -> tuple[Seconds, Seconds]:
    """Start and end of the run of frames around frame ``peak`` that score alike."""
    times, scores = frames.times, frames.scores
    contrast = float(scores[peak] - min(np.median(scores), scores.mean()))
    alike = scores > scores[peak] - max(SHARE_OF_CONTRAST * contrast, WAVERING)
    # One frame that falls out between two that belong is a blur or a blink, not the end.
    alike[1:-1] |= alike[:-2] & alike[2:]
    first = last = peak
    while first > 0 and alike[first - 1]:
        first -= 1
    while last + 1 < len(times) and alike[last + 1]:
        last += 1
    return stretch(times, first, last, frames.begin, frames.duration)


def stretch(
    times: Times, first: int, last: int, begin: Seconds, end: Seconds
) -> tuple[Seconds, Seconds]:
    """Start and end of frames ``first`` to ``last`` of ``times``, both included.

    A boundary lies half-way to the next frame outside; where there is none, it is ``begin`` or
    ``end``.
    """
    start = float(min(begin, times[0]) if first == 0 else (times[first - 1] + times[first]) / 2)
    stop = float(
        max(end, times[-1]) if last + 1 == len(times) else (times[last] + times[last + 1]) / 2
    )
    return inside(start, stop, stop)


def inside(start: Seconds, end: Seconds, duration: Seconds) -> tuple[Seconds, Seconds]:
    """A span cut to [0, ``duration``], and widened if nothing is left of it.

    A video of no length counts as ``LEAST_SECONDS`` long.
    """
    duration = max(duration, LEAST_SECONDS)
    start, end = max(start, 0.0), min(end, duration)
    if start < end:
        return start, end
    start = min(start, duration - LEAST_SECONDS)
    return start, min(max(end, start + LEAST_SECONDS), duration)
