"""Averages of weights: over the steps of a training, and of several trainings."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from models.checkpoint import load_encoder
from models.efficientnet_lite import pretrained_efficientnet_lite
from models.encoder import ImageEncoder, TextEncoder


class Running:
    """An exponential moving average of encoders, which is what is evaluated and saved."""

    def __init__(self, image: ImageEncoder, text: TextEncoder, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self._followed = (image, text)
        self.image, self.text = copy.deepcopy(image), copy.deepcopy(text)

    @torch.no_grad()
    def note(self) -> None:
        """Take in the weights as they are after a step."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for mean, current in zip((self.image, self.text), self._followed, strict=True):
            for a, b in zip(mean.parameters(), current.parameters(), strict=True):
                if b.requires_grad:
                    a.lerp_(b, 1 - decay)


def average_checkpoints(
    checkpoints: Sequence[Path], weights: Sequence[float], pretrained: float = 0.0
) -> tuple[ImageEncoder, TextEncoder]:
    """Encoders whose weights are the weighted mean of those of several ("model soup", Wortsman et
    al. 2022, arXiv 2203.05482), with a share of the ``pretrained`` image tower (2109.01903).
    """
    pairs = [load_encoder(path) for path in checkpoints]
    for modules in zip(*pairs, strict=True):
        _mean(modules, weights)
    image, text = pairs[0]
    _mean((image.tower, pretrained_efficientnet_lite()), (1 - pretrained, pretrained))
    return image, text


def _mean(modules: Sequence[nn.Module], weights: Sequence[float]) -> None:
    """The first becomes the mean; what is the same in all stays as it is, to the last bit."""
    states = [module.state_dict() for module in modules]
    for name, tensor in states[0].items():
        if not all(tensor.equal(state[name]) for state in states):
            parts: list[Tensor] = [w * s[name] for w, s in zip(weights, states, strict=True)]
            tensor.copy_(torch.stack(parts).sum(0))
