"""The search, top to bottom: encode the query → retrieve clips → fit moments to them.

Nothing is verified yet, and the answer says so: its verdict is "unverified", and it states no
probability.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from vsr_edge.errors import UsageError
from vsr_edge.runtime.encoder import Bundle
from vsr_edge.search.rank import ScoredFrames, Span, moments
from vsr_edge.store.base import Filter, Store
from vsr_edge.types import Candidate, ClipHit, Moment, SearchResult, Turn, Vectors, Verdict

# Enough clips that overlapping ones, which merge, still leave top_k moments.
CLIPS_PER_MOMENT = 8
# Frames so many seconds around a hit say where its scene begins and ends, however long the video
# is.
CONTEXT_SECONDS = 120.0


def search(
    store: Store,
    bundle: Bundle,
    query: str,
    *,
    top_k: int = 10,
    min_score: float | None = None,
    where: Filter | None = None,
    max_turns: int = 3,
) -> SearchResult:
    """Find the moments that match a sentence, best first.

    Args:
        top_k: at most so many moments.
        min_score: leave out clips with a lower inner product, in [−1, 1].
        where: which videos to search.
        max_turns: retrieve at most so often; a bundle without a refiner has nothing to go on with
            after the first turn.

    Raises:
        UsageError: an empty query, or ``top_k`` or ``max_turns`` below 1.
    """
    if not query.strip():
        raise UsageError("the query is empty: say in a few words what is to be seen")
    if top_k < 1:
        raise UsageError(f"top_k must be at least 1, not {top_k}")
    if max_turns < 1:
        raise UsageError(f"max_turns must be at least 1, not {max_turns}")
    clock = _Clock()
    with clock.stage("encode"):
        vector = bundle.encode_text([query])[0]
    with clock.stage("retrieve"):
        hits = store.search(vector, top_k * CLIPS_PER_MOMENT, where)
    if min_score is not None:
        hits = [hit for hit in hits if hit.score >= min_score]
    with clock.stage("ground"):
        spans = moments(hits, lambda hit: _frames_around(store, hit, vector), top_k)
    candidates = tuple(_candidates(store, spans))
    timing = clock.milliseconds()
    return SearchResult(
        query=query,
        verdict=Verdict("unverified"),
        moments=tuple(
            Moment(rank, c.video, c.start, c.end, c.score) for rank, c in enumerate(candidates, 1)
        ),
        turns=(Turn(1, "retrieve", candidates, timing["total"]),),
        timing_ms=timing,
        bundle=bundle.bundle_id,
    )


def _frames_around(store: Store, hit: ClipHit, vector: Vectors) -> ScoredFrames:
    """Score the stored frames near a hit; no video is opened for it."""
    window = hit.clip.window
    video = store.video(hit.clip.video_id)
    if video is None:  # removed by another process since the hit was found
        return ScoredFrames(np.empty(0), np.empty(0), window.end)
    context = round(CONTEXT_SECONDS * video.sampling.fps)
    first, last = max(window.first - context, 0), window.last + context
    frames = store.frames(hit.clip.video_id, first, last)
    scores = frames.vectors.astype(np.float32) @ vector
    if last < video.frames - 1 and len(frames):
        return ScoredFrames(frames.times, scores, float(frames.times[-1]))
    return ScoredFrames(frames.times, scores, video.video.duration)


def _candidates(store: Store, spans: list[Span]) -> Iterator[Candidate]:
    for span in spans:
        stored = store.video(span.video_id)
        if stored is not None:
            yield Candidate(stored.video.path, span.start, span.end, span.score)


class _Clock:
    """Milliseconds per stage."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._stages: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self._stages[name] = (time.perf_counter() - started) * 1000

    def milliseconds(self) -> dict[str, float]:
        total = (time.perf_counter() - self._started) * 1000
        return {name: round(ms, 3) for name, ms in (*self._stages.items(), ("total", total))}
