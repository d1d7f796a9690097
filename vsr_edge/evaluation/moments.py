"""Finding moments in a given video, as moment_detr's evaluator for QVHighlights scores it."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vsr_edge.evaluation.iou import pairwise_iou, spans_array, temporal_iou

MAP_THRESHOLDS: Final = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
MAP_WINDOWS: Final = 10


def moment_average_precision(
    windows: ArrayLike,
    scores: ArrayLike,
    true_windows: ArrayLike,
    thresholds: ArrayLike = MAP_THRESHOLDS,
    *,
    same_video: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Average precision of one query's windows at each IoU threshold: float [t], in [0, 1].

    ``windows`` float [n, 2] with ``scores`` [n], ``true_windows`` [m, 2] in seconds. ActivityNet's
    detection rule as moment_detr applies it: by falling score (ties in the order given), each
    window takes the free true window that it overlaps most if IoU ≥ threshold, union true;
    precision is interpolated (VOC 2011). The caller cuts the list, at ``MAP_WINDOWS`` there, before
    it is sorted. ``same_video`` bool [n] marks the windows in the right video, the others are
    wrong. No windows score 0; without true windows the result is NaN.
    """
    found, truth = spans_array(windows), spans_array(true_windows)
    levels = np.asarray(thresholds, dtype=np.float64).reshape(-1)
    if not len(truth):
        return np.full(len(levels), np.nan)
    if not len(found):
        return np.zeros(len(levels))
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    overlaps = pairwise_iou(found, truth).astype(np.float64)
    if same_video is not None:
        overlaps[~np.asarray(same_video, dtype=bool)] = -1.0
    free = np.ones((len(levels), len(truth)), dtype=bool)
    hits = np.zeros((len(levels), len(found)), dtype=bool)
    for place, index in enumerate(order):
        # Reversed, so that of two true windows overlapped alike the later is taken, as there.
        for target in np.argsort(overlaps[index], kind="stable")[::-1]:
            takes = free[:, target] & ~hits[:, place] & (overlaps[index, target] >= levels)
            hits[:, place] |= takes
            free[takes, target] = False
    return _interpolated_area(hits, len(truth))


def _interpolated_area(hits: NDArray[np.bool_], positives: int) -> NDArray[np.float64]:
    """Area under the interpolated precision–recall curve (VOC 2011) of bool [t, n] → [t]."""
    found = np.cumsum(hits, axis=1)
    precision = found / np.arange(1, hits.shape[1] + 1)
    best_from_here = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    area: NDArray[np.float64] = np.sum(best_from_here * hits, axis=1) / positives
    return area


def best_overlap(window: ArrayLike, true_windows: ArrayLike) -> float:
    """IoU of a query's first window [2] with the true window [m, 2] that it overlaps most.

    moment_detr's R1: the true window is chosen by the true union, its IoU is then taken with the
    hull. R1@μ is the share of queries where it is ≥ μ. 0 where there are no true windows.
    """
    truth = spans_array(true_windows)
    if not len(truth):
        return 0.0
    chosen = truth[int(pairwise_iou(np.asarray(window)[None], truth)[0].argmax())]
    return float(temporal_iou(np.asarray(window, dtype=np.float64), chosen, hull=True))
