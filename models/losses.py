"""Loss functions, each on plain tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def info_nce(images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """Symmetric InfoNCE of paired unit vectors [n, D]; ``scale`` is the inverse temperature."""
    logits = images @ texts.T * scale
    target = torch.arange(len(images), device=images.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def class_name_loss(images: Tensor, names: Tensor, wanted: Tensor, scale: Tensor) -> Tensor:
    """InfoNCE of images [n, D] over class names [m, D]; one-sided: images share names."""
    return F.cross_entropy(images @ names.T * scale, wanted)


def distillation_loss(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """KL(teacher ‖ student) of class distributions: keeps the classifier's opinion."""
    student = student_logits.log_softmax(-1)
    return F.kl_div(student, teacher_logits.log_softmax(-1), reduction="batchmean", log_target=True)


def listwise_loss(match: Tensor, right: Tensor) -> Tensor:
    """Cross-entropy over each query's candidates: match logits [B, K], right bool [B, K].

    Several right candidates share the probability. Queries with none right, or none wrong, teach
    no order and do not count.
    """
    mixed = right.any(1) & ~right.all(1)
    if not mixed.any():
        return match.sum() * 0
    logp, wanted = match[mixed].log_softmax(1), right[mixed]
    return -logp.masked_fill(~wanted, -torch.inf).logsumexp(1).mean()


def balanced_verification_loss(match: Tensor, right: Tensor) -> Tensor:
    """Binary cross-entropy of match logits, as if half of the pairs were matches."""
    loss = F.binary_cross_entropy_with_logits(match, right.to(match.dtype), reduction="none")
    return (_mean(loss, right) + _mean(loss, ~right)) / 2


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    return (values * chosen).sum() / chosen.sum().clamp(min=1)


def span_loss(start: Tensor, end: Tensor, shown: Tensor) -> Tensor:
    """Cross-entropy of the first and the last frame [n, F] that ``shown`` bool [n, F] marks."""
    frames = torch.arange(shown.shape[1], device=shown.device)
    first = torch.where(shown, frames, shown.shape[1]).amin(1)
    last = torch.where(shown, frames, -1).amax(1)
    return F.cross_entropy(start, first) + F.cross_entropy(end, last)


def relevance_loss(relevance: Tensor, shown: Tensor, mask: Tensor) -> Tensor:
    """Binary cross-entropy of each frame's relevance [n, F] over the real frames."""
    loss = F.binary_cross_entropy_with_logits(
        relevance, shown.to(relevance.dtype), reduction="none"
    )
    return _mean(loss, mask.bool())


def refined_query_loss(
    refined: Tensor,
    units: Tensor,
    right: Tensor,
    original: Tensor,
    temperature: float,
    margin: float | None,
) -> Tensor:
    """InfoNCE of refined queries [B, D] over retrieval units [U, D]; right bool [B, U].

    With a ``margin``, units that the original query [B, D] likes at least as well as the right one,
    less the margin, are no negatives: VideoSearch-R1 drops them as ambiguous.
    """
    logits = refined @ units.T / temperature
    if margin is not None:
        before = original @ units.T
        best = before.masked_fill(~right, -torch.inf).amax(1, keepdim=True)
        logits = logits.masked_fill((before >= best - margin) & ~right, -torch.inf)
    wanted = logits.masked_fill(~right, -torch.inf).logsumexp(1)
    return (logits.logsumexp(1) - wanted).mean()
