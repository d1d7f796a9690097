"""Who decodes and encodes the files of a run: this process, others beside it, or a cluster.

A run asks its executor for the events of some files and makes rows of them; it does not know where
they come from. Between a video's ``Started`` and its end come its frames and nothing of another
one: so whoever stores them, one writer for all, or a worker that writes for itself, has one video
in hand at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeAlias

import numpy as np

from vsr_edge.bundle.model import Bundle
from vsr_edge.errors import VsrEdgeError
from vsr_edge.ingest import read
from vsr_edge.ingest.read import (
    QUEUE_EVENTS,
    Catalogue,
    Ended,
    Failed,
    Known,
    Reader,
    SameContent,
    Started,
    Streams,
    ahead,
    unexpected,
)
from vsr_edge.ingest.recorded import Site
from vsr_edge.ingest.scan import FoundFile
from vsr_edge.media.decode import FrameReader
from vsr_edge.media.hwaccel import Device
from vsr_edge.store.base import Shared
from vsr_edge.types import FrameBatch, FrameFeatures, Sampling, Seconds


@dataclass(frozen=True, slots=True)
class Underway:
    """So many frames of a video are encoded; they come when all of them are."""

    started: Started
    frames: int


@dataclass(frozen=True, slots=True)
class Lost:
    """What came of this video since its ``Started`` is void: it will start again."""


@dataclass(frozen=True, slots=True)
class Entered:
    """A video is stored; what is to be told of it."""

    file: FoundFile
    frames: int
    duration: Seconds
    left_out: str | None
    partial: str | None


Event: TypeAlias = (
    Known | SameContent | Started | FrameFeatures | Ended | Failed | Underway | Lost | Entered
)


@dataclass(frozen=True, slots=True)
class Entry:
    """How videos are stored. ``shared``: where those that encode may store them themselves."""

    site: Site = field(default_factory=Site)
    tags: tuple[str, ...] = ()
    shared: Shared | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """Files to bring up to date with one sampling, and what is known of them."""

    files: Sequence[FoundFile]
    known: Catalogue
    sampling: Sampling
    stream: Streams = None
    entry: Entry = field(default_factory=Entry)


class Executor(Protocol):
    """What decodes and encodes; close it when no more jobs come.

    Frames of a video come in time order; files in any order. Of a video that was stored by whoever
    encoded it, as ``job.entry`` allows, there comes ``Entered`` in their place. ``notices`` is what
    is to be said to the user of those that did the work.
    """

    @property
    def notices(self) -> list[str]: ...

    def events(self, job: Job) -> AbstractContextManager[Iterator[Event]]:
        """Every file's events, each file's until its end; leaving the block stops what is running.

        Iterating raises:
            VsrEdgeError: what is no file's fault, as the bundle's or the provider's.
        """

    def close(self) -> None:
        """End whatever was started. Closing twice is harmless."""


@dataclass
class Local:
    """This process: a thread reads and decodes, and who asks for the next event encodes."""

    bundle: Bundle
    threads: int = 0
    device: Device | None = None
    notices: list[str] = field(default_factory=list)

    @contextmanager
    def events(self, job: Job) -> Iterator[Iterator[Event]]:
        decode = partial(
            FrameReader,
            size=(self.bundle.image_side, self.bundle.image_side),
            crop=self.bundle.manifest.preprocessing.fit == "crop",
            threads=self.threads,
            device=self.device,
            batch_frames=self.bundle.image_batch,
        )
        reader = Reader(job.files, job.known, job.sampling, decode, job.stream)
        with ahead(reader, QUEUE_EVENTS) as events:
            yield self._encoded(events, job.sampling.has_regions)

    def _encoded(self, events: Iterator[read.Event], regions: bool) -> Iterator[Event]:
        started: Started | None = None
        for event in events:
            if not isinstance(event, FrameBatch):
                started = event if isinstance(event, Started) else None
                yield event
                continue
            try:
                features = self._features(event, regions)
            except VsrEdgeError:
                raise
            except Exception as error:
                assert started is not None
                while not isinstance(event, Ended | Failed):
                    event = next(events)
                yield Failed(started.file, unexpected(error))
            else:
                yield features

    def _features(self, batch: FrameBatch, regions: bool) -> FrameFeatures:
        """What is encoded, a row a picture, for every frame that shows it."""
        found, cells = self.bundle.encode_frames(batch.pixels, regions=regions)
        vectors = found.astype(np.float16)
        halves = None if cells is None else cells.astype(np.float16)
        if batch.repeats is not None:
            vectors = np.repeat(vectors, batch.repeats, axis=0)
            halves = None if halves is None else np.repeat(halves, batch.repeats, axis=0)
        return FrameFeatures(batch.times, vectors, halves)

    def close(self) -> None:
        """Nothing was started."""
