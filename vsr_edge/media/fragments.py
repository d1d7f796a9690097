"""A video for browsers: whether they play its file as it is, and if not, a fragmented MP4 of it,
written while it is read; copied where only the container is in the way, else encoded anew.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

import av

from vsr_edge.errors import MediaError, UsageError
from vsr_edge.media.opening import OpenVideo, open_video
from vsr_edge.media.probe import probe
from vsr_edge.media.source import SourceFile, split_stream
from vsr_edge.media.stream_copy import Copied, check_can_copy, plan_copy
from vsr_edge.media.trim import copy_span, encode_span, frames_on_screen
from vsr_edge.types import Seconds

MP4, WEBM = "video/mp4", "video/webm"
# What all browsers of today decode, by container: video, and sound.
_PLAYED = {
    MP4: (frozenset({"h264"}), frozenset({"aac", "mp3"})),
    WEBM: (frozenset({"vp8", "vp9", "av1"}), frozenset({"opus", "vorbis"})),
}
_EIGHT_BITS = frozenset({"yuv420p", "yuvj420p"})
_MP4_ENDINGS = frozenset({".mp4", ".m4v", ".mov"})
# Each fragment can be played when it has come: microseconds.
_FRAGMENT = "1000000"
_OPTIONS = {
    # The header waits for the first fragment: it says by how much the codec's delay moves times.
    "movflags": "+frag_keyframe+delay_moov+default_base_moof",
    "frag_duration": _FRAGMENT,
}


class Sink(Protocol):
    """Takes bytes; what it raises ends the writing."""

    def write(self, content: bytes, /) -> int: ...


class Fragments(NamedTuple):
    """Which part of a video is written, and whether as it is coded."""

    start: Seconds
    end: Seconds
    copied: bool


def played_as_it_is(path: Path) -> str | None:
    """The media type of a file that browsers play; None where they do not, or not all of it.

    Raises:
        MediaError: the file is gone, or no video.
    """
    file, stream = split_stream(path)
    with open_video(path.absolute()) as opened:
        # Of several they show the first, which may be another one than was indexed.
        if stream is not None or len(opened.container.streams.video) > 1:
            return None
        kind = MP4 if file.suffix.lower() in _MP4_ENDINGS else WEBM
        container = "mp4" if kind == MP4 else "webm"
        if container not in opened.container.format.name.split(","):
            return None
        if kind == WEBM and file.suffix.lower() != ".webm":
            return None
        return kind if _is_played(opened, kind) else None


def write_fragments(
    path: Path,
    start: Seconds,
    seconds: Seconds,
    sink: Sink,
    on_begin: Callable[[Fragments], object],
    threads: int = 0,
) -> None:
    """Write what a video shows from ``start`` on, for so many ``seconds`` at most.

    What is copied begins at the keyframe before; ``on_begin`` is told before anything is written.

    Raises:
        MediaError: the video cannot be read, or ends before.
    """
    with SourceFile(path.absolute()) as file:
        video, index = probe(file, known_fingerprint="none")
        if start >= index.duration:
            raise MediaError(video.path, f"it ends at {index.duration:.3f} s")
        span = frames_on_screen(index, start, min(start + seconds, index.duration))
        plan: Copied | None = None
        with open_video(file.named) as opened:
            copied = not video.rotation and _is_played(opened, MP4)
        if copied:
            try:
                check_can_copy()
                plan = plan_copy(video.path, index, span.first, span.last)
            except (MediaError, UsageError):  # then it is encoded
                plan = None
        begin = span.start if plan is None else float(index.times[plan.first])
        on_begin(Fragments(begin, span.end, plan is not None))
        with av.open(sink, "w", format="mp4", options=_OPTIONS) as output:
            if plan is None:
                encode_span(file, video, index, span, output, threads)
            else:
                copy_span(file, index, plan, output)


def _is_played(opened: OpenVideo, kind: str) -> bool:
    codec = opened.stream.codec_context
    pictures, sounds = _PLAYED[kind]
    return (
        codec.name.removeprefix("lib").partition("-")[0] in pictures
        and codec.pix_fmt in _EIGHT_BITS
        and all(
            getattr(stream, "codec_context", None) is not None
            and stream.codec_context.name in sounds
            for stream in opened.container.streams.audio
        )
    )
