"""Single pictures from files: JPEG, PNG, WebP, AVIF, TIFF, BMP and what else FFmpeg decodes."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from av import VideoFrame
from av.filter import Graph

from vsr_edge.errors import UnreadableMedia
from vsr_edge.media.opening import MAX_PIXELS, explain
from vsr_edge.media.picture import orientation
from vsr_edge.types import Pixels

# Colours that are stored at half the resolution are interpolated, as libjpeg does and so Pillow.
_SMOOTH = "flags=bilinear+accurate_rnd+full_chroma_int+full_chroma_inp"
_TICK = Fraction(1, 25)

# Where these formats keep EXIF: behind one of these marks, a TIFF by itself.
_EXIF_CODECS = frozenset({"mjpeg", "png", "webp", "tiff"})
_EXIF_MARKS = (b"Exif\0\0", b"eXIf", b"EXIF")
_ORIENTATION_TAG = 0x0112
# EXIF's orientation → mirrored left to right or not, then degrees clockwise.
_UPRIGHT = {
    2: (0, True),
    3: (180, False),
    4: (180, True),
    5: (270, True),
    6: (90, False),
    7: (90, True),
    8: (270, False),
}


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
    try:
        # By its content alone: FFmpeg takes a "%" in a picture's name for a numbered sequence.
        with av.open(io.BytesIO(content), mode="r") as container:
            if not container.streams.video:
                raise UnreadableMedia(path, "there is no picture in it")
            stream = container.streams.video[0]
            stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
            frame = next(container.decode(stream))
            pixels = _rgb(frame)
    except StopIteration as error:
        raise UnreadableMedia(path, "there is no picture in it") from error
    except (av.FFmpegError, ValueError) as error:
        raise UnreadableMedia(path, explain(error)) from error
    if stream.codec_context.name in _EXIF_CODECS:
        degrees, mirrored = _UPRIGHT.get(exif_orientation(content), (0, False))
    else:
        degrees, mirrored = orientation(frame)
    return upright(pixels, degrees, mirrored)


def upright(pixels: Pixels, degrees: int, mirrored: bool) -> Pixels:
    """A picture [H, W, 3] mirrored left to right or not, then turned clockwise."""
    return np.rot90(pixels[:, ::-1] if mirrored else pixels, -degrees // 90)


def by_exif(pixels: Pixels, orientation: int) -> Pixels:
    """A picture [H, W, 3] made upright as EXIF's orientation, 1 to 8, says."""
    return upright(pixels, *_UPRIGHT.get(orientation, (0, False)))


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


def _rgb(frame: VideoFrame) -> Pixels:
    frame.pts, frame.time_base = 0, _TICK
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=_TICK
    )
    nodes = [source, graph.add("scale", _SMOOTH), graph.add("format", "rgb24")]
    nodes.append(graph.add("buffersink"))
    for one, following in pairwise(nodes):
        one.link_to(following)
    graph.configure()
    graph.vpush(frame)
    return np.asarray(graph.vpull().to_ndarray(), np.uint8)
