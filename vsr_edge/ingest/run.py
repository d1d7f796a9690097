"""Index files: scan → skip what is known → decode → encode → store, one transaction a video.

Who decodes and encodes is the executor's to say (:mod:`vsr_edge.ingest.executor`): from it come the
events of each file, and here they become rows.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from vsr_edge.bundle.model import Bundle
from vsr_edge.errors import VsrEdgeError
from vsr_edge.ingest.clips import clip_vectors
from vsr_edge.ingest.cues import Listener, Words
from vsr_edge.ingest.entering import Entering
from vsr_edge.ingest.executor import Entered, Entry, Event, Executor, Job, Local, Lost, Underway
from vsr_edge.ingest.read import (
    Ended,
    Failed,
    Known,
    SameContent,
    Started,
    Stored,
    Streams,
    unexpected,
)
from vsr_edge.ingest.recorded import Site, ask_containers
from vsr_edge.ingest.scan import FoundFile, is_gone, scan
from vsr_edge.ingest.summary import FileReport, IngestSummary, Progress
from vsr_edge.media.hwaccel import Device
from vsr_edge.store.base import Store, Writer
from vsr_edge.types import (
    FrameFeatures,
    HalfVectors,
    Recorded,
    Sampling,
    Seconds,
    StoredVideo,
    Video,
)

# With their regions, the features of so many frames take some 10 MB.
COPIED_FRAMES = 1024


def ingest(
    store: Store,
    bundle: Bundle,
    paths: Iterable[Path],
    sampling: Sampling,
    *,
    threads: int = 0,
    device: Device | None = None,
    executor: Executor | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    include_system: bool = False,
    stream: Streams = None,
    site: Site = Site(),  # noqa: B008 — frozen
    tags: Sequence[str] = (),
    listeners: Sequence[Listener] = (),
    wanted: Callable[[Path], bool] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> IngestSummary:
    """Bring the archive up to date with the files; what is known and unchanged is skipped.

    ``executor`` decodes and encodes; without one this process does, with so many ``threads``, on
    ``device``. Subtitles are read along, and further words by the ``listeners``
    (:mod:`vsr_edge.ingest.cues`).

    An interruption (Ctrl-C) is no error: the video in progress is dropped, all before it are kept,
    and the summary says so. ``stream`` and ``wanted`` are those of
    :meth:`vsr_edge.archive.Archive.index`. ``site`` says when videos were recorded, ``tags`` are
    given to all that is named, known or new.

    Raises:
        ArchiveLocked: another process is writing.
        ArchiveError: the archive cannot be written.
    """
    passed_over: Counter[str] = Counter()
    found = scan(paths, include, exclude, include_system=include_system, passed_over=passed_over)
    files = [file for file in found if wanted is None or file.problem or wanted(file.path)]
    summary = IngestSummary(passed_over=dict(passed_over.most_common()))
    ask_containers(store, site)
    executor = executor or Local(bundle, threads, device)
    run = Run(*(bundle, summary, executor, on_progress, site, tuple(tags), tuple(listeners)))
    run.encode(store, [(sampling, files)], stream)
    return summary


@dataclass
class Run:
    """One run, on the storing side; what it does is added to ``summary``."""

    bundle: Bundle
    summary: IngestSummary
    executor: Executor
    on_progress: Callable[[Progress], None] | None
    site: Site = field(default_factory=Site)
    tags: Sequence[str] = ()
    # None: words are not looked for, as where they are taken over.
    listeners: tuple[Listener, ...] | None = None
    _started: float = field(default_factory=time.monotonic)
    _done_files: int = 0
    _total_files: int = 0
    _done_bytes: int = 0
    _total_bytes: int = 0
    # Of each video in hand, how many bytes of it, frames and seconds are read.
    _read: dict[Path, tuple[float, int, Seconds]] = field(default_factory=dict)
    # One that is no video's fault: of who is told of progress.
    _other_error: Exception | None = None

    def encode(
        self, store: Store, work: Sequence[tuple[Sampling, list[FoundFile]]], stream: Streams = None
    ) -> None:
        """Bring the archive up to date with the files, each with its sampling."""
        self._total_files = sum(len(files) for _, files in work)
        self._total_bytes = sum(file.size_bytes for _, files in work for file in files)
        with store.writer() as writer:
            words = Words(store, writer, self.listeners or ())
            entry = Entry(self.site, tuple(self.tags), store.shared())
            try:
                for wanted, pending in work:
                    # What the encoder does not give cannot be stored.
                    given = self.bundle.manifest.has("regions")
                    sampling = wanted if given else replace(wanted, regions="none")
                    entering = Entering(store, writer, sampling, entry)
                    while pending:
                        job = Job(pending, Stored(store), sampling, stream, entry)
                        with (
                            self.executor.events(job) as events,
                            closing(entering.of(events)) as stored,
                        ):
                            pending = self._take(stored, store, writer, sampling, words)
            except KeyboardInterrupt:
                self.summary.interrupted = True
            self.summary.cues += words.cues
            self.summary.text_problems += [FileReport(*problem) for problem in words.problems]
        self.summary.seconds = time.monotonic() - self._started

    def _take(
        self,
        events: Iterator[Event],
        store: Store,
        writer: Writer,
        sampling: Sampling,
        words: Words,
    ) -> list[FoundFile]:
        """Do what each file needs; returns those whose twins have gone since they were read."""
        again: list[FoundFile] = []
        for event in events:
            match event:
                case Known():
                    self.summary.skipped += 1
                    self._note(event.stored, writer)
                case SameContent():
                    known = True
                    with self._failing(event.file.path):
                        known = self._reuse(event, store, writer, sampling)
                    if not known:
                        again.append(event.file)
                        continue
                case Failed():
                    self._fail(event.file.path, event.reason)
                case Entered():
                    self._count(event)
                case Underway():
                    self._tell(event.started.file.path, event.started, event.frames)
                    continue
                case Lost():
                    continue  # it comes again
                case Started() | FrameFeatures() | Ended():
                    raise AssertionError("frames outside a video")
            self._read.pop(event.file.path, None)
            if self.listeners is not None and not isinstance(event, Failed):
                words.update(event.file.path)
            self._done_files += not event.file.further
            self._done_bytes += 0 if event.file.further else event.file.size_bytes
            self._tell(event.file.path)
        return again

    def _count(self, stored: Entered) -> None:
        path = stored.file.path
        self.summary.indexed += 1
        self.summary.frames += stored.frames
        self.summary.hours += stored.duration / 3600
        if stored.left_out:
            self.summary.left_out.append(FileReport(path, stored.left_out))
        if stored.partial:
            self.summary.partial.append(FileReport(path, stored.partial))

    @contextmanager
    def _failing(self, path: Path) -> Iterator[None]:
        """Whatever goes wrong with one video is reported, and the next one's turn comes.

        What is wrong with the archive, the bundle or the provider ends the run.
        """
        try:
            yield
        except VsrEdgeError:
            raise
        except Exception as error:
            if error is self._other_error:
                raise
            self._fail(path, unexpected(error))

    def _fail(self, path: Path, reason: str) -> None:
        self.summary.failed.append(FileReport(path, reason))

    def _reuse(self, event: SameContent, store: Store, writer: Writer, sampling: Sampling) -> bool:
        """Content that is stored: a touched file, a moved one, or a copy of another.

        False: it is stored no longer. The reader is ahead, and what it saw has been replaced
        since, as where recordings rotate and each file now holds what the one before it held.
        """
        path, modified_ns = event.file.path, event.modified_ns
        alike = store.find_fingerprint(event.fingerprint)
        twins = [stored for stored in alike if stored.sampling.encoded == sampling.encoded]
        if not twins:
            return False
        stamp = {"size_bytes": event.file.size_bytes, "modified_ns": modified_ns}
        here = next((v for v in twins if v.video.path == path), None)
        gone = next((v for v in twins if is_gone(v.video.path)), None)
        if here is not None:
            writer.touch(here.video_id, **stamp)
            self._note(here, writer, path, modified_ns)
            self.summary.skipped += 1
        elif gone is not None:
            writer.rename(gone.video_id, path, **stamp)
            self._note(gone, writer, path, modified_ns)
            self.summary.moved += 1
        else:
            video = replace(twins[0].video, path=path, modified_ns=modified_ns)
            recorded = self.site.again(twins[0], path, modified_ns)
            _copy(store, writer, twins[0], video, recorded, self.tags)
            self.summary.copied += 1
        return True

    def _note(
        self,
        stored: StoredVideo,
        writer: Writer,
        path: Path | None = None,
        modified_ns: int | None = None,
    ) -> None:
        """Bring up when a stored video was recorded, as a file of perhaps another name or age, and
        its tags.
        """
        video = stored.video
        age = video.modified_ns if modified_ns is None else modified_ns
        recorded = self.site.again(stored, path or video.path, age)
        if recorded != (stored.recorded_at, stored.recorded_from):
            writer.record({stored.video_id: recorded})
        if not set(self.tags) <= set(stored.tags):
            writer.tag([stored.video_id], self.tags)

    def _tell(self, path: Path, started: Started | None = None, read: int = 0) -> None:
        """Say how far the run is; of the video ``started`` so many frames are read."""
        if self.on_progress is None:
            return
        if started is not None:
            share = min(read / max(started.planned_frames, 1), 1.0)
            size = 0 if started.file.further else started.file.size_bytes
            now = (share * size, read, share * started.video.duration)
            # What was encoded elsewhere is counted before it is stored here.
            self._read[path] = max(now, self._read.get(path, now))
        in_hand = self._read.values()
        try:
            self.on_progress(
                Progress(
                    path,
                    self._done_files,
                    self._total_files,
                    self._done_bytes + sum(read_bytes for read_bytes, _, _ in in_hand),
                    self._total_bytes,
                    frames=self.summary.frames + sum(frames for _, frames, _ in in_hand),
                    media_seconds=self.summary.hours * 3600
                    + sum(seconds for _, _, seconds in in_hand),
                    elapsed=time.monotonic() - self._started,
                )
            )
        except Exception as error:
            self._other_error = error
            raise


def _copy(
    store: Store,
    writer: Writer,
    twin: StoredVideo,
    video: Video,
    recorded: Recorded,
    tags: Sequence[str],
) -> None:
    """Store what is stored of one video for another of the same content."""
    vectors: list[HalfVectors] = []
    windows = [clip.window for clip in store.clips(twin.video_id)]
    regions = twin.sampling.has_regions
    with writer.begin(video, twin.sampling, recorded=recorded, tags=tags) as target:
        for first in range(0, twin.frames, COPIED_FRAMES):
            last = first + COPIED_FRAMES - 1
            features = store.frames(twin.video_id, first, last, regions=regions)
            target.add_frames(features)
            vectors.append(features.vectors)
        clips = clip_vectors(np.concatenate(vectors), windows)
        video_id = target.finish(windows, clips, partial=twin.partial)
    for source, texts in store.texts(twin.video_id).items():
        if source != "sidecar":
            writer.set_texts(video_id, source, texts)
