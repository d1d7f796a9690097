"""What the formats have in common: a query with its truth, and a prediction for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vsr_edge.types import Decision, Seconds

QueryId: TypeAlias = int | str
Span: TypeAlias = tuple[Seconds, Seconds]

# What the field's evaluators look at, for each query.
MOST_PREDICTIONS: Final = 100
# Under this key a prediction's ``extra`` keeps how long the query's right video is, in seconds.
DURATION_KEY: Final = "duration"


@dataclass(frozen=True, slots=True)
class Query:
    """A query and where its moment truly is.

    ``video`` is None where no video shows it. ``spans`` in seconds are several moments, each of
    them right, unless ``annotators`` is true: then they are several people's marks of one moment
    (DiDeMo). ``query_type`` is TVR's "v", "t" or "vt": what one must see or read to find it.
    ``saliency`` maps QVHighlights' relevant clips of 2 s to the annotators' scores, 0 to 4.
    ``extra`` holds a row's other columns.
    """

    qid: QueryId
    query: str
    video: str | None
    spans: tuple[Span, ...]
    annotators: bool = False
    duration: Seconds | None = None
    query_type: str | None = None
    saliency: Mapping[int, tuple[float, ...]] | None = None
    extra: Mapping[str, object] = field(default_factory=dict)

    @property
    def present(self) -> bool:
        """Is there a video that shows it?"""
        return self.video is not None

    @property
    def agreement(self) -> int:
        """How many of ``spans`` a right moment overlaps: 2 of four or more annotators', else 1, as
        TVR's evaluator has it for DiDeMo.
        """
        return 2 if self.annotators and len(self.spans) >= 4 else 1

    def clipped(self, duration: Seconds) -> Query:
        """The same query with no span reaching beyond the video's ``duration``: a span that was
        written as "to the end" is then as long as the footage.
        """
        spans = tuple((min(start, duration), min(end, duration)) for start, end in self.spans)
        return replace(self, spans=spans, duration=duration)


@dataclass(frozen=True, slots=True)
class Judgement:
    """One video that a verifier judged, and its decision; one for each turn of a search."""

    video: str
    matched: bool
    probability: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """The answer to one query: moments, best first.

    Moment i lies in ``videos[i]`` from ``windows[i, 0]`` to ``windows[i, 1]`` seconds (float64
    [n, 2]) with ``scores[i]`` (float64 [n]). ``saliency`` scores each clip of 2 s of the given
    video. ``decision`` is the verdict on the query, ``judged`` what led to it, ``confidence`` in
    [0, 1] how sure a "match" is to be right. ``match_probability`` in [0, 1] is how likely the
    first moment shows what was asked for, whatever the verdict; None where nothing was verified.
    """

    qid: QueryId
    query: str
    videos: tuple[str, ...]
    windows: NDArray[np.float64]
    scores: NDArray[np.float64]
    saliency: NDArray[np.float64] | None = None
    decision: Decision = "unverified"
    confidence: float | None = None
    judged: tuple[Judgement, ...] = ()
    match_probability: float | None = None
    extra: Mapping[str, object] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.videos)

    def listed(self, count: int) -> Iterator[tuple[str, list[float], float]]:
        """At most ``count`` moments as plain values: video, [start, end], score."""
        kept = self.first(count)
        return zip(kept.videos, kept.windows.tolist(), kept.scores.tolist(), strict=True)

    def first(self, count: int) -> Prediction:
        """The same prediction with at most ``count`` moments."""
        return self.only(slice(count))

    def only(self, kept: slice | Sequence[int]) -> Prediction:
        """The same prediction with some of its moments, by their places from 0."""
        videos = tuple(np.array(self.videos, dtype=object)[kept])
        return replace(self, videos=videos, windows=self.windows[kept], scores=self.scores[kept])

    def in_video(self, video: str | None) -> NDArray[np.bool_]:
        """Which moments lie in that video: bool [n]."""
        if video is None:
            return np.zeros(len(self.videos), dtype=bool)
        same = {name: is_video(video, name) for name in set(self.videos)}
        return np.array([same[name] for name in self.videos], dtype=bool)


TaskPredictions: TypeAlias = Mapping[str, Sequence[Prediction]]


@lru_cache(maxsize=1 << 18)  # a run asks about the same few names for each of its queries
def is_video(name: str, found: str) -> bool:
    """Does ``name``, a video's path, the ending of one, or a benchmark's name for it, mean the
    video that was ``found``?
    """
    return name == found or plain_name(name) in video_names(found)


@lru_cache(maxsize=1 << 16)
def video_names(path: str) -> tuple[str, ...]:
    """Every name that means a video: whole folder and file names from the end of its path, with
    and without extension.
    """
    *folders, file = plain_name(path).split("/")
    stem, dot, _ = file.rpartition(".")
    return tuple(
        "/".join([*folders[first:], last])
        for last in ([file, stem] if dot else [file])
        for first in range(len(folders) + 1)
    )


def plain_name(name: str) -> str:
    return name.replace("\\", "/").removeprefix("./")
