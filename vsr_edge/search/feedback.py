"""Latent pseudo-relevance feedback (Rocchio 1971, on embeddings), where nothing can be verified.

The query moves towards what came up first, and what that brings up beside it is ranked behind. It
must not come before: measured on the built-in encoders without their verifier, answers in the order
of the moved query were no better at first place and worse among the first ten (models/LOG.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vsr_edge.store.base import Store
from vsr_edge.types import ClipHit, Vectors

FEEDBACK_CLIPS, FEEDBACK_WEIGHT = 3, 0.1


def fed_back(store: Store, query: Vectors, hits: Sequence[ClipHit]) -> Vectors:
    """The query float32 [D] moved towards its first hits, of unit length."""
    clips = [vector for hit in hits[:FEEDBACK_CLIPS] if (vector := _clip(store, hit)) is not None]
    if not clips:
        return query
    moved: Vectors = query + FEEDBACK_WEIGHT * np.mean(clips, axis=0).astype(np.float32)
    return moved / np.linalg.norm(moved)


def only_new(
    store: Store, query: Vectors, known: Sequence[ClipHit], found: Sequence[ClipHit]
) -> list[ClipHit]:
    """Of what the moved query found, that which the plain one did not, scored by the plain one."""
    seen = {hit.clip.clip_id for hit in known}
    scored = []
    for hit in found:
        if hit.clip.clip_id not in seen and (vector := _clip(store, hit)) is not None:
            scored.append(replace(hit, score=float(vector @ query)))
    return sorted(scored, key=lambda hit: -hit.score)


def _clip(store: Store, hit: ClipHit) -> Vectors | None:
    """The clip's vector; None if another process removed it meanwhile."""
    window = hit.clip.window
    frames = store.frames(hit.clip.video_id, window.first, window.last)
    if not len(frames):
        return None
    mean: Vectors = frames.vectors.astype(np.float32).mean(axis=0)
    return mean / np.linalg.norm(mean)
