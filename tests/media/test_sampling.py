"""Properties of the choice of frames and of the clip windows, for any times a file may hold."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vsr_edge.media.plan import choose_frames, clip_windows

GAPS = st.lists(st.integers(1, 5000), min_size=0, max_size=80)
RATES = st.sampled_from([0.1, 0.5, 1.0, 2.0, 7.5])


def times_of(gaps: list[int]) -> np.ndarray:
    """Times in seconds from gaps in milliseconds."""
    return np.concatenate(([0.0], np.cumsum(gaps))) / 1000


def wanted_times(duration: float, fps: float) -> list[float]:
    return [k / fps for k in range(max(math.ceil((duration - 1e-6) * fps), 1))]


@given(GAPS, st.integers(1, 5000), RATES)
def test_each_wanted_time_is_served_by_the_nearest_frame(
    gaps: list[int], tail: int, fps: float
) -> None:
    times = times_of(gaps)
    duration = float(times[-1]) + tail / 1000
    chosen = choose_frames(times, duration, fps=fps, min_frames=0)
    for wanted in wanted_times(duration, fps):
        nearest = np.abs(times - wanted).min()
        assert np.abs(times[chosen] - wanted).min() == pytest.approx(nearest, abs=1e-9)


@given(GAPS, st.integers(1, 5000), RATES)
def test_no_more_frames_are_chosen_than_wanted_times_and_gaps_need(
    gaps: list[int], tail: int, fps: float
) -> None:
    times = times_of(gaps)
    duration = float(times[-1]) + tail / 1000
    chosen = choose_frames(times, duration, fps=fps, min_frames=0)
    assert (np.diff(chosen) > 0).all()
    assert len(chosen) <= len(wanted_times(duration, fps))


@given(GAPS, st.integers(1, 5000), RATES, st.integers(0, 6), st.randoms(use_true_random=False))
def test_a_video_gets_its_least_number_of_frames(
    gaps: list[int], tail: int, fps: float, least: int, random: object
) -> None:
    times = times_of(gaps)
    duration = float(times[-1]) + tail / 1000
    keyframes = np.array([random.random() < 0.3 for _ in times])  # type: ignore[attr-defined]
    chosen = choose_frames(times, duration, fps=fps, min_frames=least, keyframes=keyframes)
    assert len(chosen) >= min(least, len(times))
    assert (np.diff(chosen) > 0).all()
    assert set(chosen) <= set(range(len(times)))


@given(GAPS, st.integers(1, 5000), RATES, st.randoms(use_true_random=False))
@example([5000, 1], 1000, 0.5, Random(10))  # a keyframe at just half an interval
def test_a_keyframe_serves_every_wanted_time_that_has_one_within_half_an_interval(
    gaps: list[int], tail: int, fps: float, random: object
) -> None:
    times = times_of(gaps)
    duration = float(times[-1]) + tail / 1000
    keyframes = np.array([random.random() < 0.5 for _ in times])  # type: ignore[attr-defined]
    chosen = choose_frames(times, duration, fps=fps, min_frames=0, keyframes=keyframes)
    for wanted in wanted_times(duration, fps):
        distance = np.abs(times - wanted)
        reach = distance < 0.5 / fps - 1e-9
        if (reach & keyframes).any():
            assert keyframes[chosen[np.abs(times[chosen] - wanted) <= 0.5 / fps + 1e-9]].any()
        elif reach.any():
            assert (np.abs(times[chosen] - wanted) <= 0.5 / fps + 1e-9).any()


def test_keyframes_one_second_apart_suffice_alone() -> None:
    times = np.arange(250) / 25
    keyframes = np.arange(250) % 25 == 0
    chosen = choose_frames(times, 10.0, keyframes=keyframes)
    assert chosen.tolist() == list(range(0, 250, 25))


def test_a_video_without_frames_gets_none() -> None:
    assert len(choose_frames(np.zeros(0), 0.0)) == 0
    assert clip_windows(np.zeros(0), 0.0) == []


def test_a_claimed_duration_of_years_costs_nothing() -> None:
    times = np.array([0.0, 0.04, 0.08, 1e9])
    assert len(choose_frames(times, 1e9 + 1)) == 4
    assert len(clip_windows(times, 1e9 + 1)) <= 4


@given(GAPS, st.integers(0, 5000), st.floats(0.5, 20), st.floats(0.1, 1.0))
@settings(max_examples=200)
def test_windows_cover_every_frame_and_none_is_empty(
    gaps: list[int], tail: int, seconds: float, share: float
) -> None:
    times = times_of(gaps)
    duration = float(times[-1]) + tail / 1000
    stride = seconds * share
    windows = clip_windows(times, duration, seconds, stride)
    covered = set()
    for window in windows:
        assert 0 <= window.start < window.end <= duration or duration == 0
        assert window.end - window.start <= seconds + stride / 2 + 1e-6
        inside = times[window.first : window.last + 1]
        assert len(inside)
        assert window.start <= inside[0]
        assert inside[-1] <= window.end
        covered |= set(range(window.first, window.last + 1))
    assert covered == set(range(len(times)))
    frames = [(window.first, window.last) for window in windows]
    assert len(set(frames)) == len(frames)
    assert [window.start for window in windows] == sorted({window.start for window in windows})


@given(st.floats(0.04, 200))
def test_the_last_window_is_no_near_duplicate(duration: float) -> None:
    times = np.arange(0, duration, 0.25)
    windows = clip_windows(times, duration)
    assert windows[0].start == 0
    assert windows[-1].end == duration
    if len(windows) > 1:
        assert windows[-1].start - windows[-2].start >= 2.0 - 1e-6
        assert windows[-1].end - windows[-2].end >= 1.0 - 1e-6


def test_a_video_shorter_than_a_window_is_one_window() -> None:
    (window,) = clip_windows(np.array([0.0, 1.0, 2.0]), 2.5)
    assert (window.start, window.end, window.first, window.last) == (0.0, 2.5, 0, 2)
