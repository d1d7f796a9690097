"""The answer to a query, be it of one part or of several, with or without what must not be seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from vsr_edge.answer import Moment, PartSpan, SearchResult, Turn, TurnListener, Verdict
from vsr_edge.bundle.model import Bundle
from vsr_edge.errors import UsageError
from vsr_edge.query import Query, SearchOptions
from vsr_edge.search import loop
from vsr_edge.search.candidates import Asked
from vsr_edge.search.chain import Chain, chains
from vsr_edge.search.explain import Clock, notices_about
from vsr_edge.search.joint import THRESHOLD
from vsr_edge.search.parts import Parts
from vsr_edge.search.spans import MOST_SHARED, Window
from vsr_edge.search.without import Excluded
from vsr_edge.store.base import Store
from vsr_edge.types import clock

# Of what is found, so many times as much as is wanted is looked at for what must not be seen.
LOOKED_AT = 4


def search(
    store: Store,
    bundle: Bundle,
    query: str | Query,
    options: SearchOptions | None = None,
    on_turn: TurnListener | None = None,
) -> SearchResult:
    """Find the moments that match a query, or chains of them that match its parts, best first.

    ``on_turn`` is that of :func:`vsr_edge.search.loop.search`; chains tell it nothing.

    Raises:
        UsageError: an empty query or part, too many parts, a video named that is not there,
            something must not be seen where nothing can be verified, or a limit of refinement where
            nothing is refined.
    """
    options = options or SearchOptions()
    asked = query if isinstance(query, Query) else Query(query)
    if (sentence := asked.sentence) is None:
        alone = asked.text is None or Parts.of(asked.text, options).told() is None
        if options.then or options.also or options.without or not alone:
            raise UsageError(
                "a query of several parts takes no picture, --not or feedback beside it: ask one "
                "sentence, or say --literal"
            )
        return loop.search(store, bundle, asked, options, on_turn)
    parts = Parts.of(sentence, options)
    read_as = parts.told()
    if read_as is None:
        return loop.search(store, bundle, asked, options, on_turn)
    if parts.without and options.one_shot:
        raise UsageError("what must not be seen has to be verified: leave out --one-shot")
    about_turns = _about_turns(parts, options)
    more = replace(options, top_k=options.top_k * (LOOKED_AT if parts.without else 1))
    time = Clock()
    with store.reading():
        if len(parts.sentences) == 1:
            found = loop.search(store, bundle, parts.sentences[0], more, on_turn)
        else:
            found = _chained(store, bundle, parts, more)
        if parts.without:
            unwanted = [Asked(store, bundle, s, options) for s in parts.without]
            found = _kept(found, unwanted, lambda: time.spent(options.max_ms))
    kept = found.moments[: options.top_k]
    notices = (*about_turns, *found.notices)
    return replace(found, query=sentence, moments=kept, notices=notices, read_as=read_as)


def _about_turns(parts: Parts, options: SearchOptions) -> tuple[str, ...]:
    """Chains are retrieved and verified once: what is said of further turns means nothing there. It
    is refused, but not where a sentence alone, as one of many, turns out to have parts.
    """
    usual = SearchOptions()
    named = {"--max-turns": "max_turns", "--rocchio": "rocchio"}
    said = [o for o, name in named.items() if getattr(options, name) != getattr(usual, name)]
    if not said or len(parts.sentences) == 1:
        return ()
    told = f"a query of several parts is not refined, which {' and '.join(said)} would be about"
    if options.then or options.also:
        raise UsageError(f"{told}: leave that out")
    return (f"{told}; --literal asks it as one sentence",)


def _chained(store: Store, bundle: Bundle, parts: Parts, options: SearchOptions) -> SearchResult:
    time = Clock()
    asked = [Asked(store, bundle, sentence, options) for sentence in parts.sentences]
    found, by_part = chains(asked, parts, options)
    moments = tuple(
        _moment(rank, one, parts) for rank, one in enumerate(_apart(found, options.top_k), 1)
    )
    verdict = Verdict("unverified")
    judged = [one.probability is not None for some in by_part for one in some]
    if judged and all(judged):
        verdict = _verdict(moments, THRESHOLD)
    said = [one for part in asked for one in notices_about(bundle, part.query.shown)]
    if verdict.decision == "match":
        why = "match"
    elif any(judged) and not all(judged) and asked[0].clock.spent(options.max_ms):
        said.append(why := "unverified: the time was spent before every part was verified")
    elif verdict.decision == "unverified" and moments:
        why = "unverified: the frames most like each part, in order"
    else:
        said.append(why := _why_not(found, by_part, parts))
    turns = [
        Turn(
            turn=number,
            action=f'retrieve and verify "{one.query.shown}"',
            candidates=tuple(window.told() for window in some),
            latency_ms=_spent(one.clock),
            then="a part of several",
        )
        for number, (one, some) in enumerate(zip(asked, by_part, strict=True), 1)
    ]
    turns[-1] = replace(turns[-1], then=why)
    stages: dict[str, float] = {}
    for one in asked:
        for stage, spent in one.clock.milliseconds().items():
            stages[stage] = round(stages.get(stage, 0.0) + spent, 3)
    return SearchResult(
        query=" ".join(parts.sentences),
        verdict=verdict,
        moments=moments,
        turns=tuple(turns),
        timing_ms=stages | {"total": time.milliseconds()["total"]},
        bundle=bundle.bundle_id,
        notices=tuple(dict.fromkeys(said)),
        verified_by=asked[0].verified_by([one for some in by_part for one in some]),
    )


def _spent(clock: Clock) -> float:
    return round(sum(ms for stage, ms in clock.milliseconds().items() if stage != "total"), 3)


def _verdict(moments: Sequence[Moment], threshold: float) -> Verdict:
    best = (moments[0].match_probability or 0.0) if moments else 0.0
    matches = best >= threshold
    return Verdict("match" if matches else "no_match", best if matches else None, threshold)


def _apart(found: Iterable[Chain], limit: int) -> list[Chain]:
    """The best chains, none of which has half of its parts' time in common with a better one."""
    kept: list[Chain] = []
    for chain in found:
        if len(kept) == limit:
            break
        if not any(_same(chain, other) for other in kept):
            kept.append(chain)
    return kept


def _same(one: Chain, other: Chain) -> bool:
    """All parts lie where those of the other do."""
    if one.windows[0].video.video_id != other.windows[0].video.video_id:
        return False
    (start, end), (begins, ends) = _span(one.windows), _span(other.windows)
    shared = min(end, ends) - max(start, begins)
    return shared > MOST_SHARED * min(end - start, ends - begins)


def _span(windows: Iterable[Window]) -> tuple[float, float]:
    spans = [(one.told().start, one.told().end) for one in windows]
    return min(start for start, _ in spans), max(end for _, end in spans)


def _moment(rank: int, chain: Chain, parts: Parts) -> Moment:
    spans = tuple(
        PartSpan(sentence, told.start, told.end, told.score, told.match_probability)
        for sentence, told in zip(parts.sentences, (w.told() for w in chain.windows), strict=True)
    )
    score = sum(one.score for one in spans) / len(spans)
    (start, end), video = _span(chain.windows), chain.windows[0].video
    return Moment(
        *(rank, video.video.path, start, end, score, chain.probability),
        recorded_at=None if video.recorded_at is None else video.recorded_at + start,
        recorded_from=video.recorded_from,
        parts=spans,
        video_id=video.video_id,
    )


def _why_not(found: Sequence[Chain], by_part: Sequence[Sequence[Window]], parts: Parts) -> str:
    """Which part is likeliest, and how likely the others are in their places."""
    best = [(some[0].probability or 0.0, n) for n, some in enumerate(by_part) if some]
    if not best:
        return "no match: nothing was found for any part"
    likely, anchor = max(best)
    window = max(by_part[anchor], key=lambda one: one.probability or 0.0)
    told = window.told()
    place = f"{clock(told.start)}–{clock(told.end)} of {told.video.name} ({likely:.0%})"
    chain = next((one for one in found if one.windows[anchor] is window), None)
    others = (
        f'"{sentence}" {parts.relation(number, anchor)}: '
        + ("nothing" if chain is None else f"at most {chain.windows[number].probability or 0:.0%}")
        for number, sentence in enumerate(parts.sentences)
        if number != anchor
    )
    return f'no match: "{parts.sentences[anchor]}" is likeliest at {place}; {"; ".join(others)}'


def _kept(found: SearchResult, asked: Sequence[Asked], spent: Callable[[], bool]) -> SearchResult:
    """Without the moments in which something is seen that must not be. When the time is spent no
    more are looked at, but for the first; what was not looked at is left out.
    """
    excluded = Excluded(asked)
    reasons: list[tuple[Moment, str | None]] = []
    for moment in found.moments:
        if reasons and spent():
            break
        reasons.append((moment, excluded.why(moment)))
    unseen = len(found.moments) - len(reasons)
    kept = [replace(one, rank=n) for n, one in enumerate(_passed(reasons), 1)]
    refused = [f"{clock(m.start)} of {m.video.name}: {why}" for m, why in reasons if why]
    verdict = found.verdict
    if verdict.threshold is not None:
        verdict = _verdict(kept, verdict.threshold)
    if unseen and not kept:
        verdict = Verdict("unverified")
    notices = [note for one in asked for note in notices_about(one.bundle, one.query.shown)]
    if refused and verdict.decision != "match":
        notices.append(f"refused: {refused[0]}")
    if unseen:
        notices.append(f"the time was spent: {unseen} more, which nobody looked at, are left out")
    turn = Turn(
        turn=len(found.turns) + 1,
        action=f"look for {' and '.join(repr(one.query.shown) for one in asked)}",
        candidates=(),
        latency_ms=sum(_spent(one.clock) for one in asked),
        encoder_calls=len(asked),
        then=f"{len(refused)} of {len(reasons)} refused" + "".join(f"; {one}" for one in refused),
    )
    return replace(
        found,
        verdict=verdict,
        moments=tuple(kept),
        turns=(*found.turns, turn),
        notices=tuple(dict.fromkeys([*found.notices, *notices])),
    )


def _passed(reasons: Iterable[tuple[Moment, str | None]]) -> Iterator[Moment]:
    return (one for one, why in reasons if why is None)
