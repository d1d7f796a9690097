"""Run queries through a real search, and keep what is scored and how the search got there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vsr_edge.evaluation.records import DURATION_KEY, Judgement, Prediction, Query
from vsr_edge.types import Moment, SearchResult, Seconds

PERCENTILES = (50, 95)


@dataclass(frozen=True, slots=True)
class SearchPath:
    """What one search spent: turns, refinements, soft tokens, sentences encoded, and milliseconds
    by stage, "total" among them.
    """

    turns: int
    refinements: int
    soft_tokens: int
    encoder_calls: int
    timing_ms: Mapping[str, float]

    @classmethod
    def of(cls, result: SearchResult) -> SearchPath:
        turns = result.turns
        return cls(
            turns=len(turns),
            refinements=sum(turn.soft_tokens > 0 for turn in turns),
            soft_tokens=sum(turn.soft_tokens for turn in turns),
            encoder_calls=sum(turn.encoder_calls for turn in turns),
            timing_ms=result.timing_ms,
        )


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
    asked = tuple(_clipped(query, lengths) for query in queries)
    missing = dict.fromkeys(
        query.video for query in asked if query.video and _plain(query.video) not in lengths
    )
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
            predictions.append(prediction_of(query, result))
            paths.append(SearchPath.of(result))
    except KeyboardInterrupt:
        interrupted = True
    on_progress(len(paths), len(asked))
    done = len(paths)
    return Run(
        asked[:done],
        tuple(predictions[:done]),
        tuple(paths),
        tuple(missing),
        interrupted,
        warm_up,
    )


def durations_by_name(durations: Mapping[str, Seconds]) -> dict[str, Seconds]:
    """Lengths by every name that means a video: all endings of its path, with and without
    extension (:func:`vsr_edge.evaluation.records.is_video`). Of namesakes the longest counts.
    """
    named: dict[str, Seconds] = {}
    for path, duration in durations.items():
        parts = path.replace("\\", "/").split("/")
        stem, dot, _ = parts[-1].rpartition(".")
        for last in {parts[-1], stem if dot else parts[-1]}:
            for first in range(len(parts)):
                name = "/".join([*parts[first:-1], last])
                named[name] = max(duration, named.get(name, 0.0))
    return named


def _clipped(query: Query, lengths: Mapping[str, Seconds]) -> Query:
    known = None if query.video is None else lengths.get(_plain(query.video))
    return query if known is None else query.clipped(known)


def _plain(name: str) -> str:
    return name.replace("\\", "/").removeprefix("./")


def prediction_of(query: Query, result: SearchResult) -> Prediction:
    """An answer in the form that is scored and saved."""
    moments = result.moments
    extra = {} if query.duration is None else {DURATION_KEY: query.duration}
    return Prediction(
        qid=query.qid,
        query=query.query,
        videos=tuple(str(moment.video) for moment in moments),
        windows=np.array([[m.start, m.end] for m in moments], dtype=np.float64).reshape(-1, 2),
        scores=_ranking_scores(moments),
        decision=result.verdict.decision,
        confidence=result.verdict.confidence,
        match_probability=moments[0].match_probability if moments else None,
        judged=tuple(_judgements(result)),
        extra=extra,
    )


def _ranking_scores(moments: Sequence[Moment]) -> NDArray[np.float64]:
    """Scores that fall from moment to moment, as files of predictions require: where some were
    verified, these come first, by their probability, and inner products follow, moved below them.
    """
    if all(moment.match_probability is None for moment in moments):
        return np.array([moment.score for moment in moments], dtype=np.float64)
    given = ((moment.match_probability, moment.score) for moment in moments)
    return np.array([s - 1 if p is None else p for p, s in given], dtype=np.float64)


def _judgements(result: SearchResult) -> Iterator[Judgement]:
    """The decision of each turn on the likeliest candidate that it brought up."""
    threshold = result.verdict.threshold
    for turn in result.turns:
        chance = turn.candidates[0].match_probability if turn.candidates else None
        if threshold is not None and chance is not None:
            yield Judgement(str(turn.candidates[0].video), chance >= threshold, chance)


def path_document(paths: Sequence[SearchPath]) -> dict[str, object]:
    """Means per query, and the median and 95th percentile of each stage's milliseconds."""
    stages = dict.fromkeys(stage for path in paths for stage in path.timing_ms)
    latency = {
        stage: _percentiles(path.timing_ms.get(stage, 0.0) for path in paths) for stage in stages
    }
    counts = ("turns", "refinements", "soft_tokens", "encoder_calls")
    means = {name: round(float(np.mean([getattr(p, name) for p in paths])), 3) for name in counts}
    return {**means, "latency_ms": latency}


def _percentiles(values: Iterable[float]) -> dict[str, float]:
    found = np.percentile(list(values), PERCENTILES)
    return {f"p{p}": round(float(v), 3) for p, v in zip(PERCENTILES, found, strict=True)}
