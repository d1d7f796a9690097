"""Open a file as video: one place for FFmpeg's options, its silence and its error messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from vsr_edge.errors import NoVideoStream, UnreadableMedia, memory_is_short
from vsr_edge.media.container import is_encrypted
from vsr_edge.media.hwaccel import Device
from vsr_edge.media.source import SourceFile, opened, unavailable, with_stream

_LIST = "a playlist, which only names other files: index those"
_LIST_HEADS = (b"#EXTM3U", b"ffconcat version", b"v=0\n", b"v=0\r\n")
_HEAD_BYTES, _BUFFER_BYTES = 2048, 1 << 17
# A damaged header may claim a picture of gigabytes; 67 million pixels is twice 8K UHD.
MAX_PIXELS = 2**26
# A file damaged to its end fails on each packet; without a bound that could be millions of
# failures. Where a transport stream is garbage, FFmpeg looks for its next packet 64 KB at a time.
MAX_READ_FAILURES, MAX_SEARCHES = 64, 100_000
# Text art that FFmpeg would gladly render: a .txt file is no video.
_TEXT = frozenset({"tty"})
# These hold no pictures, but the names of files that do: what they show changes with those.
_LISTS = frozenset({"concat", "dash", "hls", "imf", "webm_dash_manifest", "sdp", "rtsp"})
# Broken tags must not make a good video unreadable. PyAV 19 replaces what is no UTF-8 by itself,
# and no longer takes the argument.
_OLD = int(av.__version__.split(".")[0]) < 19
_BROKEN_TAGS: dict[str, Any] = {"metadata_errors": "replace"} if _OLD else {}
# Of a disposition: covers of songs, thumbnails of players' time lines, pictures that stand still.
_DEFAULT, _STILL = 1, 1 << 10 | 1 << 11 | 1 << 20
_COVER_CODECS = frozenset({"mjpeg", "png", "bmp", "gif", "webp", "tiff"})
# Enough packets of all streams to tell which of them run, without reading a day of footage.
COUNTED_PACKETS = 2000
# A stream with less than this share of the packets of the busiest is a slide show beside it.
_RUNS = 0.25

# FFmpeg logs from its decoding threads; PyAV's bridge to Python's logging can deadlock there.
av.logging.set_level(None)


@dataclass(slots=True, eq=False)
class OpenVideo:
    """A file open as video, with the stream that was chosen.

    Whoever counts its packets or decodes them reads through here, and finds each at the same place.
    ``failures`` counts the places that could not be read, ``failures_at_end`` those of them behind
    the last packet but one.
    """

    source: SourceFile
    container: InputContainer
    stream: VideoStream
    failures: int = 0
    failures_at_end: int = 0

    @property
    def left_out(self) -> str | None:
        """The further video streams in words, where the file alone was named, and there are any."""
        if self.source.number is not None:
            return None
        said = []
        for number in self.source.running[1:]:
            codec = self.container.streams.video[number].codec_context
            said.append(f"video stream {number} ({codec.width}×{codec.height}, {codec.name})")
        return ", ".join(said) or None

    def packets(self) -> Iterator[Packet[VideoStream]]:
        """The non-empty packets of the stream, in file order, past damage.

        Raises:
            MediaUnavailable: the operating system refused to give the file.
        """
        in_a_row = searches = since_last = 0
        packets = self.container.demux(self.stream)
        while in_a_row < MAX_READ_FAILURES and searches < MAX_SEARCHES:
            try:
                packet = next(packets, None)
            except IndexError:
                packet = None  # PyAV, at the end of a TS in which streams appeared on the way
            except (av.FFmpegError, ValueError, MemoryError) as error:
                self.check(error)
                searching = isinstance(error, BlockingIOError)
                searches, in_a_row = searches + searching, in_a_row + (not searching)
                since_last += 1
                self.failures, self.failures_at_end = self.failures + 1, self.failures_at_end + 1
                packets = self.container.demux(self.stream)
                continue
            if packet is None:
                self.check()
                return
            # Empty packets are the end of the stream, or a frame that AVI says was dropped.
            if packet.size:
                # The last frame of a transport stream comes when the file has ended.
                in_a_row, self.failures_at_end, since_last = 0, since_last, 0
                yield packet

    def check(self, error: BaseException | None = None) -> None:
        """Raise ``MediaUnavailable`` if it is the system that failed, and not the file."""
        self.source.check()
        if error is not None and memory_is_short():
            raise unavailable(self.source.named, error) from error


@contextmanager
def open_video(file: Path | SourceFile, device: Device | None = None) -> Iterator[OpenVideo]:
    """Open a file, or one of its video streams; what was opened here is closed on leaving.

    Nothing but this file is read: one that names others, as playlists do, is refused.
    device: to decode on, if not the processor.

    Raises:
        UnreadableMedia: missing, empty, not a media file, or coded in a way FFmpeg cannot decode.
        NoVideoStream: a media file without pictures; cover art does not count.
        MediaUnavailable: the operating system refuses to give it.
    """
    with opened(file) as source:
        container = _container(source, device)
        moving = [
            number
            for number, stream in enumerate(container.streams.video)
            # PyAV gives a stream without a decoder no codec context, whatever its type stub says.
            if not _flags(stream) & _STILL and getattr(stream, "codec_context", None)
        ]
        if not source.running and len(moving) > 1:
            with container:
                source.running = _running(container, moving)
            # Read to some place in the middle, which is none to count packets from.
            container = _container(source, device)
        source.running = source.running or moving
        with container:
            number = source.number
            if not moving and all(_flags(one) & _STILL for one in container.streams.video):
                reason = "there is no video in it, only sound, pictures or data"
                raise NoVideoStream(source.named, reason)
            if not moving:
                reason = "its video is coded in a way this build of FFmpeg cannot decode"
                raise UnreadableMedia(source.named, reason)
            if number is not None and number not in moving:
                reason = f"there is no video stream {number} in {source.path.name}"
                raise UnreadableMedia(source.named, reason)
            stream = container.streams.video[source.running[0] if number is None else number]
            stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
            yield OpenVideo(source, container, stream)


def container_tags(file: Path | SourceFile) -> dict[str, str]:
    """What a container says of itself, by name in small letters.

    Raises:
        MediaError: as :func:`open_video`, but for what is wrong with its streams.
    """
    with opened(file) as source, _container(source) as container:
        return {name.lower(): str(value) for name, value in container.metadata.items()}


def streams_of(path: Path, wanted: int | Literal["all"] = "all") -> list[Path]:
    """Paths of a file's video streams, or of one, counted from 0; its own means the main one.

    Raises:
        MediaError: there is no such stream; and as :func:`open_video`.
    """
    with open_video(path) as video:
        main, *others = video.source.running
        if wanted == "all":
            return [path, *(with_stream(path, number) for number in others)]
        named = path if wanted == main else with_stream(path, wanted)
    with open_video(named):
        return [named]


def _container(source: SourceFile, device: Device | None = None) -> InputContainer:
    path = source.path
    source.rewind()
    head = source.read(_HEAD_BYTES).lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith(_LIST_HEADS) or (head.startswith(b"<") and b"<MPD" in head):
        raise UnreadableMedia(path, _LIST)
    if is_encrypted(source):
        raise UnreadableMedia(path, "it is encrypted: decrypt it, or index the original")
    source.rewind()
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
            container = _container(source)
            device.give_up(explain(error))
            return container
        if memory_is_short():
            raise unavailable(path, error) from error
        raise UnreadableMedia(path, explain(error)) from error
    kinds = set(container.format.name.split(","))
    if kinds & (_LISTS | _TEXT):
        container.close()
        raise UnreadableMedia(path, _LIST if kinds & _LISTS else "a text file, not a video")
    return container


def _running(container: InputContainer, moving: list[int]) -> list[int]:
    """The numbers of the streams that run, and do not show a picture now and then.

    First comes the one that the file alone means: one that the container marks as default, then
    the one with the larger picture, then the first. The container is used up.
    """
    streams = container.streams.video
    counts = dict.fromkeys((stream.index for stream in streams), 0)
    try:
        for packet in islice(container.demux(*streams), COUNTED_PACKETS):
            counts[packet.stream.index] += packet.size > 0
    except (av.FFmpegError, ValueError, IndexError, KeyError):
        pass  # what was counted before the damage has to do
    busiest = max(counts[streams[number].index] for number in moving)

    def worth(number: int) -> tuple[int, int, int]:
        codec = streams[number].codec_context
        return _flags(streams[number]) & _DEFAULT, codec.width * codec.height, -number

    running = (n for n in moving if counts[streams[n].index] >= _RUNS * busiest)
    return sorted(running, key=worth, reverse=True)


def _flags(stream: VideoStream) -> int:
    """Its disposition, which older versions of PyAV do not tell: covers alone are known there."""
    disposition = getattr(stream, "disposition", None)
    if disposition is not None:
        return int(getattr(disposition, "value", disposition))
    codec = getattr(stream, "codec_context", None)
    cover = codec is not None and codec.name in _COVER_CODECS and not stream.average_rate
    return _STILL if cover else 0


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
