"""Search in a world of features, with the models in training: candidates judged, queries refined.

The same steps as the runtime's loop takes, batched, with gradients where they are wanted; tests
hold the two against each other.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.checkpoint import load_encoder
from models.data.features import PhotoViews
from models.data.worlds import (
    Candidates,
    Granularity,
    Queries,
    World,
    build_world,
    encode_captions,
    retrieve,
)
from models.encoder import TextEncoder
from models.extract_features import load_features
from models.grounding import GroundingHead
from models.refiner import Refiner
from models.training import mixed_precision

IMPOSSIBLE = -30.0


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """Photos as an encoder sees them that was not trained on them, and captions as the text encoder
    reads them that is searched with.

    Its own vectors of the photos would not do: it was trained on them and finds nearly all. With
    another's it finds about as many as of unseen ones, and what heads learn of its text fits it.
    """

    views: PhotoViews
    queries: Queries
    text: TextEncoder

    @classmethod
    def load(cls, features: Path, encoder: Path) -> Corpus:
        """Read what ``models.extract_features`` wrote; captions are encoded once and kept."""
        views, captions = load_features(features)
        text = load_encoder(encoder)[1].requires_grad_(False)
        digest = hashlib.sha256(encoder.read_bytes()).hexdigest()[:8]
        kept = features.with_suffix(f".{digest}.pt")
        if kept.exists() and kept.stat().st_mtime > features.stat().st_mtime:
            queries: Queries = torch.load(kept, weights_only=False)
        else:
            queries = encode_captions(captions, text)
            torch.save(queries, kept)
        return cls(views, queries, text)

    def world(
        self, count: int, held_out: int, random: np.random.Generator, mirror: float = 0.5
    ) -> Episode:
        """A world of ``count`` of the photos; captions of ``held_out`` others are absent in it."""
        chosen = random.permutation(len(self.views))[: count + held_out]
        shown = chosen[: len(chosen) - held_out]
        world = build_world(self.views, shown, random, mirror)
        present = np.flatnonzero(np.isin(self.queries.photos, shown))
        absent = np.flatnonzero(np.isin(self.queries.photos, chosen[len(shown) :]))
        return Episode(self, world, present, absent)


def any_world(
    corpora: list[Corpus], photos: int, held_out: int, random: np.random.Generator
) -> Episode:
    """A world of at most so many photos, from any of the corpora."""
    corpus = corpora[random.integers(len(corpora))]
    return corpus.world(min(photos, len(corpus.views) - held_out), held_out, random)


@dataclass(frozen=True, slots=True, eq=False)
class Episode:
    """A world with the numbers of the queries that it answers, and of those that it does not."""

    corpus: Corpus
    world: World
    present: NDArray[np.intp]
    absent: NDArray[np.intp]

    def some(self, count: int, random: np.random.Generator, granularity: Granularity) -> Asked:
        """So many queries, one in six of them absent."""
        absent = count // 6
        present = random.choice(self.present, count - absent, replace=False)
        others = random.choice(self.absent, absent, replace=False)
        return Asked(self, np.concatenate([present, others]), granularity)


class Asked:
    """B queries of an episode, by their ``numbers``, asked of its frames or of its videos.

    ``ids`` and ``mask`` [B, L], ``states`` [B, L, H] and ``vectors`` [B, D] of the queries;
    ``units`` [U, D] and ``ranges`` [U, 2] of what is retrieved; ``shows`` bool [B, n], which of the
    world's frames show what is asked.
    """

    def __init__(
        self, episode: Episode, numbers: NDArray[np.intp], granularity: Granularity
    ) -> None:
        self.episode, self.numbers, self.granularity = episode, numbers, granularity
        self.world, queries = episode.world, episode.corpus.queries
        length = int(queries.mask[numbers].sum(1).max())
        self.ids, self.mask = queries.ids[numbers][:, :length], queries.mask[numbers][:, :length]
        self.states = queries.states[numbers][:, :length].float()
        self.vectors = queries.vectors[numbers]
        self.units, ranges = self.world.units[granularity]
        self.ranges = torch.from_numpy(ranges)
        wanted = torch.from_numpy(queries.photos[numbers])
        self.shows = torch.from_numpy(self.world.photos)[None] == wanted[:, None]

    def retrieve(self, count: int, refined: Tensor | None = None) -> Candidates:
        """The best candidates, of the queries or of what they were refined to [B, D]."""
        vectors = self.vectors if refined is None else refined
        return retrieve(self.world, vectors, self.granularity, count, focus=self.vectors)

    def shown_in(self, candidates: Candidates) -> Tensor:
        """Which frames of each candidate show what is asked: bool [B, K, F]."""
        frames = candidates.frames
        return self.shows.gather(1, frames.flatten(1)).view(frames.shape) & candidates.mask.bool()

    def right_units(self) -> Tensor:
        """Which units are to be found: bool [B, U]; of clips, those that show the most of it."""
        sums = torch.nn.functional.pad(self.shows.long().cumsum(1), (1, 0))
        frames = sums[:, self.ranges[:, 1] + 1] - sums[:, self.ranges[:, 0]]
        return (frames == frames.amax(1, keepdim=True)) & (frames > 0)

    def judge(
        self, head: GroundingHead, candidates: Candidates
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Match logits [B, K], and start, end and relevance logits [B, K, F].

        Where a small world had fewer candidates to offer, the rest can not match.
        """
        frames, size = candidates.frames, candidates.frames.shape

        def each(values: Tensor) -> Tensor:
            return values.repeat_interleave(size[1], 0)

        with mixed_precision():
            match, *spans = head(
                each(self.states),
                each(self.mask),
                each(self.vectors),
                self.world.vectors[frames].flatten(0, 1),
                self.world.regions[frames].flatten(0, 1).float(),
                candidates.mask.flatten(0, 1),
            )
        start, end, relevance = (part.float().view(size) for part in spans)
        missing = ~candidates.mask.any(2)
        match = match.float().view(size[:2]).masked_fill(missing, IMPOSSIBLE)
        return match, start, end, relevance

    def evidence(self, rejected: Candidates, match: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the refiner learns from: the number of the best frame of each rejected candidate
        [B, E], its features (match logit, log₂ of how many frames its unit has) [B, E, 2], and a
        mask [B, E].

        The best of all frames of a candidate: the runtime takes that of the unit it was found by,
        which is another where a clip's neighbour is more like the query.
        """
        alike = torch.einsum("bd,bkfd->bkf", self.vectors, self.world.vectors[rejected.frames])
        alike = alike.masked_fill(~rejected.mask.bool(), -torch.inf)
        best = rejected.frames.gather(2, alike.argmax(2, keepdim=True))[..., 0]
        ranges = self.ranges[rejected.units]
        size = (ranges[..., 1] - ranges[..., 0] + 1).float().log2()
        return best, torch.stack([match, size], -1), rejected.mask.any(2).float()

    def soft_tokens(
        self, refiner: Refiner, rejected: Candidates, match: Tensor, use_evidence: bool = True
    ) -> Tensor:
        """The soft tokens [B, N, H] that refine the queries; ``rejected`` are the candidates to
        learn from, with their match logits [B, E].
        """
        best, features, present = self.evidence(rejected, match)
        with mixed_precision():
            soft = refiner(
                self.states,
                self.mask,
                self.vectors,
                self.world.vectors[best],
                self.world.regions[best].float(),
                features,
                present * use_evidence,
            )
        return soft.float()

    def encoded_with(self, soft: Tensor) -> Tensor:
        """The queries with soft tokens [B, N, H], by the frozen text tower: vectors [B, D]."""
        with mixed_precision():
            vectors, _ = self.episode.corpus.text(self.ids, self.mask, soft)
        return vectors.float()


def best_span(start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """The likeliest first ≤ last frame of logits [..., F]."""
    count = start.shape[-1]
    joint = start[..., :, None] + end[..., None, :]
    backwards = torch.ones(count, count, dtype=torch.bool).tril(-1)
    place = joint.masked_fill(backwards, -torch.inf).flatten(-2).argmax(-1)
    return place // count, place % count
