"""The field's metrics: arrays in, numbers out; each says whose convention it keeps.

Spans are (start, end) in seconds. A rank is a float that counts from 1, ``inf`` where the list does
not hold the answer: one array of ranks gives R@k for every k, and ``ranks <= k`` are the values per
query that a bootstrap takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vsr_edge.errors import UsageError

Floats: TypeAlias = NDArray[np.floating[Any]]
Ranks: TypeAlias = NDArray[np.float64]

MAP_THRESHOLDS: Final = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
MAP_WINDOWS: Final = 10
# QVHighlights: three annotators gave each relevant clip of 2 s a score from 0 (very bad) to 4 (very
# good), and a clip is positive from one of these levels on.
CLIP_SECONDS: Final = 2.0
LEVELS: Final = {"Fair": 2, "Good": 3, "VeryGood": 4}


def temporal_iou(first: ArrayLike, second: ArrayLike, *, hull: bool = False) -> Floats:
    """Intersection over union of spans that pair up by broadcasting: float [..., 2] → [...].

    The union is the time that either covers, as in moment_detr's mAP
    (``compute_temporal_iou_batch_cross``); with ``hull`` it is the time from the earlier start to
    the later end, as in TVR's and DiDeMo's evaluators and moment_detr's R1. The two differ by
    rounding alone, by which the evaluators decide at a threshold. Two float32 inputs are computed
    in float32, as TVR's evaluator does. Where the union is empty the IoU is 0.
    """
    a, b = np.asarray(first), np.asarray(second)
    kind = np.result_type(a, b, np.float32)
    a, b = a.astype(kind, copy=False), b.astype(kind, copy=False)
    last_start, first_end = np.maximum(a[..., 0], b[..., 0]), np.minimum(a[..., 1], b[..., 1])
    intersection = np.maximum(first_end - last_start, 0)
    if hull:
        union = np.maximum(a[..., 1], b[..., 1]) - np.minimum(a[..., 0], b[..., 0])
    else:
        union = (a[..., 1] - a[..., 0]) + (b[..., 1] - b[..., 0]) - intersection
    empty = np.zeros(np.shape(intersection), kind)
    overlap: Floats = np.divide(intersection, union, out=empty, where=union > 0)
    return overlap


def pairwise_iou(first: ArrayLike, second: ArrayLike, *, hull: bool = False) -> Floats:
    """IoU of every span of ``first`` [n, 2] with every span of ``second`` [m, 2] → [n, m]."""
    a, b = _spans(first), _spans(second)
    return temporal_iou(a[:, None], b[None, :], hull=hull)


def _spans(spans: ArrayLike) -> Floats:
    """Spans as float [n, 2]; float32 stays float32, and no spans are [0, 2]."""
    array = np.asarray(spans)
    return array.astype(np.result_type(array, np.float32), copy=False).reshape(-1, 2)


def rank_of_first(right: ArrayLike) -> float:
    """The rank of the first right answer in a list, best first: bool [n] → 1 … n or inf."""
    places = np.flatnonzero(np.asarray(right, dtype=bool))
    return float(places[0]) + 1 if len(places) else float("inf")


def moment_ranks(
    windows: ArrayLike,
    same_video: ArrayLike,
    true_spans: ArrayLike,
    thresholds: ArrayLike,
    *,
    agreement: int = 1,
    hull: bool = True,
    video_given: bool = False,
) -> Ranks:
    """The rank of the first right moment at each threshold: float [t].

    ``windows`` float [n, 2] are right where they lie in the right video (``same_video`` bool [n])
    and have IoU ≥ threshold with at least ``agreement`` of ``true_spans`` [m, 2]. TVR: one span,
    the hull; DiDeMo in TVR's evaluator: four or more annotators' spans, of which two must agree.
    The whole list counts: VCMR, search in the whole corpus. With ``video_given`` only the moments
    in the right video do: SVMR, as TVR's evaluator takes it.
    """
    overlaps = pairwise_iou(windows, true_spans, hull=hull)
    levels = np.asarray(thresholds, dtype=overlaps.dtype).reshape(-1, 1, 1)
    there = np.asarray(same_video, dtype=bool)
    correct = ((overlaps[None] >= levels).sum(axis=2) >= agreement) & there
    return np.array([rank_of_first(row[there] if video_given else row) for row in correct])


def recall_at(ranks: ArrayLike, k: int) -> float:
    """R@k: the share, in [0, 1], of queries whose rank is at most ``k``; NaN for no queries."""
    values = np.asarray(ranks, dtype=np.float64)
    return float(np.mean(values <= k)) if values.size else float("nan")


def moment_average_precision(
    windows: ArrayLike,
    scores: ArrayLike,
    true_windows: ArrayLike,
    thresholds: ArrayLike = MAP_THRESHOLDS,
    *,
    same_video: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Average precision of one query's windows at each IoU threshold: float [t], in [0, 1].

    ``windows`` float [n, 2] with ``scores`` [n], ``true_windows`` [m, 2]. ActivityNet's detection
    rule as moment_detr applies it: by falling score (ties in the order given), each window takes
    the free true window that it overlaps most if IoU ≥ threshold, union true; precision is
    interpolated (VOC 2011). The caller cuts the list, at ``MAP_WINDOWS`` there, before it is
    sorted. ``same_video`` bool [n] marks the windows in the right video, the others are wrong. No
    windows score 0; without true windows the result is NaN.
    """
    found, truth = _spans(windows), _spans(true_windows)
    levels = np.asarray(thresholds, dtype=np.float64).reshape(-1)
    if not len(truth) or not len(found):
        return np.full(len(levels), 0.0 if len(truth) else np.nan)
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
    precision = np.cumsum(hits, axis=1) / np.arange(1, len(found) + 1)
    best_from_here = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    area: NDArray[np.float64] = np.sum(best_from_here * hits, axis=1) / len(truth)
    return area


def best_overlap(window: ArrayLike, true_windows: ArrayLike) -> float:
    """IoU of a query's first window [2] with the true window [m, 2] that it overlaps most.

    moment_detr's R1: the true window is chosen by the true union, its IoU is then taken with the
    hull. R1@μ is the share of queries where it is ≥ μ. 0 where there are no true windows.
    """
    truth = _spans(true_windows)
    if not len(truth):
        return 0.0
    chosen = truth[int(pairwise_iou(np.asarray(window)[None], truth)[0].argmax())]
    return float(temporal_iou(np.asarray(window, dtype=np.float64), chosen, hull=True))


def saliency_matrix(duration: float, scores: Mapping[int, Sequence[float]]) -> NDArray[np.float64]:
    """The annotators' scores of every clip: float [clips, 3], 0 for clips not relevant.

    A video of ``duration`` seconds has ⌊duration / 2⌋ clips. Raises ``IndexError`` for a clip
    beyond the end.
    """
    matrix = np.zeros((int(duration / CLIP_SECONDS), 3))
    for clip, values in scores.items():
        matrix[clip] = values
    return matrix


def clip_average_precision(positive: ArrayLike, scores: ArrayLike) -> float:
    """Average precision of clips ranked by ``scores`` [n] against ``positive`` bool [p], in [0, 1].

    moment_detr's ``get_ap``: scores are cut, or filled up with 0, to p clips; clips of equal score
    count as one step; precision is interpolated; the result is its plain mean over the steps at
    which recall rises. 0 without positives, 1 where all are positive.
    """
    truth = np.asarray(positive, dtype=bool)
    if truth.all() or not truth.any():
        return float(truth.any())
    values = np.zeros(len(truth))
    given = np.asarray(scores, dtype=np.float64)[: len(truth)]
    values[: len(given)] = given
    order = np.argsort(-values, kind="stable")
    last_of_step = np.append(np.diff(values[order]) != 0, True)
    found = np.cumsum(truth[order])[last_of_step]
    precision = found / (np.flatnonzero(last_of_step) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    rises = np.diff(found, prepend=0) > 0
    return float(best_from_here[rises].mean())


def saliency_average_precision(positive: ArrayLike, scores: ArrayLike) -> float:
    """Mean over annotators of the average precision: ``positive`` bool [clips, annotators]."""
    columns = np.asarray(positive, dtype=bool).T
    return float(np.mean([clip_average_precision(column, scores) for column in columns]))


def hit_at_one(positive: ArrayLike, scores: ArrayLike) -> bool:
    """HIT@1: is the clip of the highest score positive for any annotator (bool [clips, a])?

    Of equal scores the first counts; a clip beyond the annotated ones is a miss, and so is no clip.
    """
    truth, values = np.asarray(positive, dtype=bool), np.asarray(scores, dtype=np.float64)
    best = int(values.argmax()) if len(values) else len(truth)
    return best < len(truth) and bool(truth[best].any())


class RiskCoverage(NamedTuple):
    """``coverage`` float [n], 1/n … 1, and ``risk`` float [n], the error rate among those kept."""

    coverage: NDArray[np.float64]
    risk: NDArray[np.float64]

    @property
    def area(self) -> float:
        """AURC: the mean risk over all coverages; 0 is best, the error rate is chance. NaN for no
        answers.
        """
        return float(self.risk.mean()) if len(self.risk) else float("nan")


def risk_coverage(confidence: ArrayLike, right: ArrayLike) -> RiskCoverage:
    """How the error rate falls when only the surest answers are kept.

    ``confidence`` float [n], ``right`` bool [n]. Selective risk of El-Yaniv and Wiener (2010), area
    of Geifman and El-Yaniv (2017). Answers of equal confidence count as in random order: the curve
    is the expectation over their orders, so that shuffling them changes nothing.
    """
    sure, correct = _same_length(confidence, right)
    order = np.argsort(-sure, kind="stable")
    kept = np.arange(1, len(order) + 1)
    if not len(order):
        return RiskCoverage(np.empty(0), np.empty(0))
    errors = np.cumsum(~correct[order].astype(bool))
    last_of_tie = np.append(np.diff(sure[order]) != 0, True)
    expected = np.interp(kept, np.append(0, kept[last_of_tie]), np.append(0.0, errors[last_of_tie]))
    return RiskCoverage(kept / len(order), expected / kept)


def expected_calibration_error(probability: ArrayLike, outcome: ArrayLike, bins: int = 15) -> float:
    """ECE: how far stated probabilities lie from observed frequencies, in [0, 1]; NaN for none.

    ``probability`` float [n] in [0, 1], ``outcome`` bool [n]. Mean over ``bins`` of equal width,
    (b/B, (b+1)/B] and 0 in the first, of |frequency − mean probability|, weighted by how many fall
    in (Naeini et al. 2015; Guo et al. 2017 with 15 bins).
    """
    stated, happened = _same_length(probability, outcome)
    if not stated.size:
        return float("nan")
    if not ((stated >= 0) & (stated <= 1)).all():
        raise UsageError("A probability must lie between 0 and 1: calibrate the scores first.")
    place = np.clip(np.ceil(stated * bins).astype(int) - 1, 0, bins - 1)
    gap = np.bincount(place, happened - stated, minlength=bins)
    return float(np.abs(gap).sum() / len(stated))


def _same_length(
    first: ArrayLike, second: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise UsageError(f"Two lists of the same length are needed, not {a.shape} and {b.shape}.")
    return a, b
