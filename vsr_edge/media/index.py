"""Scan a file's packets, decoding nothing, for the exact time of every frame.

Time of a frame = pts · time base − stream start, never index / frame rate. Stream start is the pts
of the first frame that can be decoded. A day of video at 30 frames a second takes about 250 MB
while it is scanned.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vsr_edge.errors import UnreadableMedia
from vsr_edge.media.completeness import missing_end
from vsr_edge.media.opening import open_video, rational
from vsr_edge.media.packets import PacketReader
from vsr_edge.media.timeline import UNKNOWN, restarts, strays
from vsr_edge.types import Seconds, Times

# Also what a damaged header may say: beyond it, differences of timestamps would overflow.
_LIMIT = 2**61

# AVI stores no presentation times: FFmpeg guesses them, wrongly where frames are reordered, and its
# keyframe marks are not reliable. Decoders still put the frames out in the right order.
_GUESSED_PTS = frozenset({"avi"})
_MOSTLY = 0.05

# Broadcast containers may restart their clock (splices, joined files); others keep one timeline.
_RESTARTING = frozenset({"mpegts", "mpeg"})
_DEFAULT_RATE = Fraction(25)

_KEYFRAME, _DISCARD = 1, 2


@dataclass(frozen=True, slots=True, eq=False)
class FrameIndex:
    """Every frame of a video in presentation order; all arrays but the last are [n].

    ``times``: seconds from the first frame, strictly increasing. ``pts``: in units of
    ``time_base``.
    ``keyframes``: bool. ``positions``: which packet of the stream, in file order, holds the frame.
    ``entry_points`` [k]: the positions of all keyframes, also of those that show no frame.
    ``counted``: the file has no usable pts, so the n-th frame that the decoder puts out is the n-th
    here.
    ``shifts`` [k, 2]: from which packet on how much is added to its pts, where the clock restarts.
    ``strays`` [j]: the packets whose pts are not to be believed.
    ``damage``: what is missing of the file, in words, if anything.
    """

    times: Times
    pts: NDArray[np.int64]
    keyframes: NDArray[np.bool_]
    positions: NDArray[np.int64]
    entry_points: NDArray[np.int64]
    duration: Seconds
    time_base: Fraction
    counted: bool
    shifts: NDArray[np.int64]
    strays: NDArray[np.int64]
    damage: str | None

    def __len__(self) -> int:
        return len(self.times)


@dataclass(frozen=True, slots=True, eq=False)
class _Packets:
    """Columns of the scan, in file order."""

    pts: NDArray[np.int64]
    dts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    marks: NDArray[np.uint8]
    base: Fraction
    shifts: NDArray[np.int64]


def scan(path: Path) -> FrameIndex:
    """Read all packets of the video stream of ``path``.

    Raises:
        UnreadableMedia: it cannot be opened, or not one frame is in it.
        NoVideoStream: a media file without pictures.
    """
    with open_video(path) as (container, stream):
        reader = PacketReader(container, stream)
        packets = _read(reader, stream)
        if container.format.name in _RESTARTING:
            packets = _continued(packets)
        shown = (packets.marks & _DISCARD) == 0
        if not shown.any():
            raise UnreadableMedia(path, "not one frame of its video can be read")
        codec = stream.codec_context.codec
        unknown = np.count_nonzero(packets.pts == UNKNOWN)
        guessed = container.format.name in _GUESSED_PTS and not codec.intra_only
        counted = guessed or unknown > _MOSTLY * len(shown)
        index, end = (_count if counted else _order)(path, packets, shown, stream)
        damage = [] if index.damage is None else [index.damage]
        if reader.failures:
            damage.append(f"places in the file that cannot be read: {reader.failures}")
        if missing := missing_end(path, container, stream, end):
            damage.append(missing)
    return replace(index, damage="; ".join(damage) or None)


def _read(reader: PacketReader, stream: VideoStream) -> _Packets:
    pts, dts, lengths, marks = array("q"), array("q"), array("q"), bytearray()
    for packet in reader:
        pts.append(_sane(packet.pts))
        dts.append(_sane(packet.dts))
        lengths.append(min(max(packet.duration or 0, 0), _LIMIT))
        marks.append(_KEYFRAME * packet.is_keyframe | _DISCARD * packet.is_discard)
    return _Packets(
        np.frombuffer(pts, np.int64),
        np.frombuffer(dts, np.int64),
        np.frombuffer(lengths, np.int64),
        np.frombuffer(marks, np.uint8),
        rational(stream.time_base) or Fraction(1, 1000),
        np.zeros((0, 2), np.int64),
    )


def _continued(packets: _Packets) -> _Packets:
    """The same packets on one timeline that does not jump back."""
    second = max(int(1 / packets.base), 1)
    shifts = restarts(packets.dts, second)
    if not len(shifts):
        return packets
    pts, dts = packets.pts.copy(), packets.dts.copy()
    for stamps in (pts, dts):
        for (first, shift), (after, _) in pairwise([*shifts.tolist(), (len(stamps), 0)]):
            stamps[first:after][stamps[first:after] != UNKNOWN] += shift
    return replace(packets, pts=pts, dts=dts, shifts=shifts)


def _sane(stamp: int | None) -> int:
    return stamp if stamp is not None and -_LIMIT < stamp < _LIMIT else UNKNOWN


def _order(
    path: Path, packets: _Packets, shown: NDArray[np.bool_], stream: VideoStream
) -> tuple[FrameIndex, Seconds]:
    """Index by pts; also where the last frame ends on the container's own clock."""
    known = shown & (packets.pts != UNKNOWN)
    stray = strays(packets.dts)
    entry_points = np.flatnonzero((packets.marks & _KEYFRAME) != 0)
    usable = known & ~stray
    if len(entry_points):
        # What comes before the first keyframe, in the file or on the screen, cannot be decoded.
        first = entry_points[0]
        entered = usable & (packets.pts >= packets.pts[first])
        entered[:first] = False
        usable = entered if entered.any() else usable
    if not usable.any():
        raise UnreadableMedia(path, "its timestamps make no sense")
    positions = np.flatnonzero(usable)
    pts, first_of = np.unique(packets.pts[positions], return_index=True)
    positions = positions[first_of]
    times = (pts - pts[0]) * float(packets.base)
    length = float(packets.lengths[positions[-1]] * packets.base) or _usual_interval(times, stream)
    lost = np.count_nonzero(stray & known)
    index = FrameIndex(
        times=times,
        pts=pts,
        keyframes=(packets.marks[positions] & _KEYFRAME) != 0,
        positions=positions,
        entry_points=entry_points,
        duration=float(times[-1]) + length,
        time_base=packets.base,
        counted=False,
        shifts=packets.shifts,
        strays=np.flatnonzero(stray),
        damage=f"frames left out because their time runs backwards: {lost}" if lost else None,
    )
    return index, float(pts[0] * packets.base) + index.duration if pts[0] > 0 else index.duration


def _count(
    path: Path, packets: _Packets, shown: NDArray[np.bool_], stream: VideoStream
) -> tuple[FrameIndex, Seconds]:
    """Index in the decoder's order of output: by dts where it is known, else at the frame rate."""
    del path
    stamps = np.sort(packets.dts[shown])
    base = packets.base
    if stamps[0] == UNKNOWN or (np.diff(stamps) <= 0).any():
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
        counted=True,
        shifts=packets.shifts,
        strays=np.zeros(0, np.int64),
        damage=None,
    )
    return index, index.duration


def _usual_interval(times: Times, stream: VideoStream) -> Seconds:
    """How long the last frame stays, where the file does not say."""
    rate = rational(stream.average_rate)
    if rate:
        return float(1 / rate)
    return float(np.median(np.diff(times))) if len(times) > 1 else float(1 / _DEFAULT_RATE)
