"""Index files: scan → skip what is known → decode → encode → store, one transaction a video."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from vsr_edge.bundle.model import Bundle
from vsr_edge.errors import VsrEdgeError
from vsr_edge.ingest.presence import is_gone
from vsr_edge.ingest.reader import (
    Ended,
    Event,
    Failed,
    Frames,
    Known,
    Reader,
    SameContent,
    Started,
    unexpected,
)
from vsr_edge.ingest.scan import FoundFile, Unreachable, scan
from vsr_edge.media.hwaccel import Device
from vsr_edge.media.plan import clip_windows
from vsr_edge.store.base import Store, Writer
from vsr_edge.types import (
    ClipWindow,
    FrameBatch,
    FrameFeatures,
    HalfVectors,
    Sampling,
    Seconds,
    StoredVideo,
    Times,
)

# With their regions, the features of so many frames take some 10 MB.
COPIED_FRAMES = 1024


@dataclass(frozen=True, slots=True)
class FileReport:
    """A file by name, and what is to be said of it."""

    path: Path
    reason: str


@dataclass(slots=True)
class IngestSummary:
    """What a run did. ``hours`` is newly encoded footage; ``seconds`` the run's wall time.

    ``left_out`` names the further video streams of files that were indexed by their main one.
    ``passed_over`` counts what lay in the folders and was not tried: files by their ending, and
    the folders of storage systems (``@eaDir/``).
    """

    indexed: int = 0
    skipped: int = 0
    moved: int = 0
    copied: int = 0
    frames: int = 0
    hours: float = 0.0
    seconds: float = 0.0
    interrupted: bool = False
    partial: list[FileReport] = field(default_factory=list)
    failed: list[FileReport] = field(default_factory=list)
    left_out: list[FileReport] = field(default_factory=list)
    passed_over: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is; ``done_bytes`` counts the file in hand by its frames read."""

    path: Path
    done_files: int
    total_files: int
    done_bytes: float
    total_bytes: int
    frames: int
    media_seconds: Seconds
    elapsed: float


def ingest(
    store: Store,
    bundle: Bundle,
    paths: Iterable[Path],
    sampling: Sampling,
    *,
    threads: int = 0,
    device: Device | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    include_system: bool = False,
    stream: int | Literal["all"] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> IngestSummary:
    """Bring the archive up to date with the files; what is known and unchanged is skipped.

    An interruption (Ctrl-C) is no error: the video in progress is dropped, all before it are kept,
    and the summary says so.

    Args:
        stream: which video stream of files that have several, from 0, or all of them, each as a
            video of its own, ``path#1``; None is the main one.

    Raises:
        ArchiveLocked: another process is writing.
        ArchiveError: the archive cannot be written.
    """
    passed_over: Counter[str] = Counter()
    files = list(
        scan(paths, include, exclude, include_system=include_system, passed_over=passed_over)
    )
    run = _Run(store, bundle, sampling, files, on_progress)
    run.summary.passed_over = dict(passed_over.most_common())
    pending: Sequence[FoundFile | Unreachable] = files
    with store.writer() as writer:
        try:
            while pending:
                with Reader(
                    pending,
                    store,
                    sampling,
                    side=bundle.image_side,
                    crop=bundle.manifest.preprocessing.fit == "crop",
                    batch=bundle.image_batch,
                    threads=threads,
                    stream=stream,
                    device=device,
                ) as reader:
                    pending = run.consume(writer, iter(reader))
        except KeyboardInterrupt:
            run.summary.interrupted = True
        except _ElsewhereError as error:
            raise error.error from None
    run.summary.seconds = time.monotonic() - run.started
    return run.summary


class _ElsewhereError(Exception):
    """Around an error that is no video's fault: of the reader, or of who is told of progress."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class _Run:
    """The state of one run, on the encoding side."""

    def __init__(
        self,
        store: Store,
        bundle: Bundle,
        sampling: Sampling,
        files: list[FoundFile | Unreachable],
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self.store = store
        self.bundle = bundle
        self.sampling = sampling
        self.summary = IngestSummary()
        self.started = time.monotonic()
        self._on_progress = on_progress
        self._total_files = len(files)
        self._total_bytes = sum(f.size_bytes for f in files if isinstance(f, FoundFile))
        self._done_files = 0
        self._done_bytes = 0

    def consume(self, writer: Writer, events: Iterator[Event]) -> list[FoundFile]:
        """Do what the events ask for; returns the files that must be read after all."""
        again: list[FoundFile] = []
        for event in events:
            match event:
                case Known(file):
                    self.summary.skipped += 1
                    self._finished(file)
                case SameContent(file):
                    known = True
                    with self._failing(file.path):
                        known = self._reuse(writer, event)
                    if known:
                        self._finished(file)
                    else:
                        again.append(file)
                case Failed(file, reason):
                    self._fail(file.path, reason)
                    self._finished(file)
                case Started(file):
                    self._encode(writer, event, events)
                    self._finished(file)
                case Frames() | Ended():
                    raise AssertionError("frames outside a video")
        return again

    def _encode(self, writer: Writer, started: Started, events: Iterator[Event]) -> None:
        """Encode and store one video, up to its ``Ended`` or ``Failed``."""
        video = started.video
        read = 0
        event: Event | None = None
        with self._failing(video.path):
            with writer.begin(video, self.sampling) as target:
                times: list[Times] = []
                vectors: list[HalfVectors] = []
                while isinstance(event := _next(events), Frames):
                    features = self._features(event.batch)
                    target.add_frames(features)
                    times.append(features.times)
                    vectors.append(features.vectors)
                    read += len(features)
                    self._report(started, read)
                if isinstance(event, Failed):
                    self._fail(video.path, event.reason)
                    return
                assert isinstance(event, Ended)
                windows = clip_windows(
                    np.concatenate(times),
                    video.duration,
                    self.sampling.clip_seconds,
                    self.sampling.clip_stride,
                )
                clips = clip_vectors(np.concatenate(vectors), windows)
                target.finish(windows, clips, partial=event.partial)
            self.summary.indexed += 1
            self.summary.frames += read
            self.summary.hours += video.duration / 3600
            if started.left_out:
                self.summary.left_out.append(FileReport(video.path, started.left_out))
            if event.partial:
                self.summary.partial.append(FileReport(video.path, event.partial))
            return
        # It failed amid its frames: the rest of them is of no use.
        while not isinstance(event, Ended | Failed):
            event = _next(events)

    @contextmanager
    def _failing(self, path: Path) -> Iterator[None]:
        """Whatever goes wrong with one video is reported, and the next one's turn comes.

        What is wrong with the archive, the bundle or the provider ends the run.
        """
        try:
            yield
        except (_ElsewhereError, VsrEdgeError):
            raise
        except Exception as error:
            self._fail(path, unexpected(error))

    def _features(self, batch: FrameBatch) -> FrameFeatures:
        vectors, regions = self.bundle.encode_frames(batch.pixels, regions=self.sampling.regions)
        return FrameFeatures(
            batch.times,
            vectors.astype(np.float16),
            None if regions is None else regions.astype(np.float16),
        )

    def _reuse(self, writer: Writer, event: SameContent) -> bool:
        """Content that is stored: a touched file, a moved one, or a copy of another.

        False: it is stored no longer. The reader is ahead, and what it saw has been replaced
        since, as where recordings rotate and each file now holds what the one before it held.
        """
        path = event.file.path
        size = event.file.size_bytes
        alike = self.store.find_fingerprint(event.fingerprint)
        twins = [stored for stored in alike if stored.sampling == self.sampling]
        if not twins:
            return False
        stamp = {"size_bytes": size, "modified_ns": event.modified_ns}
        here = next((v for v in twins if v.video.path == path), None)
        gone = next((v for v in twins if is_gone(v.video.path)), None)
        if here is not None:
            writer.touch(here.video_id, **stamp)
            self.summary.skipped += 1
        elif gone is not None:
            writer.rename(gone.video_id, path, **stamp)
            self.summary.moved += 1
        else:
            self._copy(writer, twins[0], event)
            self.summary.copied += 1
        return True

    def _copy(self, writer: Writer, twin: StoredVideo, event: SameContent) -> None:
        vectors: list[HalfVectors] = []
        windows = [clip.window for clip in self.store.clips(twin.video_id)]
        video = replace(twin.video, path=event.file.path, modified_ns=event.modified_ns)
        with writer.begin(video, self.sampling) as target:
            for first in range(0, twin.frames, COPIED_FRAMES):
                features = self.store.frames(
                    twin.video_id,
                    first,
                    first + COPIED_FRAMES - 1,
                    regions=self.sampling.regions,
                )
                target.add_frames(features)
                vectors.append(features.vectors)
            clips = clip_vectors(np.concatenate(vectors), windows)
            target.finish(windows, clips, partial=twin.partial)

    def _fail(self, path: Path, reason: str) -> None:
        self.summary.failed.append(FileReport(path, reason))

    def _finished(self, file: FoundFile | Unreachable) -> None:
        further = isinstance(file, FoundFile) and file.further
        self._done_files += not further
        if isinstance(file, FoundFile) and not further:
            self._done_bytes += file.size_bytes
        self._send(file.path, float(self._done_bytes), 0, 0.0)

    def _report(self, started: Started, read: int) -> None:
        share = min(read / max(started.planned_frames, 1), 1.0)
        size = 0 if started.file.further else started.file.size_bytes
        done = self._done_bytes + share * size
        self._send(started.file.path, done, read, share * started.video.duration)

    def _send(self, path: Path, done: float, frames: int, media_seconds: Seconds) -> None:
        if self._on_progress is None:
            return
        now = Progress(
            path=path,
            done_files=self._done_files,
            total_files=self._total_files,
            done_bytes=done,
            total_bytes=self._total_bytes,
            frames=self.summary.frames + frames,
            media_seconds=self.summary.hours * 3600 + media_seconds,
            elapsed=time.monotonic() - self.started,
        )
        try:
            self._on_progress(now)
        except Exception as error:
            raise _ElsewhereError(error) from error


def _next(events: Iterator[Event]) -> Event:
    try:
        return next(events)
    except Exception as error:
        raise _ElsewhereError(error) from error


def clip_vectors(frames: HalfVectors, windows: Sequence[ClipWindow]) -> HalfVectors:
    """The unit mean of each window's frames: float16 [n, D] → float16 [windows, D]."""
    means = np.stack([frames[w.first : w.last + 1].astype(np.float32).mean(0) for w in windows])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    return means.astype(np.float16)
