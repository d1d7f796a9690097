"""Soft query refinement: from a query and the footage that was rejected for it to soft tokens.

VideoSearch-R1 (arXiv 2607.00446): hidden state → projector, its last layer zero → z₁, fed back →
z₂ …, then LayerNorm and an identity map into the input space of the frozen query encoder, which
encodes query and soft tokens anew. There the hidden state is a 2B model's; here it is a small
decoder's that attends to the query's words, each with what the rejected footage already shows of
it, and to that footage.

At the start every soft token is the same vector, ``rest``, for which the frozen encoder gives as
nearly as possible the unrefined query (found by gradient descent, once): training starts from
there, as in the paper.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.encoder import DIMENSIONS
from models.grounding import MASKED, SCALE
from models.minilm import HIDDEN

SOFT_TOKENS = 8


class Refiner(nn.Module):
    """(query, rejected evidence) → soft tokens [B, N, H], one after another."""

    def __init__(
        self, rest: Tensor, width: int = 192, dropout: float = 0.1, count: int = SOFT_TOKENS
    ) -> None:
        super().__init__()
        self.count = count
        self.words = nn.Linear(HIDDEN, width)
        self.seen = nn.Linear(3, width)
        self.evidence = nn.Linear(DIMENSIONS, width)
        self.about = nn.Linear(2, width)
        self.memory_norm = nn.LayerNorm(width)
        self.first = nn.Linear(DIMENSIONS, width)
        self.feed_back = nn.Linear(HIDDEN, width)
        self.places = nn.Parameter(0.02 * torch.randn(count, width))
        self.blocks = nn.ModuleList(LookUp(width, dropout) for _ in range(2))
        self.project = nn.Sequential(
            nn.Linear(width, width), nn.LayerNorm(width), nn.GELU(), nn.Linear(width, HIDDEN)
        )
        nn.init.zeros_(self.project[-1].weight)
        nn.init.zeros_(self.project[-1].bias)
        self.rest = nn.Parameter(rest.clone())
        self.enter = nn.Linear(HIDDEN, HIDDEN)
        nn.init.eye_(self.enter.weight)
        nn.init.zeros_(self.enter.bias)

    def forward(
        self,
        states: Tensor,
        token_mask: Tensor,
        query: Tensor,
        evidence: Tensor,
        evidence_words: Tensor,
        evidence_about: Tensor,
        evidence_mask: Tensor,
    ) -> Tensor:
        """Refine B queries.

        Args:
            states: token states of the query [B, L, H].
            token_mask: [B, L], 1 for real tokens.
            query: the query's vector [B, D].
            evidence: vectors of rejected frames or regions [B, E, D].
            evidence_words: for each word, how well the evidence shows it [B, L, 3].
            evidence_about: inner product with the query, and match logit [B, E, 2].
            evidence_mask: [B, E], 1 for real evidence; without any, the query alone is refined.
        """
        words = self.words(states) + self.seen(evidence_words)
        shown = self.evidence(evidence * SCALE) + self.about(evidence_about)
        memory = self.memory_norm(torch.cat([words, shown], 1))
        keep = torch.cat([token_mask, evidence_mask], 1).to(memory.dtype)
        bias = (1 - keep) * MASKED
        start = self.first(query * SCALE)
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
