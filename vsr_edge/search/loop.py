"""The search, top to bottom: retrieve → verify → decide → refine the query, retrieve again; ground.

VideoSearch-R1 (arXiv 2607.00446) verifies the first candidate of each turn; here a turn verifies
several, which costs little. What has been judged is not judged again: another turn brings new
candidates, or it is the last. An archive without region vectors is searched in one shot: nothing is
verified then, and the answer says so.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vsr_edge.answer import Refinement, SearchResult, Turn, TurnListener, Verdict
from vsr_edge.bundle.manifest import EVIDENCE, REFINER, Calibration
from vsr_edge.bundle.model import Bundle
from vsr_edge.query import Query, SearchOptions
from vsr_edge.search.candidates import Asked, footage, likeliest_first
from vsr_edge.search.explain import refinement
from vsr_edge.search.one_shot import one_shot
from vsr_edge.search.spans import Window
from vsr_edge.search.verifier import Verifier
from vsr_edge.store.base import Store
from vsr_edge.types import RefinementMethod, Vectors

# How far Rocchio's feedback pushes a query from what was rejected (models/LOG.md).
ROCCHIO_WEIGHT = 0.3


def search(
    store: Store,
    bundle: Bundle,
    query: str | Query,
    options: SearchOptions | None = None,
    on_turn: TurnListener | None = None,
) -> SearchResult:
    """Find the moments that match a query, best first, all in one state of the archive.

    ``on_turn`` is told of each turn that verified, as soon as it is over; what it raises ends the
    search.

    Raises:
        UsageError: an empty query, or a video or moment named that is not there.
        MediaError: what the query is like cannot be read.
    """
    with store.reading():
        asked = Asked(store, bundle, query, options)
        verifier = asked.verifier
        options, clock = asked.options, asked.clock
        hits = asked.retrieve(asked.vector, max(options.top_k, options.candidates))
        judged: list[Window] = []
        turns: list[Turn] = []
        if verifier is not None and asked.text is not None:
            judged, turns = _verified(asked, verifier, hits, on_turn)
        if verifier is not None and judged:
            best, threshold = judged[0].probability or 0.0, verifier.calibration.threshold
            matches = best >= threshold and not judged[0].unwanted
            verdict = Verdict(
                "match" if matches else "no_match", best if matches else None, threshold
            )
            with clock.stage("ground"):
                # What was not judged may show what is not to be seen.
                others = [hits] if asked.against is None else []
                found = asked.ground([one for one in judged if not one.unwanted], others)
        else:  # nothing to be verified, or to verify it by
            verdict = Verdict("unverified")
            found, turns = one_shot(asked, hits)
    found = [asked.in_time.reaching(one) for one in found]
    return SearchResult(
        query=asked.query.shown,
        verdict=verdict,
        moments=tuple(window.moment(rank) for rank, window in enumerate(found, 1)),
        turns=tuple(turns),
        timing_ms=clock.milliseconds(),
        bundle=bundle.bundle_id,
        notices=asked.notices,
        verified_by=asked.verified_by(judged),
    )


def _verified(
    asked: Asked,
    verifier: Verifier,
    hits: Sequence[Window],
    on_turn: TurnListener | None,
) -> tuple[list[Window], list[Turn]]:
    """Retrieve, verify, decide, refine; all that was judged, the likeliest first, and its turns."""
    options, clock = asked.options, asked.clock
    frames_searched = asked.store.frame_count(asked.where)
    judged: list[Window] = []
    turns: list[Turn] = []
    change: Refinement | None = None
    soft_tokens, calls = 0, 1 + verifier.encoder_calls(asked.query.text or "")
    while True:
        with clock.stage("verify"):
            newest = asked.verify(verifier, asked.candidates(hits), frames_searched)
        judged = likeliest_first([*judged, *newest])
        if not judged:  # nothing was retrieved, or no region vectors were stored
            return judged, turns
        turn = len(turns) + 1
        exhausted = options.min_score is None and asked.exhausted
        all_judged = exhausted and len(newest) < options.candidates
        end = _end(asked, verifier.calibration, judged[0], turn, all_judged, not newest)
        turns.append(
            Turn(
                turn=turn,
                action="retrieve and verify" if turn == 1 else "refine, retrieve and verify",
                candidates=tuple(one.told() for one in likeliest_first(newest)),
                latency_ms=clock.lap(),
                encoder_calls=calls,
                soft_tokens=soft_tokens,
                refinement=change,
                then=end or "not sure: the query is refined",
            )
        )
        if on_turn is not None:
            on_turn(turns[-1])
        if end is not None:
            return judged, turns
        with clock.stage("refine"):
            method, vector, soft_tokens = _refined(asked, newest[:EVIDENCE])
            calls = int(soft_tokens > 0)
            change = refinement(method, asked.vector, vector, asked.bundle.concepts)
        hits = asked.retrieve(vector, options.candidates * (turn + 1))


def _end(
    asked: Asked, limits: Calibration, best: Window, turn: int, all_judged: bool, nothing_new: bool
) -> str | None:
    """Why the loop ends after this turn, or None if it goes on."""
    probability = best.probability or 0.0
    if probability >= limits.sure:
        return "match: sure enough"
    reasons = {
        "all there is was judged": all_judged,
        "nothing new was found": nothing_new,
        "the turns are spent": turn >= asked.options.max_turns,
        "the time is spent": asked.clock.spent(asked.options.max_ms),
    }
    verdict = "match" if probability >= limits.threshold else "no match"
    return next((f"{verdict}: {reason}" for reason, holds in reasons.items() if holds), None)


def _refined(asked: Asked, rejected: Sequence[Window]) -> tuple[RefinementMethod, Vectors, int]:
    """How the query was refined, its new vector float32 [D], and how many soft tokens it took."""
    bundle = asked.bundle
    evidence = footage([one.best_frame for one in rejected])
    assert asked.text is not None
    assert asked.query.text is not None
    if asked.options.rocchio:
        moved = asked.vector - ROCCHIO_WEIGHT * evidence.frames[:, 0].mean(axis=0)
        return "rocchio", moved / np.linalg.norm(moved), 0
    if REFINER not in bundle.manifest.files:
        return "guide", asked.guided(), 0
    match = np.array([one.match for one in rejected], np.float32)
    units = np.array([one.unit_frames for one in rejected], np.float32)
    soft = bundle.refine(asked.text, evidence, match, units)
    vector, _ = asked.mixed(bundle.encode_queries([asked.query.text], soft))
    return "soft tokens", vector, soft.shape[1]
