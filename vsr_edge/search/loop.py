"""The search, top to bottom: retrieve → verify → refine the query, retrieve again → ground.

VideoSearch-R1 (arXiv 2607.00446) verifies the first candidate of each turn; here a turn verifies
several, which costs little. What has been judged is not judged again: another turn brings new
candidates, or it is the last. An archive without region vectors is searched in one shot, and so is
any with a bundle without heads, plus what pseudo-relevance feedback brings up: nothing is verified
then, and the answer says so.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vsr_edge.bundle.manifest import EVIDENCE, REFINER, Calibration
from vsr_edge.bundle.model import Bundle
from vsr_edge.errors import UsageError
from vsr_edge.runtime.heads import TextEncoding
from vsr_edge.search.clock import Clock
from vsr_edge.search.explain import notices_about, refinement
from vsr_edge.search.feedback import fed_back, only_new
from vsr_edge.search.footage import Candidates, best_frames, show
from vsr_edge.search.ground import grounded, moments_of_hits, moments_of_judged
from vsr_edge.search.names import where_named
from vsr_edge.search.rank import inside, without_repeats
from vsr_edge.search.verify import Judged, verify
from vsr_edge.store.base import Store
from vsr_edge.types import (
    Candidate,
    ClipHit,
    Moment,
    Refinement,
    RefinementMethod,
    SearchOptions,
    SearchResult,
    Turn,
    Vectors,
    Verdict,
)

# Enough clips that overlapping ones, which merge, still leave the moments or candidates wanted.
CLIPS_PER_MOMENT = 8
# How far Rocchio's feedback pushes a query from what was rejected (models/LOG.md).
ROCCHIO_WEIGHT = 0.3


def search(
    store: Store, bundle: Bundle, query: str, options: SearchOptions | None = None
) -> SearchResult:
    """Find the moments that match a sentence, best first.

    Raises:
        UsageError: an empty query, or videos named that are not there.
    """
    if not query.strip():
        raise UsageError("the query is empty: say in a few words what is to be seen")
    options = options or SearchOptions()
    where = where_named(store, options.video)
    top_k, min_score = options.top_k, options.min_score
    one_shot, rocchio = options.one_shot, options.rocchio
    clock = Clock()
    with clock.stage("encode"):
        text = bundle.encode_queries([query])
    original = text.vectors[0]

    def retrieve(vector: Vectors, moments: int) -> list[ClipHit]:
        hits = store.search(vector, moments * CLIPS_PER_MOMENT, where)
        return hits if min_score is None else [hit for hit in hits if hit.score >= min_score]

    wanted = max(top_k, options.candidates)
    with clock.stage("retrieve"):
        first_hits = hits = retrieve(original, wanted)
    calibration = None if one_shot else bundle.manifest.calibration
    frames_searched = 0 if calibration is None else store.frame_count(where)
    candidates = Candidates(store, original)
    judged: list[Judged] = []
    turns: list[Turn] = []
    change: Refinement | None = None
    soft_tokens = 0
    while calibration is not None:
        with clock.stage("verify"):
            shown = show(store, candidates.new(hits, options.candidates))
            newest = verify(bundle, calibration, text, shown, frames_searched)
        judged = _likeliest_first([*judged, *newest])
        if not judged:  # nothing was retrieved, or no region vectors were stored
            break
        turn = len(turns) + 1
        exhausted = min_score is None and len(hits) < wanted * CLIPS_PER_MOMENT
        all_judged = exhausted and len(newest) < options.candidates
        end = _end(judged, newest, calibration, options, turn, clock.total(), all_judged)
        turns.append(
            Turn(
                turn=turn,
                action="retrieve and verify" if turn == 1 else "refine, retrieve and verify",
                candidates=tuple(_candidate(one) for one in _likeliest_first(newest)),
                latency_ms=clock.lap(),
                encoder_calls=int(turn == 1 or soft_tokens > 0),
                soft_tokens=soft_tokens,
                refinement=change,
                then=end or "not sure: the query is refined",
            )
        )
        if end is not None:
            break
        with clock.stage("refine"):
            vector, soft_tokens = _refined(bundle, query, text, newest, rocchio)
            method: RefinementMethod = "soft tokens" if soft_tokens else "rocchio"
            change = refinement(method, original, vector, bundle.concepts)
        with clock.stage("retrieve"):
            wanted = options.candidates * (turn + 1)
            hits = retrieve(vector, wanted)
    further: list[ClipHit] = []
    unverifiable = bundle.manifest.calibration is None and not one_shot
    in_time = options.max_ms is None or clock.total() < options.max_ms
    if unverifiable and first_hits and options.max_turns > 1 and in_time:
        with clock.stage("refine"):
            vector = fed_back(store, original, first_hits)
            change = refinement("rocchio", original, vector, bundle.concepts)
        with clock.stage("retrieve"):
            new = only_new(store, original, first_hits, retrieve(vector, wanted))
            further = [hit for hit in new if min_score is None or hit.score >= min_score]
    with clock.stage("ground"):
        moments = _moments(store, judged, (first_hits, further), original, top_k)
    if not turns:
        why = _why_unverified(one_shot, bundle, moments)
        turns = [Turn(1, "retrieve", _candidates(moments), clock.lap(), then=why)]
        if change is not None:
            added = _moments(store, [], (further,), original, top_k)
            turns.append(
                Turn(
                    turn=2,
                    action="feedback and retrieve",
                    candidates=_candidates(added),
                    latency_ms=clock.lap(),
                    encoder_calls=0,
                    refinement=change,
                    then="unverified: what is new comes behind",
                )
            )
    return SearchResult(
        query=query,
        verdict=_verdict(judged, calibration),
        moments=tuple(moments),
        turns=tuple(turns),
        timing_ms=clock.milliseconds(),
        bundle=bundle.bundle_id,
        notices=notices_about(bundle, query),
    )


def _likeliest_first(judged: Sequence[Judged]) -> list[Judged]:
    return sorted(judged, key=lambda one: -one.order)


def _end(
    judged: Sequence[Judged],
    newest: Sequence[Judged],
    calibration: Calibration,
    options: SearchOptions,
    turn: int,
    milliseconds: float,
    all_judged: bool,
) -> str | None:
    """Why the loop ends after this turn, or None if it goes on."""
    verdict = "match" if judged[0].probability >= calibration.threshold else "no match"
    if judged[0].probability >= calibration.sure:
        return "match: sure enough"
    if all_judged:
        return f"{verdict}: all there is was judged"
    if not newest:
        return f"{verdict}: nothing new was found"
    if turn >= options.max_turns:
        return f"{verdict}: the turns are spent"
    if options.max_ms is not None and milliseconds >= options.max_ms:
        return f"{verdict}: the time is spent"
    return None


def _refined(
    bundle: Bundle, query: str, text: TextEncoding, rejected: Sequence[Judged], rocchio: bool
) -> tuple[Vectors, int]:
    """The refined query's vector float32 [D], and how many soft tokens it took."""
    evidence = rejected[:EVIDENCE]
    footage = best_frames([one.shown for one in evidence])
    if rocchio or REFINER not in bundle.manifest.files:
        moved = text.vectors[0] - ROCCHIO_WEIGHT * footage.frames[:, 0].mean(axis=0)
        return moved / np.linalg.norm(moved), 0
    match = np.array([one.match for one in evidence], np.float32)
    units = np.array([one.shown.window.unit_frames for one in evidence], np.float32)
    soft = bundle.refine(text, footage, match, units)
    return bundle.encode_queries([query], soft).vectors[0], soft.shape[1]


def _candidate(one: Judged) -> Candidate:
    window = one.shown.window
    video = window.video.video
    span = inside(*grounded(one), video.duration)
    return Candidate(video.path, *span, window.score, one.probability)


def _candidates(moments: Sequence[Moment]) -> tuple[Candidate, ...]:
    return tuple(Candidate(m.video, m.start, m.end, m.score) for m in moments)


def _moments(
    store: Store,
    judged: Sequence[Judged],
    retrieved: Sequence[Sequence[ClipHit]],
    query: Vectors,
    top_k: int,
) -> list[Moment]:
    """What was judged, the likeliest first; then, while more is wanted, what only was retrieved."""
    verified = moments_of_judged(store, judged, query, top_k)
    spans = [span for _, span in verified]
    for hits in retrieved:
        if len(spans) < top_k:
            spans += moments_of_hits(store, hits, query, top_k)
            spans = [spans[place] for place in without_repeats(spans)[:top_k]]
    probabilities = [one.probability for one, _ in verified]
    found: list[Moment] = []
    for place, span in enumerate(spans):
        video = store.video(span.video_id)
        if video is not None:  # unless another process removed it meanwhile
            probability = probabilities[place] if place < len(probabilities) else None
            path = video.video.path
            rank = len(found) + 1
            start, end = inside(span.start, span.end, video.video.duration)
            found.append(Moment(rank, path, start, end, span.score, probability))
    return found


def _why_unverified(one_shot: bool, bundle: Bundle, moments: Sequence[Moment]) -> str:
    if one_shot:
        return "unverified: one shot was asked for"
    if bundle.manifest.calibration is None:
        return f"unverified: the bundle {bundle.bundle_id} has no trained verifier"
    if not moments:
        return "nothing was found"
    return "unverified: the archive holds no region vectors; index it with --regions"


def _verdict(judged: Sequence[Judged], calibration: Calibration | None) -> Verdict:
    if calibration is None or not judged:
        return Verdict("unverified")
    best, threshold = judged[0].probability, calibration.threshold
    if best >= threshold:
        return Verdict("match", best, threshold)
    return Verdict("no_match", None, threshold)
