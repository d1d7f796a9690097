"""Open a file as video: one place for FFmpeg's options, its silence and its error messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from vsr_edge.errors import NoVideoStream, UnreadableMedia

# A damaged header may claim a picture of gigabytes; 67 million pixels is twice 8K UHD.
MAX_PIXELS = 2**26

# Text art that FFmpeg would gladly render: a .txt file is no video.
_NOT_VIDEO = frozenset({"tty"})

# Still pictures stored as a stream (cover art) before PyAV told the disposition of a stream.
_COVER_CODECS = frozenset({"mjpeg", "png", "bmp", "gif", "webp", "tiff"})
_ATTACHED_PICTURE = 1024

# Broken tags must not make a good video unreadable. PyAV 19 replaces what is no UTF-8 by itself, and
# no longer takes the argument.
_BROKEN_TAGS: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
)

# FFmpeg logs from its decoding threads; PyAV's bridge to Python's logging can deadlock there.
av.logging.set_level(None)


@contextmanager
def open_video(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open ``path`` and choose its video stream; both are closed on leaving.

    Only local files are read, also where a playlist names other addresses.

    Raises:
        UnreadableMedia: missing, empty, not a media file, or coded in a way FFmpeg cannot decode.
        NoVideoStream: a media file without pictures; cover art does not count.
    """
    _check_file(path)
    try:
        container = av.open(
            str(path),
            mode="r",
            # Not ``options``, which PyAV up to 16 hands to the streams as well: where FFmpeg finds
            # another stream only while it looks into the file, that writes past their memory.
            container_options={"protocol_whitelist": "file"},
            **_BROKEN_TAGS,
        )
    except (av.FFmpegError, ValueError, UnicodeError) as error:
        raise UnreadableMedia(path, explain(error)) from error
    with container:
        if container.format.name in _NOT_VIDEO:
            raise UnreadableMedia(path, "a text file, not a video")
        yield container, _video_stream(path, container)


def explain(error: BaseException) -> str:
    """What an FFmpeg error means to someone who only knows the file."""
    if isinstance(error, av.error.InvalidDataError):
        return "not a media file, or too damaged to be opened"
    if isinstance(error, av.error.DecoderNotFoundError):
        return "this build of FFmpeg has no decoder for it"
    if isinstance(error, EOFError):
        return "the file ends before its first frame"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"FFmpeg cannot read it ({text})"


def rational(value: Any) -> Fraction | None:
    """A time base or rate of any PyAV version; None where the file does not say."""
    return Fraction(value.numerator, value.denominator) if value else None


def _check_file(path: Path) -> None:
    try:
        if path.is_dir():
            raise UnreadableMedia(path, "a folder, not a file")
        with path.open("rb") as file:
            if not file.read(1):
                raise UnreadableMedia(path, "the file is empty")
    except FileNotFoundError as error:
        raise UnreadableMedia(path, "no such file") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableMedia(path, f"the file cannot be opened ({reason})") from error


def _video_stream(path: Path, container: InputContainer) -> VideoStream:
    streams = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not streams:
        raise NoVideoStream(path, "there is no video in it, only sound, pictures or data")
    # PyAV gives a stream without a decoder no codec context, whatever its type stub says.
    decodable = [stream for stream in streams if getattr(stream, "codec_context", None)]
    if not decodable:
        raise UnreadableMedia(
            path, "its video is coded in a way this build of FFmpeg cannot decode"
        )
    stream = max(decodable, key=lambda one: one.codec_context.width * one.codec_context.height)
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    return stream


def _is_cover(stream: VideoStream) -> bool:
    disposition = getattr(stream, "disposition", None)
    if disposition is not None:
        # PyAV up to 16 has flags that are no integers.
        return bool(getattr(disposition, "value", disposition) & _ATTACHED_PICTURE)
    codec = getattr(stream, "codec_context", None)
    return codec is not None and codec.name in _COVER_CODECS and not stream.average_rate
