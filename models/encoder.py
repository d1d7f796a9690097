"""The dual encoder: pictures and sentences into one space of unit vectors.

Both sides are a pretrained tower with two branches on top that are added and normalised:

* a *learned* branch (an MLP) that carries what the captions teach, and
* a *knowledge* branch that carries what the towers knew before. On the image side that is the
  classifier's own opinion spelled out in the text space, softmax(class logits) @ class-name
  embeddings (ConSE, Norouzi et al. 2014, arXiv 1312.5650); on the text side it is the sentence
  embedding itself. Captions of a few thousand photos cannot teach what a tench is; the classifier
  knows, and this branch keeps it findable.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.efficientnet_lite import FEATURE_CHANNELS, EfficientNetLite
from models.minilm import HIDDEN, MiniLM, masked_mean

DIMENSIONS = 384
REGION_SIDE = 3
ATTENTION_HEADS = 8
CLASSES = 1000
DROPPED_CELL = -1e4


class AttentionPool(nn.Module):
    """Cells [..., K, C] → their mean beside what each head attends to, [..., 2C]."""

    def __init__(
        self, channels: int, heads: int = ATTENTION_HEADS, cell_dropout: float = 0.3
    ) -> None:
        super().__init__()
        self.heads = heads
        self.score = nn.Linear(channels, heads)
        self.cell_dropout = cell_dropout

    def forward(self, cells: Tensor) -> Tensor:
        scores = self.score(cells)
        if self.training:
            dropped = torch.rand(scores.shape[:-1], device=scores.device) < self.cell_dropout
            scores = scores + dropped[..., None] * DROPPED_CELL
        weights = scores.softmax(-2)
        shape = (*cells.shape[:-1], self.heads, cells.shape[-1] // self.heads)
        attended = (weights[..., None] * cells.view(shape)).sum(-3).flatten(-2)
        return torch.cat([cells.mean(-2), attended], -1)


class ImageEncoder(nn.Module):
    """Images float [n, 3, S, S] → unit vectors [n, D] and region vectors [n, 9, D].

    A region is a third by a third of the picture, read row by row, and is encoded by the very
    function that encodes the whole picture, over its own nine cells. So a region can be compared
    with a query as it is.
    """

    def __init__(
        self,
        tower: EfficientNetLite,
        class_vectors: Tensor,
        hidden: int = 768,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.tower = tower
        self.pool = AttentionPool(FEATURE_CHANNELS)
        self.project = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(2 * FEATURE_CHANNELS, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, DIMENSIONS),
        )
        self.class_vectors = nn.Parameter(class_vectors.clone())
        self.knowledge_weight = nn.Parameter(torch.tensor(1.0))
        self.sharpness = nn.Parameter(torch.tensor(0.0))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.tower(images)
        # As a single region, so that both go through the same operators and share their weights
        # in the exported graph.
        whole = as_cells(features)[:, None]
        return self.embed(whole)[:, 0], self.embed(as_regions(features))

    def embed(self, cells: Tensor) -> Tensor:
        """Feature cells [..., K, C] → unit vectors [..., D]."""
        learned = F.normalize(self.project(self.pool(cells)), dim=-1)
        logits = self.class_logits(cells) * self.sharpness.exp()
        known = F.normalize(logits.softmax(-1) @ self.class_vectors, dim=-1)
        return F.normalize(learned + self.knowledge_weight * known, dim=-1)

    def class_logits(self, cells: Tensor) -> Tensor:
        """Feature cells [..., K, C] → the ImageNet classifier's logits [..., 1000]."""
        return self.tower.classifier(cells.mean(-2))


class TextEncoder(nn.Module):
    """Token ids, mask and soft tokens → unit vectors [n, D] and token states [n, L + N, H]."""

    def __init__(self, tower: MiniLM, hidden: int = 768, dropout: float = 0.3) -> None:
        super().__init__()
        self.tower = tower
        self.project = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(HIDDEN, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, DIMENSIONS),
        )
        self.knowledge_weight = nn.Parameter(torch.tensor(1.0))

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, soft_tokens: Tensor
    ) -> tuple[Tensor, Tensor]:
        states, mask = self.tower(input_ids, attention_mask, soft_tokens)
        sentence = F.normalize(masked_mean(states, mask), dim=-1)
        learned = F.normalize(self.project(sentence * math.sqrt(HIDDEN)), dim=-1)
        return F.normalize(learned + self.knowledge_weight * sentence, dim=-1), states


def as_cells(features: Tensor) -> Tensor:
    """Feature map [n, C, S, S] → cells [n, S·S, C]."""
    return features.flatten(2).transpose(1, 2)


def as_regions(features: Tensor) -> Tensor:
    """Feature map [n, C, S, S] → cells of each region [n, 9, (S/3)², C], regions row by row."""
    n, channels, side, _ = features.shape
    cell = side // REGION_SIDE
    grid = features.reshape(n, channels, REGION_SIDE, cell, REGION_SIDE, cell)
    return grid.permute(0, 2, 4, 3, 5, 1).reshape(n, REGION_SIDE**2, cell * cell, channels)
