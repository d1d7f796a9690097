"""Which decoded pictures look like the one before, so that they need not be encoded again.

A picture is compared with the last one that was encoded, in cells of some twenty pixels: what a
camera that stands still adds to a scene, noise and compression, changes all of them a little; who
walks in changes one or two of them much. How much is little was measured (docs/usage.md, Index).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from vsr_edge.types import FrameBatch, Pixels, Seconds

CELL_PIXELS = 20
# The mean absolute difference of luma, of 255, that no cell exceeds in pictures that look alike.
MOST_CHANGE = 2.5
# Frames handed on together: however still a video is, it must be seen to go on.
MOST_FRAMES = 256


def fold(batches: Iterable[FrameBatch]) -> Iterator[FrameBatch]:
    """The same frames, with one picture for all in a row that look alike (``repeats``).

    A batch has at most as many pictures as the largest that came in.
    """
    times: list[Seconds] = []
    pictures: list[Pixels] = []
    repeats: list[int] = []
    last: NDArray[np.int16] | None = None
    most = 0
    for batch in batches:
        most = max(most, len(batch))
        for time, picture in zip(batch.times.tolist(), batch.pixels, strict=True):
            luma = _luma(picture)
            alike = last is not None and looks_alike(luma, last)
            if len(times) == MOST_FRAMES or (len(pictures) == most and not alike):
                yield FrameBatch(np.array(times), np.stack(pictures), np.array(repeats))
                times, pictures, repeats = [], [], []
            if alike and pictures:
                repeats[-1] += 1
            else:
                # Without the batch that it came in, which may be large.
                pictures.append(picture.copy())
                repeats.append(1)
                last = luma
            times.append(time)
    if times:
        yield FrameBatch(np.array(times), np.stack(pictures), np.array(repeats))


def looks_alike(one: NDArray[np.int16], other: NDArray[np.int16]) -> bool:
    """Whether no cell of two pictures, as :func:`_luma` gives them, has changed."""
    if one.shape != other.shape:
        return False
    change, counts = np.abs(one - other), []
    for axis, pixels in enumerate((CELL_PIXELS // 2, CELL_PIXELS)):
        size = change.shape[axis]
        cells = max(size // pixels, 1)
        edges = np.arange(cells) * size // cells
        change = np.add.reduceat(change, edges, axis=axis, dtype=np.int32)
        counts.append(np.diff(edges, append=size))
    return bool((change <= 4 * MOST_CHANGE * np.outer(*counts)).all())


def _luma(picture: Pixels) -> NDArray[np.int16]:
    """Four times the luma of every other row, which is enough: int16 [H / 2, W]."""
    rows = picture[::2]
    red, blue = rows[..., 0].astype(np.int16), rows[..., 2]
    return red + blue + (rows[..., 1].astype(np.int16) << 1)
