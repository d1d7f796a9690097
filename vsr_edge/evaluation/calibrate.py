"""What a probability means in one archive, and how it is put right there.

Without labels one thing can be known of it: how often people ask there for what is not there. The
more often, the more of the answers are wrong that say as much as the right ones, and log-odds fall
by how many more these are. How surely sentences about anything are said to be there is told, and
corrects nothing: where footage or an encoder tells less, it falls, as does what is right. With
queries whose answers are known, a logistic regression on the log-odds (Platt 1999), the further
from what is said the more queries there are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vsr_edge.answer import SearchResult
from vsr_edge.bundle.manifest import Calibration
from vsr_edge.errors import UsageError
from vsr_edge.evaluation.metrics import expected_calibration_error

Floats = NDArray[np.float64]

FEWEST_QUERIES = 10
# No archive's log-odds are pressed together further than this.
LEAST_SLOPE = 0.25
# So many queries say as much as the calibration.
PRIOR_SLOPE, PRIOR_BIAS = 160.0, 15.0
NEWTON_STEPS, FOLDS = 50, 5
LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
BINS = 5
SUREST = 1e-6


@dataclass(frozen=True, slots=True)
class Line:
    """Log-odds are multiplied by ``slope``, and ``bias`` added."""

    slope: float = 1.0
    bias: float = 0.0

    def __call__(self, probability: ArrayLike) -> Floats:
        """The probabilities that come of it."""
        return 1 / (1 + np.exp(-(self.slope * log_odds(probability) + self.bias)))

    def undone(self, probability: ArrayLike) -> Floats:
        """The probabilities that it was applied to."""
        return 1 / (1 + np.exp(-(log_odds(probability) - self.bias) / self.slope))


@dataclass(frozen=True, slots=True)
class Bin:
    """Of ``count`` answers that say from ``low`` to ``high``: what they say on average, and how
    many are right, in [0, 1].
    """

    low: float
    high: float
    count: int
    said: float
    right: float


def log_odds(probability: ArrayLike) -> Floats:
    """ln(p / (1 − p)), kept finite."""
    p = np.clip(np.asarray(probability, np.float64), SUREST, 1 - SUREST)
    return np.asarray(np.log(p / (1 - p)))


def ask_sentences(
    search: Callable[[str], SearchResult],
    sentences: Sequence[str],
    on_progress: Callable[[int, int], None],
) -> Floats:
    """How surely the best answer to each sentence is said to match, [n].

    Raises:
        UsageError: nothing is verified here.
    """
    found = []
    for number, sentence in enumerate(sentences):
        on_progress(number, len(sentences))
        found_here = search(sentence)
        best = found_here.moments[:1]
        likely = best[0].match_probability if best else None
        if likely is None:
            why = found_here.turns[0].then if found_here.turns else "nothing was found"
            raise UsageError(f"no probability is told in this archive, so none is put right: {why}")
        found.append(likely)
    on_progress(len(sentences), len(sentences))
    return np.array(found)


def by_absent(share: float, calibration: Calibration) -> Line | None:
    """The line for a share of questions about what is not there, in [0, 1), which must be larger
    than that of the calibration: what is known of no answer raises no probability. None where it is
    not known what came of such questions there.

    Wrong answers about what is there and about what is not are taken to say as much as each other,
    and only the latter grow in number.

    Raises:
        UsageError: the share is no larger.
    """
    if not calibration.absent or calibration.absent_of_wrong is None:
        return None
    if share <= calibration.absent:
        raise UsageError(
            f"what is said here is for {calibration.absent:.0%} absent already, and --absent takes "
            "only more: for fewer, --queries FILE tells; --reset undoes what was told before"
        )
    times = (share / (1 - share)) / (calibration.absent / (1 - calibration.absent))
    return Line(bias=-math.log(1 + calibration.absent_of_wrong * (times - 1)))


def by_queries(said: ArrayLike, right: ArrayLike) -> Line:
    """The line by which the answers that say so much [n] are right as often, drawn from what they
    say by as many as there are.
    """
    odds, truth = log_odds(said), np.asarray(right, bool)
    design = np.stack([odds, np.ones_like(odds)], 1)
    start = np.array([1.0, 0.0])
    prior, weights = np.array([PRIOR_SLOPE, PRIOR_BIAS]) / 4, start.copy()
    for _ in range(NEWTON_STEPS):
        p = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        gradient = design.T @ (p - truth) + prior * (weights - start)
        curvature = design.T @ (design * (p * (1 - p))[:, None]) + np.diag(prior)
        step = np.linalg.solve(curvature, gradient)
        weights = weights - step
        weights[0] = max(weights[0], LEAST_SLOPE)
        if np.abs(step).max() < 1e-9:
            break
    return Line(float(weights[0]), float(weights[1]))


def not_seen(said: ArrayLike, right: ArrayLike) -> Floats:
    """What each of the answers [n] would say by a line that is drawn from the others alone."""
    p, truth = np.asarray(said, np.float64), np.asarray(right, bool)
    fold = np.random.default_rng(0).permutation(len(p)) % FOLDS
    corrected = np.empty_like(p)
    for number in range(FOLDS):
        mine = fold == number
        corrected[mine] = by_queries(p[~mine], truth[~mine])(p[mine])
    return corrected


def reliability(said: ArrayLike, right: ArrayLike) -> list[Bin]:
    """Answers by how much they say; bins without any are left out."""
    p, truth = np.asarray(said, np.float64), np.asarray(right, bool)
    place = np.clip(np.ceil(p * BINS).astype(int) - 1, 0, BINS - 1)
    return [
        Bin(
            n / BINS,
            (n + 1) / BINS,
            int(mine.sum()),
            float(p[mine].mean()),
            float(truth[mine].mean()),
        )
        for n in range(BINS)
        if (mine := place == n).any()
    ]


def calibration_error(said: ArrayLike, right: ArrayLike) -> float:
    """Expected, in [0, 1]."""
    return expected_calibration_error(said, right)
