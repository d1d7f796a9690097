"""Worlds of composed footage as many encoders see them, and the evidence of what was found there.

No gradient goes through an encoder: what a universal head takes (``vsr_edge.runtime.evidence``) is
computed once for each question by the very code that a search runs, and kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from models.data.worlds import Candidates, Granularity, World, build_world, retrieve
from models.universal_encoders import Seen
from vsr_edge.runtime.evidence import Space, evidence
from vsr_edge.runtime.heads import Floats, Footage
from vsr_edge.search.phrases import MOST_PHRASES, phrases
from vsr_edge.types import Vectors

CANDIDATES, SAMPLE = 16, 4096
INPUTS = ("sentence", "phrases", "phrase_mask", "neighbours", "frame_mask", "candidate")


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """n questions with K candidates of at most F frames each, best retrieved first.

    ``inputs`` are the head's, [n, K, …], those of phrases filled up to as many for all; ``shown``
    bool [n, K, F], which frames show what is asked; ``video`` bool [n, K], which candidates lie in
    the right video; ``span`` [n, 2], the first and last frame of what is asked, and ``first`` [n,
    K], the first frame of a candidate, as numbers of the world's; ``present`` bool [n]; ``frames``
    [n], how many were searched; ``by_video`` bool [n], whether by one vector a video; ``score`` [n,
    K] of a candidate's best frame, in deviations above what any sentence scores for any frame;
    ``world`` [n], how many videos there are.
    """

    inputs: dict[str, NDArray[np.float16]]
    shown: NDArray[np.bool_]
    video: NDArray[np.bool_]
    span: NDArray[np.int64]
    first: NDArray[np.int64]
    present: NDArray[np.bool_]
    frames: NDArray[np.int64]
    by_video: NDArray[np.bool_]
    score: NDArray[np.float32]
    world: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.present)

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        rest = {name: getattr(self, name) for name in _REST}
        save_file({**{f"inputs.{n}": v for n, v in self.inputs.items()}, **rest}, path)

    @classmethod
    def load(cls, path: Path) -> Judged:
        found = load_file(path)
        inputs = {name: found.pop(f"inputs.{name}") for name in INPUTS}
        return cls(inputs, **found)

    def chosen(self, rows: NDArray[np.intp]) -> Judged:
        """Some of the questions."""
        rest = {name: getattr(self, name)[rows] for name in _REST}
        return Judged({n: v[rows] for n, v in self.inputs.items()}, **rest)


_REST = ("shown", "video", "span", "first", "present", "frames", "by_video", "score", "world")


def joined(parts: list[Judged]) -> Judged:
    """All questions of these."""
    rest = {name: np.concatenate([getattr(one, name) for one in parts]) for name in _REST}
    inputs = {n: np.concatenate([one.inputs[n] for one in parts]) for n in INPUTS}
    return Judged(inputs, **rest)


class Remembered(Space):
    """A space that looks at no frame twice."""

    def nearness(self, frames: Vectors) -> tuple[Floats, Floats, Floats]:
        kept: dict[bytes, tuple[float, float, float]] = self.__dict__.setdefault("kept", {})
        keys = [row.tobytes() for row in np.ascontiguousarray(frames)]
        new = {key: row for row, key in enumerate(keys) if key not in kept}
        if new:
            found = super().nearness(frames[list(new.values())])
            kept.update(zip(new, zip(*(part.tolist() for part in found), strict=True), strict=True))
        mean, near, deviation = np.array([kept[key] for key in keys], np.float32).T
        return mean, near, deviation


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A world with who asks what of it: captions (photo, text) there and not there."""

    world: World
    space: Space
    there: list[tuple[int, str]]
    not_there: list[tuple[int, str]]


def ask(seen: Seen, photos: int, absent: int, random: np.random.Generator) -> Asked:
    """A world of so many of the photos; captions of ``absent`` others are not there."""
    chosen = random.permutation(len(seen.views))[: photos + absent]
    world = build_world(seen.views, chosen[:photos], random, 0.0)
    sample = random.permutation(len(world.vectors))[:SAMPLE]
    space = Remembered(world.vectors.numpy()[sample], seen.bank)
    there = [(int(p), c) for p in chosen[:photos] for c in seen.captions[p]]
    not_there = [(int(p), c) for p in chosen[photos:] for c in seen.captions[p]]
    return Asked(world, space, there, not_there)


def judge(
    seen: Seen, asked: Asked, granularity: Granularity, count: int, random: np.random.Generator
) -> Judged:
    """So many questions, one in six of them about what is not there, and their evidence."""
    absent = min(count // 6, len(asked.not_there))
    there = [asked.there[i] for i in random.permutation(len(asked.there))[: count - absent]]
    others = [asked.not_there[i] for i in random.permutation(len(asked.not_there))[:absent]]
    questions = there + others
    world = asked.world
    vectors = torch.from_numpy(seen.texts[[seen.number[text] for _, text in questions]])
    found = retrieve(world, vectors, granularity, CANDIDATES)
    numbers = found.frames.numpy()
    inputs: dict[str, list[NDArray[np.float16]]] = {name: [] for name in INPUTS}
    for row, (_, text) in enumerate(questions):
        some = _evidence(seen, asked, text, found, row)
        for name, values in some.items():
            inputs[name].append(values.astype(np.float16))
    wanted = np.array([photo for photo, _ in questions])
    present = np.arange(len(questions)) < len(there)
    shows = (world.photos[None] == wanted[:, None]) & present[:, None]
    n = np.arange(len(world.photos))
    span = np.stack([np.where(shows, n, len(n)).min(1), np.where(shows, n, -1).max(1)], 1)
    real = found.mask.numpy() > 0
    right_video = np.where(present, world.videos[shows.argmax(1)], -1)
    scores = (vectors @ world.vectors.T).numpy()
    best = np.take_along_axis(scores, numbers.reshape(len(scores), -1), 1).reshape(numbers.shape)
    return Judged(
        {name: np.stack(values) for name, values in inputs.items()},
        shown=np.take_along_axis(shows, numbers.reshape(len(shows), -1), 1).reshape(numbers.shape)
        & real,
        video=(world.videos[numbers[..., 0]] == right_video[:, None]) & real.any(2),
        span=span.astype(np.int64),
        first=numbers[..., 0].astype(np.int64),
        present=present,
        frames=np.full(len(present), len(n)),
        by_video=np.full(len(present), granularity == "video"),
        score=asked.space.above_any(np.where(real, best, -np.inf).max(2)).astype(np.float32),
        world=np.full(len(present), len(world.videos)),
    )


def _evidence(
    seen: Seen, asked: Asked, text: str, found: Candidates, row: int
) -> dict[str, Floats]:
    world = asked.world
    rows = [seen.number[one] for one in (text, *phrases(text))]
    texts = seen.texts[rows]
    frames, mask = found.frames[row], found.mask[row].numpy()
    keep = mask[..., None]
    vectors = world.vectors[frames].numpy()
    shown = Footage(vectors * keep, world.regions[frames].float().numpy() * keep[..., None], mask)
    scores = np.where(mask > 0, vectors @ texts[0], -np.inf).max(1)
    scores = np.where(np.isfinite(scores), scores, 0).astype(np.float32)
    some = evidence(texts, asked.space.usual(texts), asked.space, shown, scores)
    missing = MOST_PHRASES - len(texts) + 1
    some["phrases"] = np.pad(some["phrases"], ((0, 0), (0, missing), (0, 0), (0, 0)))
    some["phrase_mask"] = np.pad(some["phrase_mask"], ((0, 0), (0, missing)))
    return some
