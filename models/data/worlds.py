"""Archives in feature space: what the verifier, the grounder and the refiner are trained in.

A world is a composed archive whose frames were never filmed. It is searched as the runtime
searches: by the vectors of frames or of whole videos, and each hit becomes a candidate, the frames
around the one in it that is most like the query. (Of a hit of more than 128 frames the runtime
makes several candidates, training one.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models.data.batches import load_tokenizer, tokenize
from models.data.composition import compose
from models.data.features import PhotoViews, compose_frames
from models.encoder import TextEncoder
from models.minilm import HIDDEN
from models.training import mixed_precision
from vsr_edge.bundle.manifest import REACH

Granularity: TypeAlias = Literal["frame", "video"]
GRANULARITIES: tuple[Granularity, ...] = ("frame", "video")

FPS = 1.0  # as the runtime does by default
MOST_WORDS = 32
SCENES_PER_VIDEO = 4


@dataclass(frozen=True, slots=True, eq=False)
class Queries:
    """Encoded captions: ``ids`` and ``mask`` [n, L], ``states`` float16 [n, L, H], ``vectors``
    [n, D], and the photo that each describes.
    """

    ids: Tensor
    mask: Tensor
    states: Tensor
    vectors: Tensor
    photos: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.photos)


@torch.no_grad()
def encode_captions(
    captions: Sequence[Sequence[str]], encoder: TextEncoder, batch: int = 128
) -> Queries:
    """All captions of all photos, with the frozen sentence tower."""
    texts = [caption for group in captions for caption in group]
    photos = np.repeat(np.arange(len(captions)), [len(group) for group in captions])
    ids, mask = tokenize(load_tokenizer(), texts)
    if ids.shape[1] > MOST_WORDS:
        # A cut sentence still ends with its separator.
        full = mask.sum(1) > MOST_WORDS
        ids[full, MOST_WORDS - 1] = ids[full, mask[full].sum(1) - 1]
        ids, mask = ids[:, :MOST_WORDS], mask[:, :MOST_WORDS]
    states, vectors = [], []
    encoder.eval()
    for start in range(0, len(texts), batch):
        part = slice(start, start + batch)
        blank = torch.zeros(len(ids[part]), 0, HIDDEN)
        with mixed_precision():
            vector, state = encoder(ids[part], mask[part], blank)
        vectors.append(vector.float())
        states.append(state.half())
    return Queries(ids, mask, torch.cat(states), torch.cat(vectors), photos)


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """n frames of v videos; a unit is a frame or a video, a range of frames."""

    vectors: Tensor
    regions: Tensor
    photos: NDArray[np.intp]
    videos: NDArray[np.intp]
    units: dict[Granularity, tuple[Tensor, NDArray[np.intp]]]


def build_world(
    views: PhotoViews, photos: NDArray[np.intp], random: np.random.Generator, mirror: float = 0.5
) -> World:
    """Compose these photos into videos and take their frames' features."""
    videos = compose(
        photos.tolist(), max(len(photos) // SCENES_PER_VIDEO, 1), random, mirror=mirror
    )
    frames = [compose_frames(video, views, random, fps=FPS) for video in videos]
    counts = np.array([len(part.times) for part in frames])
    ends = np.cumsum(counts)
    ranges = np.stack([ends - counts, ends - 1], 1)
    vectors = torch.from_numpy(np.concatenate([part.vectors for part in frames]))
    shown = [
        np.array([video.scenes[place].photo for place in part.scenes])
        for video, part in zip(videos, frames, strict=True)
    ]
    return World(
        vectors=vectors,
        regions=torch.from_numpy(np.concatenate([part.regions for part in frames])).half(),
        photos=np.concatenate(shown),
        videos=np.repeat(np.arange(len(videos)), counts),
        units={
            "frame": (vectors, np.repeat(np.arange(len(vectors)), 2).reshape(-1, 2)),
            "video": (mean_vectors(vectors, ranges), ranges),
        },
    )


def mean_vectors(vectors: Tensor, ranges: NDArray[np.intp]) -> Tensor:
    """The vector of each range of frames: their mean, of unit length."""
    sums = F.pad(vectors.double().cumsum(0), (0, 0, 1, 0))
    return F.normalize(sums[ranges[:, 1] + 1] - sums[ranges[:, 0]], dim=1).float()


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """K candidates for each of B queries, best retrieved first.

    ``frames`` int [B, K, F] are numbers of frames, ``mask`` [B, K, F] says which are real (they
    come first), ``units`` [B, K] which retrieved unit each lies in.
    """

    frames: Tensor
    mask: Tensor
    units: Tensor

    def first(self, count: int) -> Candidates:
        """The first ``count`` of each query."""
        return Candidates(self.frames[:, :count], self.mask[:, :count], self.units[:, :count])

    def unseen(self, seen: Candidates, count: int) -> Candidates:
        """The first ``count`` whose unit is not among those that were seen."""
        known = (self.units[:, :, None] == seen.units[:, None]).any(2)
        order = known.long().argsort(dim=1, stable=True)[:, :count]
        of_frames = order[..., None].expand(-1, -1, self.frames.shape[2])
        return Candidates(
            self.frames.gather(1, of_frames),
            self.mask.gather(1, of_frames),
            self.units.gather(1, order),
        )

    def with_more(self, other: Candidates) -> Candidates:
        """Those of another retrieval behind these."""
        return Candidates(
            torch.cat([self.frames, other.frames], 1),
            torch.cat([self.mask, other.mask], 1),
            torch.cat([self.units, other.units], 1),
        )


def retrieve(
    world: World,
    queries: Tensor,
    granularity: Granularity,
    count: int,
    focus: Tensor | None = None,
) -> Candidates:
    """The ``count`` best candidates of each query [B, D].

    A hit that lies within reach of a better one in the same video is part of it. ``focus``: the
    vectors that choose the best frame in a hit, where they are not the queries that retrieve.
    """
    alike = ((queries if focus is None else focus) @ world.vectors.T).numpy()
    order = (queries @ world.units[granularity][0].T).argsort(1, descending=True).numpy()
    frames = torch.zeros(len(queries), count, 2 * REACH + 1, dtype=torch.long)
    mask = torch.zeros(frames.shape)
    units = torch.zeros(len(queries), count, dtype=torch.long)
    for row in range(len(queries)):
        found = _distinct(world, granularity, order[row], alike[row])
        for place, (unit, first, last) in zip(range(count), found, strict=False):
            frames[row, place, : last - first + 1] = torch.arange(first, last + 1)
            mask[row, place, : last - first + 1] = 1
            units[row, place] = unit
    return Candidates(frames, mask, units)


def _distinct(
    world: World, granularity: Granularity, order: NDArray[np.intp], alike: NDArray[np.float32]
) -> Iterator[tuple[int, int, int]]:
    """Of units in their order, each that is not within reach of an earlier one: its number, and the
    first and last frame around its best.
    """
    ranges, videos = world.units[granularity][1], world.units["video"][1]
    centres: dict[int, list[int]] = {}
    for unit in order.tolist():
        first, last = ranges[unit]
        centre = int(first + alike[first : last + 1].argmax())
        video = int(world.videos[centre])
        others = centres.setdefault(video, [])
        if all(abs(centre - other) > REACH for other in others):
            others.append(centre)
            begin, end = videos[video].tolist()
            yield unit, max(centre - REACH, begin), min(centre + REACH, end)
