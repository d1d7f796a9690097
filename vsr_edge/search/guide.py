"""Refine a query for an encoder that no refiner was trained with: a matched filter.

What an archive's clips have in common says nothing of any of them, and along directions in which
they differ a lot, differing says little. So the query's direction is divided by the covariance of
the archive's own clips, as one looks for a known signal in coloured noise, and is pushed away from
what was turned down. Closed form: nothing is trained.
"""

from __future__ import annotations

import numpy as np

from vsr_edge.runtime.evidence import Space
from vsr_edge.types import Vectors

# How large the noise of every direction is beside the average one of the clips; how much of the way
# the query goes; how far it is pushed from what was rejected.
RIDGE, SHARE, AWAY = 1.0, 0.5, 0.3
TINY = float(np.finfo(np.float32).tiny)


def guide(space: Space, query: Vectors, rejected: Vectors) -> Vectors:
    """A query's vector [D] and rejected frames [n, D] → what to retrieve by, a unit vector."""
    filtered = np.linalg.solve(
        space.covariance + RIDGE * _average(space.covariance), query - space.bank.mean(0)
    )
    moved = SHARE * _unit(filtered) + (1 - SHARE) * _unit(query)
    moved = moved - AWAY * _unit(rejected.mean(0) - space.centre)
    return np.asarray(_unit(moved), np.float32)


def _average(covariance: Vectors) -> Vectors:
    """White noise as strong as that."""
    size = len(covariance)
    strength = max(float(np.trace(covariance)) / size, TINY)
    return np.asarray(strength * np.eye(size), np.float32)


def _unit(vector: Vectors) -> Vectors:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), TINY))
