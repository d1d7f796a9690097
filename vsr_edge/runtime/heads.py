"""The heads of a bundle that has them: verify and ground candidates, refine a query."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vsr_edge.bundle.manifest import GROUNDING, REFINER
from vsr_edge.bundle.model import Bundle, TextEncoding
from vsr_edge.errors import UsageError

Floats = NDArray[np.float32]


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


def judge(bundle: Bundle, query: TextEncoding, candidates: Footage) -> Judgements:
    """Does each candidate show what the query (a batch of one) says, and where?

    Raises:
        UsageError: the bundle has no grounding head.
    """
    _require(bundle, GROUNDING)
    return Judgements(*bundle.run(GROUNDING, grounding_inputs(query, candidates)))


def grounding_inputs(query: TextEncoding, candidates: Footage) -> dict[str, Floats]:
    """What the graph takes to judge K candidates for one query."""
    return {
        **_repeated(query, len(candidates)),
        "frames": candidates.frames,
        "frame_regions": candidates.regions,
        "frame_mask": candidates.mask,
    }


def refine(
    bundle: Bundle, query: TextEncoding, rejected: Footage, match: Floats, unit_frames: Floats
) -> Floats:
    """Soft tokens float32 [1, N, H] for a query (a batch of one), from rejected footage.

    ``rejected`` has one frame for each of E candidates, [E, 1, …]; ``match`` [E] are their match
    logits, ``unit_frames`` [E] how many frames the vector stands for that each was retrieved by.

    Raises:
        UsageError: the bundle has no refiner.
    """
    _require(bundle, REFINER)
    (soft_tokens,) = bundle.run(REFINER, refiner_inputs(query, rejected, match, unit_frames))
    return soft_tokens


def refiner_inputs(
    query: TextEncoding, rejected: Footage, match: Floats, unit_frames: Floats
) -> dict[str, Floats]:
    """What the graph takes to refine one query; arguments as of :func:`refine`."""
    about = np.stack([match, np.log2(np.maximum(unit_frames, 1))], -1)
    return {
        **_repeated(query, 1),
        "frames": rejected.frames[None, :, 0],
        "frame_regions": rejected.regions[None, :, 0],
        "about": about[None].astype(np.float32),
        "evidence_mask": rejected.mask[None, :, 0],
    }


def _require(bundle: Bundle, role: str) -> None:
    if role not in bundle.manifest.files:
        raise UsageError(
            f"the bundle {bundle.bundle_id} has no {role} head: it searches in one shot"
        )


def _repeated(query: TextEncoding, count: int) -> dict[str, Floats]:
    return {
        "token_states": np.repeat(query.states, count, axis=0),
        "token_mask": np.repeat(query.mask.astype(np.float32), count, axis=0),
        "query": np.repeat(query.vectors, count, axis=0),
    }
