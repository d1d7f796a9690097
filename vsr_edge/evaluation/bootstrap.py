"""How far a figure may be off because the queries are a sample: percentile bootstrap intervals.

Queries are drawn with replacement (Efron 1979). Two runs on the same queries are compared on the
same draws, so that what is hard in both cancels out (Koehn 2004). A figure at 0 or 1 for every
query has an interval of no width: the bootstrap sees no failures that did not happen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vsr_edge.errors import UsageError

RESAMPLES: Final = 2000
# Draws held at once: 2 M indices are 16 MB.
_DRAWS: Final = 2_000_000


class Interval(NamedTuple):
    """A figure and the interval around it."""

    estimate: float
    low: float
    high: float


class Ratio(NamedTuple):
    """A figure that is a sum over queries divided by another: Σ ``hits`` / Σ ``of``, float [q].

    Every mean and share is one: a query that does not count has 0 in both.
    """

    hits: NDArray[np.float64]
    of: NDArray[np.float64]

    @classmethod
    def mean(cls, values: ArrayLike, counted: ArrayLike | None = None) -> Ratio:
        """The mean of ``values`` [q], over the queries where ``counted`` (bool [q]) if given."""
        hits = np.asarray(values, dtype=np.float64)
        if hits.ndim != 1:
            raise UsageError(f"One value for each query is needed, not an array {hits.shape}.")
        of = np.ones(len(hits)) if counted is None else np.asarray(counted, dtype=np.float64)
        return cls(np.where(of > 0, hits, 0.0), of)

    @property
    def value(self) -> float:
        """NaN for a share of nothing."""
        total = float(self.of.sum())
        return float(self.hits.sum()) / total if total else float("nan")


def ratio_intervals(
    ratios: Sequence[Ratio],
    groups: ArrayLike | None = None,
    *,
    minus: Sequence[Ratio] = (),
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Interval]:
    """The intervals of ratios over the same queries; of each one's difference to that in its place
    in ``minus``, another run's, where that is given.

    Such intervals hold the truth as often as ``level`` says. Queries of one group (int [q], numbers
    of groups) are drawn together: those about the same video are no independent samples. Draws in
    which a ratio is a share of nothing are left out. Raises ``UsageError`` for no queries.
    """
    every = [*ratios, *minus]
    lengths = {len(ratio.hits) for ratio in every}
    if len(lengths) > 1:
        raise UsageError(
            f"Runs are compared on the same queries, not on {' and '.join(map(str, lengths))}."
        )
    place = np.arange(*lengths) if groups is None else np.asarray(groups, dtype=np.intp)
    if not len(place):
        raise UsageError("An interval needs at least one query.")
    if not 0 < level < 1 or resamples < 1:
        raise UsageError("An interval needs a level between 0 and 1 and at least one resample.")
    count = int(place.max()) + 1
    rng = np.random.default_rng(seed)
    sums = [[np.bincount(place, part, count) for part in ratio] for ratio in every]
    columns = np.array(sums).reshape(-1, count).T
    rows = max(1, _DRAWS // count)
    parts = []
    for done in range(0, resamples, rows):
        chosen = rng.integers(count, size=(min(rows, resamples - done), count))
        # How often each group was drawn makes all sums of a draw one product.
        offsets = np.arange(len(chosen))[:, None] * count
        times = np.bincount((chosen + offsets).ravel(), minlength=chosen.size)
        parts.append(times.reshape(chosen.shape) @ columns)
    totals = np.concatenate(parts).reshape(resamples, len(every), 2)
    hits, of = totals[..., 0], totals[..., 1]
    drawn = np.divide(hits, of, out=np.full(hits.shape, np.nan), where=of > 0).T
    estimates = [ratio.value for ratio in every]
    if minus:
        drawn = drawn[: len(ratios)] - drawn[len(ratios) :]
        estimates = [one.value - other.value for one, other in zip(ratios, minus, strict=True)]
    return [_interval(*pair, level) for pair in zip(estimates, drawn, strict=True)]


def _interval(estimate: float, drawn: NDArray[np.float64], level: float) -> Interval:
    known = drawn[~np.isnan(drawn)]
    if not len(known):
        return Interval(estimate, float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(estimate), float(low), float(high))
