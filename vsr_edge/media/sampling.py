"""Which frames to read, and the clip windows over them. Pure: numbers in, numbers out, no pixels.

The work is in proportion to the number of frames, never to the duration: a damaged file may claim
years.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vsr_edge.types import ClipWindow, Seconds, Times

# Timestamps are exact, their conversion to float64 is not quite.
_EPSILON = 1e-6


def choose_frames(
    times: Times,
    duration: Seconds,
    *,
    fps: float = 1.0,
    min_frames: int = 4,
    keyframes: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """Which frames to read: indices into ``times``, strictly increasing.

    The wanted times are 0, 1/fps, 2/fps … before ``duration``. Each is served by a keyframe within
    half an interval of it (the nearest such), since keyframes are many times cheaper to decode,
    else by the nearest frame. A video too short for ``min_frames`` is sampled more densely, up to
    all its frames.

    times: float64 [n], exact presentation times of all frames, strictly increasing, starting at 0.
    keyframes: bool [n]; None means that only nearness counts.
    """
    count = len(times)
    least = min(min_frames, count)
    if keyframes is None:
        keyframes = np.zeros(count, np.bool_)
    if not count:
        return np.zeros(0, np.int64)
    chosen = _serve(times, duration, 1 / fps, keyframes)
    if len(chosen) < least:
        chosen = _serve(times, duration, duration / least, keyframes)
    if len(chosen) < least:
        chosen = np.round(np.linspace(0, count - 1, least)).astype(np.int64)
    return chosen


def _serve(
    times: Times, duration: Seconds, interval: Seconds, keyframes: NDArray[np.bool_]
) -> NDArray[np.int64]:
    # The wanted times are numbered; `last` is the last of them before the end.
    position = times / interval
    last = max(math.ceil((duration - _EPSILON) / interval) - 1, 0)
    nearest = np.floor(position + 0.5)

    # Frames compete for the wanted time that they are within half an interval of.
    contest = np.flatnonzero(nearest <= last)
    distance = np.abs(position[contest] - nearest[contest])
    ranked = contest[np.lexsort((distance, ~keyframes[contest], nearest[contest]))]
    _, first = np.unique(nearest[ranked], return_index=True)
    winners = ranked[first]

    # A wanted time with no frame so near falls to the frames on both sides of that gap.
    middles = (position[:-1] + position[1:]) / 2
    serves_from = np.floor(np.concatenate(([-1.0], middles))) + 1
    serves_to = np.minimum(np.floor(np.concatenate((middles, [float(last)]))), last)
    gap = (serves_to >= serves_from) & ((serves_to > nearest) | (serves_from < nearest))
    return np.union1d(winners, np.flatnonzero(gap)).astype(np.int64)


def clip_windows(
    times: Times, duration: Seconds, seconds: Seconds = 4.0, stride: Seconds = 2.0
) -> list[ClipWindow]:
    """Windows that cover every frame of ``times`` (float64 [n], increasing) within [0, duration].

    They start every ``stride`` and last ``seconds``; the last one ends at ``duration`` and may be
    up to half a stride longer or shorter, so that it is no near-duplicate of the one before.
    Windows without frames, or with the same frames as the window before, are left out.
    """
    if not len(times):
        return []
    duration = max(duration, float(times[-1]))
    last = max(math.ceil((duration - stride / 2 - seconds) / stride - _EPSILON), 0)
    # Only windows with a frame in them: those that start in (time − seconds, time].
    reach = np.arange(math.ceil(seconds / stride) + 2)
    starts = np.clip(np.floor(times / stride)[:, None] - reach, 0, last)
    windows: list[ClipWindow] = []
    for number in np.unique(starts):
        start = float(number * stride)
        end = duration if number == last else start + seconds
        first = int(np.searchsorted(times, start, "left"))
        after = int(np.searchsorted(times, end, "right" if number == last else "left"))
        repeats = windows and (windows[-1].first, windows[-1].last) == (first, after - 1)
        if first < after and not repeats:
            windows.append(ClipWindow(start, end, first, after - 1))
    return windows
