"""Scores of a search through an archive that may not hold what is asked for: figures, with
intervals, by kind of query, and against another run's.

Intervals are 95 %, by bootstrap over videos: queries about one video are drawn together, each
absent query is on its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vsr_edge.errors import UsageError
from vsr_edge.evaluation import metrics
from vsr_edge.evaluation.bootstrap import Ratio, ratio_intervals
from vsr_edge.evaluation.field_scores import TOP, percent
from vsr_edge.evaluation.records import MOST_PREDICTIONS, Prediction, Query, is_video

THRESHOLDS: Final = (0.3, 0.5, 0.7)
# The tables whose figures are recall among the first k.
RECALLS: Final = ("VCMR", "VCMR_answered", "VR")
# The column of a query that says what kind it is, where a set of queries has kinds.
KIND_KEY: Final = "kind"

Flags: TypeAlias = NDArray[np.bool_]
Floats: TypeAlias = NDArray[np.float64]
Figures: TypeAlias = dict[tuple[str, str], Ratio]
Tables: TypeAlias = dict[str, dict[str, object]]


@dataclass(frozen=True, slots=True, eq=False)
class ArchiveScores:
    """A run, query by query: arrays of one value, or one row, for each query."""

    present: Flags  # does the archive hold it?
    moments: metrics.Ranks  # of the first right moment at each threshold, [q, 3]
    videos: metrics.Ranks  # of the right video among those listed
    average_precision: Floats  # at IoU 0.5 … 0.95, [q, 10]
    overlap: Floats  # IoU of the first moment in the right video; NaN where none lies in it
    given: Flags  # was there a verdict?
    denied: Flags  # was it "not there"?
    right: Flags  # does the first moment lie in the right video? Never for an absent query
    # How likely the first moment is said to match. NaN where nothing is said, also of what is not
    # among the answers: 1 − that is no probability of absence.
    likely: Floats
    judged: Floats  # how many videos, over all turns
    agreed: Floats  # how often the truth was of the same opinion

    def only(self, kept: Flags) -> ArchiveScores:
        """Those of some of the queries, bool [q]."""
        return ArchiveScores(*(getattr(self, field.name)[kept] for field in fields(self)))


def score_queries(predictions: Sequence[Prediction], queries: Sequence[Query]) -> ArchiveScores:
    """Score each query; ``predictions`` are in the order of ``queries``.

    A moment is right in the right video with IoU (true union) ≥ threshold with any true span. At
    most 100 moments count for recall, 10 for average precision, as in TVR and moment_detr.
    """
    rows = [_score(*pair) for pair in zip(predictions, queries, strict=True)]
    return ArchiveScores(*map(np.array, zip(*rows, strict=True)))


def _score(prediction: Prediction, query: Query) -> tuple[Any, ...]:
    """The fields of ``ArchiveScores``, for one query."""

    def is_right(video: str) -> bool:
        return query.video is not None and is_video(query.video, video)

    listed = prediction.first(MOST_PREDICTIONS)
    same_video = listed.in_video(query.video)
    overlap = np.nan
    if same_video.any():
        first = listed.windows[same_video.argmax()][None]
        overlap = metrics.pairwise_iou(first, query.spans).max()
    top = slice(metrics.MAP_WINDOWS)
    said = prediction.match_probability if len(prediction) else None
    return (
        query.present,
        metrics.moment_ranks(
            *(listed.windows, same_video, query.spans, THRESHOLDS),
            agreement=query.agreement,
            hull=False,
        ),
        metrics.rank_of_first([is_right(video) for video in dict.fromkeys(prediction.videos)]),
        metrics.moment_average_precision(
            listed.windows[top], listed.scores[top], query.spans, same_video=same_video[top]
        ),
        overlap,
        prediction.decision != "unverified",
        prediction.decision == "no_match",
        bool(same_video[:1].any()),
        np.nan if said is None else said,
        float(len(prediction.judged)),
        float(sum(judged.matched == is_right(judged.video) for judged in prediction.judged)),
    )


def archive_figures(scores: ArchiveScores) -> Figures:
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
    present, denied = scores.present, scores.denied
    figures: Figures = {}
    if present.any():
        answered = np.where(denied[:, None], np.inf, scores.moments)
        for table, ranks in (("VCMR", scores.moments), ("VCMR_answered", answered)):
            for threshold, column in zip(THRESHOLDS, ranks.T, strict=True):
                for k in TOP:
                    figures[table, f"{threshold}-r{k}"] = Ratio.mean(column <= k, present)
        for k in TOP:
            figures["VR", f"r{k}"] = Ratio.mean(scores.videos <= k, present)
        for level, column in zip(metrics.MAP_THRESHOLDS, scores.average_precision.T, strict=True):
            figures["mAP", str(level)] = Ratio.mean(column, present)
        average = scores.average_precision.mean(axis=1)
        figures["mAP", "average"] = Ratio.mean(average, present)
        found = ~np.isnan(scores.overlap)
        figures["grounding", "mean_iou"] = Ratio.mean(scores.overlap, found)
    if scores.judged.any():
        figures["VER", "accuracy"] = Ratio(scores.agreed, scores.judged)
    if scores.given.any():
        figures["not_there", "precision"] = Ratio.mean(~present, denied & ~present.all())
        figures["not_there", "recall"] = Ratio.mean(denied, scores.given & ~present)
        figures["confidence", "accuracy"] = Ratio.mean(scores.right != denied, scores.given)
    return figures


def archive_tables(scores: ArchiveScores) -> Tables:
    """Every figure of a run over queries present and absent, per cent with two decimals.

    Those of ``archive_figures``, and in the same tables: ``median_rank`` of the right video, null
    if that was not found; how many were ``judged``, how many ``claims`` and ``verdicts`` there
    were; and, of how likely each first moment is said to match, the area under the risk–coverage
    curve and the expected calibration error: it is right in the right video, never for an absent
    query. A share of nothing is null.
    """
    present = scores.present
    counts = {"all": len(present), "present": int(present.sum()), "absent": int((~present).sum())}
    tables = _nested((key, percent(ratio.value)) for key, ratio in archive_figures(scores).items())
    if "VR" in tables:
        ranks = sorted(scores.videos[present])
        median = ranks[(len(ranks) - 1) // 2]
        tables["VR"]["median_rank"] = None if math.isinf(median) else int(median)
    if "VER" in tables:
        tables["VER"]["judged"] = int(scores.judged.sum())
    if "not_there" in tables:
        tables["not_there"]["claims"] = int(scores.denied.sum())
        said = ~np.isnan(scores.likely)
        likely, right = scores.likely[said], scores.right[said]
        tables["confidence"] |= {
            "risk_coverage_area": percent(metrics.risk_coverage(likely, right).area),
            "calibration_error": percent(metrics.expected_calibration_error(likely, right)),
            "verdicts": int(scores.given.sum()),
        }
    return {"queries": {**counts}, **tables}


def summarize(
    predictions: Sequence[Prediction], queries: Sequence[Query], top_k: int = MOST_PREDICTIONS
) -> dict[str, object]:
    """``metrics`` as ``archive_tables`` gives them, ``intervals`` of those that are means or shares
    ([low, high] in per cent, in the same tables), and ``by_kind`` where queries have a kind.

    ``top_k`` moments were asked for at most: recall among more than that is null.
    """

    def asked_for(tables: Tables, unknown: object = None) -> Tables:
        return {
            table: {
                name: unknown if table in RECALLS and recall_place(name) > top_k else value
                for name, value in figures.items()
            }
            for table, figures in tables.items()
        }

    scores = score_queries(predictions, queries)
    figures = archive_figures(scores)
    found = ratio_intervals([*figures.values()], _groups(queries)) if figures else []
    intervals = [[percent(interval.low), percent(interval.high)] for interval in found]
    document: dict[str, object] = {
        "metrics": asked_for(archive_tables(scores)),
        "intervals": asked_for(_nested(zip(figures, intervals, strict=True)), [None, None]),
    }
    kinds = np.array([str(query.extra.get(KIND_KEY)) for query in queries])
    known = dict.fromkeys(str(q.extra[KIND_KEY]) for q in queries if KIND_KEY in q.extra)
    if len(known) > 1:
        document["by_kind"] = {
            kind: asked_for(archive_tables(scores.only(kinds == kind))) for kind in known
        }
    return document


def compare(
    first: Sequence[Prediction], second: Sequence[Prediction], queries: Sequence[Query]
) -> dict[str, object]:
    """Two runs over the same queries: ``a``, ``b`` as ``archive_tables`` gives them, ``moments``,
    how many each lists at most, and ``difference``, [a − b, low, high] of every figure that both
    have, paired, in per cent.
    """
    runs = score_queries(first, queries), score_queries(second, queries)
    ours, theirs = map(archive_figures, runs)
    shared = [name for name in ours if name in theirs]
    if not shared:
        raise UsageError("the two runs have no figure in common")
    pairs = [ours[name] for name in shared], [theirs[name] for name in shared]
    found = ratio_intervals(pairs[0], _groups(queries), minus=pairs[1])
    differences = [list(map(percent, interval)) for interval in found]
    return {
        "a": archive_tables(runs[0]),
        "b": archive_tables(runs[1]),
        "moments": {"a": max(map(len, first), default=0), "b": max(map(len, second), default=0)},
        "difference": _nested(zip(shared, differences, strict=True)),
    }


def recall_place(name: str) -> int:
    """The k of a figure of ``RECALLS``, "0.5-r10" or "r10"; 0 for the median rank."""
    place = name.rpartition("r")[2]
    return int(place) if place.isdigit() else 0


def _nested(figures: Iterable[tuple[tuple[str, str], object]]) -> Tables:
    tables: Tables = {}
    for (table, name), value in figures:
        tables.setdefault(table, {})[name] = value
    return tables


def _groups(queries: Sequence[Query]) -> NDArray[np.intp]:
    """Numbers of groups that are drawn together, intp [q]."""
    keys = [("video", q.video) if q.video is not None else ("query", str(q.qid)) for q in queries]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys], dtype=np.intp)
