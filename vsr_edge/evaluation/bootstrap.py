"""How far a figure may be off because the queries are a sample: percentile bootstrap intervals.

Queries are drawn with replacement (Efron 1979). Two runs on the same queries are compared on the
same draws, so that what is hard in both cancels out (Koehn 2004). A figure at 0 or 1 for every
query has an interval of no width: the bootstrap sees no failures that did not happen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vsr_edge.errors import UsageError

Indices: TypeAlias = NDArray[np.intp]
Metric: TypeAlias = Callable[[Indices], float]

RESAMPLES: Final = 2000
# Draws held at once: 2 M indices are 16 MB.
_DRAWS: Final = 2_000_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and the interval around it; ``level`` is how often such intervals hold the truth."""

    estimate: float
    low: float
    high: float
    level: float = 0.95


def bootstrap_interval(
    metric: Metric, queries: int, *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """The interval of any metric.

    ``metric`` gets the indices of the queries that count, intp [queries] with repetitions, and
    returns a number; draws where it returns NaN (a share of nothing) are left out. Raises
    ``UsageError`` for no queries.
    """
    rng = _generator(queries, level, resamples, seed)
    drawn = [metric(rng.integers(queries, size=queries)) for _ in range(resamples)]
    return _interval(metric(np.arange(queries)), np.array(drawn), level)


def bootstrap_difference(
    metric: Metric,
    other: Metric,
    queries: int,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """The interval of ``metric − other``: two runs on the same queries, compared on the same draws.

    Both are as in ``bootstrap_interval``, with query i the same in both.
    """
    return bootstrap_interval(
        lambda chosen: metric(chosen) - other(chosen),
        queries,
        level=level,
        resamples=resamples,
        seed=seed,
    )


def mean_interval(
    values: ArrayLike, *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """The interval of a mean over queries: values per query, float or bool [q]; the fast way."""
    per_query = np.asarray(values, dtype=np.float64)
    if per_query.ndim != 1:
        raise UsageError(f"One value for each query is needed, not an array {per_query.shape}.")
    count = len(per_query)
    rng = _generator(count, level, resamples, seed)
    rows = max(1, _DRAWS // count)
    means = [
        per_query[rng.integers(count, size=(min(rows, resamples - done), count))].mean(axis=1)
        for done in range(0, resamples, rows)
    ]
    return _interval(float(per_query.mean()), np.concatenate(means), level)


def mean_difference(
    values: ArrayLike,
    other: ArrayLike,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """The interval of ``mean(values) − mean(other)``, two runs on the same queries, [q] each."""
    first, second = np.asarray(values, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if first.shape != second.shape:
        raise UsageError(
            f"Two runs are compared on the same queries, not on {first.shape} and {second.shape}."
        )
    return mean_interval(first - second, level=level, resamples=resamples, seed=seed)


def _generator(queries: int, level: float, resamples: int, seed: int) -> np.random.Generator:
    if queries < 1:
        raise UsageError("An interval needs at least one query.")
    if not 0 < level < 1 or resamples < 1:
        raise UsageError("An interval needs a level between 0 and 1 and at least one resample.")
    return np.random.default_rng(seed)


def _interval(estimate: float, drawn: NDArray[np.float64], level: float) -> Interval:
    known = drawn[~np.isnan(drawn)]
    if not len(known):
        return Interval(estimate, float("nan"), float("nan"), level)
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(estimate), float(low), float(high), level)
