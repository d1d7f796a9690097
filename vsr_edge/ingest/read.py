"""The reading side of ingest: decides what each file needs, and decodes ahead of the encoder.

It runs in a thread of its own and hands events over a bounded queue, in the order of the files. So
decoding and encoding overlap, also from one short clip to the next, and memory stays bounded: a
queue holds at most ``QUEUE_EVENTS`` batches.
"""

from __future__ import annotations

import queue
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, TypeVar

from vsr_edge.errors import MediaError, wanted_memory
from vsr_edge.ingest.fold import fold
from vsr_edge.ingest.recorded import container_time
from vsr_edge.ingest.scan import FoundFile
from vsr_edge.media.decode import FrameReader
from vsr_edge.media.opening import streams_of
from vsr_edge.media.plan import plan_video
from vsr_edge.media.source import SourceFile, size_and_age, split_stream
from vsr_edge.store.base import Store
from vsr_edge.types import FrameBatch, Sampling, StoredVideo, Video

QUEUE_EVENTS = 6
POLL_SECONDS = 0.2

T = TypeVar("T")
# Which video streams of files with several; None is the main one.
Streams: TypeAlias = int | Literal["all"] | None


@dataclass(frozen=True, slots=True)
class Known:
    """Nothing to do: stored with this size, time stamp and sampling."""

    file: FoundFile
    stored: StoredVideo


@dataclass(frozen=True, slots=True)
class SameContent:
    """The content is stored already, perhaps under another path: no need to decode it again."""

    file: FoundFile
    fingerprint: str
    modified_ns: int


@dataclass(frozen=True, slots=True)
class Started:
    """Batches of this video follow. ``left_out``: further video streams in its file, if any;
    ``created``: when its container says that it was made.
    """

    file: FoundFile
    video: Video
    planned_frames: int
    left_out: str | None
    created: datetime | None


@dataclass(frozen=True, slots=True)
class Ended:
    """The last batch was handed over; ``partial`` says what was missing, if anything."""

    partial: str | None


@dataclass(frozen=True, slots=True)
class Failed:
    """Nothing of this file can be used. If it had been started, its frames are void."""

    file: FoundFile
    reason: str


Event: TypeAlias = Known | SameContent | Started | FrameBatch | Ended | Failed


class Catalogue(Protocol):
    """What deciding what a file needs has to know of the archive."""

    def find(self, path: Path) -> StoredVideo | None:
        """The video stored for exactly this path."""

    def holds(self, fingerprint: str, sampling: Sampling) -> bool:
        """Whether a video of this content is stored, with this sampling."""

    def of_size(self, size_bytes: int, sampling: Sampling) -> frozenset[str]:
        """The contents that files of this size may have, of those that are stored with it."""


@dataclass(slots=True)
class Stored:
    """The catalogue of a store."""

    store: Store
    _sizes: dict[tuple[int, Sampling], frozenset[str]] | None = None

    def find(self, path: Path) -> StoredVideo | None:
        return self.store.find(path)

    def holds(self, fingerprint: str, sampling: Sampling) -> bool:
        return any(
            one.sampling.encoded == sampling.encoded
            for one in self.store.find_fingerprint(fingerprint)
        )

    def of_size(self, size_bytes: int, sampling: Sampling) -> frozenset[str]:
        """As of the first call."""
        if self._sizes is None:
            found: dict[tuple[int, Sampling], set[str]] = {}
            for one in self.store.videos():
                key = (one.video.size_bytes, one.sampling.encoded)
                found.setdefault(key, set()).add(one.video.fingerprint)
            self._sizes = {key: frozenset(contents) for key, contents in found.items()}
        return self._sizes.get((size_bytes, sampling.encoded), frozenset())


def at_once(file: FoundFile, known: Catalogue, sampling: Sampling) -> Known | Failed | None:
    """What can be said of a file without opening it; None where it is to be read."""
    if file.problem is not None:
        return Failed(file, file.problem)
    try:
        status = split_stream(file.path)[0].stat()
    except OSError as error:
        return Failed(file, _reason(error))
    if not stat.S_ISREG(status.st_mode):
        # Reading a pipe or a device may never end.
        return Failed(file, "a pipe, a socket or a device, not a file")
    stored = known.find(file.path)
    if stored is not None:
        before = (stored.video.size_bytes, stored.video.modified_ns, stored.sampling.encoded)
        if before == (*size_and_age(status), sampling.encoded):
            return Known(file, stored)
    return None


@dataclass
class Reader:
    """Iterates over the events of ``files``, in its own thread with :func:`ahead`.

    ``decode``: a :class:`FrameReader` of which all but the plan and the file are given already.
    """

    files: Iterable[FoundFile]
    known: Catalogue
    sampling: Sampling
    decode: Callable[..., FrameReader]
    stream: Streams = None
    _scheduled: set[str] = field(default_factory=set)

    def __iter__(self) -> Iterator[Event]:
        for file in self.files:
            for one in self._streams(file):
                yield from self._events(one)

    def _streams(self, file: FoundFile) -> list[FoundFile]:
        """The video streams of a file that are asked for, each as a file of its own."""
        if self.stream is None or file.problem or split_stream(file.path)[1] is not None:
            return [file]
        try:
            if not stat.S_ISREG(file.path.stat().st_mode):
                return [file]
            paths = streams_of(file.path, self.stream)
        except Exception as error:
            return [replace(file, problem=_reason(error))]
        return [replace(file, path=path, further=number > 0) for number, path in enumerate(paths)]

    def _events(self, file: FoundFile) -> Iterator[Event]:
        reading = False
        try:
            if (said := at_once(file, self.known, self.sampling)) is not None:
                yield said
                return
            with SourceFile(file.path) as source:
                content = source.fingerprint()
                if content in self._scheduled or self.known.holds(content, self.sampling):
                    yield SameContent(file, content, source.modified_ns)
                    return
                reading = True
                created = container_time(source)
                plan = plan_video(source, self.sampling, known_fingerprint=content)
                left_out = plan.index.left_out if self.stream is None else None
                with self.decode(plan, source=source) as frames:
                    yield Started(file, plan.video, len(plan), left_out, created)
                    yield from fold(frames) if self.sampling.fold else frames
            self._scheduled.add(content)
            yield Ended(frames.partial)
        except Exception as error:
            if not (reading or isinstance(error, MediaError | OSError)):
                raise  # the archive's, which no other file would be spared
            yield Failed(file, _reason(error))


@contextmanager
def ahead(items: Iterable[T], depth: int) -> Iterator[Iterator[T]]:
    """Iterate in a thread of its own, at most ``depth`` items ahead; leaving the block stops it."""
    waiting: queue.Queue[T | BaseException | None] = queue.Queue(depth)
    left = threading.Event()

    def put(item: T | BaseException | None) -> bool:
        """Wait for room; False once nobody wants it any more."""
        while not left.is_set():
            try:
                waiting.put(item, timeout=POLL_SECONDS)
            except queue.Full:
                continue
            return True
        return False

    def run() -> None:
        end = None
        try:
            all(put(item) for item in items)
        except BaseException as error:  # a defect must reach the main thread, not vanish here
            end = error
        put(end)

    def taken() -> Iterator[T]:
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item

    thread = threading.Thread(target=run, name="vsr-edge-reader", daemon=True)
    thread.start()
    try:
        yield taken()
    finally:
        left.set()
        thread.join()


def _reason(error: Exception) -> str:
    """Why a file could not be read, whatever came of it."""
    if isinstance(error, MediaError):
        return error.reason
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return unexpected(error)


def unexpected(error: Exception) -> str:
    """The reason for a file that failed as no file should; it must not end the run."""
    if wanted_memory(error):
        return "there is not enough memory for it"
    return f"unexpected {type(error).__name__}: {error}"
