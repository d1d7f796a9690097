"""Logistic regression: what calibrates the policy in training, and the bundle in the export."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

NEWTON_STEPS = 50
RIDGE = 1e-3
# Of probabilities: the share of right answers that the threshold lets through, how often those must
# be right that end a search early, and of how many at least that is known.
ACCEPTED, SURE = 0.8, 0.9
FEWEST_SURE = 20


def logistic_fit(features: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float64], float]:
    """Weights [k] and bias of σ(features · weights + bias), for float [n, k] and bool [n].

    Maximum likelihood by Newton's method, with a small ridge on the weights so that separable data
    have a maximum too. With one feature it is Platt scaling.
    """
    x, y = np.asarray(features, dtype=np.float64), np.asarray(labels, dtype=bool)
    design = np.concatenate([x, np.ones((len(x), 1))], 1)
    weights = np.zeros(design.shape[1])
    ridge = np.diag([*[RIDGE * len(x)] * x.shape[1], 0.0])
    for _ in range(NEWTON_STEPS):
        p = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        gradient = design.T @ (p - y) + ridge @ weights
        curvature = design.T @ (design * (p * (1 - p))[:, None]) + ridge
        step = np.linalg.solve(curvature + 1e-9 * np.eye(len(weights)), gradient)
        weights -= step
        if np.abs(step).max() < 1e-9:
            break
    return weights[:-1], float(weights[-1])
