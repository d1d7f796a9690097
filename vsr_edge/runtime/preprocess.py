"""Pixels → the image encoder's input, with the numbers of the manifest.

A picture becomes a square as in the encoder's training: stretched, or the middle of its longer side
cropped. The filter that resizes it widens when it shrinks (as Pillow's do, and
``torch.nn.functional.interpolate(antialias=True)``). It is separable, so each axis is one small
matrix. Frames that were decoded at the right size pass through untouched.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vsr_edge.runtime.manifest import FilterKind, Preprocessing
from vsr_edge.types import Pixels


def to_input(pixels: Pixels, side: int, numbers: Preprocessing) -> NDArray[np.float32]:
    """Frames uint8 [n, H, W, 3] RGB → float32 [n, 3, side, side]."""
    squares = resize(crop(pixels) if numbers.fit == "crop" else pixels, side, numbers.filter)
    mean = np.asarray(numbers.mean, np.float32)
    scale = np.asarray(numbers.scale, np.float32)
    x = (squares.astype(np.float32) - mean) / scale
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def crop(pixels: Pixels) -> Pixels:
    """The middle square of frames uint8 [n, H, W, 3]."""
    _, height, width, _ = pixels.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[:, top : top + side, left : left + side]


def resize(pixels: Pixels, side: int, kind: FilterKind = "bilinear") -> Pixels:
    """Frames uint8 [n, H, W, 3] → uint8 [n, side, side, 3]."""
    _, height, width, _ = pixels.shape
    if (height, width) == (side, side):
        return pixels
    x = np.tensordot(
        pixels.astype(np.float32), _filter(width, side, kind), axes=(2, 1)
    )  # [n, H, 3, side]
    x = np.tensordot(x, _filter(height, side, kind), axes=(1, 1))  # [n, 3, side, side(y)]
    return np.rint(x.transpose(0, 3, 2, 1)).clip(0, 255).astype(np.uint8)


@lru_cache(maxsize=32)
def _filter(source: int, target: int, kind: FilterKind) -> NDArray[np.float32]:
    """The filter as a matrix [target, source] whose rows sum to one."""
    ratio = source / target
    centres = (np.arange(target) + 0.5) * ratio
    distance = np.abs(np.arange(source) + 0.5 - centres[:, None]) / max(ratio, 1.0)
    weights = np.clip(1.0 - distance, 0.0, None) if kind == "bilinear" else _cubic(distance)
    matrix: NDArray[np.float32] = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    return matrix


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' kernel with a = −1/2, for distances x ≥ 0."""
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))
