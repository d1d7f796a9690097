"""Group relative policy optimisation (Shao et al. 2024, arXiv 2402.03300), on plain tensors.

Each query is answered G times; what a rollout earned is compared with its own group alone. With
one update a rollout, as here, old and new policy agree when the gradient is taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

EPSILON = 1e-4


def group_advantage(rewards: Tensor) -> Tensor:
    """(r − mean) / (std + 1e-4) within each group: [B, G] → [B, G]; 0 where all earned the same."""
    spread = rewards.std(1, keepdim=True, correction=0)
    return (rewards - rewards.mean(1, keepdim=True)) / (spread + EPSILON)


@dataclass(frozen=True, slots=True)
class GrpoLoss:
    """``loss`` to minimise; ``kl`` to the reference policy, and the share of clipped rollouts."""

    loss: Tensor
    kl: Tensor
    clip_fraction: Tensor


def grpo_loss(
    new: Tensor,
    old: Tensor,
    reference: Tensor,
    advantage: Tensor,
    *,
    clip: float = 0.2,
    kl_weight: float = 0.01,
) -> GrpoLoss:
    """The clipped surrogate and a penalty for leaving the reference policy.

    Log-probabilities of the rollouts, [B, G], under the policy that is trained, the one that made
    them, and the reference; KL by the k3 estimator, exp(d) − d − 1 with d = reference − new.
    """
    ratio = (new - old).exp()
    bounded = ratio.clamp(1 - clip, 1 + clip)
    surrogate = torch.minimum(ratio * advantage, bounded * advantage)
    difference = reference - new
    kl = (difference.exp() - difference - 1).mean()
    clipped = (surrogate < ratio * advantage).float().mean()
    return GrpoLoss(kl_weight * kl - surrogate.mean(), kl, clipped)


def gaussian_log_probability(sample: Tensor, mean: Tensor, deviation: float) -> Tensor:
    """Log-density of [..., N, H] soft tokens up to a constant, the mean over their entries.

    A sum over thousands of entries would drown every other part of the decision; text policies
    divide by their number of tokens for the same reason.
    """
    return -((sample - mean) ** 2).mean((-2, -1)) / (2 * deviation**2)
