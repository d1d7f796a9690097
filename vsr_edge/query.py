"""What is asked of an archive: a sentence, pictures, examples; which footage counts, and how it is
searched.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, TypeAlias, TypedDict, Unpack

from vsr_edge.errors import UsageError
from vsr_edge.types import Pixels, Seconds, clock

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

    def __post_init__(self) -> None:
        for name in ("top_k", "max_turns", "candidates"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.min_score is not None and not -1 <= self.min_score <= 1:
            raise UsageError(f"min_score must lie between -1 and 1, not at {self.min_score}")
        if self.max_ms is not None and not 0 < self.max_ms < float("inf"):
            raise UsageError(f"max_ms must be a number above 0, not {self.max_ms}")

    def changed(self, **given: Unpack[SearchChanges]) -> SearchOptions:
        """These options, but for those that are given and not None."""
        said: dict[str, Any] = {
            name: getattr(self, name, None) if value is None else value
            for name, value in given.items()
        }
        return replace(self, **said)


_TIME = re.compile(r"(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d+)?)", re.ASCII)


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
        found = _TIME.fullmatch(time)
        if not video or found is None:
            return None
        hours, minutes, seconds = (float(part or 0) for part in found.groups())
        at = 3600 * hours + 60 * minutes + seconds
        return cls(video, at, at)

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
