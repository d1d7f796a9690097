"""What one file is: its streams, its upright size, its content's fingerprint."""

from __future__ import annotations

import hashlib
from contextlib import closing
from pathlib import Path

import av
from av import VideoFrame
from av.container import InputContainer
from av.video.stream import VideoStream

from vsr_edge.media.index import scan
from vsr_edge.media.names import split_stream
from vsr_edge.media.opening import OpenVideo, open_video, rational
from vsr_edge.media.picture import orientation
from vsr_edge.media.source import SourceFile, unavailable
from vsr_edge.types import Seconds, Video

_HASHED_BYTES = 1 << 20
# Long enough for any decoder's delay; a stream that shows nothing by then is damaged at its start.
_PACKETS_FOR_FIRST_FRAME = 64


def fingerprint(path: Path) -> str:
    """Hash of the whole content: the same after a rename or a copy.

    Of one of several video streams, the number is part of it.

    Raises:
        UnreadableMedia: the file cannot be opened, or is empty.
        MediaUnavailable: the operating system refuses to give all of it.
    """
    file, number = split_stream(path)
    with closing(SourceFile(file)) as source:
        content = hashlib.blake2b(digest_size=20)
        while piece := source.read(_HASHED_BYTES):
            content.update(piece)
        source.check()
    return content.hexdigest() + ("" if number is None else f"#{number}")


def probe(path: Path, *, known_fingerprint: str | None = None) -> Video:
    """Describe the video at ``path``; ``known_fingerprint`` saves reading all of it once more.

    One frame is decoded, the first: FFmpeg gives the rotation with pictures only. A file whose
    first pictures are damaged counts as upright. The pixels' aspect ratio is ignored, since
    pictures are stretched to a square in the end. ``duration`` is what the file declares, and
    measured where it declares none; a plan's is always measured.

    Raises:
        UnreadableMedia: missing, empty, not a media file, or too damaged to be opened.
        NoVideoStream: a media file without pictures; cover art does not count.
        MediaUnavailable: the operating system refuses to give all of it.
    """
    path = path.absolute()
    with open_video(path) as opened:
        container, stream = opened.container, opened.stream
        codec = stream.codec_context
        duration = _declared_duration(container, stream)
        rate = rational(stream.average_rate) or rational(stream.guessed_rate)
        name, container_name = codec.name, container.format.name
        audio_streams = len(container.streams.audio)
        width, height, rotation = codec.width, codec.height, 0
        frame = _first_frame(opened)
        if frame is not None:
            width, height = frame.width, frame.height
            rotation, _ = orientation(frame)
    if rotation in (90, 270):
        width, height = height, width
    try:
        status = split_stream(path)[0].stat()
    except OSError as error:
        raise unavailable(path, error) from error
    return Video(
        path=path,
        fingerprint=known_fingerprint or fingerprint(path),
        size_bytes=status.st_size,
        modified_ns=status.st_mtime_ns,
        duration=scan(path).duration if duration is None else duration,
        width=width,
        height=height,
        rotation=rotation,
        codec=name,
        container=container_name,
        frame_rate=float(rate) if rate else None,
        audio_streams=audio_streams,
    )


def _declared_duration(container: InputContainer, stream: VideoStream) -> Seconds | None:
    base = rational(stream.time_base)
    if stream.duration and stream.duration > 0 and base:
        return float(stream.duration * base)
    if container.duration and container.duration > 0:
        return container.duration / av.time_base
    return None


def _first_frame(opened: OpenVideo) -> VideoFrame | None:
    codec = opened.stream.codec_context
    # More threads would only delay the first frame.
    codec.thread_count = 1
    for number, packet in enumerate(opened.packets()):
        try:
            frames = codec.decode(packet)
        except (av.FFmpegError, ValueError, MemoryError) as error:
            opened.check(error)
            frames = []
        if frames:
            return frames[0]
        if number >= _PACKETS_FOR_FIRST_FRAME:
            return None
    try:
        return next(iter(codec.decode(None)), None)
    except (av.FFmpegError, ValueError):
        return None
