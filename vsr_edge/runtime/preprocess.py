"""Pictures → the image encoder's input, with the numbers of the manifest.

A picture becomes a square as in the encoder's training: stretched, or the middle of its longer side
cropped. The filter that resizes it widens when it shrinks (as Pillow's do, and
``torch.nn.functional.interpolate(antialias=True)``). Frames that were decoded at the right size
pass through untouched. Searching needs no pictures and FFmpeg takes a while to load, so what reads
and resizes is imported when it is used.
"""

# No annotations as text here: pydantic 2.4 would look for what `Preprocessing` names elsewhere.
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vsr_edge.errors import UsageError
from vsr_edge.types import Pixels

Fit: TypeAlias = Literal["stretch", "crop"]
FilterKind: TypeAlias = Literal["bilinear", "bicubic"]

_ORIENTATION_TAG = 0x0112


class PillowImage(Protocol):
    """What is used of a ``PIL.Image.Image``; Pillow itself need not be installed."""

    def convert(self, mode: str) -> Any: ...

    def getexif(self) -> Any: ...


Picture: TypeAlias = "Pixels | PillowImage | str | os.PathLike[str]"


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """``(pixel − mean) / scale`` for each channel, after fitting the picture to the square.

    ``fit`` is "stretch", or "crop": the shorter side fills the square, the middle of the longer
    one is seen. ``filter`` resizes single pictures; frames of videos are decoded at the right size.
    """

    mean: tuple[float, float, float]
    scale: tuple[float, float, float]
    fit: Fit
    filter: FilterKind


def to_input(
    pictures: Pixels | Sequence[Picture], side: int, numbers: Preprocessing, threads: int = 1
) -> NDArray[np.float32]:
    """Pictures uint8 [n, H, W, 3] RGB, or n of any shapes and kinds → float32 [n, 3, side, side].

    Raises:
        UsageError: something among them is no picture.
        UnreadableMedia: a file holds no picture.
    """
    squares = np.empty((len(pictures), 3, side, side), np.float32)
    mean, scale = (np.asarray(n, np.float32)[:, None, None] for n in (numbers.mean, numbers.scale))

    def prepare(picture: Picture, square: NDArray[np.float32]) -> None:
        planes = fit(as_pixels(picture), side, numbers)
        np.subtract(planes, mean, out=square, dtype=np.float32)
        square /= scale

    if threads > 1 and any(getattr(one, "shape", ())[:2] != (side, side) for one in pictures):
        # Decoders, the scaler and NumPy's loops let go of Python's lock.
        list(_workers(threads).map(prepare, pictures, squares))
    else:
        for picture, square in zip(pictures, squares, strict=True):
            prepare(picture, square)
    return squares


def fit(picture: Pixels, side: int, numbers: Preprocessing) -> Pixels:
    """A picture uint8 [H, W, 3] → its planes uint8 [3, side, side], fitted as the manifest says."""
    if numbers.fit == "crop":
        picture = crop(picture)
    if picture.shape[:2] == (side, side):
        return picture.transpose(2, 0, 1)
    from vsr_edge.media.resize import resize

    return resize(picture, side, numbers.filter)


def crop(picture: Pixels) -> Pixels:
    """The middle square of a picture uint8 [H, W, 3]."""
    height, width, _ = picture.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return picture[top : top + side, left : left + side]


def check_pictures(pictures: Pixels | Sequence[Picture]) -> None:
    """Raise ``UsageError`` for one picture alone, and for an array of another shape."""
    if isinstance(pictures, np.ndarray):
        _check(pictures, 4)
    elif isinstance(pictures, str | os.PathLike) or hasattr(pictures, "convert"):
        raise UsageError("pictures must be a list of pictures, not one picture")


def as_pixels(picture: Picture) -> Pixels:
    """One picture as uint8 [H, W, 3], RGB, upright: an array as it is, Pillow's, a path's file.

    Raises:
        UsageError: neither of these.
        UnreadableMedia: the file holds no picture; names it.
    """
    if isinstance(picture, np.ndarray):
        return _check(picture, 3)
    if isinstance(picture, str | os.PathLike):
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
    shape = pixels.shape
    if pixels.dtype != np.uint8 or len(shape) != axes or shape[-1] != 3 or 0 in shape:
        raise UsageError(
            f"pictures must be uint8 [{'n, ' * (axes - 3)}H, W, 3], not "
            f"{pixels.dtype} {list(shape)}"
        )
    return pixels


@cache
def _workers(threads: int) -> ThreadPoolExecutor:
    """Kept, because each of its threads keeps a scaler."""
    return ThreadPoolExecutor(threads, thread_name_prefix="resize")
