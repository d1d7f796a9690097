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
