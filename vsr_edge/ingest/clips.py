"""What one clip stands for, a frame, some seconds, a scene or the video, and its vector."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from vsr_edge.media.plan import clip_windows
from vsr_edge.types import (
    SAME_SCENE,
    ClipWindow,
    FrameFeatures,
    HalfVectors,
    Sampling,
    Seconds,
    stretch,
)


def cut(frames: FrameFeatures, duration: Seconds, sampling: Sampling) -> list[ClipWindow]:
    """The windows over all frames of a video, in time order, as the granularity says.

    "frame": one for each, or for all in a row that have one vector. "scene": cut where
    neighbouring frames are no more alike than ``SAME_SCENE``. "video": one. Their bounds lie
    half-way between frames, at 0, and at ``duration``. "clip": :func:`clip_windows`.
    """
    if sampling.granularity == "clip":
        return clip_windows(frames.times, duration, sampling.clip_seconds, sampling.clip_stride)
    if sampling.granularity == "frame":
        first = np.flatnonzero(frames.changes).tolist()
    elif sampling.granularity == "scene":
        first = [0, *_cuts(frames.vectors)]
    else:
        first = [0]
    spans = [(start, end - 1) for start, end in pairwise([*first, len(frames)])]
    return [ClipWindow(*stretch(frames.times, *span, 0.0, duration), *span) for span in spans]


def _cuts(vectors: HalfVectors) -> list[int]:
    """The frames that begin another scene."""
    pairs = enumerate(pairwise(vectors), 1)
    return [
        place
        for place, (before, after) in pairs
        if float(before.astype(np.float32) @ after.astype(np.float32)) < SAME_SCENE
    ]


def clip_vectors(frames: HalfVectors, windows: Sequence[ClipWindow]) -> HalfVectors:
    """The unit mean of each window's frames: float16 [n, D] → float16 [windows, D].

    Of frames that have one vector, it is that one, to the bit.
    """
    vectors = np.empty((len(windows), frames.shape[1]), np.float16)
    for row, window in enumerate(windows):
        part = frames[window.first : window.last + 1]
        if (part == part[0]).all():
            vectors[row] = part[0]
        else:
            mean = part.astype(np.float32).mean(axis=0)
            vectors[row] = mean / np.linalg.norm(mean)
    return vectors
