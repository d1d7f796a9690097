"""Figures as the evaluators print them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, SupportsFloat

import numpy as np
from numpy.typing import ArrayLike

from vsr_edge.evaluation.retrieval import recall_at

TOP: Final = (1, 5, 10, 100)


def percent(share: SupportsFloat) -> float | None:
    """A share in [0, 1] per cent, two decimals; None, JSON's null, for a share of nothing."""
    value = float(share)
    return None if math.isnan(value) else round(100 * value, 2)


def recall_table(ranks: ArrayLike, labels: Sequence[str], prefix: str = "") -> dict[str, object]:
    """R@1, 5, 10 and 100 under TVR's keys, "0.5-r1" …: float [q, one column for each label]."""
    columns = np.asarray(ranks, dtype=np.float64)
    return {
        f"{prefix}{label}r{k}": percent(recall_at(columns[:, place], k))
        for place, label in enumerate(labels)
        for k in TOP
    }


def threshold_labels(thresholds: Sequence[float]) -> list[str]:
    return [f"{threshold}-" for threshold in thresholds]
