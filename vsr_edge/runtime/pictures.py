"""What callers give as pictures → uint8 [H, W, 3], RGB, upright."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np

from vsr_edge.errors import UsageError
from vsr_edge.types import Pixels

_ORIENTATION_TAG = 0x0112


class PillowImage(Protocol):
    """What is used of a ``PIL.Image.Image``; Pillow itself need not be installed."""

    def convert(self, mode: str) -> Any: ...

    def getexif(self) -> Any: ...


Picture: TypeAlias = "Pixels | PillowImage | str | os.PathLike[str]"


def check_pictures(pictures: Pixels | Sequence[Picture]) -> None:
    """Raise ``UsageError`` for one picture alone, and for an array of another shape."""
    if isinstance(pictures, np.ndarray):
        _check(pictures, 4)
    elif isinstance(pictures, str | os.PathLike) or hasattr(pictures, "convert"):
        raise UsageError("pictures must be a list of pictures, not one picture")


def as_pixels(picture: Picture) -> Pixels:
    """One picture: an array uint8 [H, W, 3] RGB as it is, Pillow's in RGB, a path's file read.

    Raises:
        UsageError: neither of these.
        UnreadableMedia: the file holds no picture; names it.
    """
    if isinstance(picture, np.ndarray):
        return _check(picture, 3)
    if isinstance(picture, str | os.PathLike):
        # FFmpeg takes a while to load, and arrays of the right size do without.
        from vsr_edge.media.picture import read_picture

        return read_picture(Path(picture))
    if hasattr(picture, "convert") and hasattr(picture, "getexif"):
        from vsr_edge.media.picture import by_exif

        pixels = _check(np.asarray(picture.convert("RGB")), 3)
        return by_exif(pixels, picture.getexif().get(_ORIENTATION_TAG, 1))
    raise UsageError(
        "a picture must be an array uint8 [H, W, 3], an image of Pillow or the path of a file, not "
        f"{type(picture).__name__}"
    )


def _check(pixels: Pixels, axes: int) -> Pixels:
    if (
        pixels.dtype != np.uint8
        or pixels.ndim != axes
        or pixels.shape[-1] != 3
        or 0 in pixels.shape
    ):
        raise UsageError(
            f"pictures must be uint8 [{'n, ' * (axes - 3)}H, W, 3], not "
            f"{pixels.dtype} {list(pixels.shape)}"
        )
    return pixels
