"""What is asked of an archive: a sentence, pictures, examples; which footage counts, and how it is
searched.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias, TypedDict, Unpack, get_args

from vsr_edge.errors import UsageError
from vsr_edge.types import Pixels, Seconds, clock, clock_time

# Paths, folders and globs; of several, any may match.
VideoNames: TypeAlias = str | Path | Sequence[str | Path]
HeadsChoice: TypeAlias = Literal["auto", "dedicated", "universal"]
MOST = 1_000_000  # moments, turns, candidates: beyond it there is no more to have


@dataclass(frozen=True, slots=True)
class Daily:
    """A time of day: from ``since`` up to ``until``, in seconds since midnight (0 to 86400) by the
    clocks of ``zone``, an IANA name, or the machine's own if empty; over midnight where ``until``
    is the earlier one.
    """

    since: int
    until: int
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which footage counts: what meets every condition that is given; without any, all.

    ``videos``: any of the patterns matches. A pattern is a GLOB (``*`` any characters, also ``/``;
    ``?`` one; ``[a-z]`` a range; case matters), or stands for itself. It matches the whole stored
    path, its last components, or a folder that the path lies in: ``*.mp4``, ``cam1/*``, ``cam1``
    and ``door.mkv`` find ``/archive/cam1/door.mkv`` files wherever they lie. With a slash at its
    end it is a folder.

    ``after``, ``before`` (seconds since 1970, UTC) and ``between`` are of when footage was
    recorded: one instant of it lies at or after the one, before the other, and at that time of day.
    They hold for each clip that is searched, not only for its video, which may be hours long.

    ``min_duration`` and ``max_duration`` (seconds, both included) and ``tags`` are of videos: they
    have all these tags, and none of those with a ``-`` before them.
    """

    videos: tuple[str, ...] = ()
    after: float | None = None
    before: float | None = None
    between: Daily | None = None
    min_duration: float | None = None
    max_duration: float | None = None
    tags: tuple[str, ...] = ()

    @property
    def timed(self) -> bool:
        """Whether it counts when footage was recorded."""
        return any(one is not None for one in (self.after, self.before, self.between))


class FilterWords(TypedDict, total=False):
    """The conditions of a :class:`Filter` as people say them (:mod:`vsr_edge.times`); None says
    nothing. Numbers are seconds, of ``after`` and ``before`` since 1970.
    """

    after: str | date | datetime | float | None
    before: str | date | datetime | float | None
    between: str | None
    min_duration: str | float | None
    max_duration: str | float | None
    tags: str | Sequence[str] | None


class SearchChanges(TypedDict, total=False):
    """What may be said of a search, by name (:class:`SearchOptions`); None says nothing."""

    top_k: int | None
    min_score: float | None
    video: VideoNames | None
    where: Filter | None
    max_turns: int | None
    candidates: int | None
    max_ms: float | None
    one_shot: bool | None
    rocchio: bool | None
    heads: HeadsChoice | None
    text: bool | None
    then: Sequence[str] | None
    also: Sequence[str] | None
    without: Sequence[str] | None
    within: float | None
    literal: bool | None


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How to search.

    Args:
        top_k: at most so many moments.
        min_score: leave out clips with a lower inner product, in [−1, 1].
        video: search only these videos.
        where: search only this footage; the videos of ``video``, where both are given.
        max_turns: retrieve at most so often, each time with a query refined anew.
        candidates: so many are verified in each turn.
        max_ms: begin no turn, and verify no further part, after so many milliseconds.
        one_shot: retrieve once and verify nothing.
        rocchio: refine by pushing the query's vector away from what was rejected, the classical
            relevance feedback, instead of by soft tokens.
        heads: who verifies: "auto" is the bundle's dedicated heads, where it has some, and the
            universal ones otherwise.
        text: True, search only for words that are said or written; False, only for what is seen;
            None, for both.
        then: sentences for what is to be seen after the query's moment, each after the one before.
        also: for what is to be seen near the query's moment, before, after or with it.
        without: for what must not be seen meanwhile.
        within: what follows begins at most so many seconds later; what is ``also`` to be seen lies
            in a stretch of so many.
        literal: look for no parts in the sentence itself (:mod:`vsr_edge.search.grammar`).

    Raises:
        UsageError: a limit that cannot be.
    """

    top_k: int = 10
    min_score: float | None = None
    video: VideoNames | None = None
    where: Filter | None = None
    max_turns: int = 3
    candidates: int = 16
    max_ms: float | None = None
    one_shot: bool = False
    rocchio: bool = False
    heads: HeadsChoice = "auto"
    text: bool | None = None
    then: Sequence[str] = ()
    also: Sequence[str] = ()
    without: Sequence[str] = ()
    within: float = 30.0
    literal: bool = False

    def __post_init__(self) -> None:
        for name in ("top_k", "max_turns", "candidates"):
            count = getattr(self, name)
            if count < 1:
                raise UsageError(f"{name} must be at least 1, not {count}")
            object.__setattr__(self, name, min(count, MOST))
        if self.heads not in get_args(HeadsChoice):
            raise UsageError(f"heads must be auto, dedicated or universal, not {self.heads!r}")
        if self.min_score is not None and not -1 <= self.min_score <= 1:
            raise UsageError(f"min_score must lie between -1 and 1, not at {self.min_score}")
        if self.max_ms is not None and not 0 < self.max_ms < float("inf"):
            raise UsageError(f"max_ms must be a number above 0, not {self.max_ms}")
        if not 0 < self.within < float("inf"):
            raise UsageError(f"within must be a number of seconds above 0, not {self.within}")

    def changed(self, **given: Unpack[SearchChanges]) -> SearchOptions:
        """These options, but for those that are given and not None."""
        said: dict[str, Any] = {
            name: getattr(self, name, None) if value is None else value
            for name, value in given.items()
        }
        return replace(self, **said)


@dataclass(frozen=True, slots=True)
class Place:
    """A moment of a video, by its time: what a query is like, or a hit that was liked or rejected.

    By the ``fingerprint``, where it is known, the video is found again when its file was moved.
    """

    video: str | Path
    start: Seconds
    end: Seconds
    fingerprint: str | None = None

    @classmethod
    def read(cls, text: str) -> Self | None:
        """``VIDEO@TIME``, with a time as in 83, 83.5, 1:23 or 1:02:03.5; None if it is not that."""
        video, _, time = text.rpartition("@")
        at = clock_time(time)
        return cls(video, at, at) if video and at is not None else None

    def __str__(self) -> str:
        until = "" if self.end == self.start else f"–{clock(self.end)}"
        return f"{Path(self.video).name}@{clock(self.start)}{until}"


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for: a sentence, something it looks like, or both.

    Args:
        text: what is to be seen, in words.
        like: what it looks like: a picture, as pixels uint8 [H, W, 3] RGB or the path of its file,
            or a :class:`Place` of a video; of a string, ``VIDEO@TIME`` is one.
        weight: of ``like`` beside ``text``, between 0 and 1.
        against: what is not to be seen, in words.
        good, bad: what was liked and rejected of earlier answers. What was rejected, and the place
            that ``like`` names, are not shown again.

    Raises:
        UsageError: nothing is asked for, or the weight cannot be.
    """

    text: str | None = None
    like: str | Path | Pixels | Place | None = None
    weight: float = 0.5
    against: str | None = None
    good: tuple[Place, ...] = ()
    bad: tuple[Place, ...] = ()

    def __post_init__(self) -> None:
        for name in ("text", "against"):
            sentence = getattr(self, name)
            if sentence is None:
                continue
            if not sentence.strip():
                what = "query" if name == "text" else "sentence of --not"
                raise UsageError(f"the {what} is empty: say in a few words what is to be seen")
            try:
                sentence.encode("utf-8")
            except UnicodeEncodeError as error:
                raise UsageError(
                    "the query is not valid UTF-8: type it anew, or set the terminal to UTF-8"
                ) from error
        if self.text is None and self.like is None and not self.good:
            raise UsageError(
                "nothing is asked for: write a query, what is to be seen in words, or name what it "
                "looks like with --like PHOTO or --like VIDEO@TIME"
            )
        if not 0 < self.weight < 1:
            raise UsageError(f"weight must lie between 0 and 1, not at {self.weight}")

    @staticmethod
    def read_like(text: str) -> Path | Place:
        """What a string names: a file that is called so, else a moment, else a picture."""
        if os.path.isfile(text):  # noqa: PTH113 — never raises
            return Path(text)
        return Place.read(text) or Path(text)

    @property
    def sentence(self) -> str | None:
        """The words, if they are all that is asked."""
        alone = self.like is None and self.against is None and not (self.good or self.bad)
        return self.text if alone else None

    @property
    def shown(self) -> str:
        """All of it in one line, for people."""
        like = str(self.like) if isinstance(self.like, str | Place) else "a picture"
        like = self.like.name if isinstance(self.like, Path) else like
        judged = f"{len(self.good)} liked, {len(self.bad)} rejected"
        parts = (
            self.text,
            None if self.like is None else f"like {like}",
            None if self.against is None else f"not {self.against}",
            f"({judged})" if self.good or self.bad else None,
        )
        return " ".join(part for part in parts if part is not None)
