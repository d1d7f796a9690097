"""Soft query refinement: from a query and the footage that was rejected for it to soft tokens.

VideoSearch-R1 (arXiv 2607.00446): hidden state → projector, its last layer zero → z₁, fed back →
z₂ …, then LayerNorm and an identity map into the input space of the frozen query encoder, which
encodes query and soft tokens anew. There the hidden state is a 2B model's; here it is a small
decoder's that attends to the query's words, each with what the rejected footage already shows of
it, and to that footage.

At the start every soft token is the same vector, ``rest``, for which the frozen encoder gives as
nearly as possible the unrefined query (found by gradient descent, once): training starts from
there, as in the paper. The tokens' common part is then learned for each place.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.encoder import DIMENSIONS
from models.grounding import MASKED, WordsInJointSpace
from models.minilm import HIDDEN
from vsr_edge.bundle.manifest import SOFT_TOKENS

SEEN, FEATURES = 3, 3
REGIONS_SHOWN = 2
# Unit vectors of 384 dimensions have entries near 0.05; layers like them near 1.
SCALE = DIMENSIONS**0.5


class Refiner(nn.Module):
    """(query, rejected evidence) → soft tokens [B, N, H], one after another."""

    def __init__(
        self, rest: Tensor, width: int = 192, dropout: float = 0.1, count: int = SOFT_TOKENS
    ) -> None:
        super().__init__()
        self.count = count
        self.joint = WordsInJointSpace()
        self.words = nn.Linear(HIDDEN, width)
        self.seen = nn.Linear(SEEN, width)
        self.evidence = nn.Linear(DIMENSIONS, width)
        self.about = nn.Linear(FEATURES, width)  # as checkpoints call it
        self.memory_norm = nn.LayerNorm(width)
        self.first = nn.Linear(DIMENSIONS, width)
        self.feed_back = nn.Linear(HIDDEN, width)
        self.places = nn.Parameter(0.02 * torch.randn(count, width))
        self.blocks = nn.ModuleList(LookUp(width, dropout) for _ in range(2))
        self.project = nn.Sequential(
            nn.Linear(width, width), nn.LayerNorm(width), nn.GELU(), nn.Linear(width, HIDDEN)
        )
        for parameter in self.project[-1].parameters():
            nn.init.zeros_(parameter)
        self.rest = nn.Parameter(rest.expand(count, HIDDEN).clone())
        self.enter = nn.Linear(HIDDEN, HIDDEN)
        nn.init.eye_(self.enter.weight)
        nn.init.zeros_(self.enter.bias)

    def forward(
        self,
        states: Tensor,
        token_mask: Tensor,
        query: Tensor,
        frames: Tensor,
        regions: Tensor,
        evidence_features: Tensor,
        evidence_mask: Tensor,
    ) -> Tensor:
        """Refine B queries.

        Args:
            states: token states of the query [B, L, H].
            token_mask: [B, L], 1 for real tokens.
            query: the query's vector [B, D].
            frames: the best frame of each rejected candidate [B, E, D].
            regions: their regions [B, E, R, D].
            evidence_features: of each candidate its match logit, and log₂ of how many frames the
                vector that it was found by stands for [B, E, 2].
            evidence_mask: [B, E], 1 for real candidates; without any, the query alone is refined.
        """
        keep = evidence_mask.to(frames.dtype)[..., None]
        frames, regions = frames * keep, regions * keep[..., None]
        features = evidence_features * keep
        cells = torch.cat([frames[:, :, None], regions], 2)
        alike = torch.einsum("bld,becd->blec", self.joint(states), cells)
        # What is not there is as unlike every word as can be.
        alike = torch.where(keep[:, None].bool(), alike, -1.0)
        seen = torch.stack([alike[..., 0].amax(-1), alike.amax(-1).amax(-1), alike[:, :, 0, 0]], -1)
        words = self.words(states) + self.seen(seen)
        sims = torch.einsum("bd,becd->bec", query, cells)
        best = sims[..., 1:].topk(REGIONS_SHOWN, -1).indices
        shown = regions.gather(2, best[..., None].expand(*best.shape, regions.shape[-1]))
        evidence = torch.cat([frames[:, :, None], shown], 2)
        sims = torch.cat([sims[..., :1], sims[..., 1:].gather(2, best)], 2)
        facts = torch.cat([sims[..., None], features[:, :, None].expand(*sims.shape, 2)], -1)
        evidence = (self.evidence(evidence * SCALE) + self.about(facts)).flatten(1, 2)
        memory = self.memory_norm(torch.cat([words, evidence], 1))
        each = evidence_mask[..., None].expand(*evidence_mask.shape, 1 + REGIONS_SHOWN).flatten(1)
        present = torch.cat([token_mask.to(keep.dtype), each.to(keep.dtype)], 1)
        return self.decode(self.first(query * SCALE), memory, (1 - present) * MASKED)

    def decode(self, start: Tensor, memory: Tensor, bias: Tensor) -> Tensor:
        """Soft tokens one after another, each fed back for the next."""
        fed_back = torch.zeros_like(start)
        tokens = []
        for place in range(self.count):
            hidden = start + fed_back + self.places[place]
            for block in self.blocks:
                hidden = block(hidden, memory, bias)
            token = self.project(hidden)
            fed_back = self.feed_back(token)
            tokens.append(token)
        return self.rest + self.enter(torch.stack(tokens, 1))


class LookUp(nn.Module):
    """One state looks at the memory, then thinks: attention and a two-layer perceptron."""

    def __init__(self, width: int, dropout: float, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)
        self.think = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, state: Tensor, memory: Tensor, bias: Tensor) -> Tensor:
        batch, length, width = memory.shape
        size = width // self.heads
        q = self.query(self.norm(state)).view(batch, self.heads, 1, size)
        keys, values = (
            part.view(batch, length, self.heads, size).transpose(1, 2)
            for part in self.key_value(memory).chunk(2, -1)
        )
        weights = (q @ keys.transpose(-1, -2) * size**-0.5 + bias[:, None, None]).softmax(-1)
        found = (weights @ values).reshape(batch, width)
        state = state + self.dropout(self.output(found))
        return state + self.dropout(self.think(state))
