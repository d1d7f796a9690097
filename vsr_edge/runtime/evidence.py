"""What a verifier sees that knows no encoder: how a sentence and its phrases compare with frames.

All of it comes from inner products, and none of it is one: each is told in standard deviations of
what the same text scores on usual footage, and of what the same frame scores for usual sentences
(query-bank normalisation, Bogolin et al. 2022). So an encoder's scale, its dimension, and a
direction that all its vectors share make no difference, and a head that was trained on the evidence
of some encoders can judge by that of another.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vsr_edge.runtime.heads import Floats, Footage
from vsr_edge.types import Vectors

# How many numbers there are of a sentence and a frame, of a phrase and a frame, of a frame and its
# neighbours, of a candidate: the last axes of what a universal head takes.
PER_SENTENCE, PER_PHRASE, PER_FRAME, PER_CANDIDATE = 14, 11, 4, 4
# The sentences nearest to a frame that say how near it is to any: so large a part of the bank.
NEAREST = 1 / 64
# Where a text's best scores begin: quantiles over usual footage.
TAIL = (0.9, 0.99, 0.999)
# Of usual footage, so many frames are compared with the whole bank, and at once.
COMPARED, AT_ONCE = 1024, 256
# Of less footage, and where it is all alike, what a text scores on it says little of what it scores
# elsewhere: up to so many frames, what any sentence scores counts beside it.
ENOUGH = 512
# Nothing is surer than so many deviations.
MOST = 12.0
LEAST = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """Scores of T texts: ``mean`` and ``deviation`` [T], and how many deviations above the mean the
    best begin, ``tail`` [T, 3] (:data:`TAIL`).
    """

    mean: Floats
    deviation: Floats
    tail: Floats

    def beside(self, any_text: Spread, share: float) -> Spread:
        """As if so large a share of all footage were this, and on the rest a text scored what any
        does.
        """
        rest = 1 - share
        mean, variance = any_text.mean.mean(), (any_text.deviation**2).mean()
        apart = share * rest * (self.mean - mean) ** 2
        return Spread(
            np.asarray(share * self.mean + rest * mean),
            np.sqrt(share * self.deviation**2 + rest * variance + apart),
            np.asarray(share * self.tail + rest * any_text.tail.mean(0)),
        )

    def standardised(self, scores: Floats) -> Floats:
        """Scores [T, …] in deviations above the mean of their text."""
        wide = (len(self.mean), *(1,) * (scores.ndim - 1))
        return _bounded((scores - self.mean.reshape(wide)) / self.deviation.reshape(wide))


@dataclass(frozen=True, slots=True, eq=False)
class Usual:
    """What texts score on usual footage: ``plain``, and ``fair``, less how near each frame is to
    any sentence.
    """

    plain: Spread
    fair: Spread


@dataclass(frozen=True, eq=False)
class Space:
    """An encoder's space as far as it was seen: usual ``footage`` [n, D] and a ``bank`` of
    sentences [m, D], both float32, n and m at least 1.
    """

    footage: Vectors
    bank: Vectors

    @cached_property
    def centre(self) -> Vectors:
        """The mean of the footage [D], which no two frames are alike for having."""
        return np.asarray(self.footage.mean(0))

    @cached_property
    def covariance(self) -> Vectors:
        """Of the footage [D, D]."""
        apart = self.footage - self.centre
        return np.asarray(apart.T @ apart / len(apart))

    def above_any(self, scores: Floats) -> Floats:
        """Scores in deviations above what any sentence scores for any footage: unlike in those of
        its own text, what is said of much stands higher.
        """
        mean, deviation = self._anything
        return _bounded((scores - mean) / deviation)

    @cached_property
    def _anything(self) -> tuple[float, float]:
        scores = self.bank @ self.footage.T
        least = max(LEAST * float(np.abs(scores).max()), float(np.finfo(np.float32).tiny))
        return float(scores.mean()), max(float(scores.std()), least)

    @cached_property
    def _compared(self) -> tuple[Vectors, Floats]:
        chosen = np.linspace(0, len(self.footage) - 1, min(COMPARED, len(self.footage)))
        frames = self.footage[chosen.astype(int)]
        return frames, self.nearness(frames)[1]

    def nearness(self, frames: Vectors) -> tuple[Floats, Floats, Floats]:
        """Of frames [n, D]: what the bank scores on average, its nearest sentences on average, and
        the deviation of all its scores, [n] each.
        """
        nearest = max(round(len(self.bank) * NEAREST), 1)
        rows = []
        for start in range(0, len(frames), AT_ONCE):
            scores = frames[start : start + AT_ONCE] @ self.bank.T
            mean, deviation = scores.mean(1), scores.std(1)
            scores.partition(len(self.bank) - nearest, axis=1)
            rows.append((mean, scores[:, -nearest:].mean(1), deviation + LEAST * abs(scores).max()))
        mean, top, deviation = (np.concatenate(column) for column in zip(*rows, strict=True))
        return mean, top, np.maximum(deviation, np.finfo(np.float32).tiny)

    def usual(self, texts: Vectors) -> Usual:
        """For texts [T, D]."""
        own = self._scored(texts)
        if (share := len(self.footage) / ENOUGH) >= 1:
            return own
        anything = self._sentences
        return Usual(own.plain.beside(anything.plain, share), own.fair.beside(anything.fair, share))

    @cached_property
    def _sentences(self) -> Usual:
        return self._scored(self.bank)

    def _scored(self, texts: Vectors) -> Usual:
        frames, near = self._compared
        return Usual(_usual(texts @ self.footage.T), _usual(texts @ frames.T - near))


def evidence(
    texts: Vectors, usual: Usual, space: Space, shown: Footage, scores: Floats
) -> dict[str, Floats]:
    """What a universal head takes to judge K candidates for one sentence.

    Args:
        texts: the vectors of the sentence and of its P phrases behind it, float32 [1 + P, D].
        usual: of these texts in that space (:meth:`Space.usual`).
        space: what texts and frames are held against.
        shown: the candidates, F frames each; where R is 0, a frame is its own only region.
        scores: of each candidate's best frame for what was retrieved by, [K].

    Returns:
        float32 arrays: ``sentence`` [K, F, 14], ``phrases`` [K, P, F, 11], ``phrase_mask`` [K, P],
        ``neighbours`` [K, F, 4], ``frame_mask`` [K, F], ``candidate`` [K, 4]. Of frames that are
        none, all is 0.
    """
    keep = np.asarray(shown.mask, np.float32)
    told = _told(texts, space, shown, usual)  # [T, K, F, 10]
    places = told.shape[1:3]
    own = (
        np.broadcast_to(usual.fair.tail[0], (*places, len(TAIL))),
        _share_below(told[0, ..., 1], keep)[..., None],
    )
    alike = _likeness(texts, space.bank.mean(0))[1:, None, None, None]
    alike = np.broadcast_to(alike, (len(texts) - 1, *places, 1))
    phrases = np.concatenate([told[1:], alike], -1).transpose(1, 0, 2, 3)
    best = np.where(keep[..., None] > 0, told[0], -MOST).max(1)
    retrieved = usual.plain.standardised(np.asarray(scores, np.float32)[None])[0]
    candidate = (
        retrieved,
        best[:, 1],
        best[:, 2],
        np.log2(keep.sum(1) + 1),
    )
    return {
        "sentence": _floats(np.concatenate([told[0], *own], -1) * keep[..., None]),
        "phrases": _floats(phrases * keep[:, None, :, None]),
        "phrase_mask": np.ones((len(keep), len(texts) - 1), np.float32),
        "neighbours": _floats(_neighbours(shown.frames - space.centre, keep)),
        "frame_mask": keep,
        "candidate": _floats(np.stack(candidate, -1)),
    }


def _told(texts: Vectors, space: Space, shown: Footage, usual: Usual) -> Floats:
    """Of T texts and each frame [T, K, F, 10]: the whole frame in deviations above usual footage,
    the same less how near it is to any sentence, and in deviations above the bank's sentences, the
    average one and its nearest; then its regions above usual footage, best, best three, all, and
    worst, and above the bank's sentences, best and best three.
    """
    dim = texts.shape[-1]
    frames = shown.frames.reshape(-1, dim)
    cells = shown.regions if shown.regions.shape[2] else shown.frames[:, :, None]
    cells = cells.reshape(len(frames), -1, dim)
    mean, near, deviation = space.nearness(frames)
    whole = texts @ frames.T
    parts = (texts @ cells.reshape(-1, dim).T).reshape(len(texts), *cells.shape[:2])
    above_usual = usual.plain.standardised(parts)
    # One deviation serves a frame and its regions, whose own would cost the whole bank for each.
    above_bank = _bounded((parts - cells @ space.bank.mean(0)) / deviation[:, None])
    columns = (
        usual.plain.standardised(whole),
        usual.fair.standardised(whole - near),
        _bounded((whole - mean) / deviation),
        _bounded((whole - near) / deviation),
        *_best(above_usual),
        above_usual.mean(-1),
        above_usual.min(-1),
        *_best(above_bank),
    )
    return np.stack(columns, -1).reshape(len(texts), *shown.mask.shape, len(columns))


def _best(parts: Floats) -> tuple[Floats, Floats]:
    """The largest along the last axis, and the mean of the largest three."""
    count = min(3, parts.shape[-1])
    top = np.partition(parts, parts.shape[-1] - count, axis=-1)[..., -count:]
    return top.max(-1), top.mean(-1)


def _share_below(values: Floats, keep: Floats) -> Floats:
    """Of each frame [K, F], of how many others of its candidate it has the larger value, in 0…1."""
    below = (values[:, :, None] > values[:, None, :]) * keep[:, None, :]
    return np.asarray(below.sum(-1) / np.maximum(keep.sum(1, keepdims=True) - 1, 1))


def _likeness(texts: Vectors, usual: Vectors) -> Floats:
    """The cosine of each text to the first, beside what all sentences have in common, [T]."""
    apart = texts - usual
    lengths = np.maximum(np.linalg.norm(apart, axis=1), LEAST * np.linalg.norm(texts, axis=1))
    apart = apart / np.maximum(lengths, np.finfo(np.float32).tiny)[:, None]
    return np.asarray(apart @ apart[0])


def _neighbours(frames: Vectors, keep: Floats) -> Floats:
    """The cosine of each frame to the two before and the two after it, [K, F, 4]; 0 past an end."""
    lengths = np.linalg.norm(frames, axis=-1, keepdims=True)
    unit = frames / np.maximum(lengths, np.finfo(np.float32).tiny) * keep[..., None]
    padded = np.pad(unit, ((0, 0), (2, 2), (0, 0)))
    count = keep.shape[1]
    beside = [(unit * padded[:, at : at + count]).sum(-1) for at in (0, 1, 3, 4)]
    return np.stack(beside, -1)


def _usual(scores: Floats) -> Spread:
    """Of texts' scores [T, n] for usual footage."""
    mean, deviation = scores.mean(1), scores.std(1)
    # Footage that is all one picture has no spread: then what differs from it at all counts.
    least = np.maximum(LEAST * np.abs(scores).max(1), np.finfo(np.float32).tiny)
    spread = Spread(mean, np.maximum(deviation, least), np.zeros((len(mean), 0), np.float32))
    places = [round(share * (scores.shape[1] - 1)) for share in TAIL]
    tail = spread.standardised(np.partition(scores, places, axis=1)[:, places])
    return Spread(spread.mean, spread.deviation, tail)


def _bounded(values: Floats) -> Floats:
    return np.asarray(np.clip(values, -MOST, MOST))


def _floats(values: Floats) -> Floats:
    return np.ascontiguousarray(values, np.float32)
