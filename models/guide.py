"""What a refined query should look like, before any footage was seen: the refiner's first teacher.

A sentence's vector was trained to find one picture. The vector of a video, or of a clip, is a mean
of many, and a linear map of the query finds that better, or at least finds other videos. Such a map
is learned in a minute by InfoNCE over large worlds, with batches that no text encoder could follow;
soft tokens are then taught to reach it (``models/LOG.md``: without this teacher they learned next
to nothing in the time there was).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.data.worlds import Granularity
from models.encoder import JOINT, as_query
from models.episodes import Asked, Episode
from models.losses import refined_query_loss

DECAY, RATE = 0.05, 1e-3
BATCH = 384
STEPS_PER_WORLD = 20


# How much of the way a refinement is to go: the rest finds no more and is harder to reach.
SHARE = 0.8


class Guide(nn.Module):
    """Query vectors [B, D] → unit vectors [B, D]; at the start the query itself.

    What hubness counts stays as it is: no sentence can say otherwise.
    """

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(JOINT, JOINT)
        nn.init.eye_(self.map.weight)
        nn.init.zeros_(self.map.bias)

    def forward(self, queries: Tensor) -> Tensor:
        return as_query(F.normalize(self.map(queries[..., :JOINT]), dim=-1))

    def target(self, queries: Tensor) -> Tensor:
        """``SHARE`` of the way there [B, D]."""
        joint = SHARE * self(queries) + (1 - SHARE) * queries
        return as_query(F.normalize(joint[..., :JOINT], dim=-1))


def learn_guide(
    episode_of: Callable[[], Episode], granularity: Granularity, steps: int, temperature: float
) -> tuple[Guide, float]:
    """The map for one granularity, and its last loss; ``episode_of`` gives a new world."""
    guide = Guide()
    optimiser = torch.optim.AdamW(guide.parameters(), lr=RATE, weight_decay=DECAY)
    loss = torch.zeros(())
    for step in range(steps):
        if step % STEPS_PER_WORLD == 0:
            episode = episode_of()
        chosen = torch.randperm(len(episode.present))[:BATCH].numpy()
        asked = Asked(episode, episode.present[chosen], granularity)
        vectors, right = asked.vectors, asked.right_units()
        loss = refined_query_loss(guide(vectors), asked.units, right, vectors, temperature, None)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return guide.requires_grad_(False).eval(), loss.item()
