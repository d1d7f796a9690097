"""The dual encoder: pictures and sentences into one space of unit vectors.

Both sides are a pretrained tower with two branches on top that are added and normalised:

* a *learned* branch (an MLP) that carries what the captions teach, and
* a *knowledge* branch that carries what the towers knew before. On the image side that is the
  classifier's own opinion spelled out in the text space, softmax(class logits) @ class-name
  embeddings (ConSE, Norouzi et al. 2014, arXiv 1312.5650); on the text side it is the sentence
  embedding itself. Captions of a few thousand photos cannot teach what a tench is; the classifier
  knows, and this branch keeps it findable.

Some pictures are near everything that is said, and come up for whatever is asked. How near, a bank
of sentences tells once, when a picture is encoded (:class:`Hubness`), and it is taken off every
score (query-bank normalisation, Bogolin et al. 2022, arXiv 2112.12777). It is the last number of a
picture's vector, and the last of a sentence's is what that is multiplied by: one inner product.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.efficientnet_lite import FEATURE_CHANNELS, EfficientNetLite
from models.minilm import HIDDEN, MiniLM, masked_mean

JOINT = 384  # of the space that captions and pictures are trained into
DIMENSIONS = JOINT + 1
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


class Hubness(nn.Module):
    """Unit vectors [..., J] of pictures → a · log Σ_j w_j exp(β t_j · x) / β over a bank of
    sentences t_j, less what pictures have on average, [..., 1].

    The bank stands for many more sentences than it has entries: an entry is the mean of a group of
    them, w_j the group's share.
    """

    SHARPNESS, WEIGHT = 20.0, 0.7

    def __init__(self, size: int = 0) -> None:
        super().__init__()
        self.bank: Tensor
        self.shares: Tensor
        self.average: Tensor
        self.register_buffer("bank", torch.zeros(size, JOINT))
        self.register_buffer("shares", torch.zeros(size))
        self.register_buffer("average", torch.zeros(()))

    def forward(self, vectors: Tensor) -> Tensor:
        if not len(self.bank):
            return torch.zeros_like(vectors[..., :1])
        alike = self.SHARPNESS * (vectors @ self.bank.T) + self.shares.log()
        near = torch.logsumexp(alike, -1, keepdim=True)
        return self.WEIGHT / self.SHARPNESS * near - self.average

    def learn(self, kinds: Sequence[Tensor], sizes: Sequence[int], pictures: Tensor) -> None:
        """Make a bank of several kinds of sentences, unit vectors [n, J] each, which count alike
        whatever their numbers; ``sizes`` are the entries of each. The average is that of pictures'
        vectors [n, J].
        """
        groups = [
            grouped(kind, min(size, len(kind))) for kind, size in zip(kinds, sizes, strict=True)
        ]
        self.bank = torch.cat([means for means, _ in groups])
        self.shares = torch.cat([shares / len(groups) for _, shares in groups])
        self.average = torch.zeros_like(self.average)
        self.average = torch.cat([self(part) for part in pictures.split(256)]).mean()


def grouped(vectors: Tensor, count: int, steps: int = 8) -> tuple[Tensor, Tensor]:
    """k-means: the means [count, J] of groups of vectors [n, J], and each group's share [count]."""
    drawn = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(0))[:count]
    means = vectors[drawn.to(vectors.device)]
    for _ in range(steps):
        nearest = torch.cat(
            [
                (part @ means.T - (means * means).sum(1) / 2).argmax(1)
                for part in vectors.split(4096)
            ]
        )
        sizes = torch.bincount(nearest, minlength=count)
        sums = torch.zeros_like(means).index_add_(0, nearest, vectors)
        means = torch.where(sizes[:, None] > 0, sums / sizes[:, None].clamp(min=1), means)
    # An empty group would have the logarithm of nothing.
    shares = sizes.clamp(min=0.5) / sizes.clamp(min=0.5).sum()
    return means, shares


def with_hubness(joint: Tensor, hubness: Tensor) -> Tensor:
    """Pictures' vectors [..., J] and their hubness [..., 1] → [..., D], to be searched."""
    return torch.cat([joint, -hubness], -1)


def as_query(joint: Tensor) -> Tensor:
    """Sentences' vectors [..., J] → unit vectors [..., D] to search with: with a picture's, their
    inner product is that of the joint space less the hubness, by √2.
    """
    return torch.cat([joint, torch.ones_like(joint[..., :1])], -1) * 0.5**0.5


class ImageEncoder(nn.Module):
    """Images float [n, 3, S, S] → vectors [n, D] and region vectors [n, 9, D], of unit length but
    for their hubness.

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
            nn.Linear(hidden, JOINT),
        )
        self.hubness = Hubness()
        self.class_vectors = nn.Parameter(class_vectors.clone())
        self.knowledge_weight = nn.Parameter(torch.tensor(1.0))
        self.sharpness = nn.Parameter(torch.tensor(0.0))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.tower(images)
        # As a single region, so that both go through the same operators and share their weights
        # in the exported graph.
        whole = as_cells(features)[:, None]
        return self.searched(whole)[:, 0], self.searched(as_regions(features))

    def searched(self, cells: Tensor) -> Tensor:
        """Feature cells [..., K, C] → vectors to be searched [..., D]."""
        joint = self.embed(cells)
        return with_hubness(joint, self.hubness(joint))

    def embed(self, cells: Tensor) -> Tensor:
        """Feature cells [..., K, C] → unit vectors [..., J]."""
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
            nn.Linear(hidden, JOINT),
        )
        self.knowledge_weight = nn.Parameter(torch.tensor(1.0))

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, soft_tokens: Tensor
    ) -> tuple[Tensor, Tensor]:
        joint, states = self.embed(input_ids, attention_mask, soft_tokens)
        return as_query(joint), states

    def embed(
        self, input_ids: Tensor, attention_mask: Tensor, soft_tokens: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Unit vectors [n, J], and token states [n, L + N, H]."""
        states, mask = self.tower(input_ids, attention_mask, soft_tokens)
        return self.joint(F.normalize(masked_mean(states, mask), dim=-1)), states

    def joint(self, sentences: Tensor) -> Tensor:
        """The tower's sentence embeddings, unit vectors [n, H] → unit vectors [n, J]."""
        learned = F.normalize(self.project(sentences * math.sqrt(HIDDEN)), dim=-1)
        return F.normalize(learned + self.knowledge_weight * sentences, dim=-1)


def as_cells(features: Tensor) -> Tensor:
    """Feature map [n, C, S, S] → cells [n, S·S, C]."""
    return features.flatten(2).transpose(1, 2)


def as_regions(features: Tensor) -> Tensor:
    """Feature map [n, C, S, S] → cells of each region [n, 9, (S/3)², C], regions row by row."""
    n, channels, side, _ = features.shape
    cell = side // REGION_SIDE
    grid = features.reshape(n, channels, REGION_SIDE, cell, REGION_SIDE, cell)
    return grid.permute(0, 2, 4, 3, 5, 1).reshape(n, REGION_SIDE**2, cell * cell, channels)
