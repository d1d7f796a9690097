"""From the packets of a stream to the exact time and place of each of its frames.

Time of a frame = pts · time base − stream start, never index / frame rate. Stream start is the pts
of the first frame that can be decoded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

import numpy as np
from av.packet import Packet
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vsr_edge.errors import UnreadableMedia
from vsr_edge.media.opening import OpenVideo, rational
from vsr_edge.media.timeline import UNKNOWN, Timeline, one_timeline, reordering
from vsr_edge.types import Seconds, Times

# AVI stores no presentation times: FFmpeg guesses them, wrongly where frames are reordered, and its
# keyframe marks are not reliable. Decoders still put the frames out in the right order.
_GUESSED_PTS = frozenset({"avi"})
_MOSTLY = 0.05
# These store presentation times alone; what FFmpeg gives as decoding times are guesses.
_WITHOUT_DTS = frozenset({"matroska,webm", "asf", "ogg", "ivf", "nut", "rm"})
# How far ahead a clock may jump before that is no pause any more. Broadcast streams seldom pause,
# but reception may fail for a while; in other files nothing may happen for long.
_BROADCAST = frozenset({"mpegts", "mpeg"})
_PAUSE_SECONDS, _BROADCAST_PAUSE_SECONDS = 3600, 60
_DEFAULT_RATE = Fraction(25)
KEYFRAME, DISCARD = 1, 2
# Where a sender may change its resolution on the way, and PyAV cannot tell, nothing is skipped.
_NEW_PARAMETERS = frozenset({"flv"})
TELLS_PARAMETERS = hasattr(Packet, "has_sidedata")


def _none() -> NDArray[np.int64]:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Packets:
    """What was read of a stream: columns [n] in file order, in units of ``base``.

    ``marks``: KEYFRAME and DISCARD. ``reordered``: frames are stored in another order than shown.
    ``parameters``: the packets that bring the decoder new parameters, a new size perhaps.
    ``sets``: by packet, the parameter sets that belong before it and are elsewhere in the file.
    """

    pts: NDArray[np.int64]
    dts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    marks: NDArray[np.int64]
    base: Fraction
    reordered: bool
    parameters: NDArray[np.int64]
    sets: Mapping[int, bytes]


@dataclass(frozen=True, slots=True, eq=False)
class FrameIndex:
    """Every frame of a video in presentation order; arrays are [n] unless said otherwise.

    ``times``: seconds from the first frame, strictly increasing. ``pts``: in units of
    ``time_base``. ``positions``: which packet of the stream, in file order, holds the frame.
    ``duration`` goes to the end of the last frame; ``end`` is that on the container's own clock.
    ``entry_points`` [k]: the positions of all keyframes, also of those that show no frame.
    ``alone``: every frame is coded by itself, none builds on another.
    ``counted``: the file has no usable pts, so the n-th frame that the decoder puts out is the n-th
    here; ``order`` are then their dts, where frames are shown as they are stored, else empty.
    ``shifts`` [k, 2]: from which packet on how much is added to its pts, where the clock restarts.
    ``bad_timestamps`` [j]: the packets whose pts are not to be believed.
    ``parameters`` [p], ``sets``: as in :class:`Packets`. ``damage``: what is missing of the file,
    in words, if anything; ``left_out``: further video streams in it.
    """

    times: Times
    pts: NDArray[np.int64]
    positions: NDArray[np.int64]
    keyframes: NDArray[np.bool_]
    duration: Seconds
    end: Seconds
    time_base: Fraction
    alone: bool = False
    counted: bool = False
    entry_points: NDArray[np.int64] = field(default_factory=_none)
    order: NDArray[np.int64] = field(default_factory=_none)
    shifts: NDArray[np.int64] = field(default_factory=_none)
    bad_timestamps: NDArray[np.int64] = field(default_factory=_none)
    parameters: NDArray[np.int64] = field(default_factory=_none)
    sets: Mapping[int, bytes] = field(default_factory=dict)
    damage: str | None = None
    left_out: str | None = None


def index_packets(packets: Packets, video: OpenVideo) -> FrameIndex:
    """Find the frames in the packets that were read of a video; ``UnreadableMedia`` without one."""
    container, alone = video.container.format.name, video.stream.codec_context.codec.intra_only
    shown = (packets.marks & DISCARD) == 0
    if not shown.any():
        raise UnreadableMedia(video.source.named, "not one frame of its video can be read")
    unknown = np.count_nonzero(packets.pts == UNKNOWN)
    if unknown > _MOSTLY * len(shown) or (container in _GUESSED_PTS and not alone):
        return _counted(packets, shown, video.stream)
    return _ordered(packets, shown, video)


def _ordered(packets: Packets, shown: NDArray[np.bool_], video: OpenVideo) -> FrameIndex:
    """Index by pts."""
    container, stream = video.container.format.name, video.stream
    timeline = _timeline(packets, container)
    shifted = timeline.shift(packets.pts)
    known = shown & (packets.pts != UNKNOWN)
    entry_points = np.flatnonzero((packets.marks & KEYFRAME) != 0)
    usable = _decodable(shifted, entry_points, timeline.parts, known & ~timeline.bad)
    if not usable.any():
        raise UnreadableMedia(video.source.named, "its timestamps make no sense")
    if not TELLS_PARAMETERS and container in _NEW_PARAMETERS:
        entry_points = entry_points[:1]
    positions = np.flatnonzero(usable)
    own_end = float(packets.pts[positions].max() * packets.base)
    pts, first_of = np.unique(shifted[positions], return_index=True)
    positions = positions[first_of]
    times = (pts - pts[0]) * float(packets.base)
    length = float(packets.lengths[positions[-1]] * packets.base) or _usual_interval(times, stream)
    duration = float(times[-1]) + length
    lost = np.count_nonzero(timeline.bad & known)
    return FrameIndex(
        times,
        pts,
        positions,
        keyframes=np.isin(positions, entry_points),
        duration=duration,
        end=max(own_end + length, duration),
        time_base=packets.base,
        alone=stream.codec_context.codec.intra_only,
        entry_points=entry_points,
        shifts=timeline.shifts,
        bad_timestamps=np.flatnonzero(timeline.bad),
        parameters=packets.parameters,
        sets=packets.sets,
        damage=f"frames left out because their time is damaged: {lost}" if lost else None,
    )


def _counted(packets: Packets, shown: NDArray[np.bool_], stream: VideoStream) -> FrameIndex:
    """Index in the decoder's order of output: by dts where it is known, else at the frame rate."""
    stamps = np.sort(packets.dts[shown])
    base = packets.base
    order = _none() if packets.reordered else stamps
    if stamps[0] == UNKNOWN or (np.diff(stamps) <= 0).any():
        order = _none()
        stamps = np.arange(len(stamps), dtype=np.int64)
        base = 1 / (rational(stream.average_rate) or rational(stream.guessed_rate) or _DEFAULT_RATE)
    times = (stamps - stamps[0]) * float(base)
    duration = float(times[-1]) + _usual_interval(times, stream)
    keyframes = np.zeros(len(times), np.bool_)
    positions = np.flatnonzero(shown)
    return FrameIndex(
        times, stamps, positions, keyframes, duration, duration, base, counted=True, order=order
    )


def _timeline(packets: Packets, container: str) -> Timeline:
    second = max(int(1 / packets.base), 1)
    ahead = second * (_BROADCAST_PAUSE_SECONDS if container in _BROADCAST else _PAUSE_SECONDS)
    if container not in _WITHOUT_DTS:
        return one_timeline(packets.dts, packets.lengths, second=second, ahead=ahead)
    known = packets.pts[packets.pts != UNKNOWN]
    # At least one, should FFmpeg have met no such frame when it opened the file.
    late = max(reordering(known) if packets.reordered else 0, 1)
    return one_timeline(packets.pts, packets.lengths, second=second, ahead=ahead, reordered=late)


def _decodable(
    pts: NDArray[np.int64],
    entry_points: NDArray[np.int64],
    parts: NDArray[np.int64],
    known: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Which can be decoded: not what comes before the first keyframe of its recording, in the file
    or on the screen.
    """
    usable = known.copy()
    for start, end in pairwise((0, *parts.tolist(), len(pts))):
        place = int(np.searchsorted(entry_points, start))
        first = int(entry_points[place]) if place < len(entry_points) else end
        usable[start : min(first, end)] = False
        if first < end:
            usable[start:end] &= pts[start:end] >= pts[first]
    return usable if usable.any() else known


def _usual_interval(times: Times, stream: VideoStream) -> Seconds:
    """How long the last frame stays, where the file does not say."""
    if rate := rational(stream.average_rate):
        return float(1 / rate)
    return float(np.median(np.diff(times))) if len(times) > 1 else float(1 / _DEFAULT_RATE)
