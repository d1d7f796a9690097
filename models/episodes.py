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
from models.data.worlds import Candidates, Granularity, Queries, World, build_world, encode_captions
from models.encoder import TextEncoder
from models.extract_features import load_features
from models.grounding import GroundingHead
from models.refiner import Refiner

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

    def ask(self, count: int, random: np.random.Generator) -> NDArray[np.intp]:
        """So many queries, one in six of them absent."""
        absent = count // 6
        present = random.choice(self.present, count - absent, replace=False)
        return np.concatenate([present, random.choice(self.absent, absent, replace=False)])

    def shown_in(self, asked: NDArray[np.intp], candidates: Candidates) -> Tensor:
        """Which frames of each candidate show what is asked: bool [B, K, F]."""
        photos = torch.from_numpy(self.world.photos)[candidates.frames]
        wanted = torch.from_numpy(self.corpus.queries.photos[asked])
        return (photos == wanted[:, None, None]) & candidates.mask.bool()

    def right_units(self, asked: NDArray[np.intp], granularity: Granularity) -> Tensor:
        """Which units are to be found: bool [B, U]; of clips, those that show the most of it."""
        ranges = torch.from_numpy(self.world.units[granularity][1])
        photos = torch.from_numpy(self.world.photos)
        shown = photos[None] == torch.from_numpy(self.corpus.queries.photos[asked])[:, None]
        sums = torch.nn.functional.pad(shown.long().cumsum(1), (1, 0))
        frames = sums[:, ranges[:, 1] + 1] - sums[:, ranges[:, 0]]
        return (frames == frames.amax(1, keepdim=True)) & (frames > 0)

    def text_of(self, asked: NDArray[np.intp]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Token ids, mask [B, L], states [B, L, H] and vectors [B, D] of queries."""
        queries = self.corpus.queries
        length = int(queries.mask[asked].sum(1).max())
        ids, mask = queries.ids[asked][:, :length], queries.mask[asked][:, :length]
        return ids, mask, queries.states[asked][:, :length].float(), queries.vectors[asked]


def judge(
    head: GroundingHead, episode: Episode, asked: NDArray[np.intp], candidates: Candidates
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Match logits [B, K], and start, end and relevance logits [B, K, F].

    Where a small world had fewer candidates to offer, the rest can not match.
    """
    _, mask, states, vectors = episode.text_of(asked)
    world, frames = episode.world, candidates.frames
    batch, count, length = frames.shape

    def each(values: Tensor) -> Tensor:
        return values.repeat_interleave(count, 0)

    with torch.autocast("cpu", torch.bfloat16):
        match, *spans = head(
            each(states),
            each(mask),
            each(vectors),
            world.vectors[frames].flatten(0, 1),
            world.regions[frames].flatten(0, 1).float(),
            candidates.mask.flatten(0, 1),
        )
    start, end, relevance = (part.float().view(batch, count, length) for part in spans)
    missing = ~candidates.mask.any(2)
    return match.float().view(batch, count).masked_fill(missing, IMPOSSIBLE), start, end, relevance


def evidence_of(
    episode: Episode,
    asked: NDArray[np.intp],
    rejected: Candidates,
    match: Tensor,
    granularity: Granularity,
) -> tuple[Tensor, Tensor, Tensor]:
    """What the refiner learns from: the number of the best frame of each rejected candidate [B, E],
    its features (match logit, log₂ of how many frames it was found by) [B, E, 2], and a mask.

    The best of all frames of a candidate: the runtime takes that of the unit it was found by, which
    is another where a clip's neighbour is more like the query.
    """
    vectors, world = episode.corpus.queries.vectors[asked], episode.world
    alike = torch.einsum("bd,bkfd->bkf", vectors, world.vectors[rejected.frames])
    alike = alike.masked_fill(~rejected.mask.bool(), -torch.inf)
    best = rejected.frames.gather(2, alike.argmax(2, keepdim=True))[..., 0]
    ranges = torch.from_numpy(world.units[granularity][1])[rejected.units]
    size = (ranges[..., 1] - ranges[..., 0] + 1).float().log2()
    return best, torch.stack([match, size], -1), rejected.mask.any(2).float()


def soft_tokens(
    refiner: Refiner,
    episode: Episode,
    asked: NDArray[np.intp],
    rejected: Candidates,
    match: Tensor,
    granularity: Granularity,
    use_evidence: bool = True,
) -> Tensor:
    """The soft tokens [B, N, H] that refine queries; ``rejected`` are the candidates to learn from,
    with their match logits [B, E].
    """
    _, mask, states, vectors = episode.text_of(asked)
    best, features, present = evidence_of(episode, asked, rejected, match, granularity)
    with torch.autocast("cpu", torch.bfloat16):
        soft = refiner(
            states,
            mask,
            vectors,
            episode.world.vectors[best],
            episode.world.regions[best].float(),
            features,
            present * use_evidence,
        )
    return soft.float()


def encode_refined(episode: Episode, asked: NDArray[np.intp], soft: Tensor) -> Tensor:
    """Queries with soft tokens [B, N, H], encoded by the frozen text tower: vectors [B, D]."""
    ids, mask, _, _ = episode.text_of(asked)
    with torch.autocast("cpu", torch.bfloat16):
        vectors, _ = episode.corpus.text(ids, mask, soft)
    return vectors.float()


def best_span(start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """The likeliest first ≤ last frame of logits [..., F]."""
    count = start.shape[-1]
    joint = start[..., :, None] + end[..., None, :]
    backwards = torch.ones(count, count, dtype=torch.bool).tril(-1)
    place = joint.masked_fill(backwards, -torch.inf).flatten(-2).argmax(-1)
    return place // count, place % count
