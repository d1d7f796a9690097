"""What a rollout earns: VideoSearch-R1's reward terms (arXiv 2607.00446; weights of its code).

A rollout picks a candidate, says whether it matches, and then either grounds the moment or refines
the query. Its format rewards are left out: our answers cannot be malformed, and what every rollout
of a group earns cancels out in the advantage.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from vsr_edge.evaluation.metrics import temporal_iou

RIGHT_REJECTION = 0.5


@dataclass(frozen=True, slots=True)
class RewardWeights:
    """How much each term counts. The paper's ranges: verification 1.2–1.6, grounding 0.35–0.45,
    refinement present 0.1–0.8, refinement quality 0.5–0.8.
    """

    verification: float = 1.4
    grounding: float = 0.4
    presence: float = 0.1
    quality: float = 0.65


def verification_reward(said_match: ArrayLike, right: ArrayLike) -> NDArray[np.float64]:
    """+1 where the decision is right, −1 where it is wrong."""
    agreed = np.asarray(said_match, dtype=bool) == np.asarray(right, dtype=bool)
    return np.where(agreed, 1.0, -1.0)


def grounding_reward(
    said_match: ArrayLike, right: ArrayLike, spans: ArrayLike, true_spans: ArrayLike
) -> NDArray[np.float64]:
    """0 for a wrong decision, 0.5 for a right rejection, else the IoU of the spans [n, 2]."""
    said, truth = np.asarray(said_match, dtype=bool), np.asarray(right, dtype=bool)
    iou = temporal_iou(spans, true_spans)
    return np.where(said != truth, 0.0, np.where(said, iou, RIGHT_REJECTION))


def retrieval_probability(
    query: Tensor, units: Tensor, right: Tensor, competing: Tensor, temperature: float = 0.1
) -> Tensor:
    """InfoNCE probability of the right units: query [..., D], units [U, D], right [..., U].

    ``competing`` [..., U] says which units count, the right ones among them.
    """
    logits = (query @ units.T / temperature).masked_fill(~competing, -torch.inf)
    return (logits.masked_fill(~right, -torch.inf).logsumexp(-1) - logits.logsumexp(-1)).exp()


def quality_reward(before: Tensor, after: Tensor, form: str = "gain") -> Tensor:
    """What a refinement is worth, from the right units' probability before and after it.

    ``gain`` is p_after − p_before, as in the code; ``likelihood`` is exp(−L) = p_after, as in the
    paper.
    """
    if form not in ("gain", "likelihood"):
        raise ValueError(f"the quality of a refinement is its gain or its likelihood, not {form!r}")
    return after - before if form == "gain" else after
