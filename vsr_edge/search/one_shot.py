"""One shot, where nothing can be verified or is not to be; with latent pseudo-relevance feedback
(Rocchio 1971, on embeddings) where the bundle has no dedicated verifier.

The query moves towards what came up first, and what that brings up beside it is ranked behind. It
must not come before: measured on the built-in encoders without their verifier, answers in the order
of the moved query were no better at first place and worse among the first ten (models/LOG.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vsr_edge.answer import Refinement, Turn
from vsr_edge.search.candidates import Asked
from vsr_edge.search.explain import refinement
from vsr_edge.search.spans import Window
from vsr_edge.search.verifier import without_regions
from vsr_edge.store.base import Store
from vsr_edge.types import Vectors

FEEDBACK_CLIPS, FEEDBACK_WEIGHT = 3, 0.1


def one_shot(asked: Asked, hits: Sequence[Window]) -> tuple[list[Window], list[Turn]]:
    """The moments of what was retrieved, and what was done for them."""
    options, clock = asked.options, asked.clock
    further: list[Window] = []
    change: Refinement | None = None
    unverifiable = asked.bundle.manifest.calibration is None and not options.one_shot
    if unverifiable and hits and options.max_turns > 1 and not clock.spent(options.max_ms):
        with clock.stage("refine"):
            vector = fed_back(asked.store, asked.vector, hits)
            change = refinement("rocchio", asked.vector, vector, asked.bundle.concepts)
        found = asked.retrieve(vector, max(options.top_k, options.candidates))
        new = only_new(asked.store, asked.vector, hits, found)
        further = [w for w in new if options.min_score is None or w.score >= options.min_score]
    with clock.stage("ground"):
        spans = asked.ground([], (hits, further))
    why = _why_unverified(asked, spans)
    turns = [Turn(1, "retrieve", tuple(span.told() for span in spans), clock.lap(), then=why)]
    if change is not None:
        added = asked.ground([], (further,))
        turns.append(
            Turn(
                turn=2,
                action="feedback and retrieve",
                candidates=tuple(span.told() for span in added),
                latency_ms=clock.lap(),
                encoder_calls=0,
                refinement=change,
                then="unverified: what is new comes behind",
            )
        )
    return spans, turns


def fed_back(store: Store, query: Vectors, hits: Sequence[Window]) -> Vectors:
    """The query float32 [D] moved towards its first hits, of unit length."""
    clips = _clip_vectors(store, hits[:FEEDBACK_CLIPS])
    if not clips:
        return query
    moved: Vectors = query + FEEDBACK_WEIGHT * np.mean(clips, axis=0).astype(np.float32)
    return moved / np.linalg.norm(moved)


def only_new(
    store: Store, query: Vectors, known: Sequence[Window], found: Sequence[Window]
) -> list[Window]:
    """Of what the moved query found, that which the plain one did not, scored by the plain one."""
    seen = {hit.clip_id for hit in known}
    new = [hit for hit in found if hit.clip_id not in seen]
    vectors = _clip_vectors(store, new)
    scored = [replace(hit, score=float(v @ query)) for hit, v in zip(new, vectors, strict=True)]
    return sorted(scored, key=lambda hit: -hit.score)


def _clip_vectors(store: Store, clips: Sequence[Window]) -> list[Vectors]:
    read = store.frames_of([clip.place for clip in clips])
    means = [frames.vectors.astype(np.float32).mean(axis=0) for frames in read]
    return [mean / np.linalg.norm(mean) for mean in means]


def _why_unverified(asked: Asked, found: Sequence[Window]) -> str:
    if asked.options.one_shot:
        return "unverified: one shot was asked for"
    if asked.text is None:
        return "unverified: only what is said in words is verified"
    if not found:
        return "nothing was found"
    return f"unverified: {without_regions(asked.bundle)}"
