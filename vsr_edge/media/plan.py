"""From a file to what shall be read of it: probe, one scan of its packets, the frames chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vsr_edge.media.index import FrameIndex, scan
from vsr_edge.media.probe import probe
from vsr_edge.media.sampling import choose_frames
from vsr_edge.types import Sampling, Times, Video

# A stream that is refreshed little by little is whole again by the second mark.
ENTRIES_BACK = 2
NO_FRAME = -(2**63)


@dataclass(frozen=True, slots=True, eq=False)
class FramePlan:
    """Which frames to read and which packets to decode for them.

    ``stamps`` int64 [n] and ``times`` float64 [n] (seconds from stream start), increasing: the
    frames. A stamp is a pts in units of ``time_base``, or with ``counted`` the frame's number in
    order of output.
    ``runs`` int64 [k, 2]: first and last packet of each stretch to decode, in file order; what lies
    between the runs is skipped undecoded. ``firsts`` int64 [k]: the stamp of the first planned
    frame of each run, NO_FRAME where none is planned; ``earlier`` int64 [k]: from which packet on
    to decode everything, should that frame not come. ``alone``: every frame is coded by itself.
    ``order``: with ``counted``, the dts of all frames where these tell the number of a frame, for
    a packet may hold none; else empty.
    ``shifts`` int64 [j, 2]: from which packet on how much is added to pts, where the clock
    restarts.
    ``strays`` int64 [s]: the packets whose pts are not to be believed.
    ``sets``: by packet, parameter sets that the decoder must be given before it.
    ``tolerance``: how much later than its stamp a frame may be that replaces a lost one.
    """

    stamps: NDArray[np.int64]
    times: Times
    runs: NDArray[np.int64]
    firsts: NDArray[np.int64]
    earlier: NDArray[np.int64]
    alone: bool
    counted: bool
    order: NDArray[np.int64]
    shifts: NDArray[np.int64]
    strays: NDArray[np.int64]
    sets: Mapping[int, bytes]
    start: int
    time_base: Fraction
    tolerance: int

    def __len__(self) -> int:
        return len(self.times)

    @property
    def whole(self) -> FramePlan:
        """The same frames, with every packet up to the last of them decoded."""
        last = self.runs[-1, 1]
        return replace(
            self,
            runs=np.array([[0, last]], np.int64),
            firsts=self.stamps[:1],
            earlier=np.zeros(1, np.int64),
        )


@dataclass(frozen=True, slots=True, eq=False)
class VideoPlan:
    """A video and what to read of it.

    ``damage``: what of the file is missing, if anything; ``left_out``: further video streams in it.
    """

    video: Video
    sampling: Sampling
    frames: FramePlan
    damage: str | None
    left_out: str | None = None


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
    measured = replace(video, duration=index.duration)
    return VideoPlan(measured, sampling, frames, index.damage, index.left_out)


def plan_frames(index: FrameIndex, chosen: NDArray[np.int64], *, fps: float) -> FramePlan:
    """Plan the reading of the frames ``chosen`` (indices into ``index``, increasing)."""
    half_interval = Fraction(1, 2) / Fraction(fps) / index.time_base
    stamps = chosen if index.counted else index.pts[chosen]
    runs = _runs(index, chosen)
    return FramePlan(
        stamps=stamps,
        times=index.times[chosen],
        runs=runs,
        firsts=_firsts(runs, index.positions[chosen], stamps),
        earlier=_earlier(index.entry_points, runs),
        alone=index.alone,
        counted=index.counted,
        order=index.order,
        shifts=index.shifts,
        strays=index.strays,
        sets=index.sets,
        start=int(index.pts[0]),
        time_base=index.time_base,
        tolerance=_tolerance(index, half_interval),
    )


def _tolerance(index: FrameIndex, half_interval: Fraction) -> int:
    if not index.counted:
        return int(half_interval)
    # In frames; and none where frames are merely counted: the next is the next.
    usual = index.duration / len(index)
    return int(half_interval * index.time_base / Fraction(usual)) if len(index.order) else 0


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


def _firsts(
    runs: NDArray[np.int64], positions: NDArray[np.int64], stamps: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The least stamp of the frames in each run."""
    firsts = np.full(len(runs), np.iinfo(np.int64).max)
    np.minimum.at(firsts, np.searchsorted(runs[:, 0], positions, "right") - 1, stamps)
    firsts[firsts == np.iinfo(np.int64).max] = NO_FRAME
    return firsts


def _earlier(entries: NDArray[np.int64], runs: NDArray[np.int64]) -> NDArray[np.int64]:
    if not len(entries):
        return runs[:, 0]
    entry = np.searchsorted(entries, runs[:, 0])
    return np.minimum(entries[np.maximum(entry - ENTRIES_BACK, 0)], runs[:, 0])
