"""The values that cross rooms: frozen, typed, free of I/O.

Times are seconds (float) from the first moment of the video stream, so that 0.0 is the first frame
whatever timestamp the container starts at. Embeddings are unit vectors, float32 in memory and
float16 on disk, ``[n, D]``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Seconds: TypeAlias = float
Pixels: TypeAlias = NDArray[np.uint8]
Times: TypeAlias = NDArray[np.float64]
Vectors: TypeAlias = NDArray[np.float32]
HalfVectors: TypeAlias = NDArray[np.float16]

Decision: TypeAlias = Literal["match", "no_match", "unverified"]
RefinementMethod: TypeAlias = Literal["soft tokens", "rocchio"]


def clock(seconds: Seconds) -> str:
    """75.5 → ``1:15.5``; hours only where there are some."""
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"


@dataclass(frozen=True, slots=True)
class Video:
    """What a probe knows of one file without decoding a frame of it.

    ``width`` and ``height`` are those of the upright picture; ``rotation`` is how many degrees
    clockwise the decoded picture must be turned to be upright (0, 90, 180 or 270).
    """

    path: Path
    fingerprint: str
    size_bytes: int
    modified_ns: int
    duration: Seconds
    width: int
    height: int
    rotation: int
    codec: str
    container: str
    frame_rate: float | None
    audio_streams: int


@dataclass(frozen=True, slots=True)
class FrameBatch:
    """Decoded frames: ``times`` float64 [n], ``pixels`` uint8 [n, H, W, 3] RGB, upright."""

    times: Times
    pixels: Pixels

    def __len__(self) -> int:
        return len(self.times)


@dataclass(frozen=True, slots=True)
class ClipWindow:
    """A window over a video's sampled frames: frames ``first`` to ``last``, both included."""

    start: Seconds
    end: Seconds
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Clip:
    """One stored clip, the unit of retrieval."""

    clip_id: int
    video_id: int
    window: ClipWindow


@dataclass(frozen=True, slots=True)
class ClipHit:
    """A clip with its inner product with the query, in [−1, 1]."""

    clip: Clip
    score: float


@dataclass(frozen=True, slots=True)
class StoredVideo:
    """One row of the archive. ``partial`` says why only a part of the file could be read, if so.

    ``missing``: no file lies there any more; only who lists videos for people looks.
    """

    video_id: int
    video: Video
    sampling: Sampling
    frames: int
    clips: int
    partial: str | None
    indexed_at: str
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a video is turned into frames and clips; a change of it means encoding again."""

    fps: float = 1.0
    min_frames: int = 4
    clip_seconds: Seconds = 4.0
    clip_stride: Seconds = 2.0
    regions: bool = True


@dataclass(frozen=True, slots=True)
class FrameFeatures:
    """Encoded frames: ``times`` float64 [n], ``vectors`` float16 [n, D], ``regions`` float16 [n, R,
    D].
    """

    times: Times
    vectors: HalfVectors
    regions: HalfVectors | None

    def __len__(self) -> int:
        return len(self.times)


def check_span(start: Seconds, end: Seconds) -> None:
    """Raise ValueError unless the span begins in the video and ends after it begins."""
    if not 0 <= start < end < float("inf"):
        raise ValueError(f"a span from {start} to {end} s cannot be")


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
class Moment:
    """A span of a video in the answer: 0 ≤ ``start`` < ``end`` ≤ the video's duration.

    ``score`` is the inner product of query and clip, or of query and best frame where a verifier
    has judged; ``match_probability``, how likely this is what was asked for, is None where none
    has. ``missing``: no file lies at ``video`` any more (or its drive is not mounted).

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

    def __post_init__(self) -> None:
        check_span(self.start, self.end)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to "is it there?".

    On "match", ``confidence`` is the probability that the first moment is right. It is None
    otherwise: that the best guess is likely wrong does not say how likely nothing is there.
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


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The whole answer to one query, with the path that led to it; ``timing_ms`` by stage, and in
    total.

    ``notices`` are sentences about the query: what of it the bundle does not know, or cut off.
    """

    query: str
    verdict: Verdict
    moments: tuple[Moment, ...]
    turns: tuple[Turn, ...]
    timing_ms: dict[str, float]
    bundle: str
    notices: tuple[str, ...] = ()
