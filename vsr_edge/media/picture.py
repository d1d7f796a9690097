"""From a decoded frame to upright RGB pixels.

FFmpeg attaches the container's display matrix to every decoded frame; the pixels themselves are as
they were filmed. The raw matrix is read because it also tells a mirrored picture, which an angle
alone cannot.
"""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
from av import VideoFrame
from av.sidedata.sidedata import Type
from av.video.reformatter import VideoReformatter

from vsr_edge.types import Pixels

_MATRIX = struct.Struct("=9i")

# Averages what it shrinks, so no detail flickers; as cheap as the alternatives when shrinking.
_INTERPOLATION = "AREA"

RIBBON = 8


def orientation(frame: VideoFrame) -> tuple[int, bool]:
    """How to make ``frame`` upright: mirrored left to right or not, then degrees clockwise.

    Returns (0, 90, 180 or 270; mirrored).
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
        pixels: Pixels = np.asarray(shaped.to_ndarray(), np.uint8)
        if mirrored:
            pixels = pixels[:, ::-1]
        upright = np.rot90(pixels, -degrees // 90) if degrees else pixels
        return _middle(upright, *self._size) if self._size and self._crop else upright


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
