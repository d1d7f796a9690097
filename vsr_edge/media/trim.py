"""A span of a video as a file of its own: encoded anew to the frame, or copied from a keyframe on.

The file is written beside its place under another name and moved there when it is whole, so that
neither Ctrl-C nor a full disk leaves half of one.
"""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import av
import numpy as np
from av import VideoFrame
from av.container import OutputContainer

from vsr_edge.errors import MediaError, UnreadableMedia, UsageError
from vsr_edge.media.decode import FrameReader
from vsr_edge.media.encode import PictureWriter
from vsr_edge.media.index import FrameIndex
from vsr_edge.media.opening import open_video
from vsr_edge.media.plan import plan_frames
from vsr_edge.media.probe import probe
from vsr_edge.media.sound import SoundTracks, audible, sounding
from vsr_edge.media.source import SourceFile
from vsr_edge.media.stream_copy import (
    FORMATS,
    Copied,
    check_can_copy,
    copy_packets,
    plan_copy,
)
from vsr_edge.types import LEAST_SECONDS, Seconds, Video

# A cut begins and ends with whole frames, unless one is shown for longer than that.
_LONG = 0.5


@dataclass(frozen=True, slots=True)
class Trimmed:
    """A file that was cut: its real bounds in seconds of the video that it is of.

    ``frames`` are in it, and ``audio_streams``; ``notes`` say what is not as in the video.
    """

    path: Path
    start: Seconds
    end: Seconds
    frames: int
    audio_streams: int
    copied: bool
    notes: tuple[str, ...] = ()


class FrameSpan(NamedTuple):
    """The frames on screen during a span, ``first`` to ``last`` inclusive, and its real bounds."""

    first: int
    last: int
    start: Seconds
    end: Seconds


def trim(
    source: Path,
    start: Seconds,
    end: Seconds,
    target: Path,
    *,
    copy: bool = False,
    force: bool = False,
    threads: int = 0,
    on_step: Callable[[], object] | None = None,
) -> Trimmed:
    """Write what a video shows from ``start`` to ``end``, and its sound, as a file.

    Encoded anew, it holds the frames that are on screen in the span, upright, as H.264 in MP4, each
    as long as in the video, and sound from the same moment, exact to the sample, as AAC. With
    ``copy`` it begins at the keyframe before and keeps its coding, in the container that the name
    of ``target`` says, or Matroska; subtitles are left out either way.

    Args:
        source: the file, or one of its video streams, ``path#1``.
        target: the file; the folder must be there.
        force: overwrite what lies there.
        threads: of the decoder; 0 means as many as FFmpeg finds processors.
        on_step: called for each picture; what it raises ends the cut. A signal that arrives amid a
            call of PyAV back into Python is lost there, and can be raised again here.

    Raises:
        UsageError: ``target`` exists and is not to be overwritten, or the span cannot be.
        MediaError: the video cannot be read, nothing of it lies in the span, or it cannot be
            copied.
        OSError: the file cannot be written.
    """
    step = on_step or (lambda: None)
    if not start < end or not math.isfinite(start):
        raise UsageError(f"a cut from {start} to {end} s cannot be")
    if copy:
        check_can_copy()
    with SourceFile(source.absolute()) as file:
        check_target(target, force=force, source=file.path)
        # A fingerprint would take reading all of it once more.
        video, index = probe(file, known_fingerprint="none")
        step()
        if start >= index.duration:
            reason = f"it ends at {index.duration:.3f} s: nothing can be cut from {start:.3f} s on"
            raise MediaError(video.path, reason)
        span = frames_on_screen(index, start, end)
        with _finished(target) as part:
            if copy:
                return _copied(file, video, index, span, part, target, step)
            return _encoded(file, video, index, span, part, target, threads, step)


def check_target(target: Path, *, force: bool, source: Path | None = None) -> None:
    """Raise ``UsageError`` where a file is not to be written."""
    if not os.path.lexists(target):
        return
    if target.is_dir():
        raise UsageError(f"{target} is a folder: name a file in it")
    if source is not None and target.exists() and target.samefile(source):
        raise UsageError(f"{target} is the video itself: choose another name with --out")
    if not force:
        raise UsageError(
            f"{target} exists already: choose another place with --out, or overwrite it with "
            "--force"
        )


def frames_on_screen(index: FrameIndex, start: Seconds, end: Seconds) -> FrameSpan:
    """Which frames a span shows, one at least.

    Bounds are moved to those of frames, but within one that is shown long they stay. Times are
    known to ``LEAST_SECONDS``: a frame that begins or ends so little inside counts as outside.
    """
    times = np.append(index.times, index.duration)
    count = len(index.times)
    first = int(np.searchsorted(times[:count], start + LEAST_SECONDS, "right")) - 1
    first = min(max(first, 0), count - 1)
    last = int(np.searchsorted(times[:count], end - LEAST_SECONDS, "left")) - 1
    last = max(last, first)
    begins, ends = float(times[first]), float(times[last + 1])
    begins = start if start - begins > _LONG else begins
    ends = end if ends - end > _LONG else ends
    return FrameSpan(first, last, begins, max(ends, begins + LEAST_SECONDS))


def _encoded(
    file: SourceFile,
    video: Video,
    index: FrameIndex,
    span: FrameSpan,
    part: Path,
    target: Path,
    threads: int,
    step: Callable[[], object],
) -> Trimmed:
    with _writing(part, "mp4", {"movflags": "+faststart"}) as output:
        encoded = encode_span(file, video, index, span, output, threads, step)
    file.check()
    count = span.last + 1 - span.first
    lost = count - encoded.frames
    silent = video.audio_streams - encoded.audio_streams
    notes = (
        f"frames in it that cannot be decoded: {lost} of {count}" if lost else "",
        f"audio streams that cannot be decoded and were left out: {silent}" if silent > 0 else "",
        ""
        if encoded.encoder == "libx264"
        else f"encoded with {encoded.encoder}: there is no libx264",
    )
    return Trimmed(
        target,
        span.start,
        span.end,
        encoded.frames,
        encoded.audio_streams,
        copied=False,
        notes=tuple(note for note in notes if note),
    )


class Encoded(NamedTuple):
    """What was encoded, and by what."""

    frames: int
    audio_streams: int
    encoder: str


def encode_span(
    file: SourceFile,
    video: Video,
    index: FrameIndex,
    span: FrameSpan,
    output: OutputContainer,
    threads: int = 0,
    step: Callable[[], object] = lambda: None,
) -> Encoded:
    """Write the frames of a span, and its sound, anew into an MP4 that is open for writing.

    Raises:
        UnreadableMedia: not one frame of it can be decoded; nothing is written then.
    """
    chosen = np.arange(span.first, span.last + 1)
    reader = FrameReader(plan_frames(video, index, chosen), source=file, threads=threads)
    length = span.end - span.start
    written = 0
    with open_video(file.named) as opened, reader:
        frames = _with_lengths(reader.frames(), span)
        if (first := next(frames, None)) is None:
            raise UnreadableMedia(video.path, "not one frame of the span can be decoded")
        streams = audible(opened)
        packets = sounding(
            file.named, index, span.start, span.end, [stream.index for stream in streams]
        )
        base = Fraction(index.time_base)
        pictures = PictureWriter(output, first[1], opened, base)
        tracks = SoundTracks(output, streams, packets, span.start, length)
        while first is not None:
            step()
            time, frame, lasts = first
            output.mux([*pictures.encode(frame, time, lasts), *tracks.until(time)])
            written += 1
            first = next(frames, None)
        output.mux([*tracks.until(length), *pictures.finish(), *tracks.finish()])
    return Encoded(written, len(streams), pictures.name)


def _with_lengths(
    frames: Iterator[tuple[Seconds, VideoFrame]], span: FrameSpan
) -> Iterator[tuple[Seconds, VideoFrame, Seconds]]:
    """Frames with their times from the start of the span, and how long each is shown."""
    before: tuple[Seconds, VideoFrame] | None = None
    for time, frame in frames:
        # The first may be on screen before; where it is lost, the next one fills its place.
        here = 0.0 if before is None else time - span.start
        if before is not None:
            yield *before, here - before[0]
        before = here, frame
    if before is not None:
        yield *before, max(span.end - span.start - before[0], 0.0)


def _copied(
    file: SourceFile,
    video: Video,
    index: FrameIndex,
    span: FrameSpan,
    part: Path,
    target: Path,
    step: Callable[[], object],
) -> Trimmed:
    plan = plan_copy(video.path, index, span.first, span.last)
    start = float(index.times[plan.first])
    kind = FORMATS.get(target.suffix.lower(), "matroska")
    try:
        with _writing(part, kind) as output:
            sounds = copy_span(file, index, plan, output, step)
    except (av.FFmpegError, ValueError) as error:
        raise MediaError(
            video.path,
            f"{video.codec} and its sound do not fit into a file {target.suffix} ({error}): "
            "name another with --out, such as FILE.mkv, or cut it without --copy",
        ) from error
    file.check()
    try:
        with SourceFile(part.absolute()) as written:
            _, found = probe(written, known_fingerprint="none")
    except MediaError as error:
        reason = f"what was copied cannot be decoded ({error.reason}): cut it without --copy"
        raise MediaError(video.path, reason) from error
    return Trimmed(target, start, start + found.duration, len(found.times), sounds, copied=True)


def copy_span(
    file: SourceFile,
    index: FrameIndex,
    plan: Copied,
    output: OutputContainer,
    step: Callable[[], object] = lambda: None,
) -> int:
    """Write a span as it is coded, and its sound; returns how many audio streams there are.

    Raises:
        av.FFmpegError, ValueError: it does not fit into such a file.
    """
    start = float(index.times[plan.first])
    end = float(np.append(index.times, index.duration)[plan.last + 1])
    with open_video(file) as opened:
        streams = list(opened.container.streams.audio)
        packets = sounding(file.named, index, start, end, [stream.index for stream in streams])
        kept = [
            output.add_stream_from_template(stream, opaque=True)
            for stream in (opened.stream, *streams)
        ]
        copy_packets(opened, index, plan, output, kept, packets, step)
    return len(streams)


@contextmanager
def _finished(target: Path) -> Iterator[Path]:
    """A file to write, which becomes ``target`` if all goes well, and nothing otherwise."""
    part = target.with_name(f".vsr-edge-{uuid4().hex}.part")
    try:
        yield part
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _writing(
    part: Path, kind: str, options: dict[str, str] | None = None
) -> Iterator[OutputContainer]:
    """An output whose refusals by the system, such as a full disk, are what they are."""
    try:
        with av.open(str(part), "w", format=kind, options=options or {}) as output:
            yield output
    except av.FFmpegError as error:
        code = error.errno or 0
        if code in errno.errorcode and code != errno.EINVAL:
            raise OSError(code, os.strerror(code), str(part.parent)) from error
        raise
