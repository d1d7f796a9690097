"""What is said beside what is seen: moments by the words of subtitles and the like, and both
answers as one, by reciprocal rank fusion (Cormack et al. 2009).

Words count only where all that tell something of a query stand in a cue, or two in a row: so that
"a man by a door" is not answered by whoever says "man". They are there literally, which needs no
probability; a picture that is like a sentence has one. Which list comes first at the same rank is
one rule (:func:`precedence`); why it is this one is in models/LOG.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from vsr_edge.answer import Candidate, Moment, SearchResult, Turn, Verdict
from vsr_edge.errors import UsageError
from vsr_edge.query import SearchOptions
from vsr_edge.search.explain import Clock
from vsr_edge.search.video_names import named
from vsr_edge.store.base import Store
from vsr_edge.types import Decision, Seconds, StoredVideo, TextHit, inside

# The constant of the paper: how little the first ranks count above the next ones.
RANK_OFFSET = 60
LOOK_UP = "look up words"
# What is said at so many places is common talk, which tells no more than a picture.
COMMON = 10
# One word names what is seen as often as what is said, unless it is said with others around it.
ANY_WORDS = 3
# Who speaks of something shows it soon before or after.
NEAR: Seconds = 2.0
_UNTELLING_TEXT = """
a about above across after again all along also am an and another any anybody anyone anything are
around as at away be because been before behind being below beside between both but by can could did
do does doing down during each every everybody everyone everything find for from front get had has
have he her here him his how i if in inside into is it its just like look looking me mention
mentions mentioned my near next no not now of off on one onto or other our out outside over
people's please said saw say saying says see seen she show showing shows so some somebody someone
something somewhere spoke speak speaking speaks such talk talked talking talks than that the their
them then there these they this those through to together told too toward towards under until up us
video very was we were what when where which while who whom whose why will with within without word
words would you your
"""
UNTELLING = frozenset(_UNTELLING_TEXT.split())
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_OWN = re.compile(r"['’]s$")


def telling_words(query: str) -> list[str]:
    """The words of a query that tell what is meant, each once."""
    words = [_OWN.sub("", word.lower()) for word in _WORD.findall(query)]
    return list(dict.fromkeys(word for word in words if word not in UNTELLING))


def text_search(store: Store, query: str, options: SearchOptions | None = None) -> SearchResult:
    """Find moments by words alone: ``query`` as :meth:`Store.find_text` reads it.

    Raises:
        UsageError: a query without a word, or a video named that is not there.
    """
    options, clock = options or SearchOptions(), Clock()
    if not any(c.isalnum() for c in query):
        raise UsageError("the query holds no word: say what is said or to be read")
    with store.reading(), clock.stage("text"):
        hits = store.find_text(query, options.top_k, named(store, options.video, options.where))
        videos = store.videos_of(hit.video_id for hit in hits)
    found = [_moment(rank, hit, videos[hit.video_id]) for rank, hit in enumerate(hits, 1)]
    told = tuple(Candidate(one.video, one.start, one.end, one.score) for one in found)
    then = "match: all words are there" if found else "no match: nowhere are all these words"
    return SearchResult(
        query=query,
        verdict=Verdict("match" if found else "no_match"),
        moments=tuple(found),
        turns=(Turn(1, LOOK_UP, told, clock.lap(), encoder_calls=0, then=then),),
        timing_ms=clock.milliseconds(),
        bundle=store.bundle_id,
    )


def with_texts(store: Store, found: SearchResult, options: SearchOptions) -> SearchResult:
    """An answer by pictures together with that by words; as it is where no words answer.

    What the verifier decided stands, but "no match": there is one where the words are there. The
    moments by pictures keep their order, but where words say the same of one of them.
    """
    words, clock = telling_words(found.query), Clock()
    # Words have no score, and are not told apart by the parts of a query.
    if not words or options.min_score is not None or found.read_as is not None:
        return found
    with store.reading():
        where, most = named(store, options.video, options.where), max(options.top_k, COMMON)
        # Where even the small words are the same, before where those that tell something are.
        exact = store.find_text(found.query, most, where)
        others = store.find_text(" ".join(words), most, where)
        hits = [*exact, *(one for one in others if not any(_shared(one, e) for e in exact))]
        hits = hits[: options.top_k]
        videos = store.videos_of(hit.video_id for hit in hits)
    if not hits:
        return found
    said = [_moment(rank, hit, videos[hit.video_id]) for rank, hit in enumerate(hits, 1)]
    enough = len(words) > 1 or (bool(exact) and len(found.query.split()) >= ANY_WORDS)
    words_first, why = precedence(found.verdict.decision, exact or others, enough=enough)
    threshold = found.verdict.threshold or 0.0
    moments = _fused(found.moments, said, words_first, threshold)[: options.top_k]
    best, verdict = moments[0], found.verdict
    if verdict.decision == "no_match":
        verdict = replace(verdict, decision="match", confidence=None)
    elif verdict.decision == "match":
        verdict = replace(verdict, confidence=best.match_probability)
    told = tuple(Candidate(one.video, one.start, one.end, one.score) for one in said)
    turn = Turn(len(found.turns) + 1, LOOK_UP, told, clock.lap(), encoder_calls=0, then=why)
    spent = clock.milliseconds()["total"]
    timing = {**found.timing_ms, "text": spent, "total": found.timing_ms["total"] + spent}
    turns = (*found.turns, turn)
    return replace(found, moments=tuple(moments), verdict=verdict, turns=turns, timing_ms=timing)


def precedence(
    decision: Decision, strictest: Sequence[TextHit], *, enough: bool
) -> tuple[bool, str]:
    """Whether words come before pictures at the same rank, and why: where no picture is a match,
    and where one cue says it all, which fewer than ``COMMON`` do.

    Args:
        decision: on the pictures.
        strictest: where words are found by the strictest reading that finds any, best first.
        enough: whether these are words enough to mean what is said.
    """
    if decision != "match":
        return True, "words come first: they are there, and no picture is likely enough"
    pictures = "pictures that match come first: "
    if len(strictest) >= COMMON:
        return False, f"{pictures}the words are common talk, said at {COMMON} places or more"
    if strictest[0].cues > 1:
        return False, f"{pictures}no cue says all of it, only two in a row do"
    if not enough:
        return False, f"{pictures}a single word may be of what is seen"
    return True, "words come first: one cue says all of it, and it is no common talk"


@dataclass(slots=True)
class _Ranked:
    moment: Moment
    score: float


def _fused(
    seen: Sequence[Moment], said: Sequence[Moment], words_first: bool, threshold: float
) -> list[Moment]:
    """Both lists as one, ranked anew. A guess by pictures, below ``threshold`` or verified by
    nothing, takes the time of the words that say it, and counts for no more than these.
    """
    pictures = [_Ranked(one, 1 / (RANK_OFFSET + one.rank)) for one in seen]
    words: list[_Ranked] = []
    for one in said:
        score = 1 / (RANK_OFFSET + one.rank)
        same = next((p for p in pictures if p.moment.text is None and _near(p.moment, one)), None)
        if same is None:
            words.append(_Ranked(one, score))
            continue
        chance = same.moment.match_probability
        sure = chance is not None and chance >= threshold
        same.score = same.score + score if sure else max(same.score, score)
        spoken = same.moment if sure else one
        same.moment = replace(
            same.moment,
            start=spoken.start,
            end=spoken.end,
            source="both",
            text=one.text,
            text_source=one.text_source,
            recorded_at=spoken.recorded_at,
        )

    def place(one: _Ranked) -> tuple[float, bool]:
        said, alone = one.moment.text is not None, one.moment.source != "both"
        return -one.score, not said if words_first else said and alone

    ordered = sorted([*words, *pictures], key=place)
    return [replace(one.moment, rank=rank) for rank, one in enumerate(ordered, 1)]


def _shared(one: TextHit, other: TextHit) -> bool:
    return one.video_id == other.video_id and one.start < other.end and other.start < one.end


def _near(one: Moment, other: Moment) -> bool:
    apart = max(one.start - other.end, other.start - one.end)
    return one.video == other.video and apart <= NEAR


def _moment(rank: int, hit: TextHit, stored: StoredVideo) -> Moment:
    start, end = inside(hit.start, hit.end, stored.video.duration)
    source: Literal["said", "written"] = "written" if hit.source == "ocr" else "said"
    begin = stored.recorded_at
    return Moment(
        rank,
        stored.video.path,
        start,
        end,
        score=0.0,
        recorded_at=None if begin is None else begin + start,
        source=source,
        text=hit.text,
        text_source=hit.source,
        video_id=stored.video_id,
    )
