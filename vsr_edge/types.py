"""The values that cross rooms: frozen, typed, free of I/O.

Times are seconds (float) from the first moment of the video stream, so that 0.0 is the first frame
whatever timestamp the container starts at. Embeddings are unit vectors, float32 in memory and
float16 on disk, ``[n, D]``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Seconds: TypeAlias = float
Pixels: TypeAlias = NDArray[np.uint8]
Times: TypeAlias = NDArray[np.float64]
Vectors: TypeAlias = NDArray[np.float32]
HalfVectors: TypeAlias = NDArray[np.float16]

Decision: TypeAlias = Literal["match", "no_match", "unverified"]
Keyframes: TypeAlias = Literal["off", "auto", "on"]
# Who verifies and grounds: heads trained with a bundle's encoders, or those that know none.
Heads: TypeAlias = Literal["dedicated", "universal"]
RefinementMethod: TypeAlias = Literal["soft tokens", "guide", "rocchio"]
# A video's time of recording is the container's, or in the file's name, or that of its last change.
RecordedFrom: TypeAlias = Literal["container", "name", "file"]
# How region vectors are stored, most bytes first (:mod:`vsr_edge.store.region_codes`).
Regions: TypeAlias = Literal["float16", "int8", "int4", "binary", "none"]
Granularity: TypeAlias = Literal["frame", "clip", "scene", "video"]
# Where words were read: in a file beside the video, in a stream of it, on its pictures, or heard.
TextSource: TypeAlias = Literal["sidecar", "embedded", "ocr", "speech"]
# What led to a moment: its pictures, words that are said there, words that stand in the pictures,
# or pictures and words.
Whence: TypeAlias = Literal["seen", "said", "written", "both"]

# Neighbouring frames of one scene are more alike than this (cosine), those of two mostly less.
SAME_SCENE = 0.7
# No frame is shown for less; frames with one time stamp, or a video of no length, would give spans
# of no length.
LEAST_SECONDS = 0.001


_CLOCK = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)", re.ASCII)


def clock(seconds: Seconds) -> str:
    """75.5 → ``1:15.5``; hours only where there are some."""
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"


def clock_time(said: str) -> Seconds | None:
    """``1:15.5``, ``75.5`` or ``0:01:15.5`` → 75.5: :func:`clock` backwards; None of no time."""
    found = _CLOCK.fullmatch(said.strip())
    if found is None:
        return None
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    if (found[1] and minutes >= 60) or (found[2] and seconds >= 60):
        return None
    return 3600 * hours + 60 * minutes + seconds


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


class Recorded(NamedTuple):
    """When a video began, in seconds since 1970 (UTC), and how that is known."""

    at: float
    source: RecordedFrom


@dataclass(frozen=True, slots=True)
class FrameBatch:
    """Decoded frames: ``times`` float64 [n], ``pixels`` uint8 [n, H, W, 3] RGB, upright.

    ``repeats`` int64 [m]: there are only m pictures, and so many frames in a row show each.
    """

    times: Times
    pixels: Pixels
    repeats: NDArray[np.int64] | None = None

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
class Correction:
    """What is known of probabilities told in an archive: their log-odds are to be multiplied by
    ``slope``, and ``bias`` added.

    ``made_at`` (ISO 8601) from so many ``queries`` whose answers were known; or from none, by the
    share of the questions there that are said to be about what is ``absent``, in [0, 1].
    """

    slope: float
    bias: float
    made_at: str
    queries: int
    absent: float | None = None


@dataclass(frozen=True, slots=True)
class Cue:
    """Words with their time in a video."""

    start: Seconds
    end: Seconds
    text: str


@dataclass(frozen=True, slots=True)
class TextHit:
    """Words that were found, the larger ``score`` (BM25) the better; ``text`` is all of their cue,
    or of the two that follow one another, if it takes ``cues`` of them.
    """

    video_id: int
    start: Seconds
    end: Seconds
    text: str
    source: TextSource
    score: float
    cues: int = 1


@dataclass(frozen=True, slots=True)
class StoredVideo:
    """One row of the archive. ``partial`` says why only a part of the file could be read, if so.

    ``missing``: no file lies there any more; only who lists videos for people looks.
    ``recorded_at`` is when the video began, in seconds since 1970 (UTC), ``recorded_from`` how that
    is known; a store always says both.
    """

    video_id: int
    video: Video
    sampling: Sampling
    frames: int
    clips: int
    partial: str | None
    indexed_at: str
    missing: bool = False
    recorded_at: float | None = None
    recorded_from: RecordedFrom | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a video is turned into frames and clips; a change of it means encoding again, but for how
    its ``regions`` are stored: "none", or in which code.

    ``granularity`` says what one clip, the unit of retrieval, stands for: a frame, windows of
    ``clip_seconds`` every ``clip_stride`` (which count only then), a scene, or the video.
    ``fold``: a frame that looks like the one before it is not encoded, and has its vectors.
    ``keyframes``: "on", only keyframes are read, at most as many as ``fps`` asks for; "auto", where
    they are at most ``keyframe_seconds`` apart (which counts only then), and there are enough.
    """

    fps: float = 1.0
    min_frames: int = 4
    clip_seconds: Seconds = 4.0
    clip_stride: Seconds = 2.0
    regions: Regions = "int8"
    granularity: Granularity = "frame"
    fold: bool = True
    keyframes: Keyframes = "off"
    keyframe_seconds: Seconds = 2.0

    @property
    def has_regions(self) -> bool:
        return self.regions != "none"

    @property
    def encoded(self) -> Sampling:
        """What counts of it for what is encoded: the same whatever the code of the regions is."""
        return replace(self, regions="float16") if self.has_regions else self


@dataclass(frozen=True, slots=True)
class FrameFeatures:
    """Encoded frames: ``times`` float64 [n], ``vectors`` float16 [n, D], ``regions`` [n, R,
    D], float16, or float32 as read where they are coded.
    """

    times: Times
    vectors: HalfVectors
    regions: HalfVectors | Vectors | None

    def __len__(self) -> int:
        return len(self.times)

    def after(self, other: FrameFeatures | None) -> FrameFeatures:
        """Both as one, the other's frames first; regions only where both have them."""
        if other is None:
            return self
        regions = None
        if self.regions is not None and other.regions is not None:
            regions = np.concatenate([other.regions, self.regions])
        return FrameFeatures(
            np.concatenate([other.times, self.times]),
            np.concatenate([other.vectors, self.vectors]),
            regions,
        )

    @property
    def changes(self) -> NDArray[np.bool_]:
        """Of each frame [n], whether its vectors are not, to the bit, those of the one before it;
        the first one's never are.
        """
        columns = [self.vectors] if self.regions is None else [self.vectors, self.regions]
        changes = np.ones(len(self), np.bool_)
        for bits in (column.reshape(len(self), -1).view(np.uint16) for column in columns):
            changes[1:] &= (bits[1:] == bits[:-1]).all(axis=1)
        changes[1:] = ~changes[1:]
        return changes

    def __getitem__(self, part: slice) -> FrameFeatures:
        regions = None if self.regions is None else self.regions[part]
        return FrameFeatures(self.times[part], self.vectors[part], regions)


def stretch(
    times: Times, first: int, last: int, begin: Seconds, end: Seconds
) -> tuple[Seconds, Seconds]:
    """Start and end of frames ``first`` to ``last`` of ``times``, both included.

    A boundary lies half-way to the next frame outside; where there is none, it is ``begin`` or
    ``end``.
    """
    start = float(min(begin, times[0]) if first == 0 else (times[first - 1] + times[first]) / 2)
    stop = float(
        max(end, times[-1]) if last + 1 == len(times) else (times[last] + times[last + 1]) / 2
    )
    return inside(start, stop, stop)


def inside(start: Seconds, end: Seconds, duration: Seconds) -> tuple[Seconds, Seconds]:
    """A span cut to [0, ``duration``], and widened if nothing is left of it.

    A video of no length counts as ``LEAST_SECONDS`` long.
    """
    duration = max(duration, LEAST_SECONDS)
    start, end = max(start, 0.0), min(end, duration)
    if start < end:
        return start, end
    start = min(start, duration - LEAST_SECONDS)
    return start, min(max(end, start + LEAST_SECONDS), duration)


def check_span(start: Seconds, end: Seconds) -> None:
    """Raise ValueError unless the span begins in the video and ends after it begins."""
    if not 0 <= start < end < float("inf"):
        raise ValueError(f"a span from {start} to {end} s cannot be")
