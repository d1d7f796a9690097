"""Verifier and grounder for any dual encoder: the head of ``models.grounding`` that knows no space.

What it takes is evidence (``vsr_edge.runtime.evidence``): how the sentence and each of its phrases
compare with each frame and its regions, told in deviations above what is usual, so that an
encoder's scale, dimension and common direction are gone before the first layer. Phrases are pooled
by how much they matter, which is read off the same numbers; frames meet each other through
convolutions over time and a pooled context. A head is the mean of a few such networks, each trained
by itself.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from models.grounding import DILATIONS, MASKED, TimeBlock
from vsr_edge.runtime.evidence import PER_CANDIDATE, PER_FRAME, PER_PHRASE, PER_SENTENCE

PHRASE_WIDTH = 16
# Deviations run to a dozen, layers like numbers near 1; and the slope of the logits at the start.
SCALE, SLOPE = 0.25, 0.5
# Which of a sentence's numbers decide at the start: the frame above usual footage, plain and fair.
PLAIN, FAIR = 0, 1
# Of a candidate's numbers, the score that it was retrieved by.
RETRIEVED = 0


class UniversalHead(nn.Module):
    """Evidence of B candidates → match logit, start and end logits, relevance of each frame: the
    mean of what its members say.
    """

    def __init__(self, members: int = 1) -> None:
        super().__init__()
        self.members = nn.ModuleList(Member() for _ in range(members))
        # Of the score that it was retrieved by, in deviations: chosen after the training.
        self.score_weight: Tensor
        self.register_buffer("score_weight", torch.zeros(()))

    def forward(
        self,
        sentence: Tensor,
        phrases: Tensor,
        phrase_mask: Tensor,
        neighbours: Tensor,
        frame_mask: Tensor,
        candidate: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Judge B candidates.

        Args:
            sentence: [B, F, 14]; phrases: [B, P, F, 11]; phrase_mask: [B, P], 1 for real phrases;
            neighbours: [B, F, 4]; frame_mask: [B, F], 1 for real frames, which come first;
            candidate: [B, 4]: as ``vsr_edge.runtime.evidence.evidence`` gives them.

        Returns:
            Logits of match [B], start [B, F], end [B, F] and relevance [B, F].
        """
        given = (sentence, phrases, phrase_mask, neighbours, frame_mask, candidate)
        each = zip(*(member(*given) for member in self.members), strict=True)
        match, start, end, relevance = (torch.stack(part).mean(0) for part in each)
        return match + self.score_weight * candidate[:, RETRIEVED], start, end, relevance


class Member(nn.Module):
    """One network of a head, which takes what the head takes and gives what it gives."""

    def __init__(self, width: int = 56, dropout: float = 0.2) -> None:
        super().__init__()
        self.phrase = nn.Sequential(
            nn.Linear(PER_PHRASE, PHRASE_WIDTH), nn.GELU(), nn.Linear(PHRASE_WIDTH, PHRASE_WIDTH)
        )
        self.importance = nn.Sequential(
            nn.Linear(2 * PER_PHRASE, PHRASE_WIDTH), nn.GELU(), nn.Linear(PHRASE_WIDTH, 1)
        )
        self.frame = nn.Linear(
            PER_SENTENCE + PHRASE_WIDTH + PER_PHRASE + PER_FRAME + PER_CANDIDATE, width
        )
        self.frame_norm = nn.LayerNorm(width)
        self.over_time = nn.ModuleList(TimeBlock(width, d, dropout) for d in DILATIONS)
        self.context = nn.Linear(width, width)
        self.per_frame = nn.Linear(width, 3)
        self.verdict = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(2 * width + PER_CANDIDATE, width),
            nn.GELU(),
            nn.Linear(width, 1),
        )
        self.slopes = nn.Parameter(torch.tensor([SLOPE, SLOPE]))
        for layer in (self.verdict[-1], self.per_frame, self.importance[-1]):
            nn.init.zeros_(layer.get_parameter("weight"))

    def forward(
        self,
        sentence: Tensor,
        phrases: Tensor,
        phrase_mask: Tensor,
        neighbours: Tensor,
        frame_mask: Tensor,
        candidate: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        keep = frame_mask[..., None]
        about = SCALE * candidate
        own = SCALE * sentence
        x = torch.cat(
            [
                own,
                self.about_phrases(SCALE * phrases, phrase_mask, frame_mask),
                neighbours,
                about[:, None].expand(-1, own.shape[1], -1),
            ],
            -1,
        )
        x = self.frame_norm(self.frame(x)) * keep
        for block in self.over_time:
            x = block(x, keep)
        x = x + self.context(x.sum(1, keepdim=True) / keep.sum(1, keepdim=True).clamp(min=1)) * keep
        logits = self.per_frame(x) + sentence[..., PLAIN : PLAIN + 1] + (1 - keep) * MASKED
        start, end, relevance = logits.unbind(-1)
        weights = relevance.softmax(1)[..., None]
        pooled = torch.cat([(weights * x).sum(1), (x + (1 - keep) * MASKED).amax(1), about], -1)
        best = (weights * sentence[..., PLAIN : FAIR + 1]).sum(1)
        match = self.verdict(pooled)[:, 0] + (self.slopes * best).sum(-1)
        return match, start, end, relevance

    def about_phrases(self, phrases: Tensor, mask: Tensor, frame_mask: Tensor) -> Tensor:
        """What the phrases say of each frame, by how much each matters, and of each number the
        least of any phrase, softly, [B, F, W + 11].
        """
        frames = frame_mask[:, None, :, None]
        count = frames.sum(2).clamp(min=1)
        mean = (phrases * frames).sum(2) / count
        top = (phrases + (1 - frames) * MASKED).amax(2)
        absent = (1 - mask) * MASKED
        matter = self.importance(torch.cat([mean, top], -1))[..., 0] + absent
        weights = matter.softmax(1)[:, :, None, None]
        said = (weights * self.phrase(phrases)).sum(1)
        least = (absent[:, :, None, None] - 4.0 * phrases + matter[:, :, None, None]).softmax(1)
        return torch.cat([said, (least * phrases).sum(1)], -1)


def load_head(path: Path) -> UniversalHead:
    """The head that :mod:`models.train_universal` saved."""
    weights = load_file(path)
    members = {name.split(".")[1] for name in weights if name.startswith("members.")}
    head = UniversalHead(len(members))
    head.load_state_dict(weights)
    return head.requires_grad_(False).eval()
