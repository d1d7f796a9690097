"""How every training here takes its steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def one_cycle(
    groups: list[tuple[list[nn.Parameter], float, float]], steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.OneCycleLR]:
    """AdamW and a one-cycle schedule over (parameters, learning rate, weight decay) groups."""
    optimiser = torch.optim.AdamW(
        [{"params": p, "lr": lr, "weight_decay": d} for p, lr, d in groups]
    )
    peak = [lr for _, lr, _ in groups]
    return optimiser, torch.optim.lr_scheduler.OneCycleLR(
        optimiser, peak, total_steps=max(steps, 1) + 1, pct_start=0.1
    )


def take_step(
    terms: dict[str, Tensor],
    parameters: list[nn.Parameter],
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.OneCycleLR,
) -> None:
    """One update by the sum of the loss terms, its gradient's norm at most 1."""
    optimiser.zero_grad()
    torch.stack(list(terms.values())).sum().backward()
    nn.utils.clip_grad_norm_(parameters, 1.0)
    optimiser.step()
    schedule.step()
