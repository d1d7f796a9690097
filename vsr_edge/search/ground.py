"""From when to when: moments of judged candidates, and of hits that nothing has judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from vsr_edge.search.rank import (
    ScoredFrames,
    Span,
    extent,
    moments,
    stretch,
    without_repeats,
)
from vsr_edge.search.verify import Judged
from vsr_edge.store.base import Store
from vsr_edge.types import ClipHit, Seconds, StoredVideo, Vectors

# Frames so many seconds around a hit say where its scene begins and ends, however long the video
# is.
CONTEXT_SECONDS = 120.0
# Neighbouring frames of one scene are more alike than this, those of two mostly less.
SAME_SCENE = 0.7


def moments_of_hits(
    store: Store, hits: Sequence[ClipHit], query: Vectors, limit: int
) -> list[Span]:
    """Hits, merged and fitted to their scenes by how alike frames are to ``query`` float32 [D]."""

    def frames_of(hit: ClipHit) -> ScoredFrames:
        video = store.video(hit.clip.video_id)
        if video is None:  # removed by another process since the hit was found
            return ScoredFrames(np.empty(0), np.empty(0), hit.clip.window.end)
        window = hit.clip.window
        return _scored_frames(store, video, window.first, window.last, query)[0]

    return moments(hits, frames_of, limit)


def moments_of_judged(
    store: Store, judged: Sequence[Judged], query: Vectors, limit: int
) -> list[tuple[Judged, Span]]:
    """Candidates, the likeliest first, with the span of each; none that a better one covers."""
    spans = [_span(store, one, query) for one in judged]
    return [(judged[place], spans[place]) for place in without_repeats(spans)[:limit]]


def _span(store: Store, one: Judged, query: Vectors) -> Span:
    """What the grounder says, in seconds; a boundary lies half-way to the next frame outside.

    It learned from cut footage, and the scores of the frames correct it in two cases. Where its
    span touches the edge of the judged footage and there is more, it found no boundary, as happens
    where nothing is cut and little moves: then the moment is where frames are about as much like
    the query as the best one. And where these end inside its span at a change of the picture, the
    moment ends there.
    """
    window = one.shown.window
    video = window.video
    span = grounded(one)
    frames, first = _scored_frames(store, video, window.first, window.last, query)
    place = window.best - first
    if place < len(frames.times):  # unless another process removed the video
        run = extent(frames, place)
        goes_back = one.first == 0 and window.first > 0
        goes_on = one.last + 1 == len(one.shown.frames) and window.last + 1 < video.frames
        if goes_back or goes_on:
            span = run
        else:
            span = narrowed(span, run, lambda time: _changes_at(time, one))
    return Span(video.video_id, *span, window.score)


def grounded(one: Judged) -> tuple[Seconds, Seconds]:
    """What the grounder says, in seconds, as far as it saw the video."""
    window, times = one.shown.window, one.shown.frames.times
    begin = 0.0 if window.first == 0 else float(times[0])
    all_seen = window.last + 1 >= window.video.frames
    end = window.video.video.duration if all_seen else float(times[-1])
    return stretch(times, one.first, one.last, begin, end)


def narrowed(
    span: tuple[Seconds, Seconds],
    run: tuple[Seconds, Seconds],
    changes_at: Callable[[Seconds], bool],
) -> tuple[Seconds, Seconds]:
    """A span, cut where a run of frames that score alike ends inside it at a change of the picture.

    The run is the one around the best frame, which may lie outside the grounder's span: what ends
    there says nothing of the span, and it stays as it is.
    """
    (start, end), (begins, ends) = span, run
    if begins >= end or ends <= start:
        return span
    return (
        begins if start < begins and changes_at(begins) else start,
        ends if ends < end and changes_at(ends) else end,
    )


def _changes_at(time: Seconds, one: Judged) -> bool:
    """Whether the judged frames before and after a time differ as those of two scenes do."""
    frames = one.shown.frames
    after = int(np.searchsorted(frames.times, time))
    if not 0 < after < len(frames):
        return False
    before, behind = frames.vectors[after - 1 : after + 1].astype(np.float32)
    return float(before @ behind) < SAME_SCENE


def _scored_frames(
    store: Store, video: StoredVideo, first: int, last: int, query: Vectors
) -> tuple[ScoredFrames, int]:
    """The frames in and around [first, last] with their scores, and the number of the first."""
    context = round(CONTEXT_SECONDS * video.sampling.fps)
    first, last = max(first - context, 0), last + context
    frames = store.frames(video.video_id, first, last)
    scores = frames.vectors.astype(np.float32) @ query
    whole = last >= video.frames - 1 or not len(frames)
    duration = video.video.duration if whole else float(frames.times[-1])
    begin = 0.0 if first == 0 or not len(frames) else float(frames.times[0])
    return ScoredFrames(frames.times, scores, duration, begin), first
