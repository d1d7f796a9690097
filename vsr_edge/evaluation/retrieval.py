"""Where the right answer stands in a ranked list: ranks, R@k and NDCG.

A rank is a float that counts from 1; ``inf`` means that the list does not hold the answer. One
array of ranks gives R@k for every k, and ``ranks <= k`` are the values per query that a bootstrap
takes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vsr_edge.evaluation.iou import Flags, pairwise_iou

Ranks = NDArray[np.float64]


def rank_of_first(right: ArrayLike) -> float:
    """The rank of the first right answer in a list, best first: bool [n] → 1 … n or inf.

    For the rank of the right video, ``right`` says which videos of the list are the right one; as
    in TVR's VR task the list's rows are counted, so a video belongs in it once.
    """
    places = np.flatnonzero(np.asarray(right, dtype=bool))
    return float(places[0]) + 1 if len(places) else float("inf")


def correct_moments(
    windows: ArrayLike,
    same_video: ArrayLike,
    true_spans: ArrayLike,
    thresholds: ArrayLike,
    *,
    agreement: int = 1,
    hull: bool = True,
) -> Flags:
    """Which predicted moments are right: bool [t, n].

    ``windows`` float [n, 2] are right at a threshold where they lie in the right video
    (``same_video`` bool [n]) and have IoU ≥ threshold with at least ``agreement`` of
    ``true_spans`` [m, 2]. TVR: one span, the hull. DiDeMo in TVR's evaluator: four or more
    annotators' spans, of which two must agree.
    """
    overlaps = pairwise_iou(windows, true_spans, hull=hull)
    levels = np.asarray(thresholds, dtype=overlaps.dtype).reshape(-1, 1, 1)
    agreeing = (overlaps[None] >= levels).sum(axis=2)
    correct: Flags = (agreeing >= agreement) & np.asarray(same_video, dtype=bool)
    return correct


def moment_ranks(correct: ArrayLike, same_video: ArrayLike | None = None) -> Ranks:
    """The rank of the first right moment at each threshold: bool [t, n] → float [t].

    Without ``same_video`` the whole list counts: VCMR, search in the whole corpus. With it (bool
    [n]) only the list's moments in the right video count: SVMR, as TVR's evaluator takes it.
    """
    flags = np.asarray(correct, dtype=bool)
    if same_video is not None:
        flags = flags[:, np.asarray(same_video, dtype=bool)]
    return np.array([rank_of_first(row) for row in flags], dtype=np.float64)


def recall_at(ranks: ArrayLike, k: int) -> float:
    """R@k: the share, in [0, 1], of queries whose rank is at most ``k``; NaN for no queries."""
    values = np.asarray(ranks, dtype=np.float64)
    return float(np.mean(values <= k)) if values.size else float("nan")


def graded_hits(
    windows: ArrayLike,
    true_windows: ArrayLike,
    grades: ArrayLike,
    threshold: float,
    *,
    same_video: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """The grade that each predicted moment earns: float [n].

    TVR-Ranking's rule (Liang et al. 2024): from the best prediction down, each takes the true
    moment in the same video (``same_video`` bool [n, m]; all, when None) that it overlaps most
    among those not taken yet, and earns its grade (``grades`` [m]) where IoU > ``threshold``, the
    inequality strict and the union true. Otherwise it earns 0 and takes nothing.
    """
    overlaps = pairwise_iou(windows, true_windows).astype(np.float64)
    values = np.asarray(grades, dtype=np.float64)
    if same_video is not None:
        overlaps[~np.asarray(same_video, dtype=bool)] = -1.0
    earned = np.zeros(len(overlaps))
    # Of true moments overlapped alike the one of the higher grade is taken, as there.
    order = np.argsort(-values, kind="stable")
    for place in range(len(overlaps) if len(values) else 0):
        best = order[int(overlaps[place, order].argmax())]
        if overlaps[place, best] > threshold:
            earned[place] = values[best]
            overlaps[:, best] = -1.0
    return earned


def ndcg(earned: ArrayLike, grades: ArrayLike, k: int) -> float:
    """NDCG@k with exponential gain, Σ (2^grade − 1) / log₂(rank + 1), over its greatest value.

    ``earned`` [n] are the grades in the order of the list, ``grades`` [m] all that could be had
    (Burges et al. 2005, as TVR-Ranking uses it). 0 where nothing could be had.
    """
    ideal = _gain(np.sort(np.asarray(grades, dtype=np.float64))[::-1][:k])
    return _gain(np.asarray(earned, dtype=np.float64)[:k]) / ideal if ideal > 0 else 0.0


def _gain(grades: NDArray[np.float64]) -> float:
    return float(np.sum((2.0**grades - 1.0) / np.log2(np.arange(len(grades)) + 2.0)))


def distinct(videos: Sequence[str]) -> list[str]:
    """The videos of a list of moments in the order in which they first come up: a VR list."""
    return list(dict.fromkeys(videos))
