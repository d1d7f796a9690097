"""Verifier and grounder in one: does this footage show what the query says, and from when to when?

A cross-encoder over the query's token states and a candidate's frame features. It starts from what
the dual encoder knows, the inner products of query and frames, and adds what they cannot express:
which words a frame accounts for, and by which of its regions. Frames meet each other only through
convolutions over time and a pooled context, so that any number of them is fine: 1 to 512.

VideoSearch-R1 (arXiv 2607.00446) has a 2B vision-language model do both in text.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.encoder import DIMENSIONS, REGION_SIDE, TextEncoder
from models.minilm import HIDDEN

CELLS = REGION_SIDE**2 + 1  # the regions, and the whole picture
SIMILARITIES = 7
JOINT_HIDDEN = 768  # as in the dual encoder
DILATIONS = (1, 2, 4)
MASKED = -1e4
# Unit vectors of 384 dimensions have entries near 0.05; layers like them near 1.
SCALE = DIMENSIONS**0.5


class GroundingHead(nn.Module):
    """Query and candidates → match logit, start and end logits, relevance of each frame."""

    def __init__(self, width: int = 128, dropout: float = 0.2) -> None:
        super().__init__()
        self.joint = nn.Sequential(
            nn.Linear(HIDDEN, JOINT_HIDDEN), nn.GELU(), nn.Linear(JOINT_HIDDEN, DIMENSIONS)
        )
        self.joint_skip = nn.Parameter(torch.ones(()))
        self.sharpness = nn.Parameter(torch.tensor(10.0))
        self.coverage = nn.Linear(3, width)
        self.words = nn.Linear(HIDDEN, width)
        self.importance = nn.Linear(HIDDEN, 1)
        self.cells = nn.Linear(DIMENSIONS, width)
        self.places = nn.Parameter(torch.zeros(CELLS, width))
        self.word_norm, self.cell_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.from_word = nn.Linear(width, width)
        self.from_cell = nn.Linear(width, width, bias=False)
        self.from_both = nn.Linear(width, width, bias=False)
        self.whole = nn.Linear(DIMENSIONS, width)
        self.similarity = nn.Linear(SIMILARITIES, width)
        self.frame_norm = nn.LayerNorm(width)
        self.over_time = nn.ModuleList(TimeBlock(width, d, dropout) for d in DILATIONS)
        self.context = nn.Linear(width, width)
        self.per_frame = nn.Linear(width, 3)
        self.verdict = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, 1)
        )
        self.best_similarity = nn.Linear(SIMILARITIES, 1)
        self.dropout = nn.Dropout(dropout)
        # At the start the frames' inner products alone decide.
        for layer in (self.verdict[-1], self.per_frame):
            nn.init.zeros_(layer.weight)
        with torch.no_grad():
            self.best_similarity.weight.zero_()
            self.best_similarity.weight[0, 0] = 15.0

    def forward(
        self,
        states: Tensor,
        token_mask: Tensor,
        query: Tensor,
        frames: Tensor,
        regions: Tensor,
        frame_mask: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Judge B pairs of a query and a candidate.

        Args:
            states: token states of the query [B, L, H].
            token_mask: [B, L], 1 for real tokens.
            query: the query's vector [B, D].
            frames: vectors of the candidate's frames in order [B, F, D].
            regions: their regions [B, F, R, D].
            frame_mask: [B, F], 1 for real frames, which come first.

        Returns:
            Logits of match [B], start [B, F], end [B, F] and relevance [B, F].
        """
        keep = frame_mask.to(frames.dtype)[..., None]
        frames, regions = frames * keep, regions * keep[..., None]
        similarity = self.similarities(query, frames, regions, keep)
        x = self.similarity(similarity) + self.words_in_cells(states, token_mask, frames, regions)
        x = x + self.whole(SCALE * SCALE * query[:, None] * frames)
        x = self.frame_norm(self.dropout(x)) * keep
        for block in self.over_time:
            x = block(x, keep)
        x = x + self.context((x * keep).sum(1, keepdim=True) / keep.sum(1, keepdim=True)) * keep
        logits = self.per_frame(x) + 15.0 * similarity[..., :1]
        logits = logits + (1 - keep) * MASKED
        start, end, relevance = logits.unbind(-1)
        weights = relevance.softmax(1)[..., None]
        pooled = torch.cat([(weights * x).sum(1), (x + (1 - keep) * MASKED).amax(1)], -1)
        best = (weights * similarity).sum(1)
        match = self.verdict(pooled) + self.best_similarity(best)
        return match[:, 0], start, end, relevance

    def words_in_cells(
        self, states: Tensor, token_mask: Tensor, frames: Tensor, regions: Tensor
    ) -> Tensor:
        """Each word looks for itself in each frame's cells: what it found, over words [B, F, W]."""
        plain = torch.cat([frames[:, :, None], regions], 2)
        alike = torch.einsum("bld,bfcd->bflc", self.words_in_joint_space(states), plain)
        words = self.word_norm(self.words(states))
        cells = self.cell_norm(self.cells(plain * SCALE) + self.places)
        scores = torch.einsum("blw,bfcw->bflc", words, cells) * words.shape[-1] ** -0.5
        weights = (scores + self.sharpness * alike).softmax(-1)
        found = torch.einsum("bflc,bfcw->bflw", weights, cells)
        covered = torch.stack([alike.amax(-1), alike[..., 0], (weights * alike).sum(-1)], -1)
        word = self.from_word(words)[:, None] + self.coverage(covered)
        seen = F.gelu(word + self.from_cell(found) + self.from_both(words[:, None] * found))
        importance = self.importance(states)[..., 0] + (1 - token_mask.to(states.dtype)) * MASKED
        return torch.einsum("bl,bflw->bfw", importance.softmax(-1), seen)

    def words_in_joint_space(self, states: Tensor) -> Tensor:
        """Each word as if it were the sentence: unit vectors [B, L, D] to compare with cells."""
        plain = F.normalize(states, dim=-1)
        learned = F.normalize(self.joint(plain * SCALE), dim=-1)
        return F.normalize(learned + self.joint_skip * plain, dim=-1)

    def start_from(self, encoder: TextEncoder) -> None:
        """Take over how the dual encoder maps sentences into the joint space."""
        for mine, theirs in zip(
            self.joint, (m for m in encoder.project if not isinstance(m, nn.Dropout)), strict=True
        ):
            mine.load_state_dict(theirs.state_dict())
        self.joint_skip.data.copy_(encoder.knowledge_weight)

    @staticmethod
    def similarities(query: Tensor, frames: Tensor, regions: Tensor, keep: Tensor) -> Tensor:
        """Inner products that the dual encoder gives, and how alike neighbours are [B, F, 7]."""
        whole = torch.einsum("bd,bfd->bf", query, frames)
        parts = torch.einsum("bd,bfrd->bfr", query, regions)
        top = parts.topk(3, -1).values
        before = F.pad((frames[:, 1:] * frames[:, :-1]).sum(-1), (1, 0))
        after = F.pad(before[:, 1:], (0, 1))
        stacked = torch.stack(
            [whole, top[..., 0], top[..., 2], parts.mean(-1), parts.amin(-1), before, after], -1
        )
        return stacked * keep


class TimeBlock(nn.Module):
    """Frames exchange with their neighbours: a dilated convolution over time, then each its own."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.mix = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.own = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        mixed = F.gelu(self.mix(x.transpose(1, 2)).transpose(1, 2))
        return self.norm(x + self.dropout(self.own(mixed))) * keep
