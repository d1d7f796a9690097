"""The reading side of ingest: decides what each file needs, and decodes ahead of the encoder.

It runs in a thread of its own and hands events over a bounded queue, in the order of the files. So
decoding and encoding overlap, also from one short clip to the next, and memory stays bounded: a
queue holds at most ``QUEUE_EVENTS`` batches.
"""

from __future__ import annotations

import queue
import stat
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Literal, Self, TypeAlias

from vsr_edge.errors import MediaError, wanted_memory
from vsr_edge.ingest.scan import FoundFile, Unreachable
from vsr_edge.media.decode import FrameReader
from vsr_edge.media.hwaccel import Device
from vsr_edge.media.source import split_stream
from vsr_edge.media.opening import stream_of, streams_of
from vsr_edge.media.plan import plan_video
from vsr_edge.media.probe import fingerprint, probe
from vsr_edge.store.base import Store
from vsr_edge.types import FrameBatch, Sampling, StoredVideo, Video

QUEUE_EVENTS = 6
POLL_SECONDS = 0.2
# What SQLite can hold: a file may claim to be of the year 2300.
_LATEST_NS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Known:
    """Nothing to do: stored with this size, time stamp and sampling."""

    file: FoundFile


@dataclass(frozen=True, slots=True)
class SameContent:
    """The content is stored already, perhaps under another path: no need to decode it again."""

    file: FoundFile
    fingerprint: str
    modified_ns: int


@dataclass(frozen=True, slots=True)
class Started:
    """Frames of this video follow. ``left_out``: further video streams in its file, if any."""

    file: FoundFile
    video: Video
    planned_frames: int
    left_out: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """A batch of the video that was started last."""

    batch: FrameBatch


@dataclass(frozen=True, slots=True)
class Ended:
    """The last batch was handed over; ``partial`` says what was missing, if anything."""

    partial: str | None


@dataclass(frozen=True, slots=True)
class Failed:
    """Nothing of this file can be used. If it had been started, its frames are void."""

    file: FoundFile | Unreachable
    reason: str


Event: TypeAlias = Known | SameContent | Started | Frames | Ended | Failed


class Reader:
    """Iterate over the events of ``files``; leaving the ``with`` block stops the thread.

    Frames come in batches of at most ``batch``, as squares of ``side`` pixels, stretched or with
    ``crop`` their middle. ``stream``: which video streams of files with several; None is the main
    one.
    """

    def __init__(
        self,
        files: Iterable[FoundFile | Unreachable],
        store: Store,
        sampling: Sampling,
        *,
        side: int,
        crop: bool,
        batch: int,
        threads: int,
        stream: int | Literal["all"] | None = None,
        device: Device | None = None,
    ) -> None:
        self._files = files
        self._store = store
        self._sampling = sampling
        self._size = (side, side)
        self._crop = crop
        self._batch = batch
        self._threads = threads
        self._stream = stream
        self._device = device
        self._queue: queue.Queue[Event | BaseException | None] = queue.Queue(QUEUE_EVENTS)
        self._stop = threading.Event()
        self._scheduled: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="vsr-edge-reader", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def __iter__(self) -> Iterator[Event]:
        while True:
            event = self._queue.get()
            if event is None:
                return
            if isinstance(event, BaseException):
                raise event
            yield event

    def _run(self) -> None:
        try:
            for file in self._files:
                for one in self._streams(file):
                    for event in self._events(one):
                        if not self._put(event):
                            return
            self._put(None)
        except (
            BaseException
        ) as error:  # a defect must reach the main thread, not vanish with this one
            self._put(error)

    def _put(self, event: Event | BaseException | None) -> bool:
        """Wait for room; False once nobody wants it any more."""
        while not self._stop.is_set():
            try:
                self._queue.put(event, timeout=POLL_SECONDS)
            except queue.Full:
                continue
            return True
        return False

    def _streams(self, file: FoundFile | Unreachable) -> Iterable[FoundFile | Unreachable]:
        """The video streams of a file that are asked for, each as a file of its own."""
        if (
            self._stream is None
            or isinstance(file, Unreachable)
            or split_stream(file.path)[1] is not None
        ):
            return [file]
        try:
            if not stat.S_ISREG(file.path.stat().st_mode):
                return [file]
            if self._stream == "all":
                _, *others = streams_of(file.path)
                return [file, *(replace(file, path=other, further=True) for other in others)]
            return [replace(file, path=stream_of(file.path, self._stream))]
        except MediaError as error:
            return [Unreachable(file.path, error.reason)]
        except OSError as error:
            return [Unreachable(file.path, error.strerror or str(error))]
        except Exception as error:
            return [Unreachable(file.path, unexpected(error))]

    def _events(self, file: FoundFile | Unreachable) -> Iterator[Event]:
        if isinstance(file, Unreachable):
            yield Failed(file, file.reason)
            return
        reading = False
        try:
            status = split_stream(file.path)[0].stat()
            if not stat.S_ISREG(status.st_mode):
                # Reading a pipe or a device may never end.
                yield Failed(file, "a pipe, a socket or a device, not a file")
                return
            modified_ns = max(-_LATEST_NS, min(status.st_mtime_ns, _LATEST_NS))
            stored = self._store.find(file.path)
            if stored is not None and self._is_current(stored, status.st_size, modified_ns):
                yield Known(file)
                return
            content = fingerprint(file.path)
            alike = self._store.find_fingerprint(content)
            if content in self._scheduled or any(v.sampling == self._sampling for v in alike):
                yield SameContent(file, content, modified_ns)
                return
            reading = True
            video = probe(file.path, known_fingerprint=content)
            plan = plan_video(replace(video, modified_ns=modified_ns), self._sampling)
            with FrameReader(
                plan,
                size=self._size,
                crop=self._crop,
                threads=self._threads,
                device=self._device,
                batch_frames=self._batch,
            ) as frames:
                left_out = plan.left_out if self._stream is None else None
                yield Started(file, plan.video, len(plan.frames), left_out)
                for batch in frames:
                    yield Frames(batch)
            self._scheduled.add(content)
            yield Ended(frames.partial)
        except MediaError as error:
            yield Failed(file, error.reason)
        except OSError as error:
            yield Failed(file, error.strerror or str(error))
        except Exception as error:
            if not reading:  # the archive's, which no other file would be spared
                raise
            yield Failed(file, unexpected(error))

    def _is_current(self, stored: StoredVideo, size_bytes: int, modified_ns: int) -> bool:
        video = stored.video
        same_file = (video.size_bytes, video.modified_ns) == (size_bytes, modified_ns)
        return same_file and stored.sampling == self._sampling


def unexpected(error: Exception) -> str:
    """The reason for a file that failed as no file should; it must not end the run."""
    if wanted_memory(error):
        return "there is not enough memory for it"
    return f"unexpected {type(error).__name__}: {error}"
