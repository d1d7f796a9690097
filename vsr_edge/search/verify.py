"""Candidates with a verdict each: how likely they match, from when to when."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vsr_edge.bundle.manifest import Calibration
from vsr_edge.bundle.model import Bundle
from vsr_edge.runtime.heads import TextEncoding
from vsr_edge.search.footage import Shown, footage


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A candidate with its match logit, what it is ordered by (:class:`Calibration`), its match
    probability, and the span [first, last] in frames of its window.
    """

    shown: Shown
    match: float
    order: float
    probability: float
    first: int
    last: int


def verify(
    bundle: Bundle,
    calibration: Calibration,
    query: TextEncoding,
    shown: Sequence[Shown],
    frames_searched: int,
) -> list[Judged]:
    """Judge candidates, all in one batch; in their order."""
    if not shown:
        return []
    found = bundle.judge(query, footage(shown))
    scores = np.array([one.window.score for one in shown])
    order = found.match + calibration.score_weight * scores
    frames = max(frames_searched, calibration.fewest_frames)
    rivals = calibration.size_weight * math.log(frames / 1000)
    probabilities = 1 / (1 + np.exp(-(calibration.slope * order + calibration.bias - rivals)))
    first, last = found.spans()
    return [
        Judged(one, *numbers)
        for one, *numbers in zip(
            shown,
            found.match.tolist(),
            order.tolist(),
            probabilities.tolist(),
            first.tolist(),
            last.tolist(),
            strict=True,
        )
    ]
