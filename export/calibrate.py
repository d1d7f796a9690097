"""Calibrate: how sure is sure? Real searches with known answers turn logits into probabilities.

The probability is that of the first moment lying in the right video. It is to mean the same on
three videos and on hundreds: so parts of the archive are asked, of all sizes, and each size counts
alike. It depends on how often what is asked for is there, which is half of the time here: on other
questions it will be off, the more the less they are alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.contract import CalibrationError
from models.logistic import ACCEPTED, FEWEST_SURE, SURE, logistic_fit
from vsr_edge.archive import Archive
from vsr_edge.evaluation.metrics import expected_calibration_error
from vsr_edge.evaluation.records import Query, is_video
from vsr_edge.query import SearchOptions
from vsr_edge.search.candidates import Asked
from vsr_edge.types import StoredVideo

NOTHING_TO_LEARN = "the answers are all right or all wrong: ask more, and for what is not there too"
# Beside match logits of a few units; scores differ by some 0.1.
SCORE_WEIGHTS = tuple(float(weight) for weight in range(0, 41, 2))
TIE = 0.005
# Parts of an archive, of so many videos, and about how many queries are asked of each size.
SIZES, ASKED = (3, 10, 30, 100, 300), 300
# Nothing added to the match logit, nothing done to it, and nothing accepted.
BLANK = {
    "score_weight": 0.0,
    "slope": 1.0,
    "bias": 0.0,
    "size_weight": 0.0,
    "z_weight": 0.0,
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
    z_weight: float
    fewest_frames: float
    threshold: float
    sure: float
    absent: float
    absent_of_wrong: float
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
    """Of n queries, the candidates that all turns judged: match logits, best frames' scores and
    their standardised values, and which lie in the right video, [n, K] each, with a logit of −inf
    where there were fewer; how many frames were searched for each [n]; whether the query could be
    answered, and whether one shot did, bool [n].
    """

    match: NDArray[np.float64]
    scores: NDArray[np.float64]
    z: NDArray[np.float64]
    right: NDArray[np.bool_]
    frames: NDArray[np.float64]
    present: NDArray[np.bool_]
    one_shot: NDArray[np.bool_]

    def first(
        self, weight: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """What the first candidate of each query has for an order and for a standardised score, and
        whether it is right.
        """
        order = self.match + weight * self.scores
        rows, chosen = np.arange(len(order)), order.argmax(axis=1)
        return order[rows, chosen], self.z[rows, chosen], self.right[rows, chosen]


def collect(archive: Archive, queries: Sequence[Query], seed: int = 0) -> Answers:
    """Ask parts of an archive (:func:`in_parts`).

    The bundle's own calibration must be :data:`BLANK`, so that match logits come back.

    Raises:
        CalibrationError: a query was answered without a verdict.
    """
    return _table([_ask(archive, one) for one in in_parts(archive.videos(), queries, seed)])


@dataclass(frozen=True, slots=True)
class Question:
    """A query to a part of an archive: the paths of its videos (None for all of them), how many
    videos and frames those are, and whether one of them answers it.
    """

    query: Query
    videos: list[str] | None
    size: int
    frames: int
    present: bool


def in_parts(
    stored: Sequence[StoredVideo], queries: Sequence[Query], seed: int = 0
) -> Iterator[Question]:
    """Questions to parts of an archive, of every size that it has; half of them can be answered
    where there are so many. Those that can not ask for what no video shows, or for a video that
    the part lacks.
    """
    random = np.random.default_rng(seed)
    of = [_video_of(query, stored) for query in queries]
    for size in sorted({min(size, len(stored)) for size in SIZES}):
        left = ASKED
        while left > 0:
            kept = random.permutation(len(stored))[:size].tolist()
            there = [n for n, video in enumerate(of) if video in kept]
            others = [n for n, video in enumerate(of) if video not in kept]
            most = min(len(there), len(others) or len(there), left // 2)
            names = None if size == len(stored) else [str(stored[n].video.path) for n in kept]
            frames = sum(stored[n].frames for n in kept)
            for number in (n for part in (there, others) for n in random.permutation(part)[:most]):
                present = of[number] in kept
                yield Question(queries[number], names, size, frames, present)
            # The whole archive is one part, however few the questions to it.
            left -= max(2 * most, 1) if names else ASKED


@dataclass(frozen=True, slots=True)
class _Row:
    candidates: list[tuple[float, float, float, bool]]
    frames: int
    present: bool
    one_shot: bool


def _ask(archive: Archive, one: Question) -> _Row:
    query, options = one.query, SearchOptions(top_k=1, video=one.videos)
    found = archive.search(query.query, options)
    once = archive.search(query.query, options, one_shot=True)
    judged = [candidate for turn in found.turns for candidate in turn.candidates]
    if any(candidate.match_probability is None for candidate in judged):
        raise CalibrationError(f"{query.query!r} was answered without a verdict")
    asked = Asked(archive.store, archive.bundle, query.query, options)
    z = asked.standardised(np.array([candidate.score for candidate in judged]))
    return _Row(
        [
            (
                logit(candidate.match_probability or 0.0),
                candidate.score,
                float(standardised),
                _is_right(query, candidate.video),
            )
            for candidate, standardised in zip(judged, z, strict=True)
        ],
        one.frames,
        one.present,
        one.present and bool(once.moments) and _is_right(query, once.moments[0].video),
    )


def _table(rows: Sequence[_Row]) -> Answers:
    rows = [row for row in rows if row.candidates]
    if not rows:
        raise CalibrationError(NOTHING_TO_LEARN)
    width = max(len(row.candidates) for row in rows)

    def table(column: int, missing: float) -> NDArray[Any]:
        return np.array(
            [
                [one[column] for one in row.candidates] + [missing] * (width - len(row.candidates))
                for row in rows
            ]
        )

    return Answers(
        match=table(0, -np.inf),
        scores=table(1, 0.0),
        z=table(2, 0.0),
        right=table(3, False).astype(bool),
        frames=np.array([row.frames for row in rows], float),
        present=np.array([row.present for row in rows]),
        one_shot=np.array([row.one_shot for row in rows]),
    )


def _video_of(query: Query, stored: Sequence[StoredVideo]) -> int | None:
    """The number of the video that answers a query; None where none does."""
    return next((n for n, one in enumerate(stored) if _is_right(query, one.video.path)), None)


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
    shares = {weight: answers.first(weight)[2].mean() for weight in SCORE_WEIGHTS}
    # The middle of the best: what is best by a hair is so by chance.
    best = [weight for weight, share in shares.items() if share >= max(shares.values()) - TIE]
    weight = best[len(best) // 2]
    order, z, right = answers.first(weight)
    if right.all() or not right.any():
        raise CalibrationError(NOTHING_TO_LEARN)
    slope, z_weight, size_weight, bias = _fitted(order, z, answers.frames, right)
    logits = slope * order + z_weight * z + bias - size_weight * np.log(answers.frames / 1000)
    probability = 1 / (1 + np.exp(-logits))
    threshold = float(np.quantile(probability[right], 1 - accepted))
    match = probability >= threshold
    absent = ~answers.present
    return Calibrated(
        score_weight=weight,
        slope=slope,
        bias=bias,
        size_weight=size_weight,
        z_weight=z_weight,
        fewest_frames=max(float(answers.frames.min()), 1.0),
        threshold=threshold,
        sure=max(_sure(probability, right), threshold),
        absent=float(absent.mean()),
        absent_of_wrong=float(absent[~right].mean()),
        precision=float(right[match].mean()),
        accepted=float(match[right].mean()),
        denied=float((~match)[absent].mean()) if absent.any() else None,
        calibration_error=float(expected_calibration_error(probability, right)),
        one_shot=float(answers.one_shot.mean()),
        loop=float(right.mean()),
        queries=len(right),
    )


def _fitted(
    order: NDArray[np.float64],
    z: NDArray[np.float64],
    frames: NDArray[np.float64],
    right: NDArray[np.bool_],
) -> tuple[float, float, float, float]:
    """Slope, weights of z and of the archive's size, and bias."""
    (slope, z_weight, size_weight), bias = logistic_fit(
        np.stack([order, z, -np.log(frames / 1000)], 1), right
    )
    if z_weight < 0:
        (slope, size_weight), bias = logistic_fit(
            np.stack([order, -np.log(frames / 1000)], 1), right
        )
        z_weight = 0.0
    if slope <= 0:
        raise CalibrationError("surer answers are no more often right: these heads know nothing")
    return float(slope), float(z_weight), max(float(size_weight), 0.0), bias


def _sure(probability: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """The lowest probability from which on answers are right as often as ``SURE``, or 1."""
    order = np.argsort(-probability)
    precision = right[order].cumsum() / np.arange(1, len(order) + 1)
    enough = np.flatnonzero((precision >= SURE) & (np.arange(len(order)) + 1 >= FEWEST_SURE))
    return float(probability[order[enough[-1]]]) if len(enough) else 1.0
