"""The queries that went worst: what was right, what came instead, and how both look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from vsr_edge.errors import UnreadableMedia
from vsr_edge.evaluation.archive_scores import THRESHOLDS, ArchiveScores
from vsr_edge.evaluation.metrics import pairwise_iou
from vsr_edge.evaluation.records import MOST_PREDICTIONS, Prediction, Query, is_video
from vsr_edge.media.cut import picture_at
from vsr_edge.media.picture import jpeg
from vsr_edge.types import Decision, Seconds

COUNT, SHOWN, THUMBNAIL_WIDTH = 20, 3, 240
# From which overlap on a moment counts as right here.
IOU = 0.5
_VERDICTS: dict[Decision, str] = {
    "match": "match",
    "no_match": "not there",
    "unverified": "none, nothing was verified",
}


class Still(NamedTuple):
    """A moment to look at: the frame in its middle as JPEG, None if it could not be read."""

    label: str
    remark: str
    video: str
    start: Seconds
    end: Seconds
    jpeg: bytes | None


class WorstQuery(NamedTuple):
    """One query that went wrong, with the truth (if there is any) and the first answers."""

    query: str
    verdict: str
    rank: str
    stills: list[Still]


def worst_queries(
    predictions: Sequence[Prediction],
    queries: Sequence[Query],
    scores: ArchiveScores,
    videos: Sequence[str],
    top_k: int,
) -> list[WorstQuery]:
    """At most ``COUNT`` queries that went wrong, the worst first; ``top_k`` moments were asked for.

    Present queries by the rank of the first right moment at IoU 0.5, then by how surely the wrong
    one came first; absent ones that were answered "match" go with those never found, and those
    whose right moment came first, only to be said not to be there, last.
    """
    ranks = scores.moments[:, THRESHOLDS.index(IOU)].tolist()
    rated = []
    for prediction, query, rank in zip(predictions, queries, ranks, strict=True):
        badness = min(rank, MOST_PREDICTIONS + 1)
        if prediction.decision != "match" and not query.present:
            badness = 1.0
        elif prediction.decision == "no_match":
            badness = max(badness, 1.5)
        first = float(prediction.scores[0]) if len(prediction) else 0.0
        rated.append(((badness, first), prediction, query, rank))
    rated.sort(key=itemgetter(0), reverse=True)
    # Each still is cut once.
    cut = cache(_thumbnail)
    return [
        WorstQuery(
            query.query,
            _VERDICTS[prediction.decision],
            _rank(rank, top_k) if query.present else "no video shows it",
            [
                Still(*moment, cut(moment[2], (moment[3] + moment[4]) / 2))
                for moment in _moments(prediction, query, videos)
            ],
        )
        for (badness, _), prediction, query, rank in rated[:COUNT]
        if badness > 1
    ]


def _rank(rank: float, top_k: int) -> str:
    missed = f"not among the first {min(top_k, MOST_PREDICTIONS)}"
    where = f"at rank {rank:.0f}" if rank <= MOST_PREDICTIONS else missed
    return f"the right moment (IoU at least {IOU}): {where}"


def _moments(
    prediction: Prediction, query: Query, videos: Sequence[str]
) -> Iterator[tuple[str, str, str, Seconds, Seconds]]:
    """The right moment and the first answers: label, remark, video, start and end."""
    if query.video is not None:
        path = next((video for video in videos if is_video(query.video, video)), query.video)
        remark = f"one of {len(query.spans)}" if len(query.spans) > 1 else ""
        yield "right", remark, path, *query.spans[0]
    for rank, (video, (start, end), score) in enumerate(prediction.listed(SHOWN), 1):
        label = f"{rank}. {_measure(prediction, score)}"
        yield label, _overlap(query, video, start, end), video, start, end


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
    return f"IoU {pairwise_iou([[start, end]], query.spans).max():.2f}"


def _thumbnail(video: str, time: Seconds) -> bytes | None:
    try:
        return jpeg(picture_at(Path(video), time, THUMBNAIL_WIDTH))
    except UnreadableMedia:
        return None
