"""What an answer holds: moments, the verdict on them, and the path that led to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from vsr_edge.types import (
    Decision,
    RecordedFrom,
    RefinementMethod,
    Seconds,
    TextSource,
    Whence,
    check_span,
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A span of a video that a turn put forward; ``match_probability`` as in :class:`Moment`."""

    video: Path
    start: Seconds
    end: Seconds
    score: float
    match_probability: float | None = None

    def __post_init__(self) -> None:
        check_span(self.start, self.end)


@dataclass(frozen=True, slots=True)
class PartSpan:
    """Where one part of a query of several is; ``score`` and ``match_probability`` are its own."""

    sentence: str
    start: Seconds
    end: Seconds
    score: float
    match_probability: float | None = None

    def __post_init__(self) -> None:
        check_span(self.start, self.end)


@dataclass(frozen=True, slots=True)
class Moment:
    """A span of a video in the answer: 0 ≤ ``start`` < ``end`` ≤ the video's duration.

    ``score`` is the inner product of query and clip, or of query and best frame where a verifier
    has judged; ``match_probability``, how likely this is what was asked for, is None where none
    has. ``missing``: no file lies at ``video`` any more (or its drive is not mounted).
    ``recorded_at``: when its start was recorded, in seconds since 1970 (UTC), where that is known;
    ``recorded_from`` is how, as in :class:`StoredVideo`. ``best``: the time of the frame within
    that is most like the query, where one was looked at.
    ``source`` says what led to it; where words did, ``text`` are these, read in ``text_source``,
    and the score is 0 where words alone did.
    ``parts``: where each part is, in the order asked for; empty where the query was one sentence.
    ``video_id``: as the archive that answered numbers its videos.

    Raises:
        ValueError: a span that ends before it starts, or starts before the video does.
    """

    rank: int
    video: Path
    start: Seconds
    end: Seconds
    score: float
    match_probability: float | None = None
    missing: bool = False
    recorded_at: float | None = None
    recorded_from: RecordedFrom | None = None
    best: Seconds | None = None
    source: Whence = "seen"
    text: str | None = None
    text_source: TextSource | None = None
    parts: tuple[PartSpan, ...] = ()
    video_id: int | None = field(default=None, compare=False)

    @property
    def shown_at(self) -> Seconds:
        """Of which time a picture stands for it: its best frame's, or its middle."""
        return (self.start + self.end) / 2 if self.best is None else self.best

    def __post_init__(self) -> None:
        check_span(self.start, self.end)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to "is it there?".

    On "match", ``confidence`` is the probability that the first moment is right; None where it was
    found by its words, which are there literally. It is None otherwise: that the best guess is
    likely wrong does not say how likely nothing is there.
    Moments with a match probability below ``threshold`` are guesses; on "no_match" all are. The
    threshold is None where nothing was verified.
    """

    decision: Decision
    confidence: float | None = None
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class Refinement:
    """What a turn did to the query before it retrieved.

    ``cosine`` is that of the new query vector and the original one; ``gained`` and ``lost`` are the
    words and phrases that the query moved towards and away from most.
    """

    method: RefinementMethod
    cosine: float
    gained: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Turn:
    """One pass of the search loop: what was done, what it brought up, and what that took.

    ``candidates`` are those that were new in this turn, the likeliest first; ``then`` says why the
    loop ended or went on. ``encoder_calls`` counts sentences that were encoded, ``soft_tokens``
    those that a refinement added to the query.
    """

    turn: int
    action: str
    candidates: tuple[Candidate, ...]
    latency_ms: float
    encoder_calls: int = 1
    soft_tokens: int = 0
    refinement: Refinement | None = None
    then: str = ""


# Told of each turn that verified, as soon as it is over; what it raises ends the search.
TurnListener: TypeAlias = Callable[[Turn], object]


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The whole answer to one query, with the path that led to it; ``timing_ms`` by stage, and in
    total.

    ``notices`` are sentences about the query: what of it the bundle does not know, or cut off.
    ``read_as`` says which parts a query of several was taken for; ``verified_by`` which heads
    judged, and if their probabilities are corrected for the archive, None where none did.
    """

    query: str
    verdict: Verdict
    moments: tuple[Moment, ...]
    turns: tuple[Turn, ...]
    timing_ms: dict[str, float]
    bundle: str
    notices: tuple[str, ...] = ()
    read_as: str | None = None
    verified_by: str | None = None
