"""The queries that went worst: what was right, what came instead, and how both look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vsr_edge.errors import UnreadableMedia
from vsr_edge.evaluation.records import MOST_PREDICTIONS, Prediction, Query, is_video
from vsr_edge.evaluation.scoring.archive import QueryScores
from vsr_edge.media.cut import thumbnails
from vsr_edge.types import Seconds

SHOWN = 3


@dataclass(frozen=True, slots=True)
class Still:
    """A moment to look at: the frame in its middle as JPEG, None if it could not be read."""

    label: str
    video: str
    start: Seconds
    end: Seconds
    jpeg: bytes | None

    @property
    def name(self) -> str:
        return Path(self.video).name


@dataclass(frozen=True, slots=True)
class WorstQuery:
    """One query that went wrong, with the truth (if there is any) and the first answers."""

    query: Query
    verdict: str
    rank: str
    truth: tuple[Still, ...]
    returned: tuple[Still, ...]


def worst_queries(
    predictions: Sequence[Prediction],
    queries: Sequence[Query],
    scores: QueryScores,
    videos: Sequence[str],
    count: int,
) -> list[WorstQuery]:
    """At most ``count`` queries that went wrong, the worst first.

    Present queries by the rank of the first right moment at IoU 0.5, then by how surely the wrong
    one came first; absent ones that were answered "match" go with those never found.
    """
    ranks = dict(zip(scores.qids, scores.moments[:, scores.thresholds.index(0.5)], strict=True))
    badness = []
    for place, (prediction, query) in enumerate(zip(predictions, queries, strict=True)):
        rank = ranks.get(query.qid, np.inf if prediction.decision == "match" else 1.0)
        first = float(prediction.scores[0]) if len(prediction) else 0.0
        badness.append((min(rank, MOST_PREDICTIONS + 1), first, -place))
    order = sorted(range(len(badness)), key=badness.__getitem__, reverse=True)
    chosen = [place for place in order if badness[place][0] > 1][:count]
    cutter = _Cutter()
    return [
        WorstQuery(
            queries[place],
            predictions[place].decision,
            _rank(ranks.get(queries[place].qid)),
            tuple(_truth(queries[place], videos, cutter)),
            tuple(_returned(predictions[place], cutter)),
        )
        for place in chosen
    ]


def _rank(rank: float | None) -> str:
    if rank is None:
        return "not in the archive"
    return f"not among the first {MOST_PREDICTIONS}" if np.isinf(rank) else f"rank {rank:.0f}"


def _truth(query: Query, videos: Sequence[str], cutter: _Cutter) -> Iterator[Still]:
    if query.video is None:
        return
    path = next((video for video in videos if is_video(query.video, video)), query.video)
    for start, end in query.spans[:1]:
        yield cutter.still("right", path, start, end)


def _returned(prediction: Prediction, cutter: _Cutter) -> Iterator[Still]:
    for rank, (video, (start, end), score) in enumerate(prediction.listed(SHOWN), 1):
        yield cutter.still(f"{rank}. score {score:.3f}", video, start, end)


class _Cutter:
    """Cuts stills, each once."""

    def __init__(self) -> None:
        self._cut: dict[tuple[str, float], bytes | None] = {}

    def still(self, label: str, video: str, start: Seconds, end: Seconds) -> Still:
        key = (video, (start + end) / 2)
        if key not in self._cut:
            self._cut[key] = _thumbnail(*key)
        return Still(label, video, start, end, self._cut[key])


def _thumbnail(video: str, time: Seconds) -> bytes | None:
    try:
        return thumbnails(Path(video), [time])[0]
    except UnreadableMedia:
        return None
