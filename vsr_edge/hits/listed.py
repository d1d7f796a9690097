"""Hits with what lists of them need of their videos: bounds in whole frames, timecode, names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vsr_edge.errors import MediaError, UsageError, printable
from vsr_edge.hits.cuts import Hit
from vsr_edge.hits.timecode import drops, exact_rate, frame_of, frames_of, timecode
from vsr_edge.media.probe import probe
from vsr_edge.media.source import split_stream
from vsr_edge.media.start_code import start_timecode
from vsr_edge.types import Seconds, Video


@dataclass(frozen=True, slots=True)
class Listed:
    """A hit with what a list needs of its video.

    ``first`` is its first frame and ``behind`` the first one behind it, at ``rate``; the video has
    ``count`` frames, the first of which has the timecode of frame ``begins``.
    """

    hit: Hit
    video: Video
    rate: Fraction
    first: int
    behind: int
    count: int
    begins: int
    drop: bool

    @classmethod
    def of(cls, hit: Hit, video: Video, begins: str | None = None, pad: Seconds = 0.0) -> Listed:
        """``begins``: the timecode that the video begins with, if it has one."""
        rate = exact_rate(video.frame_rate)
        first, behind = frames_of(*hit.padded(pad), rate, video.duration)
        try:
            start = frame_of(begins, rate) if begins else 0
        except UsageError:
            begins, start = None, 0
        drop = drops(rate) > 0 and (begins is None or ":" not in begins[-4:])
        count = frames_of(0.0, video.duration, rate, video.duration)[1]
        return cls(hit, video, rate, first, behind, count, start, drop)

    @property
    def file(self) -> Path:
        return split_stream(self.hit.video)[0]

    @property
    def name(self) -> str:
        return printable(self.hit.video.name).replace("\n", " ")

    @property
    def title(self) -> str:
        """What it shows, and how likely."""
        share = self.hit.match_probability
        likely = "" if share is None else f" ({share:.0%})"
        return printable(f"{self.hit.number} {self.hit.label}{likely}").replace("\n", " ")

    def code(self, frame: int) -> str:
        return timecode(self.begins + frame, self.rate, drop=self.drop)

    def at(self, frame: int) -> Seconds:
        return float(frame / self.rate)


def listed(hits: Sequence[Hit], known: Mapping[Path, Video], pad: Seconds = 0.0) -> list[Listed]:
    """Hits with what a list needs: ``known`` videos need no file, but may have one.

    Raises:
        MediaError: a video that is not known cannot be read.
    """
    found: dict[Path, tuple[Video, str | None]] = {}
    for hit in hits:
        if hit.video not in found:
            video = known.get(hit.video) or probe(hit.video, known_fingerprint="none")[0]
            begins = None
            with suppress(MediaError):  # an archive may know of files that are not here
                begins = start_timecode(hit.video)
            found[hit.video] = video, begins
    return [Listed.of(hit, *found[hit.video], pad) for hit in hits]
