"""From a file to what shall be read of it: probe, one scan of its packets, the frames chosen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vsr_edge.media.index import FrameIndex, scan
from vsr_edge.media.probe import probe
from vsr_edge.media.sampling import choose_frames
from vsr_edge.types import Sampling, Times, Video


@dataclass(frozen=True, slots=True, eq=False)
class FramePlan:
    """Which frames to read and which packets to decode for them.

    ``stamps`` int64 [n] and ``times`` float64 [n] (seconds from stream start), increasing: the
    frames. A stamp is a pts in units of ``time_base``, or with ``counted`` the frame's number in
    order of output.
    ``runs`` int64 [k, 2]: first and last packet of each stretch to decode, in file order; what lies
    between the runs is skipped undecoded. ``resets`` bool [k]: the decoder must forget what it
    knows before the run.
    ``shifts`` int64 [j, 2]: from which packet on how much is added to pts, where the clock
    restarts.
    ``strays`` int64 [s]: the packets whose pts are not to be believed.
    ``tolerance``: how much later than its stamp a frame may be that replaces a lost one.
    """

    stamps: NDArray[np.int64]
    times: Times
    runs: NDArray[np.int64]
    resets: NDArray[np.bool_]
    counted: bool
    shifts: NDArray[np.int64]
    strays: NDArray[np.int64]
    start: int
    time_base: Fraction
    tolerance: int

    def __len__(self) -> int:
        return len(self.times)


@dataclass(frozen=True, slots=True, eq=False)
class VideoPlan:
    """A video and what to read of it. ``damage``: what of the file is missing, if anything."""

    video: Video
    sampling: Sampling
    frames: FramePlan
    damage: str | None


def plan_video(source: Path | Video, sampling: Sampling) -> VideoPlan:
    """Scan a file's packets once, decoding nothing, and choose the frames to read.

    source: a path, which is probed first, or the ``Video`` of an earlier probe. The plan's video
    has the measured duration: the end of the last frame that is really there.

    Raises:
        UnreadableMedia: it cannot be opened, or not one frame is in it.
        NoVideoStream: a media file without pictures.
    """
    video = source if isinstance(source, Video) else probe(source)
    index = scan(video.path)
    chosen = choose_frames(
        index.times,
        index.duration,
        fps=sampling.fps,
        min_frames=sampling.min_frames,
        keyframes=index.keyframes,
    )
    frames = plan_frames(index, chosen, fps=sampling.fps)
    return VideoPlan(replace(video, duration=index.duration), sampling, frames, index.damage)


def plan_frames(index: FrameIndex, chosen: NDArray[np.int64], *, fps: float) -> FramePlan:
    """Plan the reading of the frames ``chosen`` (indices into ``index``, increasing)."""
    half_interval = Fraction(1, 2) / Fraction(fps) / index.time_base
    runs = _runs(index, chosen)
    return FramePlan(
        stamps=chosen if index.counted else index.pts[chosen],
        times=index.times[chosen],
        runs=runs,
        resets=_resets(index, runs),
        counted=index.counted,
        shifts=index.shifts,
        strays=index.strays,
        start=int(index.pts[0]),
        time_base=index.time_base,
        tolerance=0 if index.counted else int(half_interval),
    )


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

    order = np.argsort(positions)
    firsts, lasts = entries[entry][order], np.maximum.accumulate(positions[order])
    firsts = np.minimum.accumulate(firsts[::-1])[::-1]
    opens = np.concatenate(([True], firsts[1:] > lasts[:-1] + 1))
    closes = np.concatenate((opens[1:], [True]))
    return np.stack((firsts[opens], lasts[closes]), axis=1).astype(np.int64)


def _resets(index: FrameIndex, runs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Where decoding does not go on from one keyframe to the next.

    A decoder takes an unbroken row of keyframes, and keeps all its threads busy with it. Over wider
    gaps it would count on from numbers that repeat: frames come in the wrong order, or not at all.
    """
    entries = index.entry_points
    resets = np.ones(len(runs), np.bool_)
    resets[0] = False
    every_frame_alone = len(entries) == int(index.positions.max()) + 1
    if every_frame_alone:
        resets[:] = False
    elif len(entries):
        entry = np.searchsorted(entries, runs[:, 0])
        alone = runs[:-1, 0] == runs[:-1, 1]
        resets[1:] = ~(alone & (np.diff(entry) == 1))
    return resets
