"""TVR's evaluator: VCMR, SVMR and VR recall, in all and by the type of query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vsr_edge.evaluation.records import MOST_PREDICTIONS, Prediction, Query
from vsr_edge.evaluation.retrieval import (
    correct_moments,
    moment_ranks,
    rank_of_first,
)
from vsr_edge.evaluation.scoring.tables import percent, recall_table, threshold_labels

THRESHOLDS: Final = (0.5, 0.7)
TYPES: Final = ("v", "t", "vt")


def score_tvr(
    tasks: Mapping[str, Sequence[Prediction]],
    queries: Sequence[Query],
    thresholds: Sequence[float] = THRESHOLDS,
) -> dict[str, object]:
    """``{"VCMR": {"0.5-r1": …}, …, "VCMR_by_type": …}`` as TVR's ``standalone_eval`` has it.

    ``tasks`` maps VCMR, SVMR and VR, those that are there, to one prediction for each query, in
    their order. At most 100 predictions count, in the order given, whatever their scores; IoU is
    taken with the hull in single precision; of four or more annotators' spans two must overlap.
    SVMR passes over predictions in other videos. The tables by type are there if every query has
    one of TVR's types; a type without queries has no rows.
    """
    ranks = {
        task: np.array(
            [_ranks(task, row, query, thresholds) for row, query in zip(rows, queries, strict=True)]
        )
        for task, rows in tasks.items()
    }
    metrics: dict[str, object] = {
        task: recall_table(values, _labels(task, thresholds)) for task, values in ranks.items()
    }
    types = np.array([query.query_type or "" for query in queries])
    if np.isin(types, TYPES).all():
        ratio = " ".join(f"{name} {percent(np.mean(types == name))}" for name in TYPES)
        for task, values in ranks.items():
            rows: dict[str, object] = {}
            for name in TYPES:
                if (types == name).any():
                    rows |= recall_table(
                        values[types == name], _labels(task, thresholds), f"{name}-"
                    )
            metrics[f"{task}_by_type"] = rows | {"desc_type_ratio": ratio}
    return metrics


def _labels(task: str, thresholds: Sequence[float]) -> list[str]:
    return [""] if task == "VR" else threshold_labels(thresholds)


def _ranks(
    task: str, prediction: Prediction, query: Query, thresholds: Sequence[float]
) -> NDArray[np.float64]:
    prediction = prediction.first(MOST_PREDICTIONS)
    same_video = prediction.in_video(query.video)
    if task == "VR":
        return np.array([rank_of_first(same_video)])
    correct = correct_moments(
        prediction.windows.astype(np.float32),
        same_video,
        np.array(query.spans, dtype=np.float32),
        thresholds,
        agreement=query.agreement,
    )
    return moment_ranks(correct, same_video if task == "SVMR" else None)
