"""Hits become moments: fitted to the scene, merged where they touch, best first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.search.windows import a_hit
from vsr_edge.search.spans import ScoredFrames, Window, fit, fit_hits, temporal_nms


def hit(video: int, start: float, score: float, seconds: float = 4.0) -> Window:
    return a_hit(video, start, score, seconds, clip_id=int(video * 1000 + start))


def span(window: Window) -> tuple[int, float, float, float]:
    return window.video.video_id, window.start, window.end, window.score


def frames(scores: list[float]) -> ScoredFrames:
    return ScoredFrames(np.arange(len(scores), dtype=float), np.array(scores), float(len(scores)))


def test_a_scene_is_cut_out_half_way_to_its_neighbours() -> None:
    scores = [0.1] * 10 + [0.6] * 5 + [0.1] * 10
    assert span(fit(hit(1, 8.0, 0.4), frames(scores))) == (1, 9.5, 14.5, 0.4)


def test_a_scene_longer_than_a_clip_is_whole() -> None:
    scores = [0.1] * 10 + [0.6] * 30 + [0.1] * 25
    assert span(fit(hit(1, 20.0, 0.6), frames(scores))) == (1, 9.5, 39.5, 0.6)


def test_a_scene_at_the_edges_reaches_them() -> None:
    scores = [0.6] * 3 + [0.1] * 10 + [0.6] * 2
    assert fit(hit(1, 0.0, 0.6), frames(scores)).start == 0.0
    assert fit(hit(1, 11.0, 0.6), frames(scores)).end == 15.0


def test_a_video_that_scores_alike_throughout_is_one_moment() -> None:
    fitted = fit(hit(1, 4.0, 0.5), frames([0.5, 0.51, 0.48] * 7))
    assert (fitted.start, fitted.end) == (0.0, 21.0)


def test_one_blurred_frame_does_not_end_a_scene() -> None:
    scores = [0.1] * 10 + [0.6, 0.6, 0.2, 0.6, 0.6] + [0.1] * 10
    fitted = fit(hit(1, 8.0, 0.4), frames(scores))
    assert (fitted.start, fitted.end) == (9.5, 14.5)


def test_a_hit_without_frames_keeps_the_clip() -> None:
    empty = ScoredFrames(np.empty(0), np.empty(0), 9.0)
    assert span(fit(hit(1, 4.0, 0.5), empty)) == (1, 4.0, 8.0, 0.5)


def flat(hits: Sequence[Window]) -> list[Callable[[], ScoredFrames]]:
    return [lambda: frames([0.5] * 100)] * len(hits)


def test_overlapping_and_adjacent_hits_of_a_video_become_one_moment() -> None:
    found = fit_hits([hit(1, 4.0, 0.9), hit(1, 6.0, 0.8), hit(1, 8.0, 0.7)], flat, 10)
    assert list(map(span, found)) == [(1, 0.0, 100.0, 0.9)]


def test_hits_of_other_videos_stay_apart() -> None:
    found = fit_hits([hit(1, 4.0, 0.9), hit(2, 4.0, 0.8)], flat, 10)
    assert [span(one)[0] for one in found] == [1, 2]


def grown(first: float, second: float) -> list[tuple[int, float, float, float]]:
    """Two hits of one scene; only around the second is the whole scene seen, over the first."""
    far, near = hit(1, 80.0, first), hit(1, 62.0, second)
    narrow = frames([0.1] * 78 + [0.5] * 8 + [0.1] * 20)
    wide = frames([0.1] * 60 + [0.5] * 30 + [0.1] * 35)
    seen = {far.clip_id: lambda: narrow, near.clip_id: lambda: wide}
    found = fit_hits([far, near], lambda hits: [seen[one.clip_id] for one in hits], 10)
    return list(map(span, found))


def test_moments_that_meet_and_score_alike_are_one() -> None:
    assert grown(0.52, 0.5) == [(1, 59.5, 89.5, 0.52)]


def test_a_weaker_neighbour_does_not_widen_a_moment() -> None:
    assert grown(0.8, 0.5) == [(1, 77.5, 85.5, 0.8)]


hits = st.lists(
    st.builds(
        hit,
        st.integers(1, 3),
        st.integers(0, 40).map(float),
        st.floats(-1, 1, width=32),
    ),
    max_size=30,
)
scores = st.lists(st.floats(-1, 1, width=32), min_size=45, max_size=45)


@given(hits, scores, st.integers(1, 6))
def test_moments_are_few_apart_inside_the_video_and_in_order(
    found: list[Window], values: list[float], limit: int
) -> None:
    ordered = sorted(found, key=lambda h: -h.score)
    spans = fit_hits(ordered, lambda hits: [lambda: frames(values)] * len(hits), limit)
    assert len(spans) <= limit
    assert [s.score for s in spans] == sorted((s.score for s in spans), reverse=True)
    for index, span in enumerate(spans):
        assert 0.0 <= span.start < span.end <= 45.0
        assert not any(span.touches(other) for other in spans[index + 1 :])
    if ordered:
        assert spans[0].score == ordered[0].score


def test_frames_around_all_hits_that_may_become_moments_are_asked_for_at_once() -> None:
    found = [hit(video, 4.0 * place, 0.5) for place in range(5) for video in (1, 2, 3)]
    asked = []

    def around(many: Sequence[Window]) -> list[Callable[[], ScoredFrames]]:
        asked.append([span(one)[:2] for one in many])
        return flat(many)

    fit_hits(found, around, 3)
    # What touches one of them is not asked for.
    assert asked == [[(1, 0.0), (2, 0.0), (3, 0.0)]]


SPANS = st.lists(
    st.builds(a_hit, st.integers(1, 2), st.floats(0, 20), st.just(0.0), st.floats(0.01, 10)),
    max_size=12,
)


@given(SPANS)
def test_of_repeats_the_first_is_kept(spans: list[Window]) -> None:
    kept = temporal_nms(spans, 100)
    places = [spans.index(one) for one in kept]
    assert places == sorted(set(places))
    assert not spans or places[0] == 0
    # Nothing more is dropped the second time.
    assert temporal_nms(kept, 100) == kept


def test_a_span_half_of_which_is_another_s_is_a_repeat() -> None:
    spans = [a_hit(1, 0, 0, 10), a_hit(1, 8, 0, 4), a_hit(1, 9, 0, 11), a_hit(2, 0, 0, 10)]
    assert temporal_nms(spans, 10) == [spans[0], spans[2], spans[3]]
