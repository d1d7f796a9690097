"""A run's answers as a file of predictions, in a form that others' evaluators read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vsr_edge.errors import UsageError
from vsr_edge.evaluation.benchmarks import PREDICTION_FORMATS, video_ranking, write_predictions
from vsr_edge.evaluation.records import Prediction, Query, TaskPredictions
from vsr_edge.evaluation.run import Run, durations_by_name


def save_run(run: Run, path: Path, format: str) -> None:
    """Write the predictions of a run as ``tvr``, ``qvhighlights`` or ``jsonl``.

    The first two name videos as the queries do and pass over absent queries, which they cannot
    hold; ``jsonl`` keeps everything. Raises ``UsageError`` for an unknown format.
    """
    write_predictions(path, _tasks(run, format), format)


def check_format(format: str) -> None:
    """Raise ``UsageError`` for a format of predictions that there is not."""
    if format not in PREDICTION_FORMATS:
        raise UsageError(
            f"no format {format!r} for predictions; there is {', '.join(PREDICTION_FORMATS)}"
        )


def _tasks(run: Run, format: str) -> TaskPredictions:
    if format not in ("tvr", "qvhighlights"):
        return {"VCMR": run.predictions}
    named = _named_as_asked(run.predictions, run.queries)
    pairs = [(p, q) for p, q in zip(named, run.queries, strict=True) if q.present]
    given = [_in_given_video(prediction, query) for prediction, query in pairs]
    if format == "qvhighlights":
        return {"SVMR": given}
    everywhere = [prediction for prediction, _ in pairs]
    return {"VCMR": everywhere, "SVMR": given, "VR": [video_ranking(p) for p in everywhere]}


def _in_given_video(prediction: Prediction, query: Query) -> Prediction:
    """The moments in the query's own video: what its search finds when the video is given."""
    kept = prediction.in_video(query.video)
    return replace(
        prediction,
        videos=(query.video or "",) * int(kept.sum()),
        windows=prediction.windows[kept],
        scores=prediction.scores[kept],
    )


def _named_as_asked(
    predictions: Sequence[Prediction], queries: Sequence[Query]
) -> list[Prediction]:
    """The predictions with each video's path cut to the name that a query has for it, if any."""
    asked = {query.video for query in queries}
    found = {video for prediction in predictions for video in prediction.videos}
    names = {
        video: next((name for name in durations_by_name({video: 0.0}) if name in asked), video)
        for video in found
    }
    return [
        replace(prediction, videos=tuple(names[video] for video in prediction.videos))
        for prediction in predictions
    ]
