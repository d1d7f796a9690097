"""Make small real video files with PyAV whose every frame can be told from its pixels.

``picture(n)`` shows the number n as 12 black or white blocks, and ``number_of`` reads it back after
any lossy coding, so that tests compare times with the truth in the picture. A corner patch is red
on the left and blue on the right above the blocks, which tells the orientation.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

WIDTH, HEIGHT = 160, 96
_COLUMNS, _ROWS = 4, 3
_BITS = _COLUMNS * _ROWS
_AT_A_RATE = ("gif", "mpeg4", "mpeg1video", "mpeg2video", "h261", "h263")
_BAND = 24  # Rows of colour above the blocks.

Target = TypeVar("Target")


def picture(number: int, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """RGB uint8 [height, width, 3] that shows ``number`` (0 to 4095)."""
    if not 0 <= number < 2**_BITS:
        raise ValueError(f"{number} does not fit into {_BITS} blocks")
    band = height * _BAND // HEIGHT
    image = np.zeros((height, width, 3), np.uint8)
    image[:band, : width // 2] = (200, 30, 30)
    image[:band, width // 2 :] = (30, 30, 200)
    for bit in range(_BITS):
        if number >> bit & 1:
            row, column = divmod(bit, _COLUMNS)
            top = band + row * (height - band) // _ROWS
            bottom = band + (row + 1) * (height - band) // _ROWS
            left, right = column * width // _COLUMNS, (column + 1) * width // _COLUMNS
            image[top:bottom, left:right] = 255
    return image


def number_of(pixels: NDArray[np.uint8]) -> int:
    """The number that an upright ``picture`` of any size, decoded to RGB [H, W, 3], shows."""
    height, width = pixels.shape[:2]
    band = height * _BAND / HEIGHT
    number = 0
    for bit in range(_BITS):
        row, column = divmod(bit, _COLUMNS)
        y = int(band + (row + 0.5) * (height - band) / _ROWS)
        x = int((column + 0.5) * width / _COLUMNS)
        if pixels[y - 2 : y + 3, x - 2 : x + 3].mean() > 127:
            number |= 1 << bit
    return number


def is_upright(pixels: NDArray[np.uint8]) -> bool:
    """Whether the red patch is at the top left, and the blue one at the top right."""
    height, width = pixels.shape[:2]
    y = height * _BAND // HEIGHT // 2
    left = pixels[y, width // 8].astype(int)
    right = pixels[y, width - width // 8].astype(int)
    return bool(left[0] > left[2] + 60 and right[2] > right[0] + 60)


def constant_rate(count: int, rate: float = 10.0) -> list[float]:
    """Times in seconds of ``count`` frames."""
    return [index / rate for index in range(count)]


def write_video(
    path: Target,
    times: Sequence[float],
    *,
    container: str | None = None,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    width: int = WIDTH,
    height: int = HEIGHT,
    keyframe_interval: int = 10,
    b_frames: int = 0,
    start: float = 0.0,
    rate: int = 25,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    audio_seconds: float = 0.0,
    audio_codec: str = "aac",
    audio_rate: int = 16_000,
    clicks: Sequence[float] | None = None,
    draw: Callable[[int, int, int], NDArray[np.uint8]] = picture,
) -> Target:
    """Write frame i, which shows the number i, at ``start + times[i]`` seconds; returns ``path``.

    clicks: when to be heard in place of a tone, in seconds from the first frame.
    path: a ``Path``, or an object with a ``write`` method.
    """
    target = str(path) if isinstance(path, Path) else path
    with av.open(target, "w", format=container, options=container_options or {}) as output:
        stream = output.add_stream(codec, rate=rate)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.gop_size = keyframe_interval
        chosen = {"preset": "ultrafast", "sc_threshold": "0"} if codec == "libx264" else {}
        if codec in ("libx264", "mpeg4", "mpeg2video"):
            chosen["bf"] = str(b_frames)
        stream.codec_context.options = chosen | (options or {})
        stream.codec_context.thread_count = 1
        # These keep frames at a constant rate, and fill every tick between two frames otherwise.
        constant = codec in _AT_A_RATE or output.format.name == "avi"
        step = Fraction(1, rate) if constant else Fraction(1, 1000)
        stream.codec_context.time_base = step
        sound = output.add_stream(audio_codec, rate=audio_rate) if audio_seconds else None
        if sound is not None:
            assert isinstance(sound, AudioStream)
            sound.layout = "mono"
        heard = None if sound is None else _tone(sound, audio_seconds, start, clicks)
        for index, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(draw(index, width, height), format="rgb24")
            frame = frame.reformat(format=pixel_format)
            frame.pts, frame.time_base = round((start + time) / step), step
            output.mux(stream.encode(frame))
            while clicks is not None and heard is not None and (sounds := next(heard, None)):
                output.mux(sounds[1])
                if sounds[0] > time:
                    break
        output.mux(stream.encode(None))
        for _, packets in heard or ():
            output.mux(packets)
    return path


# A click is so many seconds of a high tone.
CLICK = 0.004


def _write_tone(output: OutputContainer, stream: AudioStream, seconds: float) -> None:
    for _, packets in _tone(stream, seconds):
        output.mux(packets)


def _tone(
    stream: AudioStream,
    seconds: float,
    start: float = 0.0,
    clicks: Sequence[float] | None = None,
) -> Iterator[tuple[float, list[Any]]]:
    """Coded sound, each time with when it ends."""
    layout, rate, size = "mono", stream.codec_context.sample_rate, 1024
    for first in range(0, int(seconds * rate), size):
        time = np.arange(first, first + size, dtype=np.float64) / rate
        wave = np.sin(time * (440 * 2 * np.pi)) * 8000
        if clicks is not None:
            heard = np.any([(time >= at) & (time < at + CLICK) for at in clicks], axis=0)
            wave = np.where(heard, np.sin(time * (2000 * 2 * np.pi)) * 24000, 0)
        samples = wave.astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout=layout)
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        frame.pts = first + round(start * rate if clicks is not None else 0)
        yield (first + size) / rate, stream.encode(frame)
    yield seconds, stream.encode(None)


def write_sound(path: Path, codec: str, seconds: float = 2.0) -> Path:
    """A file without pictures; its container follows from the name."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=16_000)
        assert isinstance(stream, AudioStream)
        stream.layout = "mono"
        _write_tone(output, stream, seconds)
    return path


def write_sound_with_cover(path: Path) -> Path:
    """An MP3 whose ID3 tag holds a picture, which FFmpeg shows as a video stream of one frame."""
    sound = write_sound(path, "libmp3lame").read_bytes()
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(picture(1), format="rgb24").reformat(format="yuvj420p")
    jpeg = b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
    content = b"\0image/jpeg\0\x03\0" + jpeg
    tag = b"APIC" + struct.pack(">I", len(content)) + b"\0\0" + content
    size = bytes(len(tag) >> shift & 0x7F for shift in (21, 14, 7, 0))
    path.write_bytes(b"ID3\x03\0\0" + size + tag + sound)
    return path


class Pipe(io.RawIOBase):
    """A file that cannot be sought, as when video is written to a stream."""

    def __init__(self) -> None:
        self.content = bytearray()

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def write(self, data: Any) -> int:
        self.content += bytes(data)
        return len(data)


def write_unseekable(path: Path, times: Sequence[float], container: str, **options: Any) -> Path:
    """As ``write_video``, but the writer cannot go back: no duration, no index, sizes left open."""
    pipe = Pipe()
    # PyAV takes a missing ``seek`` for a stream.
    target = type("Target", (), {"write": staticmethod(pipe.write)})()
    write_video(target, times, container=container, **options)
    path.write_bytes(pipe.content)
    return path


# What (x, y) becomes, y downwards: (a, b, c, d) of the display matrix for degrees clockwise.
_TURNS = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}


def write_turned(
    path: Path, times: Sequence[float], degrees: int, *, mirrored: bool = False
) -> Path:
    """An MP4 stored lying on its side that players show upright, as phones write it.

    ``degrees``: how far clockwise a player turns it; ``mirrored``: it is mirrored before that.
    """

    def stored(number: int, width: int, height: int) -> NDArray[np.uint8]:
        if degrees in (90, 270):
            width, height = height, width
        image = np.rot90(picture(number, width, height), degrees // 90)
        return np.ascontiguousarray(image[:, ::-1] if mirrored else image)

    write_video(path, times, draw=stored)
    content = bytearray(path.read_bytes())
    a, b, c, d = _TURNS[degrees]
    if mirrored:
        a, b = -a, -b
    at = content.index(b"tkhd") + 44
    matrix = [a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30]
    content[at : at + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(content)
    return path


def with_edit_list(path: Path, start: float, duration: float) -> Path:
    """Trim an MP4 as phones do: the frames stay in the file, an edit list hides them."""
    content = bytearray(path.read_bytes())
    at = content.index(b"elst") + 12
    media = content.index(b"mdhd")
    movie = content.index(b"mvhd")
    (media_scale,) = struct.unpack_from(">I", content, media + 16)
    (movie_scale,) = struct.unpack_from(">I", content, movie + 16)
    struct.pack_into(">Ii", content, at, round(duration * movie_scale), round(start * media_scale))
    path.write_bytes(content)
    return path


def truncated(path: Path, share: float) -> Path:
    """Cut ``path`` to the first ``share`` of its bytes, in place."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def flipped(path: Path, start: float, end: float, count: int, seed: int = 0) -> Path:
    """Replace ``count`` bytes between the shares ``start`` and ``end`` of the file, in place."""
    content = bytearray(path.read_bytes())
    random = np.random.default_rng(seed)
    first, last = int(len(content) * start), int(len(content) * end)
    for at in random.integers(first, last, count):
        content[at] ^= int(random.integers(1, 256))
    path.write_bytes(content)
    return path


def joined(path: Path, parts: Sequence[Path]) -> Path:
    """Append the bytes of ``parts``, as broadcast recordings are joined: the clock restarts."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def _flv_tags(content: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Kind, time in milliseconds and body of each tag."""
    at = 13
    while at + 11 <= len(content):
        size = int.from_bytes(content[at + 1 : at + 4], "big")
        time = int.from_bytes(content[at + 4 : at + 7], "big") | content[at + 7] << 24
        yield content[at], time, content[at + 11 : at + 11 + size]
        at += 11 + size + 4


def flv_joined(path: Path, parts: Sequence[Path], *, restart: bool = True) -> Path:
    """Append the tags of ``parts``, as a server does for a sender that came back.

    restart: the clock of each part begins as in its own file, else it goes on.
    """
    result = bytearray(parts[0].read_bytes()[:13])
    shift = last = 0
    for part in parts:
        for kind, time, body in _flv_tags(part.read_bytes()):
            if kind == 9 and body[1:2] == b"\2":  # the end of a sequence
                continue
            last = time + (0 if restart else shift)
            head = bytes([kind]) + len(body).to_bytes(3, "big")
            head += (last & 0xFFFFFF).to_bytes(3, "big") + bytes([last >> 24 & 255]) + bytes(3)
            result += head + body + struct.pack(">I", len(head) + len(body))
        shift = last + 100
    path.write_bytes(result)
    return path
