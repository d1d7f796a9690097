"""Which frames of a video are read, which packets are decoded for them, and the clips over them.

The work is in proportion to the number of frames, never to the duration: a damaged file may claim
years.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vsr_edge.media.index import FrameIndex
from vsr_edge.media.probe import probe
from vsr_edge.media.source import SourceFile
from vsr_edge.types import ClipWindow, Sampling, Seconds, Times, Video

# Timestamps are exact, their conversion to float64 is not quite.
_EPSILON = 1e-6
# A stream that is refreshed little by little is whole again by the second mark.
ENTRIES_BACK = 2
NO_FRAME = -(2**63)


@dataclass(frozen=True, slots=True, eq=False)
class VideoPlan:
    """A video, and which of its frames to read; its length is how many.

    ``stamps`` int64 [n] and ``times`` float64 [n] (seconds from stream start), increasing: the
    frames. A stamp is a pts in units of the index's time base, or in a counted file the frame's
    number in order of output.
    ``tolerance``: how much later than its stamp a frame may be that replaces a lost one.
    ``runs`` int64 [k, 4]: stretches to decode, in file order; what lies between them is skipped
    undecoded. Of each: its first and last packet; the stamp of its first planned frame, NO_FRAME
    where none is planned; and from which packet on to decode everything, should that not come.
    """

    video: Video
    index: FrameIndex
    stamps: NDArray[np.int64]
    times: Times
    tolerance: int
    runs: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.times)

    @property
    def whole(self) -> VideoPlan:
        """The same frames, with every packet up to the last of them decoded."""
        run = [0, self.runs[-1, 1], self.stamps[0], 0]
        return replace(self, runs=np.array([run], np.int64))


def plan_video(
    file: Path | SourceFile, sampling: Sampling, *, known_fingerprint: str | None = None
) -> VideoPlan:
    """Choose which frames of a file to read.

    Raises:
        MediaError: as :func:`probe`, which reads all its packets once.
    """
    video, index = probe(file, known_fingerprint=known_fingerprint)
    offered = offered_frames(index, sampling)
    chosen = choose_frames(
        index.times[offered],
        index.duration,
        fps=sampling.fps,
        min_frames=sampling.min_frames,
        keyframes=index.keyframes[offered],
    )
    return plan_frames(video, index, offered[chosen], fps=sampling.fps)


def offered_frames(index: FrameIndex, sampling: Sampling) -> NDArray[np.int64]:
    """Which frames may be read, as ``sampling.keyframes`` says: indices, increasing.

    "off": all, and so where no keyframes are known. "on": the keyframes. "auto": the keyframes, and
    all frames between two that are more than ``keyframe_seconds`` apart; but all, where fewer than
    ``min_frames`` would be left.
    """
    every = np.arange(len(index.times))
    marks = np.flatnonzero(index.keyframes)
    if sampling.keyframes == "off" or not len(marks):
        return every
    if sampling.keyframes == "on":
        return marks
    bounds = np.concatenate(([-np.inf], index.times[marks], [index.duration]))
    apart = np.diff(bounds) > sampling.keyframe_seconds + _EPSILON
    offered = np.flatnonzero(index.keyframes | apart[np.cumsum(index.keyframes)])
    return offered if len(offered) >= sampling.min_frames else every


def plan_frames(
    video: Video, index: FrameIndex, chosen: NDArray[np.int64], *, fps: float = 1.0
) -> VideoPlan:
    """Plan the reading of the frames ``chosen`` (indices into ``index``, increasing)."""
    tolerance = Fraction(1, 2) / Fraction(fps) / index.time_base
    if index.counted:
        # In frames; and none where frames are merely counted: the next is the next.
        usual = index.duration / len(index.times)
        tolerance *= index.time_base / Fraction(usual) if len(index.order) else 0
    stamps = chosen if index.counted else index.pts[chosen]
    runs = _runs(index, chosen)
    # Of each run the least stamp of its frames.
    most = np.iinfo(np.int64).max
    firsts = np.full(len(runs), most)
    of_run = np.searchsorted(runs[:, 0], index.positions[chosen], "right") - 1
    np.minimum.at(firsts, of_run, stamps)
    earlier = runs[:, 0]
    if len(index.entry_points):
        entry = np.searchsorted(index.entry_points, earlier)
        earlier = np.minimum(index.entry_points[np.maximum(entry - ENTRIES_BACK, 0)], earlier)
    runs = np.column_stack((runs, np.where(firsts == most, NO_FRAME, firsts), earlier))
    return VideoPlan(video, index, stamps, index.times[chosen], int(tolerance), runs)


def _runs(index: FrameIndex, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each frame needs what lies between the keyframe it builds on and itself, in file order."""
    entries = index.entry_points
    positions = index.positions[chosen]
    if index.counted or not len(entries):
        return np.array([[0, index.positions.max()]], np.int64)
    entry = np.maximum(np.searchsorted(entries, positions, "right") - 1, 0)

    # A frame stored behind a keyframe but shown before it also builds on the frames before that
    # keyframe.
    entry_pts = np.full(len(entries), index.pts[0])
    shown = np.searchsorted(entries, index.positions[index.keyframes])
    entry_pts[shown] = index.pts[index.keyframes]
    entry = np.where(index.pts[chosen] < entry_pts[entry], np.maximum(entry - 1, 0), entry)

    # Whatever is skipped, new parameters must reach the decoder: each packet that brings some is
    # wanted, with no frame.
    order = np.argsort(positions)
    firsts = np.concatenate((entries[entry][order], index.parameters))
    lasts = np.concatenate((positions[order], index.parameters))
    order = np.argsort(lasts, kind="stable")
    firsts, lasts = np.minimum.accumulate(firsts[order][::-1])[::-1], lasts[order]
    opens = np.concatenate(([True], firsts[1:] > lasts[:-1] + 1))
    closes = np.concatenate((opens[1:], [True]))
    runs: NDArray[np.int64] = np.stack((firsts[opens], lasts[closes]), axis=1).astype(np.int64)
    return runs[: np.searchsorted(runs[:, 0], positions.max(), "right")]


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
    count, least = len(times), min(min_frames, len(times))
    if not count:
        return np.zeros(0, np.int64)
    if keyframes is None:
        keyframes = np.zeros(count, np.bool_)
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
