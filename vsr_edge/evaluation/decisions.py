"""Is a "yes, there" or "not there" right, and does the system know when it is?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vsr_edge.errors import UsageError


def verification_accuracy(matched: ArrayLike, right_video: ArrayLike) -> float:
    """Share of decisions that are right, in [0, 1]: bool [n] against bool [n]; NaN for none.

    VideoSearch-R1's VER: one entry for each video that was judged, at whichever turn; ``matched``
    is the decision, ``right_video`` whether the video judged at that turn is the query's.
    """
    decision, truth = _same_length(matched, right_video)
    return float(np.mean(decision.astype(bool) == truth.astype(bool))) if decision.size else np.nan


@dataclass(frozen=True, slots=True)
class PrecisionRecall:
    """Both in [0, 1]; NaN where nothing was claimed, or where nothing was there to be found."""

    precision: float
    recall: float


def precision_recall(claimed: ArrayLike, true: ArrayLike) -> PrecisionRecall:
    """Precision and recall of a claim, bool [n] each: for "not there", claim and truth of absence.

    Precision is how often a claim is right, recall how many of the true cases were claimed.
    """
    claim, truth = (flags.astype(bool) for flags in _same_length(claimed, true))
    both = float(np.sum(claim & truth))
    claims, truths = int(claim.sum()), int(truth.sum())
    return PrecisionRecall(both / claims if claims else np.nan, both / truths if truths else np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class RiskCoverage:
    """``coverage`` float [n], 1/n … 1, and ``risk`` float [n], the error rate among those kept."""

    coverage: NDArray[np.float64]
    risk: NDArray[np.float64]

    @property
    def area(self) -> float:
        """AURC: the mean risk over all coverages; 0 is best, the error rate is chance. NaN for no
        answers.
        """
        return float(self.risk.mean()) if len(self.risk) else float("nan")


def risk_coverage(confidence: ArrayLike, right: ArrayLike) -> RiskCoverage:
    """How the error rate falls when only the surest answers are kept.

    ``confidence`` float [n], ``right`` bool [n]. Selective risk of El-Yaniv and Wiener (2010), area
    of Geifman and El-Yaniv (2017). Answers of equal confidence count as in random order: the curve
    is the expectation over their orders, so that shuffling them changes nothing.
    """
    sure, correct = _same_length(confidence, right)
    order = np.argsort(-sure, kind="stable")
    kept = np.arange(1, len(order) + 1)
    if not len(order):
        return RiskCoverage(np.empty(0), np.empty(0))
    errors = np.cumsum(~correct[order].astype(bool))
    last_of_tie = np.append(np.diff(sure[order]) != 0, True)
    expected = np.interp(kept, np.append(0, kept[last_of_tie]), np.append(0.0, errors[last_of_tie]))
    return RiskCoverage(kept / len(order), expected / kept)


def expected_calibration_error(probability: ArrayLike, outcome: ArrayLike, bins: int = 15) -> float:
    """ECE: how far stated probabilities lie from observed frequencies, in [0, 1]; NaN for none.

    ``probability`` float [n] in [0, 1], ``outcome`` bool [n]. Mean over ``bins`` of equal width,
    (b/B, (b+1)/B] and 0 in the first, of |frequency − mean probability|, weighted by how many fall
    in (Naeini et al. 2015; Guo et al. 2017 with 15 bins).
    """
    stated, happened = _same_length(probability, outcome)
    if not stated.size:
        return float("nan")
    if not ((stated >= 0) & (stated <= 1)).all():
        raise UsageError("A probability must lie between 0 and 1: calibrate the scores first.")
    place = np.clip(np.ceil(stated * bins).astype(int) - 1, 0, bins - 1)
    gap = np.bincount(place, happened - stated, minlength=bins)
    return float(np.abs(gap).sum() / len(stated))


def _same_length(
    first: ArrayLike, second: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise UsageError(f"Two lists of the same length are needed, not {a.shape} and {b.shape}.")
    return a, b
