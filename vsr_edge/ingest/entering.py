"""Frames become rows, one transaction a video, whoever it is that stores them: the one writer of a
run, or a worker that encoded them and writes beside others.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from vsr_edge.errors import VsrEdgeError
from vsr_edge.ingest.clips import clip_vectors, cut
from vsr_edge.ingest.executor import Entered, Entry, Event, Lost, Underway
from vsr_edge.ingest.read import Ended, Failed, SameContent, Started, Stored, unexpected
from vsr_edge.ingest.scan import is_gone
from vsr_edge.store.base import Store, VideoWriter, Writer
from vsr_edge.types import FrameFeatures, Sampling, StoredVideo

Other = TypeVar("Other")


@dataclass
class Entering:
    """Iterates over events, in which the frames of each video become what came of storing it."""

    store: Store
    writer: Writer
    sampling: Sampling
    entry: Entry
    # An error of those that encode, which is no video's fault.
    _others: Exception | None = None

    def of(self, events: Iterator[Event | Other]) -> Generator[Event | Other]:
        """No ``Started``, frames or ``Ended`` are left; close it to give up the video in hand."""
        for event in events:
            if isinstance(event, Started):
                yield from self._video(event, events)
            else:
                yield event

    def _video(self, started: Started, events: Iterator[Event | Other]) -> Iterator[Event | Other]:
        """Whatever goes wrong with one video is reported, and the next one's turn comes.

        What is wrong with the archive, the bundle or the provider ends the run.
        """
        event: Event | Other = started
        try:
            former = self._former(started)
            texts = {} if former is None else self.store.texts(former.video_id)
            tags = {*self.entry.tags, *(() if former is None else former.tags)}
            video_id = None
            with self._begun(started, tags) as target:
                read: list[FrameFeatures] = []
                frames = 0
                while not isinstance(event := self._next(events), Ended | Failed | Lost):
                    if isinstance(event, FrameFeatures):
                        target.add_frames(event)
                        read.append(FrameFeatures(event.times, event.vectors, None))
                        frames += len(event)
                        yield Underway(started, frames)
                    else:
                        yield event
                if isinstance(event, Ended) and not self._is_stored(started):
                    video_id = self._finish(started, target, read, event.partial)
            if video_id is not None:
                # Encoded anew, it says what it said.
                for source, read_before in texts.items():
                    self.writer.set_texts(video_id, source, read_before)
        except VsrEdgeError:
            raise
        except Exception as error:
            if error is self._others:
                raise
            # It failed amid its frames: the rest of them is of no use.
            while not isinstance(event, Ended | Failed | Lost):
                event = self._next(events)
            yield Failed(started.file, unexpected(error))
            return
        if not isinstance(event, Ended):
            yield event
        elif video_id is None:
            yield SameContent(started.file, started.video.fingerprint, started.video.modified_ns)
        else:
            of_it = (frames, started.video.duration, started.left_out, event.partial)
            yield Entered(started.file, *of_it)

    def _former(self, started: Started) -> StoredVideo | None:
        """What is stored of it, by its path or, where it was moved, by its content."""
        video = started.video
        former = self.store.find(video.path)
        if former is None or former.video.fingerprint != video.fingerprint:
            alike = self.store.find_fingerprint(video.fingerprint)
            former = next((one for one in alike if is_gone(one.video.path)), None)
        return former

    def _begun(self, started: Started, tags: set[str]) -> VideoWriter:
        video = started.video
        when = (video.path, video.modified_ns, video.duration, started.created)
        recorded = self.entry.site.recorded(*when)
        return self.writer.begin(video, self.sampling, recorded=recorded, tags=sorted(tags))

    def _is_stored(self, started: Started) -> bool:
        """Whether others that write have stored the same content while this was encoded."""
        shared = self.entry.shared is not None
        return shared and Stored(self.store).holds(started.video.fingerprint, self.sampling)

    def _finish(
        self,
        started: Started,
        target: VideoWriter,
        read: list[FrameFeatures],
        partial: str | None,
    ) -> int:
        times = np.concatenate([one.times for one in read])
        every = FrameFeatures(times, np.concatenate([one.vectors for one in read]), None)
        windows = cut(every, started.video.duration, self.sampling)
        return target.finish(windows, clip_vectors(every.vectors, windows), partial=partial)

    def _next(self, events: Iterator[Event | Other]) -> Event | Other:
        try:
            return next(events)
        except Exception as error:
            self._others = error
            raise
