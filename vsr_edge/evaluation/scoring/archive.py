"""Scores of a search through an archive that may not hold what is asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vsr_edge.evaluation.decisions import (
    expected_calibration_error,
    precision_recall,
    risk_coverage,
    verification_accuracy,
)
from vsr_edge.evaluation.moments import MAP_THRESHOLDS, MAP_WINDOWS, moment_average_precision
from vsr_edge.evaluation.records import (
    MOST_PREDICTIONS,
    Prediction,
    Query,
    QueryId,
    is_video,
)
from vsr_edge.evaluation.retrieval import (
    Ranks,
    correct_moments,
    distinct,
    moment_ranks,
    rank_of_first,
)
from vsr_edge.evaluation.scoring.tables import percent, recall_table, threshold_labels

THRESHOLDS: Final = (0.3, 0.5, 0.7)


@dataclass(frozen=True, slots=True, eq=False)
class QueryScores:
    """One row for each of the q queries that the archive holds, for averages and bootstraps.

    ``moments`` [q, t] ranks of the first right moment at each IoU threshold, ``answered`` [q, t]
    the same where "not there" counts as no answer, ``videos`` [q] ranks of the right video,
    ``average_precision`` [q, 10] at IoU 0.5 … 0.95.
    """

    qids: tuple[QueryId, ...]
    thresholds: tuple[float, ...]
    moments: Ranks
    answered: Ranks
    videos: Ranks
    average_precision: NDArray[np.float64]


def query_scores(
    predictions: Sequence[Prediction],
    queries: Sequence[Query],
    thresholds: Sequence[float] = THRESHOLDS,
) -> QueryScores:
    """Score each present query's ranking; ``predictions`` are in the order of ``queries``.

    A moment is right in the right video with IoU (true union) ≥ threshold with any true span. At
    most 100 moments count for recall, 10 for average precision, as in TVR and moment_detr.
    """
    pairs = [pair for pair in zip(predictions, queries, strict=True) if pair[1].present]
    moments = np.full((len(pairs), len(thresholds)), np.inf)
    answered, videos = moments.copy(), np.full(len(pairs), np.inf)
    precision = np.zeros((len(pairs), len(MAP_THRESHOLDS)))
    for row, (prediction, query) in enumerate(pairs):
        listed = prediction.first(MOST_PREDICTIONS)
        same_video = listed.in_video(query.video)
        correct = correct_moments(
            listed.windows,
            same_video,
            query.spans,
            thresholds,
            agreement=query.agreement,
            hull=False,
        )
        moments[row] = moment_ranks(correct)
        if prediction.decision != "no_match":
            answered[row] = moments[row]
        right = [is_video(query.video or "", video) for video in distinct(prediction.videos)]
        videos[row] = rank_of_first(right)
        top = slice(MAP_WINDOWS)
        precision[row] = moment_average_precision(
            listed.windows[top], listed.scores[top], query.spans, same_video=same_video[top]
        )
    return QueryScores(
        qids=tuple(query.qid for _, query in pairs),
        thresholds=tuple(thresholds),
        moments=moments,
        answered=answered,
        videos=videos,
        average_precision=precision,
    )


def score_archive(predictions: Sequence[Prediction], queries: Sequence[Query]) -> dict[str, object]:
    """Every figure of a run over queries present and absent, per cent with two decimals.

    - ``VCMR``: TVR's R@k × IoU 0.3, 0.5, 0.7 of the ranking, whatever the verdict;
      ``VCMR_answered``: VideoSearch-R1's rule, by which "not there" returns no moment;
    - ``VR``: R@k of the right video among the videos in the order they come up, and its median
      rank, null if that was not found; ``mAP``: 0.5:0.05:0.95, a moment elsewhere being wrong;
    - ``VER``: decisions against the truth of the video judged, over all turns;
    - ``not_there``: precision and recall of the verdict "no_match" where there was a verdict;
    - ``confidence``: the share of right verdicts, the area under the risk–coverage curve and the
      expected calibration error, of verdicts that state how sure they are.

    The first four are over the queries that the archive holds. What nothing was said about is left
    out, a share of nothing is null.
    """
    present = np.array([query.present for query in queries], dtype=bool)
    counts = {"all": len(queries), "present": int(present.sum()), "absent": int((~present).sum())}
    metrics: dict[str, object] = {"queries": counts}
    if present.any():
        metrics |= _rankings(query_scores(predictions, queries))
    judged = [
        (item.matched, query.present and is_video(query.video or "", item.video))
        for prediction, query in zip(predictions, queries, strict=True)
        for item in prediction.judged
    ]
    if judged:
        matched, right = zip(*judged, strict=True)
        accuracy = percent(verification_accuracy(matched, right))
        metrics["VER"] = {"accuracy": accuracy, "judged": len(judged)}
    return metrics | _verdicts(predictions, present)


def _rankings(scores: QueryScores) -> dict[str, object]:
    labels = threshold_labels(scores.thresholds)
    average = scores.average_precision.mean(axis=0)
    median = float(np.sort(scores.videos)[(len(scores.videos) - 1) // 2])
    return {
        "VCMR": recall_table(scores.moments, labels),
        "VCMR_answered": recall_table(scores.answered, labels),
        "VR": recall_table(scores.videos[:, None], [""])
        | {"median_rank": None if math.isinf(median) else int(median)},
        "mAP": {
            **{str(level): percent(v) for level, v in zip(MAP_THRESHOLDS, average, strict=True)},
            "average": percent(average.mean()),
        },
    }


def _verdicts(predictions: Sequence[Prediction], present: NDArray[np.bool_]) -> dict[str, object]:
    decided = np.array([row.decision != "unverified" for row in predictions], dtype=bool)
    if not decided.any():
        return {}
    denied = np.array([row.decision == "no_match" for row in predictions], dtype=bool)
    claim = precision_recall(denied[decided], ~present[decided])
    metrics: dict[str, object] = {
        "not_there": {
            "precision": percent(claim.precision),
            "recall": percent(claim.recall),
            "claims": int(denied.sum()),
        }
    }
    confidence = np.array(
        [np.nan if row.confidence is None else row.confidence for row in predictions]
    )
    stated = decided & ~np.isnan(confidence)
    if stated.any():
        sure, right = confidence[stated], (denied != present)[stated]
        metrics["confidence"] = {
            "accuracy": percent(right.mean()),
            "risk_coverage_area": percent(risk_coverage(sure, right).area),
            "calibration_error": percent(expected_calibration_error(sure, right)),
            "verdicts": int(stated.sum()),
        }
    return metrics
