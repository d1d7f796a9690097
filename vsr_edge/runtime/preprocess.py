"""Pixels → the image encoder's input, with the numbers of the manifest.

Resizing stretches to a square, as the training did, with a bilinear filter that widens when it
shrinks (what Pillow and ``torch.nn.functional.interpolate(antialias=True)`` do). It is separable,
so each axis is one small matrix. Frames that were decoded at the right size pass through untouched.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vsr_edge.runtime.manifest import Preprocessing
from vsr_edge.types import Pixels


def to_input(pixels: Pixels, side: int, numbers: Preprocessing) -> NDArray[np.float32]:
    """Frames uint8 [n, H, W, 3] RGB → float32 [n, 3, side, side]."""
    squares = resize(pixels, side)
    mean = np.asarray(numbers.mean, np.float32)
    scale = np.asarray(numbers.scale, np.float32)
    x = (squares.astype(np.float32) - mean) / scale
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def resize(pixels: Pixels, side: int) -> Pixels:
    """Frames uint8 [n, H, W, 3] → uint8 [n, side, side, 3]."""
    _, height, width, _ = pixels.shape
    if (height, width) == (side, side):
        return pixels
    x = np.tensordot(
        pixels.astype(np.float32), _filter(width, side), axes=(2, 1)
    )  # [n, H, 3, side]
    x = np.tensordot(x, _filter(height, side), axes=(1, 1))  # [n, 3, side, side(y)]
    return np.rint(x.transpose(0, 3, 2, 1)).clip(0, 255).astype(np.uint8)


@lru_cache(maxsize=32)
def _filter(source: int, target: int) -> NDArray[np.float32]:
    """Triangle filter as a matrix [target, source] whose rows sum to one."""
    ratio = source / target
    support = max(ratio, 1.0)
    centres = (np.arange(target) + 0.5) * ratio
    distance = np.abs(np.arange(source) + 0.5 - centres[:, None]) / support
    weights = np.clip(1.0 - distance, 0.0, None)
    matrix: NDArray[np.float32] = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    return matrix
