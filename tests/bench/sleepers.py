"""Workers that make up the vectors: after a sleep, for as long as decoding and encoding would take,
or at once, which shows how fast they are stored.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from vsr_edge.bundle.model import Bundle
from vsr_edge.ingest.read import Ended, Started
from vsr_edge.ingest.worker import PIECE_FRAMES, Message, Order, encode_file
from vsr_edge.media.probe import probe
from vsr_edge.types import FrameFeatures, HalfVectors

# What one processor encodes a second, as was measured, and the footage of a file in frames.
PACE, FRAMES = 40.0, 400
DIM, REGIONS = 385, 9


def asleep(order: Order) -> Iterator[Message]:
    """A video of ``FRAMES`` frames, of other content for each path."""
    return _made_up(order, PACE)


def awake(order: Order) -> Iterator[Message]:
    """The same, at once."""
    return _made_up(order, np.inf)


def _made_up(order: Order, pace: float) -> Iterator[Message]:
    video, _ = probe(order.file.path)
    name = hashlib.blake2b(bytes(order.file.path), digest_size=20).hexdigest()
    video = replace(video, fingerprint=name, duration=float(FRAMES))
    yield Started(order.file, video, FRAMES, None, None)
    for first in range(0, FRAMES, PIECE_FRAMES):
        count = min(PIECE_FRAMES, FRAMES - first)
        time.sleep(count / pace)
        halves = _vectors()[first : first + count]
        yield FrameFeatures(first + np.arange(count, dtype=np.float64), halves[:, 0], halves[:, 1:])
    yield Ended(None)


@lru_cache(maxsize=1)
def _vectors() -> HalfVectors:
    """float16 [FRAMES, 1 + REGIONS, DIM]: of each frame its own, and its regions'."""
    cells = np.random.default_rng(0).standard_normal((FRAMES, 1 + REGIONS, DIM))
    return np.asarray(cells / np.linalg.norm(cells, axis=2, keepdims=True), np.float16)


def unencoded(order: Order) -> Iterator[Message]:
    """A file's events as they are, but for its vectors."""
    leave_out_the_encoder(pytest.MonkeyPatch())
    return encode_file(order)


def leave_out_the_encoder(patch: pytest.MonkeyPatch) -> None:
    """Have all bundles of this process make up their vectors."""

    def made_up(_: Bundle, images: Any, *, regions: bool = True) -> tuple[Any, Any]:
        cells = _vectors()[: len(images)].astype(np.float32)
        return cells[:, 0], cells[:, 1:] if regions else None

    patch.setattr(Bundle, "encode_frames", made_up)
