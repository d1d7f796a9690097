"""Verifier and grounder in one: does this footage show what the query says, and from when to when?

A cross-encoder over the query's words and a candidate's frame features. Each word is taken into the
space of the pictures by the dual encoder's own projection and compared with every cell of every
frame, its regions and the whole; what the network then sees are only these inner products: which
words a frame accounts for, how much of it the query is about, how alike neighbouring frames are.
It therefore has little to memorise, and means the same with encoders that were trained on other
photos (``models/LOG.md``: with raw features it learned its few thousand photos by heart). Frames
meet each other only through convolutions over time and a pooled context, so that any number of them
is fine: 1 to 512.

VideoSearch-R1 (arXiv 2607.00446) has a 2B vision-language model do both in text.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.encoder import JOINT, TextEncoder, as_query
from models.minilm import HIDDEN

PER_WORD, PER_FRAME = 5, 9
WORD_WIDTH = 16
JOINT_HIDDEN = 768  # as in the dual encoder
DILATIONS = (1, 2, 4)
MASKED = -1e4
# Inner products of unit vectors lie near 0.3, layers like numbers near 1; how sharply a word picks
# among a frame's cells; and the slope of the match logit at the start.
SCALE, FOCUS, SLOPE = 5.0, 20.0, 15.0


class GroundingHead(nn.Module):
    """Query and candidates → match logit, start and end logits, relevance of each frame."""

    def __init__(self, width: int = 64, dropout: float = 0.2) -> None:
        super().__init__()
        self.joint = WordsInJointSpace()
        self.importance = nn.Linear(HIDDEN, 1)
        self.word = nn.Sequential(
            nn.Linear(PER_WORD, WORD_WIDTH), nn.GELU(), nn.Linear(WORD_WIDTH, WORD_WIDTH)
        )
        self.frame = nn.Linear(PER_FRAME + WORD_WIDTH + 1, width)
        self.frame_norm = nn.LayerNorm(width)
        self.over_time = nn.ModuleList(TimeBlock(width, d, dropout) for d in DILATIONS)
        self.context = nn.Linear(width, width)
        self.per_frame = nn.Linear(width, 3)
        self.verdict = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, 1)
        )
        self.slopes = nn.Parameter(torch.tensor([SLOPE, SLOPE / 3]))
        # At the start the inner products of query and frames alone decide.
        for layer in (self.verdict[-1], self.per_frame, self.importance):
            nn.init.zeros_(layer.get_parameter("weight"))

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
        about_query = self.about_query(query, frames, regions)
        about_words = self.about_words(states, token_mask, frames, regions)
        alike = _neighbours(frames)
        x = torch.cat([SCALE * about_query, about_words, alike], -1)
        x = self.frame_norm(self.frame(x)) * keep
        for block in self.over_time:
            x = block(x, keep)
        x = x + self.context(x.sum(1, keepdim=True) / keep.sum(1, keepdim=True).clamp(min=1)) * keep
        logits = self.per_frame(x) + SLOPE * about_query[..., :1] + (1 - keep) * MASKED
        start, end, relevance = logits.unbind(-1)
        weights = relevance.softmax(1)[..., None]
        pooled = torch.cat([(weights * x).sum(1), (x + (1 - keep) * MASKED).amax(1)], -1)
        best = (weights * about_query[..., :2]).sum(1)
        match = self.verdict(pooled)[:, 0] + (self.slopes * best).sum(-1)
        return match, start, end, relevance

    def about_query(self, query: Tensor, frames: Tensor, regions: Tensor) -> Tensor:
        """How much each frame is what the whole query is about, [B, F, 5]."""
        whole = torch.einsum("bd,bfd->bf", query, frames)
        parts = torch.einsum("bd,bfrd->bfr", query, regions)
        top = parts.topk(3, -1).values
        return torch.stack([whole, top[..., 0], top.mean(-1), parts.mean(-1), parts.amin(-1)], -1)

    def about_words(
        self, states: Tensor, token_mask: Tensor, frames: Tensor, regions: Tensor
    ) -> Tensor:
        """Which words each frame accounts for, over the words that matter, [B, F, W + 1]."""
        alike = self.words_in_cells(states, frames, regions)
        top = alike.topk(3, -1).values
        seen = torch.stack(
            [
                top[..., 0],
                alike[..., 0],
                top.mean(-1),
                alike.mean(-1),
                (alike * (FOCUS * alike).softmax(-1)).sum(-1),
            ],
            -1,
        )
        absent = (1 - token_mask.to(states.dtype)) * MASKED
        weights = (self.importance(states)[..., 0] + absent).softmax(-1)
        words = torch.einsum("bl,blfw->bfw", weights, self.word(SCALE * seen))
        # The word that the frame shows least of, softly.
        least = (absent[:, :, None] - FOCUS * top[..., 0]).softmax(1)
        return torch.cat([words, SCALE * (least * top[..., 0]).sum(1)[..., None]], -1)

    def words_in_cells(self, states: Tensor, frames: Tensor, regions: Tensor) -> Tensor:
        """Inner products of each word with each frame's cells, the whole first [B, L, F, R + 1]."""
        cells = torch.cat([frames[:, :, None], regions], 2)
        return torch.einsum("bld,bfcd->blfc", self.joint(states), cells)


class WordsInJointSpace(nn.Module):
    """Token states [B, L, H] → unit vectors [B, L, D]: each word as if it were the sentence.

    The dual encoder's own projection, taken over and kept as it is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Sequential(
            nn.Linear(HIDDEN, JOINT_HIDDEN), nn.GELU(), nn.Linear(JOINT_HIDDEN, JOINT)
        )
        self.knowledge_weight = nn.Parameter(torch.ones(()))
        self.requires_grad_(False)

    def forward(self, states: Tensor) -> Tensor:
        plain = F.normalize(states, dim=-1)
        learned = F.normalize(self.project(plain * HIDDEN**0.5), dim=-1)
        return as_query(F.normalize(learned + self.knowledge_weight * plain, dim=-1))

    def take_over(self, encoder: TextEncoder) -> None:
        """Become the projection of this encoder."""
        theirs = [part for part in encoder.project if not isinstance(part, nn.Dropout)]
        for mine, source in zip(self.project, theirs, strict=True):
            mine.load_state_dict(source.state_dict())
        self.knowledge_weight.data.copy_(encoder.knowledge_weight)


def _neighbours(frames: Tensor) -> Tensor:
    """How alike each frame is to the two before and the two after it, [B, F, 4]; 0 past an end."""
    count = frames.shape[1]
    padded = F.pad(frames, (0, 0, 2, 2))
    return torch.stack(
        [(frames * padded[:, shift : shift + count]).sum(-1) for shift in (0, 1, 3, 4)], -1
    )


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
