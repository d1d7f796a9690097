"""Prediction files: what a search answered, in TVR's, QVHighlights' and this project's own form."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final, TypeAlias, cast, get_args

import numpy as np

from vsr_edge.errors import UsageError
from vsr_edge.evaluation.benchmarks.reading import (
    FormatError,
    Row,
    Source,
    json_line,
    shown,
    unique,
    write_text,
)
from vsr_edge.evaluation.records import MOST_PREDICTIONS, Judgement, Prediction, TaskPredictions
from vsr_edge.types import Decision

TASKS: Final = ("VCMR", "SVMR", "VR")
_SALIENCY, _WINDOWS = "pred_saliency_scores", "pred_relevant_windows"

ReadTasks: TypeAlias = dict[str, tuple[Prediction, ...]]
Reader: TypeAlias = Callable[[Path], ReadTasks]
Writer: TypeAlias = Callable[[TaskPredictions], str]


def read_predictions(path: Path, format: str) -> ReadTasks:
    """The predictions of a file by task: up to three for tvr, SVMR for qvhighlights (each query's
    video is given), VCMR for jsonl.

    Raises ``FormatError`` for a malformed row, and ``UsageError`` for an unknown format
    (``PREDICTION_FORMATS``) or a file that cannot be opened.
    """
    check_known(format)
    return _FORMATS[format][0](path)


def write_predictions(path: Path, tasks: TaskPredictions, format: str) -> None:
    """Write predictions by task, as ``read_predictions`` gives them, at most 100 moments each.

    qvhighlights and jsonl hold one task.
    """
    if format != "tvr" and len(tasks) != 1:
        raise UsageError(f"{format} holds one task, not {len(tasks)}: {', '.join(tasks)}.")
    check_known(format)
    write_text(path, _FORMATS[format][1](tasks))


def check_known(format: str) -> None:
    """Raise ``UsageError`` for a format of predictions that there is not."""
    if format not in _FORMATS:
        raise UsageError(f'No format "{format}" for predictions; there is {", ".join(_FORMATS)}.')


def _read_tvr(path: Path) -> ReadTasks:
    """A TVR submission: ``{"video2idx" or "vid2idx": {name: int}, "VCMR" | "SVMR" | "VR": rows}``.

    A row is ``{"desc_id", "desc", "predictions": [[video's number, start, end, score], …]}``, best
    first; the score may be missing. A number that the map does not hold stands for a video of
    another name.
    """
    source = Source(path)
    names: dict[str, str] = {}
    tasks: ReadTasks = {}
    seen = set()
    for key in source.members():
        seen.add(key)
        if key in ("video2idx", "vid2idx"):
            row = source.row()
            names = {_by_number(row.number(name)): name for name in row.values}
        elif key in TASKS:
            rows = (source.row() for _ in source.elements())
            tasks[key] = unique((row, _tvr_prediction(row)) for row in rows)
        else:
            source.value()
    source.end()
    if not seen & {"video2idx", "vid2idx"}:
        raise FormatError(path, 1, '"video2idx" (or "vid2idx") is missing')
    if not tasks:
        raise FormatError(path, 1, f"none of {', '.join(TASKS)} is there")
    return {
        task: tuple(
            replace(one, videos=tuple(names.get(video, video) for video in one.videos))
            for one in tasks[task]
        )
        for task in TASKS
        if task in tasks
    }


def _tvr_prediction(row: Row) -> Prediction:
    """A row whose videos are called by their numbers: the map may come after it."""
    array = row.table("predictions")
    if len(array) and array.shape[1] < 3:
        raise row.error('"predictions" must hold [video, start, end, score]')
    array = array if len(array) else np.empty((0, 4))
    return Prediction(
        qid=row.identifier("desc_id"),
        query=row.optional_text("desc") or "",
        videos=tuple(map(_by_number, array[:, 0])),
        windows=array[:, 1:3],
        scores=array[:, 3] if array.shape[1] > 3 else np.zeros(len(array)),
    )


def _by_number(number: float) -> str:
    return f"#{int(number)}"


def _tvr_text(tasks: TaskPredictions) -> str:
    if unknown := set(tasks) - set(TASKS):
        raise UsageError(f"tvr holds the tasks {', '.join(TASKS)}, not {', '.join(unknown)}.")
    found = {video for rows in tasks.values() for row in rows for video in row.videos}
    numbers = {name: number for number, name in enumerate(sorted(found))}

    def listed(prediction: Prediction) -> list[list[float]]:
        moments = prediction.listed(MOST_PREDICTIONS)
        return [[numbers[video], *window, score] for video, window, score in moments]

    rows = {
        task: [
            {"desc_id": row.qid, "desc": row.query, "predictions": listed(row)}
            for row in predictions
        ]
        for task, predictions in tasks.items()
    }
    return json_line({"video2idx": numbers, **rows})


def _read_qvhighlights(path: Path) -> Iterator[tuple[Row, Prediction]]:
    """moment_detr's predictions: ``qid, query, vid, pred_relevant_windows, pred_saliency_scores``.

    Windows are [start, end, score]; either list may be left out of the whole file, not of a row.
    """
    columns: set[str] | None = None
    for row in Source(path).rows():
        given = {_WINDOWS, _SALIENCY} & set(row.values)
        if columns is not None and given != columns:
            raise row.error(f"{', '.join(sorted(given ^ columns))}: in some rows, not in others")
        columns = given
        windows = row.table(_WINDOWS) if _WINDOWS in given else np.empty(0)
        if len(windows) and windows.shape[1] != 3:
            raise row.error(f'"{_WINDOWS}" must hold [start, end, score]')
        windows = windows.reshape(-1, 3)
        prediction = Prediction(
            qid=row.identifier("qid"),
            query=row.optional_text("query") or "",
            videos=(row.text("vid"),) * len(windows) if len(windows) else (),
            windows=windows[:, :2],
            scores=windows[:, 2],
            saliency=row.numbers(_SALIENCY) if _SALIENCY in given else None,
        )
        yield row, prediction


def _qvhighlights_row(prediction: Prediction) -> dict[str, object]:
    """Moments of other videos than the first one's are left out: a row is about one video."""
    given = prediction.videos[0] if prediction.videos else None
    row: dict[str, object] = {
        "qid": prediction.qid,
        "query": prediction.query,
        "vid": given,
        _WINDOWS: [
            [*window, score]
            for video, window, score in prediction.listed(MOST_PREDICTIONS)
            if video == given
        ],
    }
    if prediction.saliency is not None:
        row[_SALIENCY] = prediction.saliency.tolist()
    return row


def _read_own(path: Path) -> Iterator[tuple[Row, Prediction]]:
    return ((row, _own_prediction(row)) for row in Source(path).rows())


def _own_prediction(row: Row) -> Prediction:
    """A row of this project's predictions.

    ``{"qid", "query", "predictions": [[video, start, end, score], …], "decision", "confidence",
    "match_probability", "judged": [{"video", "matched", "probability"}, …]}``, as ``Prediction``
    describes them; the last four may be missing. Files from before ``match_probability`` state it
    as the confidence of a "match", and its complement as that of a "no_match".
    """
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
    return Prediction(
        qid=row.identifier("qid"),
        query=row.optional_text("query") or "",
        videos=tuple(str(moment[0]) for moment in listed),
        windows=array[:, :2],
        scores=array[:, 2],
        decision=cast("Decision", decision),
        confidence=confidence,
        judged=tuple(map(_judgement, row.parts("judged"))),
        match_probability=probability,
        extra=row.extra(
            *("qid", "query", "predictions", "decision"),
            *("confidence", "match_probability", "judged"),
        ),
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


def _own_row(prediction: Prediction) -> dict[str, object]:
    optional = {
        "confidence": prediction.confidence,
        "match_probability": prediction.match_probability,
        "judged": [asdict(judgement) for judgement in prediction.judged] or None,
    }
    return {
        **prediction.extra,
        "qid": prediction.qid,
        "query": prediction.query,
        "predictions": [
            [video, *window, score] for video, window, score in prediction.listed(MOST_PREDICTIONS)
        ],
        "decision": prediction.decision,
        **{key: value for key, value in optional.items() if value is not None},
    }


def _lines(
    task: str,
    read: Callable[[Path], Iterator[tuple[Row, Prediction]]],
    row: Callable[[Prediction], dict[str, object]],
) -> tuple[Reader, Writer]:
    """JSON Lines about one task."""
    return (
        lambda path: {task: unique(read(path))},
        lambda tasks: "".join(json_line(row(one)) for rows in tasks.values() for one in rows),
    )


_FORMATS: Final[Mapping[str, tuple[Reader, Writer]]] = {
    "tvr": (_read_tvr, _tvr_text),
    "qvhighlights": _lines("SVMR", _read_qvhighlights, _qvhighlights_row),
    "jsonl": _lines("VCMR", _read_own, _own_row),
}
PREDICTION_FORMATS: Final = tuple(_FORMATS)
