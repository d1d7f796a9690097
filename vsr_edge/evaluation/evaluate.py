"""Run queries through a real search; keep what is scored and how the search got there; save it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vsr_edge.answer import SearchResult
from vsr_edge.errors import UsageError
from vsr_edge.evaluation.benchmarks import PREDICTION_FORMATS, write_predictions
from vsr_edge.evaluation.records import (
    DURATION_KEY,
    Judgement,
    Prediction,
    Query,
    plain_name,
    video_names,
)
from vsr_edge.search.fusion import LOOK_UP
from vsr_edge.types import Seconds


@dataclass(frozen=True, slots=True)
class SearchPath:
    """What one search spent: ``counts`` of turns, refinements, soft tokens and sentences encoded,
    and milliseconds by stage, "total" among them.
    """

    counts: Mapping[str, int]
    timing_ms: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Run:
    """Queries with their answers, one for each, in the same order.

    ``missing`` are the videos that queries name and the archive lacks; ``interrupted`` says that
    there were more queries.
    """

    queries: tuple[Query, ...]
    predictions: tuple[Prediction, ...]
    paths: tuple[SearchPath, ...]
    missing: tuple[str, ...]
    interrupted: bool
    warm_up_seconds: Seconds = 0.0

    @property
    def search_seconds(self) -> Seconds:
        """What the searches alone took."""
        return sum(path.timing_ms["total"] for path in self.paths) / 1000


def run_queries(
    search: Callable[[str], SearchResult],
    queries: Sequence[Query],
    durations: Mapping[str, Seconds],
    on_progress: Callable[[int, int], None],
) -> Run:
    """Search for every query, one after another.

    ``durations`` maps the archive's videos to their lengths: true spans that were written as "to
    the end" are cut there. One search is made before the first that counts, so that no graph or
    cache is loaded on its time. Ctrl-C ends the run with what was answered.
    """
    lengths = durations_by_name(durations)
    known = [lengths.get(plain_name(query.video or "")) for query in queries]
    asked = [q if d is None else q.clipped(d) for q, d in zip(queries, known, strict=True)]
    named = dict.fromkeys(q.video for q, d in zip(queries, known, strict=True) if d is None)
    predictions: list[Prediction] = []
    paths: list[SearchPath] = []
    interrupted = False
    started, warm_up = time.perf_counter(), 0.0
    try:
        search(asked[0].query)
        warm_up = time.perf_counter() - started
        for query in asked:
            on_progress(len(paths), len(asked))
            result = search(query.query)
            predictions.append(_prediction(query, result))
            paths.append(_path(result))
    except KeyboardInterrupt:
        interrupted = True
    on_progress(len(paths), len(asked))
    return Run(
        tuple(asked[: len(paths)]),
        tuple(predictions[: len(paths)]),
        tuple(paths),
        tuple(video for video in named if video),
        interrupted,
        warm_up,
    )


def durations_by_name(durations: Mapping[str, Seconds]) -> dict[str, Seconds]:
    """Lengths by every name that means a video. Of namesakes the longest counts."""
    named: dict[str, Seconds] = {}
    for path, duration in durations.items():
        for name in video_names(path):
            named[name] = max(duration, named.get(name, 0.0))
    return named


def _prediction(query: Query, result: SearchResult) -> Prediction:
    """An answer in the form that is scored and saved."""
    moments, verdict = result.moments, result.verdict
    # Files of predictions require scores that fall from moment to moment: where some were verified,
    # these come first, by their probability, and inner products follow, moved below them.
    below = float(any(moment.match_probability is not None for moment in moments))
    scores = [
        m.score - below if m.match_probability is None else m.match_probability for m in moments
    ]
    if any(moment.source != "seen" for moment in moments):
        # Ranked by pictures and words, whose scores do not compare.
        scores = [1 / moment.rank for moment in moments]
    # The decision of each turn on the likeliest candidate that it brought up.
    likeliest = [turn.candidates[0] for turn in result.turns if turn.candidates]
    return Prediction(
        qid=query.qid,
        query=query.query,
        videos=tuple(str(moment.video) for moment in moments),
        windows=np.array([[m.start, m.end] for m in moments], dtype=np.float64).reshape(-1, 2),
        scores=np.array(scores, dtype=np.float64),
        decision=verdict.decision,
        confidence=verdict.confidence,
        match_probability=moments[0].match_probability if moments else None,
        judged=tuple(
            Judgement(str(candidate.video), chance >= verdict.threshold, chance)
            for candidate in likeliest
            if (chance := candidate.match_probability) is not None and verdict.threshold is not None
        ),
        extra={} if query.duration is None else {DURATION_KEY: query.duration},
    )


def _path(result: SearchResult) -> SearchPath:
    turns = [turn for turn in result.turns if turn.action != LOOK_UP]
    counts = {
        "turns": len(turns),
        "refinements": sum(turn.soft_tokens > 0 for turn in turns),
        "soft_tokens": sum(turn.soft_tokens for turn in turns),
        "encoder_calls": sum(turn.encoder_calls for turn in turns),
    }
    return SearchPath(counts, result.timing_ms)


def path_document(paths: Sequence[SearchPath]) -> dict[str, object]:
    """Means per query, and the median and 95th percentile of each stage's milliseconds."""

    def percentiles(stage: str) -> dict[str, float]:
        found = np.percentile([path.timing_ms.get(stage, 0.0) for path in paths], (50, 95))
        return dict(zip(("p50", "p95"), (round(float(ms), 3) for ms in found), strict=True))

    counts = {
        name: round(float(np.mean([path.counts[name] for path in paths])), 3)
        for name in paths[0].counts
    }
    stages = dict.fromkeys(stage for path in paths for stage in path.timing_ms)
    return {**counts, "latency_ms": {stage: percentiles(stage) for stage in stages}}


def check_format(format: str) -> None:
    """Raise ``UsageError`` for a format of predictions that there is not."""
    if format not in PREDICTION_FORMATS:
        raise UsageError(
            f"no format {format!r} for predictions; there is {', '.join(PREDICTION_FORMATS)}"
        )


def save_run(run: Run, path: Path, format: str) -> None:
    """Write the predictions of a run as ``tvr``, ``qvhighlights`` or ``jsonl``.

    The first two name videos as the queries do and pass over absent queries, which they cannot
    hold; ``jsonl`` keeps everything. Raises ``UsageError`` for an unknown format.
    """
    if format not in ("tvr", "qvhighlights"):
        write_predictions(path, {"VCMR": run.predictions}, format)
        return
    asked = {query.video for query in run.queries}
    found = {video for prediction in run.predictions for video in prediction.videos}
    names = {video: next((n for n in video_names(video) if n in asked), video) for video in found}
    everywhere, given = [], []
    for prediction, query in zip(run.predictions, run.queries, strict=True):
        if query.video is not None:
            named = replace(prediction, videos=tuple(names[video] for video in prediction.videos))
            everywhere.append(named)
            # What its search finds when the video is given.
            there = named.only(np.flatnonzero(named.in_video(query.video)).tolist())
            given.append(replace(there, videos=(query.video,) * len(there)))
    if format == "qvhighlights":
        write_predictions(path, {"SVMR": given}, format)
    else:
        rankings = [video_ranking(prediction) for prediction in everywhere]
        write_predictions(path, {"VCMR": everywhere, "SVMR": given, "VR": rankings}, format)


def video_ranking(prediction: Prediction) -> Prediction:
    """The videos of a list of moments, each once, as TVR's VR task has them (start and end 0)."""
    places = [prediction.videos.index(video) for video in dict.fromkeys(prediction.videos)]
    ranking = prediction.only(places)
    return replace(ranking, windows=np.zeros_like(ranking.windows))
