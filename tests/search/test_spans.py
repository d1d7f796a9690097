"""Spans: none ends before it starts or leaves its video, whatever times and scores are given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.search.windows import a_hit, a_video
from vsr_edge.answer import Candidate, Moment
from vsr_edge.search.spans import ScoredFrames, Window, extent, fit, narrowed
from vsr_edge.types import inside, stretch

# Frames may share a time stamp, and nothing says that a video lasts longer than to its last frame.
TIMES = st.lists(st.sampled_from([0.0, 1e-9, 0.04, 1.0, 3.7, 3600.0]), min_size=1, max_size=30).map(
    lambda steps: np.cumsum(steps, dtype=np.float64)
)
LATER = st.sampled_from([0.0, 1e-12, 1e-6, 0.04, 10.0])


@st.composite
def scored(draw: st.DrawFn) -> ScoredFrames:
    """Frames of a part of a video: from its start or later on, to its end or not."""
    times = draw(TIMES)
    values, size = st.floats(-1, 1, width=32), len(times)
    scores = draw(st.lists(values, min_size=size, max_size=size))
    begin = draw(st.sampled_from([0.0, float(times[0])]))
    return ScoredFrames(times, np.array(scores), float(times[-1]) + draw(LATER), begin)


@given(scored(), st.data())
def test_the_extent_of_a_frame_holds_that_frame(frames: ScoredFrames, data: st.DataObject) -> None:
    peak = data.draw(st.integers(0, len(frames.times) - 1))
    start, end = extent(frames, peak)
    assert start <= frames.times[peak] <= end
    assert 0 <= start < end <= max(frames.duration, 0.001)


@given(scored(), st.floats(0, 100), st.sampled_from([0.0, 1e-9, 4.0, 1e6]))
def test_a_clip_is_fitted_within_the_video(
    frames: ScoredFrames, start: float, seconds: float
) -> None:
    span = fit(a_hit(1, start, 0.5, seconds), frames)
    assert 0 <= span.start < span.end
    assert span.end <= max(frames.duration, start + seconds, 0.001)


@given(TIMES, LATER, st.data())
def test_a_stretch_of_frames_holds_them_all(
    times: np.ndarray, later: float, data: st.DataObject
) -> None:
    first = data.draw(st.integers(0, len(times) - 1))
    last = data.draw(st.integers(first, len(times) - 1))
    start, end = stretch(times, first, last, 0.0, float(times[-1]) + later)
    assert start <= times[first] <= times[last] <= end
    assert start < end


EDGES = st.floats(0, 20)
SPANS = st.tuples(EDGES, EDGES).filter(lambda span: span[0] < span[1])


@given(SPANS, SPANS, st.sets(st.integers(0, 1)))
def test_a_judged_span_is_only_ever_narrowed(
    span: tuple[float, float], run: tuple[float, float], cuts: set[int]
) -> None:
    changes = {run[place] for place in cuts}
    start, end = narrowed(span, run, sorted(changes))
    assert span[0] <= start < end <= span[1]


def test_a_run_inside_narrows_a_judged_span_where_the_picture_changes() -> None:
    assert narrowed((2.0, 9.0), (4.5, 7.5), [4.5, 7.5]) == (4.5, 7.5)
    assert narrowed((2.0, 9.0), (4.5, 7.5), [7.5]) == (2.0, 7.5)
    assert narrowed((2.0, 9.0), (1.0, 7.5), [1.0, 7.5]) == (2.0, 7.5)
    # The nearest change outside the run, and none within it.
    assert narrowed((2.0, 9.0), (4.5, 7.5), [2.5, 3.5, 5.5, 8.0, 8.5]) == (3.5, 8.0)


def test_a_run_outside_leaves_a_judged_span_alone() -> None:
    """The best frame may lie outside of what the grounder chose."""
    for run in ((9.0, 12.0), (10.5, 12.0), (0.0, 2.0), (0.0, 1.5)):
        assert narrowed((2.0, 9.0), run, [3.0, 5.0]) == (2.0, 9.0)


def test_a_run_that_leaves_what_was_looked_at_does_not_begin_with_the_video() -> None:
    frames = ScoredFrames(np.arange(600.0, 700.0), np.full(100, 0.5), 699.0, 600.0)
    assert extent(frames, 50) == (600.0, 699.0)


@given(st.floats(-10, 1e6), st.floats(-10, 1e6), st.floats(0, 1e6))
def test_whatever_is_put_inside_a_video_is_a_span_of_it(
    start: float, end: float, duration: float
) -> None:
    first, last = inside(start, end, duration)
    assert 0 <= first < last <= max(duration, 0.001)
    if 0 <= start < end <= duration:
        assert (first, last) == (start, end)


@pytest.mark.parametrize(
    ("start", "end"),
    [(2.0, 1.0), (1.0, 1.0), (-0.5, 1.0), (0.0, float("inf")), (0.0, float("nan"))],
)
def test_impossible_spans_refuse_to_exist(start: float, end: float) -> None:
    for make in (
        lambda: Window(1, a_video(1), start, end, 0.5, 0, 0, 1),
        lambda: Moment(1, Path("a.mp4"), start, end, 0.5),
        lambda: Candidate(Path("a.mp4"), start, end, 0.5),
    ):
        with pytest.raises(ValueError, match="cannot be"):
            make()
