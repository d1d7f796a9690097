"""Calibrate: how sure is sure? Real searches with known answers turn logits into probabilities.

The probability is that of the first moment lying in the right video. It depends on how often what
is asked for is there: on other archives and other questions it will be off, the more the less they
are alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.contract import CalibrationError
from models.logistic import logistic_fit
from vsr_edge.archive import Archive
from vsr_edge.evaluation.metrics import expected_calibration_error
from vsr_edge.evaluation.records import Query, is_video

# The share of right answers that the threshold lets through, and how often those must be right
# that end a search early.
ACCEPTED, SURE = 0.8, 0.9
FEWEST_SURE = 20
# Beside match logits of a few units; scores differ by some 0.1.
SCORE_WEIGHTS = tuple(float(weight) for weight in range(0, 41, 2))
TIE = 0.005
# Parts of the archive, drawn so often, that show what its size does.
SHARES, DRAWS = (1.0, 0.5, 0.25), 4
# Nothing added to the match logit, nothing done to it, and nothing accepted.
BLANK = {
    "score_weight": 0.0,
    "slope": 1.0,
    "bias": 0.0,
    "size_weight": 0.0,
    "fewest_frames": 1.0,
    "threshold": 1.0,
    "sure": 1.0,
}


@dataclass(frozen=True)
class Calibrated:
    """What the runtime needs (``vsr_edge.bundle.manifest.Calibration``), and what it gives on the
    queries that it comes from, in [0, 1]: ``precision`` of "match", the share of right answers that
    are ``accepted`` and of absent queries that are ``denied`` (None where nothing absent was asked
    for), the expected calibration error, and how often the right video is first in ``one_shot`` and
    after the ``loop``.
    """

    score_weight: float
    slope: float
    bias: float
    size_weight: float
    fewest_frames: float
    threshold: float
    sure: float
    precision: float
    accepted: float
    denied: float | None
    calibration_error: float
    one_shot: float
    loop: float
    queries: int

    def to_json(self) -> dict[str, float | None]:
        return {n: None if v is None else round(v, 5) for n, v in asdict(self).items()}


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Of n queries, the candidates that all turns judged: match logits, best frames' scores,
    numbers of videos, and which lie in the right one, [n, K] each, with a logit of −inf where there
    were fewer; whether the query could be answered, and whether one shot did, bool [n]; and how
    many frames were searched.
    """

    match: NDArray[np.float64]
    scores: NDArray[np.float64]
    videos: NDArray[np.intp]
    right: NDArray[np.bool_]
    present: NDArray[np.bool_]
    one_shot: NDArray[np.bool_]
    frames: int

    def of_videos(self, kept: NDArray[np.bool_], random: np.random.Generator) -> Answers:
        """As if only some of the videos, bool [v], were in the archive.

        Queries for the others are left out, and as many of the absent ones, so that as large a
        share as before is present.
        """
        share = float(kept.mean())
        match = np.where(kept[self.videos], self.match, -np.inf)
        right = self.right & kept[self.videos]
        # What no candidate shows may lie in any video.
        found = np.where(self.right.any(1), right.any(1), random.random(len(match)) < share)
        asked = (found & self.present) | (~self.present & (random.random(len(match)) < share))
        asked &= np.isfinite(match).any(1)
        return Answers(
            match[asked],
            self.scores[asked],
            self.videos[asked],
            right[asked],
            self.present[asked],
            self.one_shot[asked],
            max(round(self.frames * share), 1),
        )

    def first(self, weight: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """What the first candidate of each query has for an order, and whether it is right."""
        order = self.match + weight * self.scores
        chosen = order.argmax(axis=1)[:, None]
        return (
            np.take_along_axis(order, chosen, 1)[:, 0],
            np.take_along_axis(self.right, chosen, 1)[:, 0],
        )


def collect(archive: Archive, queries: Sequence[Query]) -> Answers:
    """Search for every query in all turns.

    The bundle's own calibration must be :data:`BLANK`, so that match logits come back.

    Raises:
        CalibrationError: a query was answered without a verdict.
    """
    stored = archive.videos()
    numbers = {video.video.path: number for number, video in enumerate(stored)}
    rows: list[list[tuple[float, float, int, bool]]] = []
    one_shot: list[bool] = []
    for query in queries:
        found = archive.search(query.query, top_k=1)
        once = archive.search(query.query, top_k=1, one_shot=True)
        judged = [candidate for turn in found.turns for candidate in turn.candidates]
        if any(candidate.match_probability is None for candidate in judged):
            raise CalibrationError(f"{query.query!r} was answered without a verdict")
        rows.append(
            [
                (
                    logit(candidate.match_probability or 0.0),
                    candidate.score,
                    numbers[candidate.video],
                    _is_right(query, candidate.video),
                )
                for candidate in judged
            ]
        )
        one_shot.append(bool(once.moments) and _is_right(query, once.moments[0].video))
    width = max(map(len, rows))

    def table(column: int, missing: float) -> NDArray[Any]:
        filled = [[one[column] for one in row] + [missing] * (width - len(row)) for row in rows]
        return np.array(filled)

    return Answers(
        match=table(0, -np.inf),
        scores=table(1, 0.0),
        videos=table(2, 0).astype(np.intp),
        right=table(3, False).astype(bool),
        present=np.array([query.present for query in queries]),
        one_shot=np.array(one_shot),
        frames=sum(video.frames for video in stored),
    )


def _is_right(query: Query, video: Path) -> bool:
    return query.present and is_video(query.video or "", str(video))


def logit(probability: float) -> float:
    """ln(p / (1 − p)), kept finite."""
    p = min(max(probability, 1e-12), 1 - 1e-12)
    return math.log(p / (1 - p))


def fit(answers: Answers, accepted: float = ACCEPTED) -> Calibrated:
    """The order that puts most right candidates first, how likely the first is right, and the
    threshold that lets so many of the right ones through.

    Raises:
        CalibrationError: no right or no wrong answers.
    """
    shares = {weight: answers.first(weight)[1].mean() for weight in SCORE_WEIGHTS}
    # The middle of the best: what is best by a hair is so by chance.
    best = [weight for weight, share in shares.items() if share >= max(shares.values()) - TIE]
    weight = best[len(best) // 2]
    order, right = answers.first(weight)
    if right.all() or not right.any():
        raise CalibrationError(
            "the answers are all right or all wrong: ask more, and for what is not there too"
        )
    slope, size_weight, bias = _fit_sizes(answers, weight)
    logits = slope * order + bias - size_weight * math.log(answers.frames / 1000)
    probability = 1 / (1 + np.exp(-logits))
    threshold = float(np.quantile(probability[right], 1 - accepted))
    match = probability >= threshold
    absent = ~answers.present
    return Calibrated(
        score_weight=weight,
        slope=slope,
        bias=bias,
        size_weight=size_weight,
        fewest_frames=max(min(SHARES) * answers.frames, 1.0),
        threshold=threshold,
        sure=max(_sure(probability, right), threshold),
        precision=float(right[match].mean()),
        accepted=float(match[right].mean()),
        denied=float((~match)[absent].mean()) if absent.any() else None,
        calibration_error=float(expected_calibration_error(probability, right)),
        one_shot=float(answers.one_shot.mean()),
        loop=float(right.mean()),
        queries=len(right),
    )


def _fit_sizes(answers: Answers, weight: float) -> tuple[float, float, float]:
    """Slope, weight of the archive's size, and bias."""
    random = np.random.default_rng(0)
    videos = int(answers.videos.max()) + 1
    features, labels = [], []
    for share in SHARES:
        for _ in range(1 if share == 1 else DRAWS):
            kept = np.zeros(videos, bool)
            kept[random.permutation(videos)[: max(round(share * videos), 1)]] = True
            part = answers if share == 1 else answers.of_videos(kept, random)
            order, right = part.first(weight)
            size = np.full(len(order), -math.log(part.frames / 1000))
            features.append(np.stack([order, size], 1))
            labels.append(right)
    (slope, size_weight), bias = logistic_fit(np.concatenate(features), np.concatenate(labels))
    if slope <= 0:
        raise CalibrationError("surer answers are no more often right: these heads know nothing")
    return float(slope), max(float(size_weight), 0.0), bias


def _sure(probability: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """The lowest probability from which on answers are right as often as ``SURE``, or 1."""
    order = np.argsort(-probability)
    precision = right[order].cumsum() / np.arange(1, len(order) + 1)
    enough = np.flatnonzero((precision >= SURE) & (np.arange(len(order)) + 1 >= FEWEST_SURE))
    return float(probability[order[enough[-1]]]) if len(enough) else 1.0
