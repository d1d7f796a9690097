"""How sure is sure? Real searches of an archive with known answers turn logits into probabilities.

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

from vsr_edge.archive import Archive
from vsr_edge.evaluation.decisions import expected_calibration_error
from vsr_edge.evaluation.records import Query, is_video

# The share of right answers that the threshold lets through.
ACCEPTED = 0.8
# Beside match logits of a few units; scores differ by some 0.1.
SCORE_WEIGHTS = tuple(float(weight) for weight in range(0, 41, 2))
TIE = 0.005
# Nothing added to the match logit, nothing done to it, and nothing accepted.
BLANK = {"score_weight": 0.0, "slope": 1.0, "bias": 0.0, "threshold": 1 - 1e-9}
NEWTON_STEPS = 50
RIDGE = 1e-3


class CalibrationError(Exception):
    """There is nothing to learn a calibration from."""


@dataclass(frozen=True)
class Calibrated:
    """What the runtime needs (``vsr_edge.runtime.manifest.Calibration``), and what it gives on the
    queries that it comes from, in [0, 1]: ``precision`` of "match", the share of right answers that
    are ``accepted`` and of absent queries that are ``denied`` (None where nothing absent was asked
    for), the expected calibration error, and how often the right video is first in ``one_shot`` and
    after the ``loop``.
    """

    score_weight: float
    slope: float
    bias: float
    threshold: float
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
    """Of n queries, the candidates that all turns judged: match logits and best frames' scores, and
    which of them lie in the right video, [n, K] each, −inf and False where there were fewer;
    whether the query could be answered, and whether one shot did, bool [n].
    """

    match: NDArray[np.float64]
    scores: NDArray[np.float64]
    right: NDArray[np.bool_]
    present: NDArray[np.bool_]
    one_shot: NDArray[np.bool_]


def collect(archive: Archive, queries: Sequence[Query]) -> Answers:
    """Search for every query in all turns.

    The bundle's own calibration must be :data:`BLANK`, so that match logits come back.

    Raises:
        CalibrationError: a query was answered without a verdict.
    """
    rows = []
    for query in queries:
        found = archive.search(query.query, top_k=1)
        once = archive.search(query.query, top_k=1, one_shot=True)
        judged = [candidate for turn in found.turns for candidate in turn.candidates]
        if any(candidate.match_probability is None for candidate in judged):
            raise CalibrationError(f"{query.query!r} was answered without a verdict")
        rows.append(
            (
                [logit(candidate.match_probability or 0.0) for candidate in judged],
                [candidate.score for candidate in judged],
                [_is_right(query, candidate.video) for candidate in judged],
                bool(once.moments) and _is_right(query, once.moments[0].video),
            )
        )
    width = max(len(row[0]) for row in rows)

    def table(column: int, missing: float) -> NDArray[Any]:
        return np.array([[*row[column], *[missing] * (width - len(row[column]))] for row in rows])

    return Answers(
        match=table(0, -np.inf),
        scores=table(1, 0.0),
        right=table(2, False).astype(bool),
        present=np.array([query.present for query in queries]),
        one_shot=np.array([row[3] for row in rows]),
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
    rows = np.arange(len(answers.match))

    def first(weight: float) -> NDArray[np.intp]:
        return (answers.match + weight * answers.scores).argmax(axis=1)

    shares = {weight: answers.right[rows, first(weight)].mean() for weight in SCORE_WEIGHTS}
    # The middle of the best: what is best by a hair is so by chance.
    best = [weight for weight, share in shares.items() if share >= max(shares.values()) - TIE]
    weight = best[len(best) // 2]
    chosen = first(weight)
    order = (answers.match + weight * answers.scores)[rows, chosen]
    right = answers.right[rows, chosen]
    if right.all() or not right.any():
        raise CalibrationError(
            "the answers are all right or all wrong: ask more, and for what is not there too"
        )
    slope, bias = logistic_fit(order, right)
    probability = 1 / (1 + np.exp(-(slope * order + bias)))
    threshold = float(np.quantile(probability[right], 1 - accepted))
    match = probability >= threshold
    sure = np.where(match, probability, 1 - probability)
    absent = ~answers.present
    return Calibrated(
        score_weight=weight,
        slope=slope,
        bias=bias,
        threshold=threshold,
        precision=float(right[match].mean()),
        accepted=float(match[right].mean()),
        denied=float((~match)[absent].mean()) if absent.any() else None,
        calibration_error=float(expected_calibration_error(sure, match == right)),
        one_shot=float(answers.one_shot.mean()),
        loop=float(right.mean()),
        queries=len(right),
    )


def logistic_fit(x: NDArray[np.float64], y: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and bias of Platt scaling: maximum likelihood by Newton's method, with a small ridge on
    the slope so that separable data have a maximum too.
    """
    design = np.stack([x, np.ones_like(x)], 1)
    weights = np.zeros(2)
    ridge = np.diag([RIDGE * len(x), 0.0])
    for _ in range(NEWTON_STEPS):
        p = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        gradient = design.T @ (p - y) + ridge @ weights
        curvature = design.T @ (design * (p * (1 - p))[:, None]) + ridge + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        weights -= step
        if np.abs(step).max() < 1e-9:
            break
    slope, bias = weights.tolist()
    if slope <= 0:
        raise CalibrationError("surer answers are no more often right: these heads know nothing")
    return slope, bias
