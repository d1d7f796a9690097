"""The reading thread: bounded, stoppable, and never silent about what went wrong in it."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from tests.ingest.archives import footage, open_for
from vsr_edge.bundle.model import Bundle
from vsr_edge.ingest.read import (
    QUEUE_EVENTS,
    Ended,
    Event,
    Failed,
    Reader,
    Started,
    Stored,
    ahead,
)
from vsr_edge.ingest.scan import FoundFile
from vsr_edge.media.decode import FrameReader
from vsr_edge.store.base import Store
from vsr_edge.types import FrameBatch, Sampling


@pytest.fixture
def store(bundle: Bundle, tmp_path: Path) -> Iterator[Store]:
    with open_for(bundle, tmp_path / "archive") as opened:
        yield opened


def running(
    files: Iterable[FoundFile], store: Store, fps: float = 1.0
) -> AbstractContextManager[Iterator[Event]]:
    decode = partial(FrameReader, size=(32, 32), threads=1, batch_frames=8)
    return ahead(Reader(files, Stored(store), Sampling(fps=fps), decode), QUEUE_EVENTS)


def reading_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "vsr-edge-reader"]


class Counted:
    """Files that are no videos: one event each. ``taken`` counts how many the reader asked for."""

    def __init__(self, folder: Path, count: int) -> None:
        self.taken = 0
        self._paths = [folder / f"{number}.mp4" for number in range(count)]
        for path in self._paths:
            path.touch()

    def __iter__(self) -> Iterator[FoundFile]:
        for path in self._paths:
            self.taken += 1
            yield FoundFile(path, 0)

    def settled(self) -> int:
        """How many were asked for, once that no longer changes."""
        while True:
            before = self.taken
            time.sleep(0.3)
            if self.taken == before > 0:
                return before


def test_a_slow_consumer_keeps_the_reader_from_running_ahead(store: Store, tmp_path: Path) -> None:
    files = Counted(tmp_path, 40)
    with running(files, store) as events:
        # As many as the queue holds, and one that waits for room.
        assert files.settled() == QUEUE_EVENTS + 1
        for _ in range(5):
            assert isinstance(next(events), Failed)
        assert files.settled() == QUEUE_EVENTS + 1 + 5
        assert len(list(events)) == 35


def test_leaving_early_stops_the_thread(store: Store, tmp_path: Path) -> None:
    path = footage(tmp_path / "a.mkv", 60.0)
    with running([FoundFile(path, 1)], store, fps=5) as events:
        assert isinstance(next(events), Started)
        assert reading_threads()
    assert not reading_threads()


def test_events_come_in_order_and_the_thread_ends_with_them(store: Store, tmp_path: Path) -> None:
    path = footage(tmp_path / "a.mkv", 5.0)
    with running([FoundFile(path, 1), FoundFile(tmp_path / "no.mp4", 0)], store, fps=5) as events:
        started, *batches, ended, failed = events
    assert isinstance(started, Started)
    assert started.planned_frames == 25
    shapes = [event.pixels.shape for event in batches if isinstance(event, FrameBatch)]
    assert shapes == [(count, 32, 32, 3) for count in (8, 8, 8, 1)]
    assert len(shapes) == len(batches)
    assert ended == Ended(None)
    assert isinstance(failed, Failed)
    assert not reading_threads()


def test_an_unexpected_error_in_the_thread_reaches_the_caller(store: Store, tmp_path: Path) -> None:
    path = footage(tmp_path / "a.mp4")
    store.close()
    with (
        running([FoundFile(path, 1)], store) as events,
        pytest.raises(sqlite3.ProgrammingError, match="closed"),
    ):
        list(events)
    assert not reading_threads()
