"""Pixels → the image encoder's input, with the numbers of the manifest.

A picture becomes a square as in the encoder's training: stretched, or the middle of its longer side
cropped. The filter that resizes it widens when it shrinks (as Pillow's do, and
``torch.nn.functional.interpolate(antialias=True)``). Frames that were decoded at the right size
pass through untouched.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
from numpy.typing import NDArray

from vsr_edge.bundle.manifest import Preprocessing
from vsr_edge.runtime.pictures import Picture, as_pixels
from vsr_edge.types import Pixels


def to_input(
    pictures: Pixels | Sequence[Picture], side: int, numbers: Preprocessing, *, threads: int = 1
) -> NDArray[np.float32]:
    """Pictures uint8 [n, H, W, 3] RGB, or n of any shapes and kinds → float32 [n, 3, side, side].

    Raises:
        UsageError: something among them is no picture.
        UnreadableMedia: a file holds no picture.
    """
    squares = np.empty((len(pictures), 3, side, side), np.float32)

    def prepare(picture: Picture, square: NDArray[np.float32]) -> None:
        planes = fit(as_pixels(picture), side, numbers)
        np.subtract(planes, _by_channel(numbers.mean), out=square, dtype=np.float32)
        square /= _by_channel(numbers.scale)

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
    # Searching needs no pictures, and FFmpeg takes a while to load.
    from vsr_edge.media.resize import resize

    return resize(picture, side, numbers.filter)


def crop(picture: Pixels) -> Pixels:
    """The middle square of a picture uint8 [H, W, 3]."""
    height, width, _ = picture.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return picture[top : top + side, left : left + side]


def _by_channel(values: tuple[float, float, float]) -> NDArray[np.float32]:
    return np.asarray(values, np.float32)[:, None, None]


@cache
def _workers(threads: int) -> ThreadPoolExecutor:
    """Kept, because each of its threads keeps a scaler."""
    return ThreadPoolExecutor(threads, thread_name_prefix="resize")
