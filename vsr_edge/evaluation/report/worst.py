"""The queries that went worst: what was right, what came instead, and how both look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vsr_edge.errors import UnreadableMedia
from vsr_edge.evaluation.iou import pairwise_iou
from vsr_edge.evaluation.records import MOST_PREDICTIONS, Prediction, Query, is_video
from vsr_edge.evaluation.scoring.archive import QueryScores
from vsr_edge.media.cut import thumbnails
from vsr_edge.types import Decision, Seconds

SHOWN = 3
# From which overlap on a moment counts as right here.
IOU = 0.5
_VERDICTS: dict[Decision, str] = {
    "match": "match",
    "no_match": "not there",
    "unverified": "none, nothing was verified",
}


@dataclass(frozen=True, slots=True)
class Still:
    """A moment to look at: the frame in its middle as JPEG, None if it could not be read."""

    label: str
    remark: str
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
    top_k: int,
) -> list[WorstQuery]:
    """At most ``count`` queries that went wrong, the worst first; ``top_k`` moments were asked for.

    Present queries by the rank of the first right moment at IoU 0.5, then by how surely the wrong
    one came first; absent ones that were answered "match" go with those never found, and those
    whose right moment came first, only to be said not to be there, last.
    """
    ranks = dict(zip(scores.qids, scores.moments[:, scores.thresholds.index(IOU)], strict=True))
    badness = []
    for place, (prediction, query) in enumerate(zip(predictions, queries, strict=True)):
        rank = ranks.get(query.qid, np.inf if prediction.decision == "match" else 1.0)
        first = float(prediction.scores[0]) if len(prediction) else 0.0
        if query.present and prediction.decision == "no_match":
            rank = max(rank, 1.5)
        badness.append((min(rank, MOST_PREDICTIONS + 1), first, -place))
    order = sorted(range(len(badness)), key=badness.__getitem__, reverse=True)
    chosen = [place for place in order if badness[place][0] > 1][:count]
    cutter = _Cutter()
    return [
        WorstQuery(
            queries[place],
            _VERDICTS[predictions[place].decision],
            _rank(ranks.get(queries[place].qid), min(top_k, MOST_PREDICTIONS)),
            tuple(_truth(queries[place], videos, cutter)),
            tuple(_returned(predictions[place], queries[place], cutter)),
        )
        for place in chosen
    ]


def _rank(rank: float | None, asked: int) -> str:
    if rank is None:
        return "no video shows it"
    where = f"not among the first {asked}" if np.isinf(rank) else f"at rank {rank:.0f}"
    return f"the right moment (IoU at least {IOU}): {where}"


def _truth(query: Query, videos: Sequence[str], cutter: _Cutter) -> Iterator[Still]:
    if query.video is None:
        return
    path = next((video for video in videos if is_video(query.video, video)), query.video)
    for start, end in query.spans[:1]:
        more = len(query.spans) - 1
        yield cutter.still("right", f"one of {more + 1}" if more else "", path, start, end)


def _returned(prediction: Prediction, query: Query, cutter: _Cutter) -> Iterator[Still]:
    for rank, (video, (start, end), score) in enumerate(prediction.listed(SHOWN), 1):
        label = f"{rank}. {_measure(prediction, score)}"
        yield cutter.still(label, _overlap(query, video, start, end), video, start, end)


def _measure(prediction: Prediction, score: float) -> str:
    """What a moment was ranked by, as `search` names it."""
    if prediction.match_probability is None:
        return f"score {score:.3f}"
    # What was not verified stands behind, its inner product moved below every probability.
    return f"match {score:.0%}" if score >= 0 else f"score {score + 1:.3f}"


def _overlap(query: Query, video: str, start: Seconds, end: Seconds) -> str:
    if query.video is None:
        return ""
    if not is_video(query.video, video):
        return "another video"
    return f"IoU {pairwise_iou(np.array([[start, end]]), query.spans).max():.2f}"


class _Cutter:
    """Cuts stills, each once."""

    def __init__(self) -> None:
        self._cut: dict[tuple[str, float], bytes | None] = {}

    def still(self, label: str, remark: str, video: str, start: Seconds, end: Seconds) -> Still:
        key = (video, (start + end) / 2)
        if key not in self._cut:
            self._cut[key] = _thumbnail(*key)
        return Still(label, remark, video, start, end, self._cut[key])


def _thumbnail(video: str, time: Seconds) -> bytes | None:
    try:
        return thumbnails(Path(video), [time])[0]
    except UnreadableMedia:
        return None
