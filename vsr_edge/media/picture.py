"""Pictures as upright RGB pixels: decoded frames, pictures from files, and pictures to files.

FFmpeg attaches the container's display matrix to every decoded frame; the pixels themselves are as
they were filmed. The raw matrix is read because it also tells a mirrored picture, which an angle
alone cannot. Files of single pictures may say it in EXIF instead.
"""

from __future__ import annotations

import io
import math
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av import VideoFrame
from av.sidedata.sidedata import Type
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import VideoReformatter

from vsr_edge.errors import UnreadableMedia
from vsr_edge.media.opening import MAX_PIXELS, explain
from vsr_edge.media.resize import filter_graph, filtered
from vsr_edge.types import Pixels

_MATRIX = struct.Struct("=9i")
# Averages what it shrinks, so no detail flickers; as cheap as the alternatives when shrinking.
_INTERPOLATION = "AREA"
RIBBON = 8
# FFmpeg's scale for JPEG, from 1, the best, to 31.
_QUALITY = 5
# Colours that are stored at half the resolution are interpolated, as libjpeg does and so Pillow.
_SMOOTH = "flags=bilinear+accurate_rnd+full_chroma_int+full_chroma_inp"
# Where these formats keep EXIF: behind one of these marks, a TIFF by itself.
_EXIF_CODECS = frozenset({"mjpeg", "png", "webp", "tiff"})
_EXIF_MARKS = (b"Exif\0\0", b"eXIf", b"EXIF")
_ORIENTATION_TAG = 0x0112
# EXIF's orientations that are mirrored left to right, and then turned by degrees clockwise.
_MIRRORED, _TURNED = frozenset({2, 4, 5, 7}), {3: 180, 4: 180, 5: 270, 6: 90, 7: 90, 8: 270}


def orientation(frame: VideoFrame) -> tuple[int, bool]:
    """How to make it upright: 0, 90, 180 or 270 degrees clockwise, mirrored left to right before or
    not.
    """
    try:
        side_data: Any = frame.side_data
        matrix = _MATRIX.unpack_from(bytes(side_data[Type.DISPLAYMATRIX]))
    except (KeyError, struct.error):
        return 0, False
    except ValueError:
        # PyAV 18 knows no name for EXIF, and then gives nothing that a frame carries but the angle.
        return -frame.rotation % 360, False
    # A pixel at (x, y), y downwards, is shown at (ax + cy, bx + dy).
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    turn = math.degrees(math.atan2(b, a)) if a or b else 0.0
    return round(turn / 90) * 90 % 360, mirrored


class Converter:
    """Turns frames into uint8 [H, W, 3], RGB, upright.

    ``size`` is (width, height) of the upright result, whatever the picture's shape; None keeps each
    picture's own. A picture of another shape is stretched, or with ``crop`` its middle is seen.
    Resizing is part of the conversion from YUV, so no full-size RGB picture is ever made.
    """

    def __init__(self, size: tuple[int, int] | None, *, crop: bool = False) -> None:
        self._size = size
        self._crop = crop
        # One for all frames: it keeps its tables as long as the shapes stay the same.
        self._reformatter = VideoReformatter()

    def __call__(self, frame: VideoFrame) -> Pixels:
        degrees, mirrored = orientation(frame)
        turned = degrees in (90, 270)
        width, height = self._size or (None, None)
        if width and height and self._crop:
            width, height = _covering(frame, width, height, turned)
        if turned:
            width, height = height, width
        shaped = self._reformatter.reformat(
            frame, width=width, height=height, format="rgb24", interpolation=_INTERPOLATION
        )
        pixels = upright(np.asarray(shaped.to_ndarray(), np.uint8), degrees, mirrored)
        return _middle(pixels, *self._size) if self._size and self._crop else pixels


def _covering(frame: VideoFrame, width: int, height: int, turned: bool) -> tuple[int, int]:
    """Width and height of the upright frame when it just covers so much.

    Of a ribbon, more than ``RIBBON`` squares long, so much is stretched: its true shape could take
    any amount of memory.
    """
    shape = (frame.height, frame.width) if turned else (frame.width, frame.height)
    factor = max(width / shape[0], height / shape[1])
    covering = (
        min(max(round(side * factor), least), RIBBON * least)
        for side, least in zip(shape, (width, height), strict=True)
    )
    return next(covering), next(covering)


def _middle(pixels: Pixels, width: int, height: int) -> Pixels:
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]


def read_picture(path: Path) -> Pixels:
    """The picture in a file, uint8 [H, W, 3] RGB, upright as its EXIF says; the first of several.

    Raises:
        UnreadableMedia: missing, empty, or no picture that FFmpeg can decode.
    """
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableMedia(path, f"the file cannot be opened ({reason})") from error
    if not content:
        raise UnreadableMedia(path, "the file is empty")
    return picture_of(content, path)


def picture_of(content: bytes, path: Path, most_pixels: int = MAX_PIXELS) -> Pixels:
    """As :func:`read_picture`, of a file's content; errors name ``path``."""
    try:
        # By its content alone: FFmpeg takes a "%" in a picture's name for a numbered sequence.
        with av.open(io.BytesIO(content), mode="r") as container:
            if not container.streams.video:
                raise UnreadableMedia(path, "there is no picture in it")
            stream = container.streams.video[0]
            stream.codec_context.options = {"max_pixels": str(most_pixels)}
            frame = next(container.decode(stream))
            graph = filter_graph(
                frame.width, frame.height, frame.format, {"scale": _SMOOTH, "format": "rgb24"}
            )
            pixels = np.asarray(filtered(frame, graph).to_ndarray(), np.uint8)
    except StopIteration as error:
        raise UnreadableMedia(path, "there is no picture in it") from error
    except (av.FFmpegError, ValueError) as error:
        raise UnreadableMedia(path, explain(error)) from error
    if stream.codec_context.name in _EXIF_CODECS:
        return by_exif(pixels, exif_orientation(content))
    return upright(pixels, *orientation(frame))


def upright(pixels: Pixels, degrees: int, mirrored: bool) -> Pixels:
    """A picture [H, W, 3] mirrored left to right or not, then turned clockwise."""
    return np.rot90(pixels[:, ::-1] if mirrored else pixels, -degrees // 90)


def by_exif(pixels: Pixels, orientation: int) -> Pixels:
    """A picture [H, W, 3] made upright as EXIF's orientation, 1 to 8, says."""
    return upright(pixels, _TURNED.get(orientation, 0), orientation in _MIRRORED)


def exif_orientation(content: bytes) -> int:
    """EXIF's orientation, 1 to 8, in a picture's file; 1, which is upright, where it says none."""
    places = [0] if content[:2] in (b"II", b"MM") else []
    for mark in _EXIF_MARKS:
        if (place := content.find(mark)) >= 0:
            start = place + len(mark)
            # The chunk of a WebP tells its length first, and may repeat the mark.
            places += [start, start + 4, start + 10]
    for place in places:
        if content[place : place + 4] in (b"II*\0", b"MM\0*"):
            try:
                return _tag(content[place:])
            except struct.error:
                return 1
    return 1


def _tag(tiff: bytes) -> int:
    order = "<" if tiff[:2] == b"II" else ">"
    (start,) = struct.unpack_from(f"{order}4xI", tiff)
    (count,) = struct.unpack_from(f"{order}H", tiff, start)
    for number in range(count):
        tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, start + 2 + 12 * number)
        if (tag, kind) == (_ORIENTATION_TAG, 3):
            return int(value)
    return 1


def scaled(pixels: Pixels, width: int, height: int) -> Pixels:
    """A picture, uint8 [H, W, 3] RGB, stretched to another size."""
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    frame = frame.reformat(width=width, height=height, interpolation=_INTERPOLATION)
    return np.asarray(frame.to_ndarray(), np.uint8)


def jpeg(pixels: Pixels) -> bytes:
    """A picture, uint8 [H, W, 3] RGB, as a JPEG file."""
    # With halved colours FFmpeg up to 7 puts noise into the last column and row of an odd size.
    options = {"qmin": str(_QUALITY), "qmax": str(_QUALITY)}
    return _encoded(pixels, "rgb24", "mjpeg", "yuvj444p", options)


def png(pixels: Pixels) -> bytes:
    """A picture, uint8 [H, W, 4] RGBA, as a PNG file."""
    return _encoded(pixels, "rgba", "png", "rgba", {})


def _encoded(
    pixels: Pixels, given: str, encoder: str, pixel_format: str, options: dict[str, str]
) -> bytes:
    codec = av.CodecContext.create(encoder, "w")
    assert isinstance(codec, VideoCodecContext)
    codec.height, codec.width = pixels.shape[:2]
    codec.pix_fmt = pixel_format
    codec.time_base = Fraction(1, 1)
    codec.options = options
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=given)
    frame.pts = 0
    packets = [*codec.encode(frame), *codec.encode(None)]
    return b"".join(bytes(packet) for packet in packets)
