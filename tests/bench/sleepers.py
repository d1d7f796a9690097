"""Workers that sleep for as long as decoding and encoding would take, and make up the vectors."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from vsr_edge.ingest.read import Ended, Started
from vsr_edge.ingest.worker import PIECE_FRAMES, Message, Order
from vsr_edge.media.probe import probe
from vsr_edge.types import FrameFeatures

# What one processor encodes a second, as was measured, and the footage of a file in frames.
PACE, FRAMES = 40.0, 400
DIM, REGIONS = 385, 9


def asleep(order: Order) -> Iterator[Message]:
    """A video of ``FRAMES`` frames, of other content for each path."""
    video, _ = probe(order.file.path)
    name = hashlib.blake2b(bytes(order.file.path), digest_size=20).hexdigest()
    random = np.random.default_rng(int(name[:8], 16))
    video = replace(video, fingerprint=name, duration=float(FRAMES))
    yield Started(order.file, video, FRAMES, None, None)
    for first in range(0, FRAMES, PIECE_FRAMES):
        count = min(PIECE_FRAMES, FRAMES - first)
        time.sleep(count / PACE)
        cells = random.standard_normal((count, 1 + REGIONS, DIM)).astype(np.float32)
        cells /= np.linalg.norm(cells, axis=2, keepdims=True)
        halves = cells.astype(np.float16)
        yield FrameFeatures(first + np.arange(count, dtype=np.float64), halves[:, 0], halves[:, 1:])
    yield Ended(None)
