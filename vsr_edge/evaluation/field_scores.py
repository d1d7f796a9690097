"""Score tables by the rules of the field's evaluators: TVR's, and moment_detr's (QVHighlights)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, SupportsFloat, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vsr_edge.errors import UsageError
from vsr_edge.evaluation.metrics import (
    LEVELS,
    MAP_THRESHOLDS,
    MAP_WINDOWS,
    best_overlap,
    hit_at_one,
    moment_average_precision,
    moment_ranks,
    rank_of_first,
    recall_at,
    saliency_average_precision,
    saliency_matrix,
)
from vsr_edge.evaluation.records import MOST_PREDICTIONS, Prediction, Query

TOP: Final = (1, 5, 10, 100)
TVR_THRESHOLDS: Final = (0.5, 0.7)
TVR_TYPES: Final = ("v", "t", "vt")
# Over which seconds and up to which a true window belongs to a table of QVHighlights.
LENGTHS: Final = {
    "short": (0.0, 10.0),
    "middle": (10.0, 30.0),
    "long": (30.0, 150.0),
    "full": (-np.inf, np.inf),
}

Pairs: TypeAlias = Sequence[tuple[Prediction, Query]]
Table: TypeAlias = dict[str, dict[str, float | None]]


def percent(share: SupportsFloat) -> float | None:
    """A share in [0, 1] per cent, two decimals; None, JSON's null, for a share of nothing."""
    value = float(share)
    return None if math.isnan(value) else round(100 * value, 2)


def score_tvr(
    tasks: Mapping[str, Sequence[Prediction]], queries: Sequence[Query]
) -> dict[str, object]:
    """``{"VCMR": {"0.5-r1": …}, …, "VCMR_by_type": …}`` as TVR's ``standalone_eval`` has it.

    ``tasks`` maps VCMR, SVMR and VR, those that are there, to one prediction for each query, in
    their order. At most 100 predictions count, in the order given, whatever their scores; IoU is
    taken with the hull in single precision; of four or more annotators' spans two must overlap.
    SVMR passes over predictions in other videos. The tables by type are there if every query has
    one of TVR's types; a type without queries has no rows.
    """
    ranks = {
        task: np.array([_ranks(task, *pair) for pair in zip(rows, queries, strict=True)])
        for task, rows in tasks.items()
    }
    metrics: dict[str, object] = {task: _recall(task, values) for task, values in ranks.items()}
    types = np.array([query.query_type or "" for query in queries])
    if np.isin(types, TVR_TYPES).all():
        ratio = " ".join(f"{name} {percent(np.mean(types == name))}" for name in TVR_TYPES)
        for task, values in ranks.items():
            rows: dict[str, object] = {}
            for name in TVR_TYPES:
                if (types == name).any():
                    rows |= _recall(task, values[types == name], f"{name}-")
            metrics[f"{task}_by_type"] = rows | {"desc_type_ratio": ratio}
    return metrics


def _recall(task: str, ranks: NDArray[np.float64], prefix: str = "") -> dict[str, float | None]:
    """R@1, 5, 10 and 100 under TVR's keys, "0.5-r1" …, of ranks [q, 1 for VR or thresholds]."""
    labels = [""] if task == "VR" else [f"{threshold}-" for threshold in TVR_THRESHOLDS]
    return {
        f"{prefix}{label}r{k}": percent(recall_at(column, k))
        for label, column in zip(labels, ranks.T, strict=True)
        for k in TOP
    }


def _ranks(task: str, prediction: Prediction, query: Query) -> NDArray[np.float64]:
    prediction = prediction.first(MOST_PREDICTIONS)
    same_video = prediction.in_video(query.video)
    if task == "VR":
        return np.array([rank_of_first(same_video)])
    return moment_ranks(
        prediction.windows.astype(np.float32),
        same_video,
        np.array(query.spans, dtype=np.float32),
        TVR_THRESHOLDS,
        agreement=query.agreement,
        video_given=task == "SVMR",
    )


def score_qvhighlights(
    predictions: Sequence[Prediction], queries: Sequence[Query]
) -> dict[str, object]:
    """``{"brief": …, "HL-min-Fair": …, "full" | "long" | "middle" | "short": {"MR-mAP", "MR-R1"}}``
    as moment_detr's ``standalone_eval`` has it (Lei et al. 2021).

    ``predictions`` are in the order of ``queries``. A table of a length holds the queries with a
    true window of that length and, of their true windows, those. Moment tables are there if any
    query has windows, highlight tables if there are saliency scores. Where that evaluator would
    stop or skip, for a query without a predicted window or with the windows of another video, the
    query scores 0.
    """
    pairs = list(zip(predictions, queries, strict=True))
    brief: dict[str, float | None] = {}
    tables: dict[str, Table] = {}
    if any(map(len, predictions)):
        tables = {name: _moments(pairs, *bounds) for name, bounds in LENGTHS.items()}
        r1, precision = tables["full"]["MR-R1"], tables["full"]["MR-mAP"]
        brief = {f"MR-full-R1@{level}": r1[level] for level in ("0.5", "0.7")}
        brief |= {"MR-full-mAP": precision["average"]}
        brief |= {f"MR-full-mAP@{level}": precision[level] for level in ("0.5", "0.75")}
        for name in ("long", "middle", "short"):
            brief[f"MR-{name}-mAP"] = tables[name]["MR-mAP"]["average"]
    highlights: Table = {}
    if any(prediction.saliency is not None for prediction in predictions):
        highlights = _highlights(pairs)
    for name, row in highlights.items():
        brief |= {f"{name}-mAP": row["HL-mAP"], f"{name}-Hit1": row["HL-Hit1"]}
    parts: dict[str, object] = {**highlights, **tables}
    return {"brief": brief, **dict(sorted(parts.items()))}


def _moments(pairs: Pairs, over: float, up_to: float) -> Table:
    """The table of the true windows with over < length ≤ up_to."""
    precisions: list[NDArray[np.float64]] = []
    overlaps: list[float] = []
    for prediction, query in pairs:
        truth = [(start, end) for start, end in query.spans if over < end - start <= up_to]
        if not truth:
            continue
        considered = prediction.first(MAP_WINDOWS)
        windows, same_video = considered.windows, considered.in_video(query.video)
        precisions.append(
            moment_average_precision(windows, considered.scores, truth, same_video=same_video)
        )
        overlaps.append(best_overlap(windows[0], truth) if same_video[:1].any() else 0.0)
    none = np.full(len(MAP_THRESHOLDS), np.nan)
    average = np.mean(precisions, axis=0) if precisions else none
    recall = np.mean(np.array(overlaps)[:, None] >= MAP_THRESHOLDS, axis=0) if overlaps else none
    table: Table = {
        name: {str(level): percent(value) for level, value in zip(MAP_THRESHOLDS, row, strict=True)}
        for name, row in (("MR-mAP", average), ("MR-R1", recall))
    }
    table["MR-mAP"]["average"] = percent(average.mean())
    return table


def _highlights(pairs: Pairs) -> Table:
    truths = []
    for _, query in pairs:
        if query.saliency is None or query.duration is None:
            raise UsageError(
                f"Query {query.qid}: the predictions score saliency, but the truth holds no "
                '"saliency_scores". Leave "pred_saliency_scores" out of the predictions.'
            )
        truths.append(saliency_matrix(query.duration, query.saliency))
    # Of another video's clips nothing is said.
    said = [
        None if len(prediction) and not prediction.in_video(query.video)[0] else prediction.saliency
        for prediction, query in pairs
    ]
    table: Table = {}
    for name, least in LEVELS.items():
        judged = [(truth >= least, scores) for truth, scores in zip(truths, said, strict=True)]
        precision = [
            0.0 if scores is None else saliency_average_precision(positive, scores)
            for positive, scores in judged
        ]
        hits = [scores is not None and hit_at_one(positive, scores) for positive, scores in judged]
        table[f"HL-min-{name}"] = {
            "HL-mAP": percent(np.mean(precision)),
            "HL-Hit1": percent(np.mean(hits)),
        }
    return table
