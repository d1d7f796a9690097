"""What goes into the heads, and what comes out: they verify and ground candidates, and refine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class TextEncoding:
    """Queries encoded.

    ``vectors`` float32 [n, D], of unit length; ``states`` float32 [n, L + N, H] of all tokens, the
    soft ones last; ``mask`` int64 [n, L + N], 1 where a state is real.
    """

    vectors: Floats
    states: Floats
    mask: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Footage:
    """Frames of K candidates, or the best frame of each of K rejected ones.

    ``frames`` float [K, F, D] in order, ``regions`` float [K, F, R, D], ``mask`` [K, F], 1 for real
    frames, which come first.
    """

    frames: Floats
    regions: Floats
    mask: Floats

    def __len__(self) -> int:
        return len(self.frames)


@dataclass(frozen=True, slots=True, eq=False)
class Judgements:
    """Of K candidates: match logits [K], logits of each frame being the first or the last of the
    moment [K, F], and of it showing what is asked for [K, F].
    """

    match: Floats
    start: Floats
    end: Floats
    relevance: Floats

    def spans(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The likeliest first ≤ last frame of each candidate, int [K] each."""
        count = self.start.shape[1]
        joint = self.start[:, :, None] + self.end[:, None, :]
        joint[:, np.tri(count, k=-1, dtype=bool)] = -np.inf
        best = joint.reshape(len(joint), -1).argmax(1)
        return best // count, best % count


def grounding_inputs(query: TextEncoding, candidates: Footage) -> dict[str, Floats]:
    """What the graph takes to judge K candidates for one query."""
    return {
        **_repeated(query, len(candidates)),
        "frames": candidates.frames,
        "frame_regions": candidates.regions,
        "frame_mask": candidates.mask,
    }


def refiner_inputs(
    query: TextEncoding, rejected: Footage, match: Floats, unit_frames: Floats
) -> dict[str, Floats]:
    """What the graph takes to refine one query from E rejected candidates.

    ``rejected`` has one frame for each, [E, 1, …]; ``match`` [E] are their match logits,
    ``unit_frames`` [E] how many frames the vector stands for that each was retrieved by.
    """
    features = np.stack([match, np.log2(np.maximum(unit_frames, 1))], -1)
    return {
        **_repeated(query, 1),
        "frames": rejected.frames[None, :, 0],
        "frame_regions": rejected.regions[None, :, 0],
        "about": features[None].astype(np.float32),
        "evidence_mask": rejected.mask[None, :, 0],
    }


def _repeated(query: TextEncoding, count: int) -> dict[str, Floats]:
    return {
        "token_states": np.repeat(query.states, count, axis=0),
        "token_mask": np.repeat(query.mask.astype(np.float32), count, axis=0),
        "query": np.repeat(query.vectors, count, axis=0),
    }
