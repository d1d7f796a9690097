"""What is asked of an archive beside the sentence: which footage counts, how it is searched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias, TypedDict, Unpack

from vsr_edge.errors import UsageError

# Paths, folders and globs; of several, any may match.
VideoNames: TypeAlias = str | Path | Sequence[str | Path]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which videos count: those that any of the patterns matches; without any, all.

    A pattern is a GLOB (``*`` any characters, also ``/``; ``?`` one; ``[a-z]`` a range; case
    matters), or stands for itself. It matches the whole stored path, its last components, or a
    folder that the path lies in: ``*.mp4``, ``cam1/*``, ``cam1`` and ``door.mkv`` find
    ``/archive/cam1/door.mkv`` files wherever they lie. With a slash at its end it is a folder.
    """

    videos: tuple[str, ...] = ()


class SearchChanges(TypedDict, total=False):
    """What may be said of a search, by name (:class:`SearchOptions`); None says nothing."""

    top_k: int | None
    min_score: float | None
    video: VideoNames | None
    max_turns: int | None
    candidates: int | None
    max_ms: float | None
    one_shot: bool | None
    rocchio: bool | None
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
        max_turns: retrieve at most so often, each time with a query refined anew.
        candidates: so many are verified in each turn.
        max_ms: begin no turn after so many milliseconds.
        one_shot: retrieve once and verify nothing.
        rocchio: refine by pushing the query's vector away from what was rejected, the classical
            relevance feedback, instead of by soft tokens.
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
    max_turns: int = 3
    candidates: int = 16
    max_ms: float | None = None
    one_shot: bool = False
    rocchio: bool = False
    then: Sequence[str] = ()
    also: Sequence[str] = ()
    without: Sequence[str] = ()
    within: float = 30.0
    literal: bool = False

    def __post_init__(self) -> None:
        for name in ("top_k", "max_turns", "candidates"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}")
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
