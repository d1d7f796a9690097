"""Which of a file's video streams is meant, and how one of several is named: ``file.mp4#1``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from vsr_edge.errors import NoVideoStream, UnreadableMedia

# Covers of songs, thumbnails of players' time lines, and pictures that stand still.
_ATTACHED_PICTURE, _TIMED_THUMBNAILS, _STILL_IMAGE = 1 << 10, 1 << 11, 1 << 20
_STILL = _ATTACHED_PICTURE | _TIMED_THUMBNAILS | _STILL_IMAGE
_DEFAULT = 1
# Still pictures stored as a stream (cover art) before PyAV told the disposition of a stream.
_COVER_CODECS = frozenset({"mjpeg", "png", "bmp", "gif", "webp", "tiff"})

# Enough packets of all streams to tell which of them run, without reading a day of footage.
COUNTED_PACKETS = 2000
# A stream with less than this share of the packets of the busiest is a slide show beside it.
_RUNS = 0.25

_NUMBERED = re.compile(r"(?P<file>.+)#(?P<number>\d{1,3})", re.DOTALL)


def split_stream(path: Path) -> tuple[Path, int | None]:
    """The file that ``path`` names, and which of its video streams, from 0, if it names one.

    ``cars.mp4#1`` is the second video stream of ``cars.mp4``, unless there is a file of that name.
    """
    found = _NUMBERED.fullmatch(path.name)
    if found is None or path.exists():
        return path, None
    return path.with_name(found["file"]), int(found["number"])


def with_stream(path: Path, number: int) -> Path:
    """The name of a video stream that its file alone does not mean."""
    return path.with_name(f"{path.name}#{number}")


def moving_streams(container: InputContainer) -> list[int]:
    """Numbers, among the video streams, of those that hold video and can be decoded."""
    return [
        number
        for number, stream in enumerate(container.streams.video)
        # PyAV gives a stream without a decoder no codec context, whatever its type stub says.
        if not _is_still(stream) and getattr(stream, "codec_context", None)
    ]


def check_streams(path: Path, container: InputContainer) -> None:
    """Raise what is to be said of a file without a video stream that can be read."""
    if all(_is_still(stream) for stream in container.streams.video):
        raise NoVideoStream(path, "there is no video in it, only sound, pictures or data")
    if not moving_streams(container):
        raise UnreadableMedia(
            path, "its video is coded in a way this build of FFmpeg cannot decode"
        )


def packet_counts(container: InputContainer) -> list[int]:
    """How many of the first packets belong to each video stream; the container is used up."""
    streams = container.streams.video
    counts = dict.fromkeys((stream.index for stream in streams), 0)
    try:
        for packet in islice(container.demux(*streams), COUNTED_PACKETS):
            counts[packet.stream.index] += packet.size > 0
    except (av.FFmpegError, ValueError, IndexError, KeyError):
        pass  # what was counted before the damage has to do
    return [counts[stream.index] for stream in streams]


def running_streams(container: InputContainer, counts: Sequence[int]) -> list[int]:
    """The numbers of the streams that run, and do not show a picture now and then.

    First comes the one that the file alone means: one that the container marks as default, then
    the one with the larger picture, then the first.
    """
    streams = container.streams.video
    candidates = moving_streams(container)
    busiest = max(counts[number] for number in candidates)
    running = [number for number in candidates if counts[number] >= _RUNS * busiest]

    def worth(number: int) -> tuple[bool, int, int]:
        codec = streams[number].codec_context
        default = bool(_disposition(streams[number]) & _DEFAULT)
        return default, codec.width * codec.height, -number

    return sorted(running, key=worth, reverse=True)


def describe(container: InputContainer, number: int) -> str:
    """A stream in words: number, size, codec."""
    codec = container.streams.video[number].codec_context
    return f"video stream {number} ({codec.width}×{codec.height}, {codec.name})"


def _is_still(stream: VideoStream) -> bool:
    if getattr(stream, "disposition", None) is not None:
        return bool(_disposition(stream) & _STILL)
    codec = getattr(stream, "codec_context", None)
    return codec is not None and codec.name in _COVER_CODECS and not stream.average_rate


def _disposition(stream: VideoStream) -> int:
    # A flag of the enum module, an integer, or in older versions of PyAV nothing.
    disposition = getattr(stream, "disposition", None) or 0
    return int(getattr(disposition, "value", disposition))
