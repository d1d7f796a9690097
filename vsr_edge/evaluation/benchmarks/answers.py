"""Predictions in JSON Lines: QVHighlights' for a given video, and this project's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast, get_args

import numpy as np

from vsr_edge.evaluation.reading import Row, as_row, json_lines, shown, unique, write_json_lines
from vsr_edge.evaluation.records import (
    MOST_PREDICTIONS,
    Judgement,
    Prediction,
    TaskPredictions,
)
from vsr_edge.types import Decision

_OWN_KEYS = (
    "qid",
    "query",
    "predictions",
    "decision",
    "confidence",
    "match_probability",
    "judged",
)


def read_qvhighlights(path: Path) -> dict[str, tuple[Prediction, ...]]:
    """moment_detr's predictions: ``qid, query, vid, pred_relevant_windows, pred_saliency_scores``.

    Windows are [start, end, score]; either list may be left out of the whole file, not of a row.
    """
    return {"SVMR": unique(_qvhighlights_rows(path))}


def _qvhighlights_rows(path: Path) -> Iterator[tuple[Row, Prediction]]:
    columns: set[str] | None = None
    for row in json_lines(path):
        given = {"pred_relevant_windows", "pred_saliency_scores"} & set(row.values)
        if columns is not None and given != columns:
            raise row.error(f"{', '.join(sorted(given ^ columns))}: in some rows, not in others")
        columns = given
        windows = row.rows("pred_relevant_windows") if "pred_relevant_windows" in given else None
        if windows is None or not len(windows):
            windows = np.empty((0, 3))
        if windows.shape[1] != 3:
            raise row.error('"pred_relevant_windows" must hold [start, end, score]')
        yield (
            row,
            Prediction(
                qid=row.identifier("qid"),
                query=row.text("query") if row.has("query") else "",
                videos=(row.text("vid"),) * len(windows) if len(windows) else (),
                windows=windows[:, :2],
                scores=windows[:, 2],
                saliency=row.numbers("pred_saliency_scores")
                if "pred_saliency_scores" in given
                else None,
            ),
        )


def write_qvhighlights(path: Path, tasks: TaskPredictions) -> None:
    """Moments of other videos than the first one's are left out: a row is about one video."""
    (predictions,) = tasks.values()
    write_json_lines(path, [_qvhighlights_row(prediction) for prediction in predictions])


def _qvhighlights_row(prediction: Prediction) -> dict[str, object]:
    given = prediction.videos[0] if prediction.videos else None
    row: dict[str, object] = {
        "qid": prediction.qid,
        "query": prediction.query,
        "vid": given,
        "pred_relevant_windows": [
            [*window, score]
            for video, window, score in prediction.listed(MOST_PREDICTIONS)
            if video == given
        ],
    }
    if prediction.saliency is not None:
        row["pred_saliency_scores"] = prediction.saliency.tolist()
    return row


def read_own(path: Path) -> dict[str, tuple[Prediction, ...]]:
    """This project's predictions, one object a line.

    ``{"qid", "query", "predictions": [[video, start, end, score], …], "decision", "confidence",
    "match_probability", "judged": [{"video", "matched", "probability"}, …]}``, as ``Prediction``
    describes them; the last four may be missing. Files from before ``match_probability`` state it
    as the confidence of a "match", and its complement as that of a "no_match".
    """
    return {"VCMR": unique((row, _own_prediction(row)) for row in json_lines(path))}


def _own_prediction(row: Row) -> Prediction:
    moments = row.items("predictions")
    for moment in moments:
        if not isinstance(moment, list) or len(moment) != 4 or not isinstance(moment[0], str):
            raise row.error(f'"predictions" must hold [video, start, end, score]: {shown(moment)}')
    listed = cast("list[list[object]]", moments)
    numbers = [[row.finite("predictions", part) for part in moment[1:]] for moment in listed]
    array = np.array(numbers, dtype=np.float64).reshape(-1, 3)
    decision = row.text("decision") if row.has("decision") else "unverified"
    if decision not in get_args(Decision):
        raise row.error(f'"decision" must be one of {", ".join(get_args(Decision))}')
    confidence, probability = _share(row, "confidence"), _share(row, "match_probability")
    if probability is None and confidence is not None and decision != "unverified":
        probability = confidence if decision == "match" else 1 - confidence
    judged = row.items("judged") if row.has("judged") else []
    return Prediction(
        qid=row.identifier("qid"),
        query=row.text("query") if row.has("query") else "",
        videos=tuple(str(moment[0]) for moment in listed),
        windows=array[:, :2],
        scores=array[:, 2],
        decision=cast("Decision", decision),
        confidence=confidence,
        judged=tuple(_judgement(as_row(row.path, row.line, item)) for item in judged),
        match_probability=probability,
        extra=row.extra(*_OWN_KEYS),
    )


def _share(row: Row, key: str) -> float | None:
    value = row.optional_number(key)
    if value is not None and not 0 <= value <= 1:
        raise row.error(f'"{key}" must lie between 0 and 1')
    return value


def _judgement(row: Row) -> Judgement:
    matched = row.get("matched")
    if not isinstance(matched, bool):
        raise row.error('"matched" must be true or false')
    return Judgement(row.text("video"), matched, row.optional_number("probability"))


def write_own(path: Path, tasks: TaskPredictions) -> None:
    (predictions,) = tasks.values()
    write_json_lines(path, [_own_row(prediction) for prediction in predictions])


def _own_row(prediction: Prediction) -> dict[str, object]:
    row: dict[str, object] = {
        "qid": prediction.qid,
        "query": prediction.query,
        "predictions": [
            [video, *window, score] for video, window, score in prediction.listed(MOST_PREDICTIONS)
        ],
        "decision": prediction.decision,
    }
    if prediction.confidence is not None:
        row["confidence"] = prediction.confidence
    if prediction.match_probability is not None:
        row["match_probability"] = prediction.match_probability
    if prediction.judged:
        row["judged"] = [
            {"video": item.video, "matched": item.matched, "probability": item.probability}
            for item in prediction.judged
        ]
    return {**prediction.extra, **row}
