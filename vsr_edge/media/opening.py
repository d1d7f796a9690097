"""Open a file as video: one place for FFmpeg's options, its silence and its error messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from vsr_edge.errors import UnreadableMedia, memory_is_short
from vsr_edge.media.encryption import is_encrypted
from vsr_edge.media.hwaccel import Device
from vsr_edge.media.names import split_stream, with_stream
from vsr_edge.media.source import SourceFile, unavailable
from vsr_edge.media.streams import (
    check_streams,
    describe,
    moving_streams,
    packet_counts,
    running_streams,
)

_LIST = "a playlist, which only names other files: index those"
_LIST_HEADS = (b"#EXTM3U", b"ffconcat version", b"v=0\n", b"v=0\r\n")
_HEAD_BYTES = 2048

# A damaged header may claim a picture of gigabytes; 67 million pixels is twice 8K UHD.
MAX_PIXELS = 2**26

# A file damaged to its end fails on each packet; without a bound that could be millions of
# failures. Where a transport stream is garbage, FFmpeg looks for its next packet 64 KB at a time.
MAX_READ_FAILURES, MAX_SEARCHES = 64, 100_000

_BUFFER_BYTES = 1 << 17

# Text art that FFmpeg would gladly render: a .txt file is no video.
_TEXT = frozenset({"tty"})
# These hold no pictures, but the names of files that do: what they show changes with those.
_LISTS = frozenset({"concat", "dash", "hls", "imf", "webm_dash_manifest", "sdp", "rtsp"})

# Broken tags must not make a good video unreadable. PyAV 19 replaces what is no UTF-8 by itself,
# and no longer takes the argument.
_BROKEN_TAGS: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
)

# FFmpeg logs from its decoding threads; PyAV's bridge to Python's logging can deadlock there.
av.logging.set_level(None)


class OpenVideo:
    """A file open as video, with the stream that was chosen.

    The scan and the decoder read through this same class: what one counts, the other finds again
    at the same place. ``number`` is the stream's among the video streams, ``others`` are those
    of further ones that run. ``failures`` counts the places that could not be read,
    ``failures_at_end`` those of them behind the last packet but one.
    """

    def __init__(
        self,
        path: Path,
        source: SourceFile,
        container: InputContainer,
        stream: VideoStream,
        number: int,
        others: list[int],
    ) -> None:
        self.path = path
        self.file = source.path
        self.container = container
        self.stream = stream
        self.number = number
        self.others = others
        self.failures = self.failures_at_end = 0
        self._source = source

    @property
    def left_out(self) -> str | None:
        """The further video streams in words, where the file alone was named, and there are any."""
        if not self.others or self.path != self.file:
            return None
        return ", ".join(describe(self.container, number) for number in self.others)

    def packets(self) -> Iterator[Packet[VideoStream]]:
        """The non-empty packets of the stream, in file order, past damage.

        Raises:
            MediaUnavailable: the operating system refused to give the file.
        """
        in_a_row = searches = since_last = 0
        while in_a_row < MAX_READ_FAILURES and searches < MAX_SEARCHES:
            packets = self.container.demux(self.stream)
            while True:
                try:
                    packet = next(packets, None)
                except IndexError:
                    # PyAV, at the end of a TS in which streams appeared that were not there at its
                    # start.
                    packet = None
                except (av.FFmpegError, ValueError, MemoryError) as error:
                    self.check(error)
                    searching = isinstance(error, BlockingIOError)
                    searches, in_a_row = searches + searching, in_a_row + (not searching)
                    self.failures += 1
                    since_last += 1
                    self.failures_at_end += 1
                    break
                if packet is None:
                    self.check()
                    return
                # Empty packets are the end of the stream, or a frame that AVI says was dropped.
                if not packet.size:
                    continue
                # The last frame of a transport stream comes when the file has ended.
                in_a_row, self.failures_at_end, since_last = 0, since_last, 0
                yield packet

    def check(self, error: BaseException | None = None) -> None:
        """Raise ``MediaUnavailable`` if it is the system that failed, and not the file."""
        self._source.check()
        if error is not None and memory_is_short():
            raise unavailable(self.path, error) from error


@contextmanager
def open_video(path: Path, device: Device | None = None) -> Iterator[OpenVideo]:
    """Open ``path`` and choose its video stream; both are closed on leaving.

    path: of a file, or of one of several video streams in it (:mod:`vsr_edge.media.streams`).
    device: to decode on, if not the processor.
    Nothing but this file is read: one that names others, as playlists do, is refused.

    Raises:
        UnreadableMedia: missing, empty, not a media file, or coded in a way FFmpeg cannot decode.
        NoVideoStream: a media file without pictures; cover art does not count.
        MediaUnavailable: the operating system refuses to give it.
    """
    file, number = split_stream(path)
    with closing(SourceFile(file)) as source:
        container = _container(source, device)
        running = moving_streams(container)
        if len(running) > 1:
            with container:
                running = running_streams(container, packet_counts(container))
            # Read to some place in the middle, which is none to count packets from.
            source.seek(0)
            container = _container(source, device)
        with container:
            check_streams(path, container)
            if number is not None and number not in moving_streams(container):
                raise UnreadableMedia(path, f"there is no video stream {number} in {file.name}")
            chosen = running[0] if number is None else number
            stream = container.streams.video[chosen]
            stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
            others = [other for other in running if other != chosen]
            yield OpenVideo(path, source, container, stream, chosen, others)


def streams_of(path: Path) -> list[Path]:
    """A path for each video stream of a file: first the file itself, which means its main one.

    Raises:
        MediaError: as :func:`open_video`.
    """
    with open_video(path) as video:
        return [path, *(with_stream(path, number) for number in video.others)]


def stream_of(path: Path, number: int) -> Path:
    """The path of one video stream of a file, counted from 0.

    Raises:
        UnreadableMedia: there is no such stream.
        MediaError: as :func:`open_video`.
    """
    with open_video(path) as video:
        if number == video.number:
            return path
    with open_video(with_stream(path, number)) as video:
        return video.path


def _container(source: SourceFile, device: Device | None = None) -> InputContainer:
    path = source.path
    if _names_others(source):
        raise UnreadableMedia(path, _LIST)
    if is_encrypted(source):
        raise UnreadableMedia(path, "it is encrypted: decrypt it, or index the original")
    try:
        container: InputContainer = av.open(
            source,
            mode="r",
            buffer_size=_BUFFER_BYTES,
            # Whatever in the file makes FFmpeg open another one is not followed. Not ``options``,
            # which PyAV up to 16 hands to the streams too: where FFmpeg finds another stream only
            # while it looks into the file, that writes past their memory.
            container_options={"protocol_whitelist": "none"},
            **_BROKEN_TAGS,
            **(device.options() if device else {}),
        )
    except (av.FFmpegError, OSError, ValueError, MemoryError) as error:
        source.check()
        if device and device.name:
            # Whether the file or the device is at fault shows without the device.
            source.seek(0)
            container = _container(source)
            device.give_up(explain(error))
            return container
        if memory_is_short():
            raise unavailable(path, error) from error
        raise UnreadableMedia(path, explain(error)) from error
    problem = None
    if _LISTS & set(container.format.name.split(",")):
        problem = _LIST
    elif container.format.name in _TEXT:
        problem = "a text file, not a video"
    if problem is not None:
        container.close()
        raise UnreadableMedia(path, problem)
    return container


def _names_others(source: SourceFile) -> bool:
    head = source.read(_HEAD_BYTES).lstrip(b"\xef\xbb\xbf \t\r\n")
    source.seek(0)
    return head.startswith(_LIST_HEADS) or (head.startswith(b"<") and b"<MPD" in head)


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
