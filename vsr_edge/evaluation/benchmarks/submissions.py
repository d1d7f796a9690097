"""TVR's submissions: up to three tasks in one file, videos by number."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vsr_edge.errors import UsageError
from vsr_edge.evaluation.reading import FormatError, JsonDocument, Row, unique, write_json
from vsr_edge.evaluation.records import MOST_PREDICTIONS, Prediction, TaskPredictions

TASKS: Final = ("VCMR", "SVMR", "VR")


def read_tvr(path: Path) -> dict[str, tuple[Prediction, ...]]:
    """A TVR submission: ``{"video2idx" or "vid2idx": {name: int}, "VCMR" | "SVMR" | "VR": rows}``.

    A row is ``{"desc_id", "desc", "predictions": [[video's number, start, end, score], …]}``, best
    first; the score may be missing. A number that the map does not hold stands for a video of
    another name.
    """
    document = JsonDocument(path)
    names: dict[int, str] | None = None
    tasks: dict[str, list[tuple[Row, NDArray[np.float64]]]] = {}
    for key in document.members():
        if key in ("video2idx", "vid2idx"):
            row = document.row()
            names = {int(row.number(name)): name for name in row.values}
        elif key in TASKS:
            tasks[key] = [_tvr_row(document.row()) for _ in document.elements()]
        else:
            document.value()
    document.end()
    if names is None:
        raise FormatError(path, 1, '"video2idx" (or "vid2idx") is missing')
    if not tasks:
        raise FormatError(path, 1, f"none of {', '.join(TASKS)} is there")
    return {
        task: unique((row, _tvr_prediction(row, array, names)) for row, array in tasks[task])
        for task in TASKS
        if task in tasks
    }


def _tvr_row(row: Row) -> tuple[Row, NDArray[np.float64]]:
    array = row.rows("predictions")
    if len(array) and array.shape[1] < 3:
        raise row.error('"predictions" must hold [video, start, end, score]')
    kept = {key: row.values[key] for key in ("desc_id", "desc") if key in row.values}
    return Row(row.path, row.line, kept), array


def _tvr_prediction(row: Row, array: NDArray[np.float64], names: Mapping[int, str]) -> Prediction:
    array = array if len(array) else np.empty((0, 4))
    return Prediction(
        qid=row.identifier("desc_id"),
        query=row.text("desc") if row.has("desc") else "",
        videos=tuple(names.get(int(number), f"#{int(number)}") for number in array[:, 0]),
        windows=array[:, 1:3],
        scores=array[:, 3] if array.shape[1] > 3 else np.zeros(len(array)),
    )


def write_tvr(path: Path, tasks: TaskPredictions) -> None:
    if unknown := set(tasks) - set(TASKS):
        raise UsageError(f"tvr holds the tasks {', '.join(TASKS)}, not {', '.join(unknown)}.")
    every = [prediction for rows in tasks.values() for prediction in rows]
    names = sorted({video for prediction in every for video in prediction.videos})
    numbers = {name: number for number, name in enumerate(names)}
    submission: dict[str, object] = {"video2idx": numbers}
    for task, predictions in tasks.items():
        submission[task] = [
            {
                "desc_id": prediction.qid,
                "desc": prediction.query,
                "predictions": [
                    [numbers[video], *window, score]
                    for video, window, score in prediction.listed(MOST_PREDICTIONS)
                ],
            }
            for prediction in predictions
        ]
    write_json(path, submission)


def video_ranking(prediction: Prediction) -> Prediction:
    """The videos of a list of moments, each once, as TVR's VR task has them (start and end 0)."""
    first: dict[str, int] = {}
    for place, video in enumerate(prediction.videos):
        first.setdefault(video, place)
    places = list(first.values())
    return Prediction(
        qid=prediction.qid,
        query=prediction.query,
        videos=tuple(prediction.videos[place] for place in places),
        windows=np.zeros((len(places), 2)),
        scores=prediction.scores[places],
    )
