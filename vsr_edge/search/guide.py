"""Refine a query for an encoder that no refiner was trained with: a matched filter.

What an archive's frames have in common says nothing of any of them, and along directions in which
they differ a lot, differing says little. So the query's direction is divided by the covariance of
the archive's own frames, as one looks for a known signal in coloured noise. Closed form: nothing is
trained, and nothing is learned from what was turned down, away from which no encoder gained
(models/LOG.md).
"""

from __future__ import annotations

import numpy as np

from vsr_edge.runtime.evidence import Space
from vsr_edge.types import Vectors

# How large the noise of every direction is beside the average one of the frames, and how much of
# the way the query goes: chosen on val photos as six encoders see them.
RIDGE, SHARE = 3.0, 0.8
TINY = float(np.finfo(np.float32).tiny)
# Of what is divided by it, the squares are still floats.
LEAST_NOISE = 1e-12


def guide(space: Space, query: Vectors) -> Vectors:
    """A query's vector [D] → what to retrieve by next, a unit vector."""
    filtered = np.linalg.solve(
        space.covariance + RIDGE * _average(space.covariance), query - space.bank.mean(0)
    )
    moved = SHARE * _unit(filtered) + (1 - SHARE) * _unit(query)
    return np.asarray(_unit(moved), np.float32)


def _average(covariance: Vectors) -> Vectors:
    """White noise as strong as that."""
    size = len(covariance)
    strength = max(float(np.trace(covariance)) / size, LEAST_NOISE)
    return np.asarray(strength * np.eye(size), np.float32)


def _unit(vector: Vectors) -> Vectors:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), TINY))
