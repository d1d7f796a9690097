"""What one file is: one pass over all its packets, with its first frame decoded on the way.

A day of video at 30 frames a second takes about 250 MB meanwhile.
"""

from __future__ import annotations

from array import array
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av import VideoFrame
from av.packet import Packet
from av.video.stream import VideoStream

from vsr_edge.media.container import ends_in_padding, later_recordings, promised_bytes
from vsr_edge.media.index import (
    DISCARD,
    KEYFRAME,
    TELLS_PARAMETERS,
    FrameIndex,
    Packets,
    index_packets,
)
from vsr_edge.media.opening import OpenVideo, open_video, rational
from vsr_edge.media.picture import orientation
from vsr_edge.media.source import SourceFile
from vsr_edge.media.timeline import LIMIT, UNKNOWN
from vsr_edge.types import Seconds, Video

# Long enough for any decoder's delay; a stream that shows nothing by then is damaged at its start.
_PACKETS_FOR_FIRST_FRAME = 64
# How much shorter than declared a video may be: writers round, and count or leave out the last
# frame.
TOLERANCE_SECONDS, TOLERANCE_SHARE = 1.0, 0.01


def probe(
    file: Path | SourceFile, *, known_fingerprint: str | None = None
) -> tuple[Video, FrameIndex]:
    """Describe a video and find its frames; ``known_fingerprint`` saves reading it once more.

    One frame is decoded, the first: FFmpeg gives the rotation with pictures only. A file whose
    first pictures are damaged counts as upright. The pixels' aspect ratio is ignored, since
    pictures are stretched to a square in the end. The duration is measured: it ends with the last
    frame that is really there.

    Raises:
        UnreadableMedia: missing, empty, not a media file, or with not one frame that can be read.
        NoVideoStream: a media file without pictures; cover art does not count.
        MediaUnavailable: the operating system refuses to give all of it.
    """
    file = file if isinstance(file, SourceFile) else file.absolute()
    with open_video(file) as opened:
        source, container, codec = opened.source, opened.container, opened.stream.codec_context
        width, height, rotation = codec.width, codec.height, 0
        rate = rational(opened.stream.average_rate) or rational(opened.stream.guessed_rate)
        audio_streams = len(container.streams.audio)
        packets, unread, frame = _read(opened)
        index = index_packets(packets, opened)
        index = replace(index, damage=_damage(opened, index, unread), left_out=opened.left_out)
        if frame is not None:
            width, height = frame.width, frame.height
            rotation, _ = orientation(frame)
        if rotation in (90, 270):
            width, height = height, width
        video = Video(
            path=source.named,
            fingerprint=known_fingerprint or source.fingerprint(),
            size_bytes=source.size_bytes,
            modified_ns=source.modified_ns,
            duration=index.duration,
            width=width,
            height=height,
            rotation=rotation,
            codec=codec.name,
            container=container.format.name,
            frame_rate=float(rate) if rate else None,
            audio_streams=audio_streams,
        )
    return video, index


def _read(opened: OpenVideo) -> tuple[Packets, int, VideoFrame | None]:
    """All packets; how many recordings lie behind those; and the first frame."""
    stream, codec = opened.stream, opened.stream.codec_context
    # Before its decoder has learned more than the file says.
    reordered, extradata = bool(codec.has_b_frames), codec.extradata or b""
    # More threads would only delay the first frame.
    codec.thread_count = 1
    columns, parameters = array("q"), array("q")
    count = 0
    frames: list[VideoFrame] = []
    for packet in opened.packets():
        length = min(max(packet.duration or 0, 0), LIMIT)
        marks = KEYFRAME * packet.is_keyframe | DISCARD * packet.is_discard
        columns.extend((_sane(packet.pts), _sane(packet.dts), length, marks, packet.pos or 0))
        if TELLS_PARAMETERS and packet.has_sidedata("new_extradata"):
            parameters.append(count)
        if not frames and count <= _PACKETS_FOR_FIRST_FRAME:
            frames = _decode(opened, packet)
        count += 1
    if not frames and count <= _PACKETS_FOR_FIRST_FRAME:
        frames = _decode(opened, None)
    pts, dts, lengths, marked, places = np.frombuffer(columns, np.int64).reshape(-1, 5).T
    sets: dict[int, bytes] = {}
    unread = 0
    container = opened.container.format.name
    for start, own in later_recordings(opened.source, container, codec.name, extradata):
        behind = places >= start
        unread += not behind.any()
        if own and behind.any():
            sets[int(behind.argmax())] = own
    opened.check()
    base = rational(stream.time_base) or Fraction(1, 1000)
    changes = np.array(sorted({*parameters, *sets}), np.int64)
    packets = Packets(pts, dts, lengths, marked, base, reordered, changes, sets)
    return packets, unread, frames[0] if frames else None


def _sane(stamp: int | None) -> int:
    return stamp if stamp is not None and -LIMIT < stamp < LIMIT else UNKNOWN


def _decode(opened: OpenVideo, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
    try:
        return opened.stream.codec_context.decode(packet)
    except (av.FFmpegError, ValueError, MemoryError) as error:
        if packet is not None:
            opened.check(error)
        return []


def _damage(opened: OpenVideo, index: FrameIndex, unread: int) -> str | None:
    """What is missing of the file, in words."""
    failures = opened.failures
    if opened.failures_at_end and ends_in_padding(opened.source):
        failures -= opened.failures_at_end
    missing = _missing_end(opened, index.end)
    opened.check()
    recordings = unread and f"recordings behind the first that cannot be read: {unread}"
    places = failures and f"places in the file that cannot be read: {failures}"
    said = [one for one in (index.damage, recordings, places, missing) if one]
    return "; ".join(said) or None


def _missing_end(opened: OpenVideo, end: Seconds) -> str | None:
    """Why the file's end seems missing, or None: FFmpeg reads files that were cut short as far as
    they go, without a word.

    ``end``, where the frames end, is compared with the duration of the video stream alone, for
    sound may be longer. A duration that FFmpeg estimates (TS, raw streams) says nothing.
    """
    source, container, stream = opened.source, opened.container, opened.stream
    promised = promised_bytes(source, container.format.name)
    if promised is None:
        return None
    if promised > (size := source.rewind()):
        return f"the file is cut short: {size:,} of at least {promised:,} bytes are there"
    declared, base = 0.0, rational(stream.time_base)
    tag = stream.metadata.get("DURATION") or stream.metadata.get("DURATION-eng") or ""
    try:
        hours, minutes, seconds = tag.split(":")
        declared = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        # Matroska declares the length of the whole file; with sound beside it, that says little.
        says_little = "matroska" in container.format.name and len(container.streams) > 1
        if stream.duration and base and not says_little:
            declared = float(stream.duration * base)
    if declared - end > max(TOLERANCE_SECONDS, TOLERANCE_SHARE * declared):
        return f"frames end at {end:.1f} s of the {declared:.1f} s that the file declares"
    return None
