"""Scan a file's packets, decoding nothing, for the exact time of every frame.

Time of a frame = pts · time base − stream start, never index / frame rate. Stream start is the pts
of the first frame that can be decoded. A day of video at 30 frames a second takes about 250 MB
while it is scanned.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
from av.packet import Packet
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vsr_edge.errors import UnreadableMedia
from vsr_edge.media.completeness import ends_in_padding, missing_end
from vsr_edge.media.joined import later_recordings
from vsr_edge.media.opening import OpenVideo, open_video, rational
from vsr_edge.media.source import unavailable
from vsr_edge.media.timeline import LIMIT, UNKNOWN, Timeline, one_timeline, reordering
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

_KEYFRAME, _DISCARD = 1, 2
# Where a sender may change its resolution on the way, and PyAV cannot tell, nothing is skipped.
_NEW_PARAMETERS = frozenset({"flv"})
TELLS_PARAMETERS = hasattr(Packet, "has_sidedata")


@dataclass(frozen=True, slots=True, eq=False)
class FrameIndex:
    """Every frame of a video in presentation order; arrays are [n] unless said otherwise.

    ``times``: seconds from the first frame, strictly increasing. ``pts``: in units of
    ``time_base``.
    ``keyframes``: bool. ``positions``: which packet of the stream, in file order, holds the frame.
    ``entry_points`` [k]: the positions of all keyframes, also of those that show no frame.
    ``alone``: every frame is coded by itself, none builds on another.
    ``counted``: the file has no usable pts, so the n-th frame that the decoder puts out is the n-th
    here.
    ``order``: of a counted file whose frames are shown as they are stored, their dts; else empty.
    ``shifts`` [k, 2]: from which packet on how much is added to its pts, where the clock restarts.
    ``strays`` [j]: the packets whose pts are not to be believed.
    ``parameters`` [p]: the packets that bring the decoder new parameters, a new size perhaps.
    ``sets``: by packet, the parameter sets that belong before it and are elsewhere in the file.
    ``damage``: what is missing of the file, in words, if anything; ``left_out``: further video
    streams in it.
    """

    times: Times
    pts: NDArray[np.int64]
    keyframes: NDArray[np.bool_]
    positions: NDArray[np.int64]
    entry_points: NDArray[np.int64]
    duration: Seconds
    time_base: Fraction
    alone: bool
    counted: bool
    order: NDArray[np.int64]
    shifts: NDArray[np.int64]
    strays: NDArray[np.int64]
    parameters: NDArray[np.int64]
    sets: Mapping[int, bytes]
    damage: str | None
    left_out: str | None = None

    def __len__(self) -> int:
        return len(self.times)


@dataclass(frozen=True, slots=True, eq=False)
class _Packets:
    """Columns of the scan, in file order; ``unread``: recordings in the file behind all of them."""

    pts: NDArray[np.int64]
    dts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    marks: NDArray[np.uint8]
    base: Fraction
    parameters: NDArray[np.int64]
    sets: Mapping[int, bytes]
    unread: int
    reordered: bool


def scan(path: Path) -> FrameIndex:
    """Read all packets of the video stream of ``path``.

    Raises:
        UnreadableMedia: it cannot be opened, or not one frame is in it.
        NoVideoStream: a media file without pictures.
        MediaUnavailable: the operating system refuses to give all of it.
    """
    with open_video(path) as video:
        packets = _read(video)
        shown = (packets.marks & _DISCARD) == 0
        if not shown.any():
            raise UnreadableMedia(path, "not one frame of its video can be read")
        container, stream = video.container, video.stream
        codec = stream.codec_context.codec
        unknown = np.count_nonzero(packets.pts == UNKNOWN)
        guessed = container.format.name in _GUESSED_PTS and not codec.intra_only
        counted = guessed or unknown > _MOSTLY * len(shown)
        index, end = (
            _count(packets, shown, stream)
            if counted
            else _order(path, packets, shown, stream, container.format.name)
        )
        damage = [] if index.damage is None else [index.damage]
        if packets.unread:
            damage.append(f"recordings behind the first that cannot be read: {packets.unread}")
        failures = video.failures
        try:
            if video.failures_at_end and ends_in_padding(video.file):
                failures -= video.failures_at_end
            missing = missing_end(video.file, container, stream, end)
        except OSError as error:
            raise unavailable(path, error) from error
        if failures:
            damage.append(f"places in the file that cannot be read: {failures}")
        if missing:
            damage.append(missing)
        left_out = video.left_out
    return replace(index, damage="; ".join(damage) or None, left_out=left_out)


def brings_parameters(packet: Packet[VideoStream]) -> bool:
    """Whether the packet carries new parameters for the decoder; PyAV before 16 cannot tell."""
    return TELLS_PARAMETERS and packet.has_sidedata("new_extradata")


def _read(video: OpenVideo) -> _Packets:
    pts, dts, lengths, marks = array("q"), array("q"), array("q"), bytearray()
    places, parameters = array("q"), array("q")
    for position, packet in enumerate(video.packets()):
        pts.append(_sane(packet.pts))
        dts.append(_sane(packet.dts))
        lengths.append(min(max(packet.duration or 0, 0), LIMIT))
        marks.append(_KEYFRAME * packet.is_keyframe | _DISCARD * packet.is_discard)
        places.append(packet.pos or 0)
        if brings_parameters(packet):
            parameters.append(position)
    stream = video.stream
    try:
        recordings = later_recordings(video.file, video.container.format.name, stream)
    except OSError as error:
        raise unavailable(video.path, error) from error
    begin = _first_behind(places, [one.start for one in recordings])
    read = [(place, one) for place, one in zip(begin, recordings, strict=True) if place >= 0]
    sets = {place: one.sets for place, one in read if one.sets}
    return _Packets(
        np.frombuffer(pts, np.int64),
        np.frombuffer(dts, np.int64),
        np.frombuffer(lengths, np.int64),
        np.frombuffer(marks, np.uint8),
        rational(stream.time_base) or Fraction(1, 1000),
        np.array(sorted({*parameters, *sets}), np.int64),
        sets,
        len(recordings) - len(read),
        bool(stream.codec_context.has_b_frames),
    )


def _first_behind(places: array[int], starts: list[int]) -> list[int]:
    """For each start the first packet that lies behind it in the file; -1 if none does."""
    lies = np.frombuffer(places, np.int64)
    found = []
    for start in starts:
        behind = lies >= start
        found.append(int(behind.argmax()) if behind.any() else -1)
    return found


def _sane(stamp: int | None) -> int:
    return stamp if stamp is not None and -LIMIT < stamp < LIMIT else UNKNOWN


def _timeline(packets: _Packets, container: str) -> Timeline:
    second = max(int(1 / packets.base), 1)
    pause = _BROADCAST_PAUSE_SECONDS if container in _BROADCAST else _PAUSE_SECONDS
    shown = container in _WITHOUT_DTS
    known = packets.pts[packets.pts != UNKNOWN]
    return one_timeline(
        packets.pts if shown else packets.dts,
        packets.lengths,
        second=second,
        ahead=pause * second,
        # At least one, should FFmpeg have met no such frame when it opened the file.
        reordered=max(reordering(known) if packets.reordered else 0, 1) if shown else 0,
    )


def _decodable(
    pts: NDArray[np.int64],
    entry_points: NDArray[np.int64],
    parts: NDArray[np.int64],
    known: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Which packets can be decoded: not what comes, in the file or on the screen, before the first
    keyframe of the recording, or of one that was joined to it.
    """
    usable = known.copy()
    if not len(entry_points):
        return usable
    starts = [0, *parts.tolist(), len(pts)]
    for start, end in pairwise(starts):
        place = int(np.searchsorted(entry_points, start))
        first = int(entry_points[place]) if place < len(entry_points) else end
        usable[start : min(first, end)] = False
        if first < end:
            usable[start:end] &= pts[start:end] >= pts[first]
    return usable if usable.any() else known


def _order(
    path: Path,
    packets: _Packets,
    shown: NDArray[np.bool_],
    stream: VideoStream,
    container: str,
) -> tuple[FrameIndex, Seconds]:
    """Index by pts; also where the last frame ends on the container's own clock."""
    timeline = _timeline(packets, container)
    stray = timeline.strays
    shifted = timeline.shift(packets.pts)
    known = shown & (packets.pts != UNKNOWN)
    entry_points = np.flatnonzero((packets.marks & _KEYFRAME) != 0)
    usable = _decodable(shifted, entry_points, timeline.parts, known & ~stray)
    if not usable.any():
        raise UnreadableMedia(path, "its timestamps make no sense")
    if not TELLS_PARAMETERS and container in _NEW_PARAMETERS:
        entry_points = entry_points[:1]
    positions = np.flatnonzero(usable)
    own_end = float(packets.pts[positions].max() * packets.base)
    pts, first_of = np.unique(shifted[positions], return_index=True)
    positions = positions[first_of]
    times = (pts - pts[0]) * float(packets.base)
    length = float(packets.lengths[positions[-1]] * packets.base) or _usual_interval(times, stream)
    lost = np.count_nonzero(stray & known)
    index = FrameIndex(
        times=times,
        pts=pts,
        keyframes=np.isin(positions, entry_points),
        positions=positions,
        entry_points=entry_points,
        duration=float(times[-1]) + length,
        time_base=packets.base,
        alone=stream.codec_context.codec.intra_only,
        counted=False,
        order=np.zeros(0, np.int64),
        shifts=timeline.shifts,
        strays=np.flatnonzero(stray),
        parameters=packets.parameters,
        sets=packets.sets,
        damage=f"frames left out because their time is damaged: {lost}" if lost else None,
    )
    return index, max(own_end + length, index.duration)


def _count(
    packets: _Packets, shown: NDArray[np.bool_], stream: VideoStream
) -> tuple[FrameIndex, Seconds]:
    """Index in the decoder's order of output: by dts where it is known, else at the frame rate."""
    stamps = np.sort(packets.dts[shown])
    base = packets.base
    order = np.zeros(0, np.int64) if packets.reordered else stamps
    if stamps[0] == UNKNOWN or (np.diff(stamps) <= 0).any():
        order = np.zeros(0, np.int64)
        stamps = np.arange(len(stamps), dtype=np.int64)
        base = 1 / (rational(stream.average_rate) or rational(stream.guessed_rate) or _DEFAULT_RATE)
    times = (stamps - stamps[0]) * float(base)
    index = FrameIndex(
        times=times,
        pts=stamps,
        keyframes=np.zeros(len(times), np.bool_),
        positions=np.flatnonzero(shown),
        entry_points=np.zeros(0, np.int64),
        duration=float(times[-1]) + _usual_interval(times, stream),
        time_base=base,
        alone=False,
        counted=True,
        order=order,
        shifts=np.zeros((0, 2), np.int64),
        strays=np.zeros(0, np.int64),
        parameters=np.zeros(0, np.int64),
        sets={},
        damage=None,
    )
    return index, index.duration


def _usual_interval(times: Times, stream: VideoStream) -> Seconds:
    """How long the last frame stays, where the file does not say."""
    rate = rational(stream.average_rate)
    if rate:
        return float(1 / rate)
    return float(np.median(np.diff(times))) if len(times) > 1 else float(1 / _DEFAULT_RATE)
