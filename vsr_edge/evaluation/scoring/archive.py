"""Scores of a search through an archive that may not hold what is asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vsr_edge.evaluation.bootstrap import Ratio
from vsr_edge.evaluation.decisions import expected_calibration_error, risk_coverage
from vsr_edge.evaluation.iou import pairwise_iou
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
from vsr_edge.evaluation.scoring.tables import TOP, percent

THRESHOLDS: Final = (0.3, 0.5, 0.7)
# The tables whose figures are recall among the first k.
RECALLS: Final = ("VCMR", "VCMR_answered", "VR")


@dataclass(frozen=True, slots=True, eq=False)
class QueryScores:
    """One row for each of the q queries that the archive holds, for averages and bootstraps.

    ``moments`` [q, t] ranks of the first right moment at each IoU threshold, ``answered`` [q, t]
    the same where "not there" counts as no answer, ``videos`` [q] ranks of the right video,
    ``average_precision`` [q, 10] at IoU 0.5 … 0.95, ``overlap`` [q] IoU of the first moment in the
    right video, NaN where none lies in it.
    """

    qids: tuple[QueryId, ...]
    thresholds: tuple[float, ...]
    moments: Ranks
    answered: Ranks
    videos: Ranks
    average_precision: NDArray[np.float64]
    overlap: NDArray[np.float64]


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
    overlap = np.full(len(pairs), np.nan)
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
        videos[row] = _video_rank(prediction, query)
        if same_video.any():
            first = listed.windows[same_video.argmax()][None]
            overlap[row] = pairwise_iou(first, query.spans).max()
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
        overlap=overlap,
    )


def _video_rank(prediction: Prediction, query: Query) -> float:
    return rank_of_first(
        [is_video(query.video or "", video) for video in distinct(prediction.videos)]
    )


Figures: TypeAlias = dict[str, dict[str, Ratio]]


def archive_figures(predictions: Sequence[Prediction], queries: Sequence[Query]) -> Figures:
    """Every figure of a run that is a share or a mean, by table, for values and intervals.

    - ``VCMR``: TVR's R@k × IoU 0.3, 0.5, 0.7 of the ranking, whatever the verdict;
      ``VCMR_answered``: VideoSearch-R1's rule, by which "not there" returns no moment;
    - ``VR``: R@k of the right video among the videos in the order they come up;
    - ``mAP``: 0.5:0.05:0.95, a moment elsewhere being wrong;
    - ``grounding``: mean IoU, in the right video, of the first moment there, where there is one;
    - ``VER``: decisions against the truth of the video judged, over all turns;
    - ``not_there``: precision and recall of the verdict "no_match" where there was a verdict; no
      precision where nothing is absent, as no claim could be right;
    - ``confidence``: the share of right verdicts; "match" is right where the first moment lies in
      the right video, "no_match" where it does not.

    The first five are over the queries that the archive holds. What nothing was said about is left
    out.
    """
    present = _present(queries)
    figures: Figures = (
        _rankings(query_scores(predictions, queries), present) if any(present) else {}
    )
    right = [
        [query.present and is_video(query.video or "", judged.video) for judged in row.judged]
        for row, query in zip(predictions, queries, strict=True)
    ]
    agreed = [
        sum(judged.matched == truth for judged, truth in zip(row.judged, truths, strict=True))
        for row, truths in zip(predictions, right, strict=True)
    ]
    judged = np.array([len(row.judged) for row in predictions], dtype=np.float64)
    if judged.any():
        figures["VER"] = {"accuracy": Ratio(np.array(agreed, dtype=np.float64), judged)}
    verdicts = _Verdicts.of(predictions, queries)
    if verdicts.given.any():
        denied = verdicts.denied
        figures["not_there"] = {
            "precision": Ratio.mean(~present, denied & ~present.all()),
            "recall": Ratio.mean(denied, verdicts.given & ~present),
        }
        figures["confidence"] = {"accuracy": Ratio.mean(verdicts.right, verdicts.given)}
    return figures


def score_archive(
    predictions: Sequence[Prediction], queries: Sequence[Query], figures: Figures | None = None
) -> dict[str, dict[str, object]]:
    """Every figure of a run over queries present and absent, per cent with two decimals.

    Those of ``archive_figures``, and in the same tables: ``median_rank`` of the right video, null
    if that was not found; how many were ``judged``, how many ``claims`` and ``verdicts`` there
    were; and, of how likely each first moment is said to match, the area under the risk–coverage
    curve and the expected calibration error: it is right in the right video, never for an absent
    query. A share of nothing is null. ``figures`` are those of the same run, if known already.
    """
    figures = archive_figures(predictions, queries) if figures is None else figures
    present = _present(queries)
    counts = {"all": len(queries), "present": int(present.sum()), "absent": int((~present).sum())}
    tables: dict[str, dict[str, object]] = {
        table: {name: percent(ratio.value) for name, ratio in ratios.items()}
        for table, ratios in figures.items()
    }
    if "VR" in tables:
        pairs = zip(predictions, queries, strict=True)
        ranks = sorted(_video_rank(row, query) for row, query in pairs if query.present)
        median = ranks[(len(ranks) - 1) // 2]
        tables["VR"]["median_rank"] = None if math.isinf(median) else int(median)
    if "VER" in tables:
        tables["VER"]["judged"] = int(figures["VER"]["accuracy"].of.sum())
    verdicts = _Verdicts.of(predictions, queries)
    if "not_there" in tables:
        tables["not_there"]["claims"] = int(verdicts.denied.sum())
    if "confidence" in tables:
        likely, right = match_probabilities(predictions, queries)
        tables["confidence"] |= {
            "risk_coverage_area": percent(risk_coverage(likely, right).area),
            "calibration_error": percent(expected_calibration_error(likely, right)),
            "verdicts": int(verdicts.given.sum()),
        }
    return {"queries": {**counts}, **tables}


def recall_place(name: str) -> int:
    """The k of a figure of ``RECALLS``, "0.5-r10" or "r10"; 0 for the median rank."""
    place = name.rpartition("r")[2]
    return int(place) if place.isdigit() else 0


def _present(queries: Sequence[Query]) -> NDArray[np.bool_]:
    return np.array([query.present for query in queries], dtype=bool)


def _rankings(scores: QueryScores, present: NDArray[np.bool_]) -> Figures:
    """The figures of present queries, spread over all queries."""

    def ratio(values: NDArray[Any], counted: NDArray[np.bool_] | None = None) -> Ratio:
        of = np.zeros(len(present))
        hits = of.copy()
        of[present] = 1.0 if counted is None else counted
        hits[present] = np.where(of[present] > 0, values, 0.0)
        return Ratio(hits, of)

    def recall(ranks: Ranks) -> dict[str, Ratio]:
        return {
            f"{threshold}-r{k}": ratio(ranks[:, column] <= k)
            for column, threshold in enumerate(scores.thresholds)
            for k in TOP
        }

    return {
        "VCMR": recall(scores.moments),
        "VCMR_answered": recall(scores.answered),
        "VR": {f"r{k}": ratio(scores.videos <= k) for k in TOP},
        "mAP": {
            **{
                str(level): ratio(column)
                for level, column in zip(MAP_THRESHOLDS, scores.average_precision.T, strict=True)
            },
            "average": ratio(scores.average_precision.mean(axis=1)),
        },
        "grounding": {"mean_iou": ratio(scores.overlap, ~np.isnan(scores.overlap))},
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Verdicts:
    """The verdicts of q queries: bool [q] ``given``, ``denied`` (not there) and ``right`` (about
    the first moment).
    """

    given: NDArray[np.bool_]
    denied: NDArray[np.bool_]
    right: NDArray[np.bool_]

    @classmethod
    def of(cls, predictions: Sequence[Prediction], queries: Sequence[Query]) -> _Verdicts:
        given = np.array([row.decision != "unverified" for row in predictions], dtype=bool)
        denied = np.array([row.decision == "no_match" for row in predictions], dtype=bool)
        pairs = zip(predictions, queries, strict=True)
        found = np.array([first_is_right(row, query) for row, query in pairs], dtype=bool)
        return cls(given, denied, found != denied)


def first_is_right(prediction: Prediction, query: Query) -> bool:
    """Does the first moment lie in the right video? Never for an absent query."""
    return bool(prediction.first(1).in_video(query.video).any())


def match_probabilities(
    predictions: Sequence[Prediction], queries: Sequence[Query]
) -> tuple[list[float], list[bool]]:
    """How likely first moments are said to match, where that is said, and whether they are right.

    Of what is not among the answers nothing is said: 1 − that is no probability of absence.
    """
    stated = [
        (row.match_probability, first_is_right(row, query))
        for row, query in zip(predictions, queries, strict=True)
        if row.match_probability is not None and len(row)
    ]
    return [likely for likely, _ in stated], [right for _, right in stated]
