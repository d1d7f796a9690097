"""Candidates with a verdict each: how likely they match, from when to when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from vsr_edge.runtime.encoder import Bundle, TextEncoding
from vsr_edge.runtime.heads import judge
from vsr_edge.runtime.manifest import Calibration
from vsr_edge.search.footage import Shown, footage


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A candidate with its match logit and probability, and the span [first, last] in frames of
    its window.
    """

    shown: Shown
    match: float
    probability: float
    first: int
    last: int


def verify(
    bundle: Bundle, calibration: Calibration, query: TextEncoding, shown: Sequence[Shown]
) -> list[Judged]:
    """Judge candidates, all in one batch; in their order."""
    if not shown:
        return []
    found = judge(bundle, query, footage(shown))
    logits = found.match.astype(np.float64)
    probabilities = 1 / (1 + np.exp(-(calibration.slope * logits + calibration.bias)))
    first, last = found.spans()
    return [
        Judged(one, float(match), float(probability), int(begin), int(end))
        for one, match, probability, begin, end in zip(
            shown, logits, probabilities, first, last, strict=True
        )
    ]


def ranked(judged: Iterable[Judged]) -> list[Judged]:
    """The likeliest first."""
    return sorted(judged, key=lambda one: -one.match)
