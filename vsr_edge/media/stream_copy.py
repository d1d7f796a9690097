"""A span copied as it is coded: from a keyframe on, to where no frame between is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.container import OutputContainer

from vsr_edge.errors import MediaError, UsageError
from vsr_edge.media.index import FrameIndex
from vsr_edge.media.opening import OpenVideo, rational
from vsr_edge.media.sound import Sounding
from vsr_edge.media.source import split_stream
from vsr_edge.types import Seconds

# Before that, PyAV gives the copy the parameters of an encoder of its own.
_FIRST_PYAV = 15
# What writes files of an ending, where a copy may be put into such.
FORMATS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".ts": "mpegts",
    ".m2ts": "mpegts",
    ".mts": "mpegts",
    ".gif": "gif",
    ".flv": "flv",
}


class Copied(NamedTuple):
    """Which frames and packets are copied, all inclusive: frames in order, packets in the file."""

    first: int
    last: int
    from_packet: int
    to_packet: int


def copy_suffix(path: Path) -> str:
    """The ending of a copy's file, by that of its source: a guess before the source is opened."""
    suffix = split_stream(path)[0].suffix.lower()
    return suffix if suffix in FORMATS else ".mkv"


def check_can_copy() -> None:
    """Raise ``UsageError`` where this PyAV cannot."""
    if int(av.__version__.split(".")[0]) < _FIRST_PYAV:
        raise UsageError(
            f"--copy needs PyAV {_FIRST_PYAV} or later, and {av.__version__} is installed: "
            "pip install -U av, or leave out --copy"
        )


def plan_copy(path: Path, index: FrameIndex, first: int, last: int) -> Copied:
    """Begin at the keyframe before, and end where all frames shown by then are copied.

    Raises:
        MediaError: the file does not tell where decoding can begin, or the span crosses a joint.
    """
    marks = index.keyframes[: first + 1].nonzero()[0]
    if index.counted or not len(marks):
        raise MediaError(path, "it does not say where decoding can begin: cut it without --copy")
    first = int(marks[-1])
    begin = int(index.positions[first])
    end = int(index.positions[first : last + 1].max())
    # Frames that are stored among these, but shown later, need those that are shown between.
    while True:
        inside = (index.positions >= begin) & (index.positions <= end)
        inside[:first] = False
        shown = int(inside.nonzero()[0].max())
        needed = int(index.positions[first : shown + 1].max())
        if needed == end:
            break
        end = needed
    joints = [int(one) for one, _ in index.shifts.tolist()] + list(index.sets)
    if any(begin < joint <= end for joint in joints):
        raise MediaError(path, "the span crosses a joint of recordings: cut it without --copy")
    if any(joint <= begin for joint in index.sets):
        raise MediaError(path, "it lies in a joined recording: cut it without --copy")
    return Copied(first, shown, begin, end)


def copy_packets(
    video: OpenVideo,
    index: FrameIndex,
    plan: Copied,
    output: OutputContainer,
    streams: list[Any],
    sounds: Iterator[Sounding],
    step: Callable[[], object],
) -> None:
    """Write the packets of the pictures and, beside them, of the sound; ``step`` is called for each
    picture that is read.

    streams: the video stream of ``output``, and its audio streams.
    """
    pictures, *tracks = streams
    shifts = [int(by) for at, by in index.shifts.tolist() if at <= plan.from_packet]
    shift = shifts[-1] if shifts else 0
    zero = int(index.pts[plan.first])
    start = float(index.times[plan.first])
    bad = frozenset(index.bad_timestamps.tolist())
    lengths = dict(zip(index.pts.tolist(), np.diff(index.pts).tolist(), strict=False))
    sound = _from(sounds, start)
    ahead = next(sound, None)
    for position, packet in enumerate(video.packets()):
        step()
        if position > plan.to_packet:
            break
        stamp = None if packet.pts is None else packet.pts + shift
        if position < plan.from_packet or position in bad or stamp is None or stamp < zero:
            continue
        time = float((stamp - zero) * index.time_base)
        while ahead is not None and ahead[2] - start <= time:
            _mux_sound(output, tracks, ahead, start)
            ahead = next(sound, None)
        packet.duration = lengths.get(stamp, packet.duration)
        packet.pts = stamp - zero
        packet.dts = None if packet.dts is None else packet.dts + shift - zero
        packet.stream = pictures
        output.mux_one(packet)
    while ahead is not None:
        _mux_sound(output, tracks, ahead, start)
        ahead = next(sound, None)


def _from(sounds: Iterator[Sounding], start: Seconds) -> Iterator[Sounding]:
    return (one for one in sounds if one[2] >= start)


def _mux_sound(
    output: OutputContainer, tracks: list[Any], sounding: Sounding, start: Seconds
) -> None:
    number, packet, time = sounding
    base = rational(packet.time_base) or Fraction(1, 1000)
    stamp = round((time - start) / base)
    packet.dts = (
        stamp if packet.dts is None or packet.pts is None else packet.dts - packet.pts + stamp
    )
    packet.pts = stamp
    packet.stream = tracks[number]
    output.mux_one(packet)
