"""moment_detr's evaluator for QVHighlights: moments in a given video, and its highlights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from vsr_edge.errors import UsageError
from vsr_edge.evaluation.moments import (
    MAP_THRESHOLDS,
    MAP_WINDOWS,
    best_overlap,
    moment_average_precision,
)
from vsr_edge.evaluation.records import Prediction, Query, Span
from vsr_edge.evaluation.saliency import (
    LEVELS,
    hit_at_one,
    saliency_average_precision,
    saliency_matrix,
)
from vsr_edge.evaluation.scoring.tables import percent

# Over which seconds and up to which a true window belongs to a table; "full" takes all.
LENGTHS: Final = {
    "short": (0.0, 10.0),
    "middle": (10.0, 30.0),
    "long": (30.0, 150.0),
    "full": (-np.inf, np.inf),
}

Table = dict[str, dict[str, float | None]]


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
    tables: dict[str, Table] = {}
    if any(len(prediction) for prediction in predictions):
        tables |= {name: _moments(pairs, *bounds) for name, bounds in LENGTHS.items()}
    highlights = {}
    if any(prediction.saliency is not None for prediction in predictions):
        highlights = _highlights(pairs)
    brief: dict[str, float | None] = {}
    if tables:
        r1, full = tables["full"]["MR-R1"], tables["full"]["MR-mAP"]
        brief = {f"MR-full-R1@{level}": r1[level] for level in ("0.5", "0.7")}
        brief |= {"MR-full-mAP": full["average"]}
        brief |= {f"MR-full-mAP@{level}": full[level] for level in ("0.5", "0.75")}
        brief |= {
            f"MR-{name}-mAP": tables[name]["MR-mAP"]["average"]
            for name in ("long", "middle", "short")
        }
    for name, row in highlights.items():
        brief |= {f"{name}-mAP": row["HL-mAP"], f"{name}-Hit1": row["HL-Hit1"]}
    parts = cast("dict[str, object]", highlights | tables)
    return {"brief": brief, **{name: parts[name] for name in sorted(parts)}}


def _moments(pairs: Sequence[tuple[Prediction, Query]], over: float, up_to: float) -> Table:
    """The table of the true windows with over < length ≤ up_to."""
    precisions: list[NDArray[np.float64]] = []
    overlaps: list[float] = []
    for prediction, query in pairs:
        truth = [span for span in query.spans if over < _length(span) <= up_to]
        if not truth:
            continue
        considered = prediction.first(MAP_WINDOWS)
        same_video = considered.in_video(query.video)
        precisions.append(
            moment_average_precision(
                considered.windows, considered.scores, truth, same_video=same_video
            )
        )
        given = len(considered) > 0 and bool(same_video[0])
        overlaps.append(best_overlap(considered.windows[0], truth) if given else 0.0)
    levels = [str(threshold) for threshold in MAP_THRESHOLDS]
    if not precisions:
        nothing: dict[str, float | None] = dict.fromkeys(levels)
        return {"MR-mAP": nothing | {"average": None}, "MR-R1": dict(nothing)}
    average = np.mean(precisions, axis=0)
    recall = [np.mean(np.array(overlaps) >= threshold) for threshold in MAP_THRESHOLDS]
    return {
        "MR-mAP": {
            **{level: percent(value) for level, value in zip(levels, average, strict=True)},
            "average": percent(average.mean()),
        },
        "MR-R1": {level: percent(value) for level, value in zip(levels, recall, strict=True)},
    }


def _length(span: Span) -> float:
    return span[1] - span[0]


def _highlights(pairs: Sequence[tuple[Prediction, Query]]) -> Table:
    matrices = [_saliency_truth(query) for _, query in pairs]
    scores = [_saliency_of_its_video(prediction, query) for prediction, query in pairs]
    table: Table = {}
    for name, least in LEVELS.items():
        judged = [(matrix >= least, row) for matrix, row in zip(matrices, scores, strict=True)]
        precision = [
            0.0 if row is None else saliency_average_precision(positive, row)
            for positive, row in judged
        ]
        hits = [row is not None and hit_at_one(positive, row) for positive, row in judged]
        table[f"HL-min-{name}"] = {
            "HL-mAP": percent(np.mean(precision)),
            "HL-Hit1": percent(np.mean(hits)),
        }
    return table


def _saliency_of_its_video(prediction: Prediction, query: Query) -> NDArray[np.float64] | None:
    elsewhere = len(prediction) > 0 and not prediction.in_video(query.video)[0]
    return None if elsewhere else prediction.saliency


def _saliency_truth(query: Query) -> NDArray[np.float64]:
    if query.saliency is None or query.duration is None:
        raise UsageError(
            f"Query {query.qid}: the predictions score saliency, but the truth holds no "
            '"saliency_scores". Leave "pred_saliency_scores" out of the predictions.'
        )
    return saliency_matrix(query.duration, query.saliency)
