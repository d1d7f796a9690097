"""Prediction files by the name of their format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from vsr_edge.errors import UsageError
from vsr_edge.evaluation.benchmarks import answers, submissions
from vsr_edge.evaluation.records import Prediction, TaskPredictions

Reader: TypeAlias = Callable[[Path], dict[str, tuple[Prediction, ...]]]
Writer: TypeAlias = Callable[[Path, TaskPredictions], None]

_FORMATS: Final[Mapping[str, tuple[Reader, Writer]]] = {
    "tvr": (submissions.read_tvr, submissions.write_tvr),
    "qvhighlights": (answers.read_qvhighlights, answers.write_qvhighlights),
    "jsonl": (answers.read_own, answers.write_own),
}
PREDICTION_FORMATS: Final = tuple(_FORMATS)


def read_predictions(path: Path, format: str) -> dict[str, tuple[Prediction, ...]]:
    """The predictions of a file by task: up to three for tvr, SVMR for qvhighlights (each query's
    video is given), VCMR for jsonl.

    Raises ``FormatError`` for a malformed row, and ``UsageError`` for an unknown format
    (``PREDICTION_FORMATS``) or a file that cannot be opened.
    """
    return _known(format)[0](path)


def write_predictions(path: Path, tasks: TaskPredictions, format: str) -> None:
    """Write predictions by task, as ``read_predictions`` gives them, at most 100 moments each.

    qvhighlights and jsonl hold one task.
    """
    if format != "tvr" and len(tasks) != 1:
        raise UsageError(f"{format} holds one task, not {len(tasks)}: {', '.join(tasks)}.")
    _known(format)[1](path, tasks)


def _known(format: str) -> tuple[Reader, Writer]:
    if format not in _FORMATS:
        raise UsageError(f'No format "{format}" for predictions; there is {", ".join(_FORMATS)}.')
    return _FORMATS[format]
