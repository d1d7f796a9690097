"""From when to when: hits and judged windows, fitted to the scenes they show. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vsr_edge.answer import Candidate, Moment
from vsr_edge.types import (
    SAME_SCENE,
    ClipHit,
    FrameFeatures,
    Seconds,
    StoredVideo,
    Times,
    check_span,
    inside,
    stretch,
)

# A frame belongs to the moment while its score has fallen by less than this share of the way from
# the moment's peak to the video's usual level, or by less than one unchanging scene wavers.
SHARE_OF_CONTRAST, WAVERING = 0.5, 0.05
# Of two spans that share so much of the shorter one, the better one stands for both.
MOST_SHARED = 0.5
_UNREAD = FrameFeatures(np.empty(0), np.empty((0, 0), np.float16), None)


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Frames ``first`` to ``last`` of a video, on their way from a hit to a moment.

    It begins as a clip with its score, whose vector stands for ``unit_frames`` frames (for one,
    however many look the same). Then it lies around the ``best`` frame, whose score it takes; the
    verifier sees its ``frames``, and says how likely they match: ``match`` is the logit, ``order``
    what candidates are ordered by (see :class:`vsr_edge.bundle.manifest.Calibration`). ``start``
    and ``end`` are the clip's, then what the grounder chose (``open_ended`` if that ends where the
    footage does not), then the moment's. ``peak`` is the time of the best frame of a moment;
    ``unwanted``: it shows what is not to be seen.

    Raises:
        ValueError: it ends before it starts, or starts before the video.
    """

    clip_id: int
    video: StoredVideo
    start: Seconds
    end: Seconds
    score: float
    first: int
    last: int
    unit_frames: int
    best: int = 0
    frames: FrameFeatures = _UNREAD
    match: float = 0.0
    order: float = 0.0
    probability: float | None = None
    open_ended: bool = False
    peak: Seconds | None = None
    unwanted: bool = False

    def __post_init__(self) -> None:
        check_span(self.start, self.end)

    @classmethod
    def of(cls, hit: ClipHit, video: StoredVideo) -> Window:
        clip = hit.clip.window
        span = inside(clip.start, clip.end, clip.end)
        middle, count = (clip.first + clip.last) // 2, clip.last - clip.first + 1
        if video.sampling.granularity == "frame":
            count = 1
        return cls(hit.clip.clip_id, video, *span, hit.score, clip.first, clip.last, count, middle)

    @property
    def place(self) -> tuple[int, int, int]:
        """The video and its frames, as a store is asked for them."""
        return self.video.video_id, self.first, self.last

    @property
    def seen(self) -> tuple[int, int, int]:
        """The video and the frames to look at, where a hit is looked at for its best one."""
        return (self.video.video_id, self.best, self.best) if self.unit_frames == 1 else self.place

    @property
    def best_frame(self) -> FrameFeatures:
        return self.frames[self.best - self.first :][:1]

    def touches(self, other: Window) -> bool:
        """Same video, and overlapping or adjacent."""
        apart = self.start > other.end or other.start > self.end
        return self.video.video_id == other.video.video_id and not apart

    def shared(self, other: Window) -> float:
        """How much of the shorter of the two they have in common; 0 in two videos."""
        same = self.video.video_id == other.video.video_id
        return shared((self.start, self.end), (other.start, other.end)) if same else 0.0

    def told(self) -> Candidate:
        video = self.video.video
        span = inside(self.start, self.end, video.duration)
        return Candidate(video.path, *span, self.score, self.probability)

    def moment(self, rank: int) -> Moment:
        """As the answer's so-and-so many-th."""
        one, recorded_at = self.told(), self.video.recorded_at
        return Moment(
            *(rank, one.video, one.start, one.end, one.score, one.match_probability),
            recorded_at=None if recorded_at is None else recorded_at + one.start,
            recorded_from=self.video.recorded_from,
            best=self.peak,
            video_id=self.video.video_id,
        )


@dataclass(frozen=True, slots=True, eq=False)
class ScoredFrames:
    """Frames around a window: ``times`` float64 [n] and ``scores`` float [n], inner products with
    the query; the first of them is frame ``first`` of the video.

    ``begin`` and ``duration`` are the bounds of a moment that reaches the first or the last of
    them: those of the video, or of the frames where the video goes on.
    """

    times: Times
    scores: NDArray[np.floating]
    duration: Seconds
    begin: Seconds = 0.0
    first: int = 0


# Frames around several windows are read at once, and scored when a span is fitted by them.
Around: TypeAlias = Callable[[Sequence[Window]], Sequence[Callable[[], ScoredFrames]]]


def moments(
    judged: Sequence[Window], retrieved: Iterable[Sequence[Window]], around: Around, limit: int
) -> list[Window]:
    """At most ``limit``: what was judged, the likeliest first; then, while more is wanted, what
    only was retrieved; each fitted to its scene by the frames ``around`` it.
    """
    found: list[Window] = []
    # Some are repeats of others: those around twice as many as are wanted are mostly enough.
    for start in range(0, len(judged), 2 * limit):
        if len(found) < limit:
            part = judged[start : start + 2 * limit]
            read = zip(part, around(part), strict=True)
            fitted = (corrected(one, frames()) for one, frames in read)
            found = temporal_nms(chain(found, fitted), limit)
    for hits in retrieved:
        if len(found) < limit:
            found = temporal_nms([*found, *fit_hits(hits, around, limit)], limit)
    return found


def fit_hits(hits: Sequence[Window], around: Around, limit: int) -> list[Window]:
    """Turn hits, best first, into at most ``limit`` spans, best first, no two of which touch.

    The best hit that no span covers yet becomes a span that is fitted to its scene by the frames
    ``around`` it; hits that touch it are part of it. Where a fitted span touches an earlier one,
    the two are one moment if they score alike; if not, it is the edge of the better one and adds
    nothing.
    """
    read: dict[int, Callable[[], ScoredFrames]] = {}
    spans: list[Window] = []
    for place, hit in enumerate(hits):
        if any(hit.touches(span) for span in spans):
            continue
        if len(spans) == limit:
            break
        if hit.clip_id not in read:
            free = (one for one in hits[place:] if not any(one.touches(span) for span in spans))
            likely = temporal_nms(free, limit - len(spans))
            read |= zip((one.clip_id for one in likely), around(likely), strict=True)
        fitted = fit(hit, read[hit.clip_id]())
        touching = [span for span in spans if span.touches(fitted)]
        if not any(span.score - fitted.score > WAVERING for span in touching):
            one = [fitted, *touching]
            start, end = min(span.start for span in one), max(span.end for span in one)
            best = max(one, key=lambda span: span.score)
            whole = replace(fitted, start=start, end=end, score=best.score, peak=best.peak)
            spans = [*(span for span in spans if span not in touching), whole]
    return sorted(spans, key=lambda span: -span.score)


def temporal_nms(spans: Iterable[Window], limit: int) -> list[Window]:
    """The first ``limit`` of the spans, best first, that no better one covers by half or more.

    Temporal non-maximum suppression: the overlap counts against the shorter of the two.
    """
    kept: list[Window] = []
    for span in spans:
        if all(span.shared(other) < MOST_SHARED for other in kept):
            kept.append(span)
            if len(kept) == limit:
                break
    return kept


def shared(one: tuple[Seconds, Seconds], other: tuple[Seconds, Seconds]) -> float:
    """How much of the shorter span the two have in common; below 0 where they lie apart."""
    overlap = min(one[1], other[1]) - max(one[0], other[0])
    return overlap / min(one[1] - one[0], other[1] - other[0])


def fit(hit: Window, frames: ScoredFrames) -> Window:
    """Widen or narrow a clip to the run of frames around its best frame that score alike."""
    within = np.flatnonzero((frames.times >= hit.start) & (frames.times <= hit.end))
    if not len(within):
        return hit
    peak = int(within[frames.scores[within].argmax()])
    start, end = extent(frames, peak)
    return replace(hit, start=start, end=end, peak=float(frames.times[peak]))


def corrected(window: Window, frames: ScoredFrames) -> Window:
    """What the grounder says, corrected by the scores of the frames around in two cases.

    It learned from cut footage. Where its span touches the edge of the judged footage and there is
    more, it found no boundary, as happens where nothing is cut and little moves: then the moment is
    where frames are about as much like the query as the best one. And where these end inside its
    span, the moment ends at the next change of the picture.
    """
    run = extent(frames, window.best - frames.first)
    span = window.start, window.end
    start, end = run if window.open_ended else narrowed(span, run, _changes(window))
    return replace(window, start=start, end=end, peak=best_time(frames, start, end))


def best_time(frames: ScoredFrames, start: Seconds, end: Seconds) -> Seconds | None:
    """The time of the frame in a span that scores best; None if there is none in it."""
    within = np.flatnonzero((frames.times >= start) & (frames.times <= end))
    return float(frames.times[within[frames.scores[within].argmax()]]) if len(within) else None


def narrowed(
    span: tuple[Seconds, Seconds], run: tuple[Seconds, Seconds], changes: Sequence[Seconds]
) -> tuple[Seconds, Seconds]:
    """A span, cut at the ``changes`` of the picture next to a run of frames that score alike.

    The run is the one around the best frame, which may lie outside the grounder's span: what ends
    there says nothing of the span, and it stays as it is.
    """
    (start, end), (begins, ends) = span, run
    if begins >= end or ends <= start:
        return span
    return (
        max((time for time in changes if start < time <= begins), default=start),
        min((time for time in changes if ends <= time < end), default=end),
    )


def _changes(window: Window) -> list[Seconds]:
    """When the judged frames before and after differ as those of two scenes do."""
    vectors, times = window.frames.vectors.astype(np.float32), window.frames.times
    alike = (vectors[1:] * vectors[:-1]).sum(axis=1)
    between = (times[1:] + times[:-1]) / 2
    return [float(time) for time in between[alike < SAME_SCENE]]


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
