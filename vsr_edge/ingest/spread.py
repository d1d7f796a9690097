"""Have files decoded and encoded by workers, whatever they are: at most so many at a time, those of
lost workers again, and what kills its worker no more than twice.

Frames stay with the workers' pool until all of a video are there: so a long one keeps no other from
being stored, and of one that is lost nothing was. Stored, they are loaded piece by piece. Where the
workers store videos themselves, no frames come: one whose worker ends between storing it and
saying so is tried again, and found to be known.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from vsr_edge import errors
from vsr_edge.errors import MediaError, VsrEdgeError, WorkerError
from vsr_edge.ingest.executor import Entered, Event, Job, Lost, Underway
from vsr_edge.ingest.read import Ended, Failed, Known, SameContent, Started, at_once
from vsr_edge.ingest.scan import FoundFile, is_gone
from vsr_edge.ingest.worker import (
    Begun,
    Broken,
    Excerpt,
    Finished,
    Order,
    Recipe,
    Said,
    Unseen,
    in_lines,
)
from vsr_edge.media.source import with_stream
from vsr_edge.types import FrameFeatures

# A file that has ended so many workers is given up.
TRIES = 2
# Machines that go down are not the file's fault, unless it is always in hand.
MOST_LOST = 10
# Streams of a file that are asked for by name whether they are stored; further ones by content.
STREAMS_ASKED = 64


class PieceLost(Exception):
    """Frames that were encoded are there no more."""


class Piece(Protocol):
    """Frames that lie with the pool."""

    @property
    def frames(self) -> int: ...

    def load(self) -> FrameFeatures:
        """Once.

        Raises:
            PieceLost: the machine that held them is gone.
        """

    def discard(self) -> None:
        """They are not needed; nothing happens where they were loaded."""


@dataclass(frozen=True, slots=True)
class Died:
    """The worker of an order ended before it; ``innocent``: not because of the file."""

    reason: str
    innocent: bool = False


# What of a video is kept until all of it is there.
Kept: TypeAlias = Known | SameContent | Started | Piece | Ended | Failed | Entered
Received: TypeAlias = Kept | Underway | Begun | Unseen | Said | Broken | Finished | Died


class Pool(Protocol):
    """Workers that take orders, each with a ticket, a number of its own."""

    @property
    def room(self) -> int:
        """How many orders may be in hand, so that no worker waits and memory stays bounded."""

    def submit(self, ticket: int, order: Order, avoid: str = "") -> None:
        """Have an order done, not in the ``place`` to avoid if there is another."""

    def receive(self) -> tuple[int, Received]:
        """The next message of any order, waited for; ``Finished``, ``Broken`` or ``Died`` ends it.

        Raises:
            WorkerError: the workers cannot work at all.
        """

    def drop(self) -> None:
        """Stop all orders in hand; nothing of them is received any more."""

    def close(self) -> None:
        """End the workers."""


@dataclass(slots=True)
class _Task:
    file: FoundFile
    deaths: int = 0
    losses: int = 0
    where: Begun | None = None
    avoid: str = ""
    started: Started | None = None
    frames: int = 0
    kept: list[Kept] = field(default_factory=list)

    def again(self) -> None:
        self.where = self.started = None
        self.frames = 0
        for one in self.kept:
            _discard(one)
        self.kept.clear()


@dataclass
class Spread:
    """An executor over a pool of workers, which is opened when there is something to do."""

    recipe: Recipe
    open_pool: Callable[[], Pool]
    notices: list[str] = field(default_factory=list)
    _pool: Pool | None = None
    _tickets: int = 0
    # Contents by size: those of before, and that came in since the job began.
    _contents: dict[int, bytearray] = field(default_factory=dict)

    @contextmanager
    def events(self, job: Job) -> Iterator[Iterator[Event]]:
        try:
            yield self._events(job)
        finally:
            if self._pool is not None:
                self._pool.drop()

    def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def _events(self, job: Job) -> Iterator[Event]:
        files, again = iter(job.files), deque[_Task]()
        running: dict[int, _Task] = {}
        self._contents.clear()
        # Whatever lies at a path with streams, a worker has to open it.
        known = job.known if job.stream is None else Excerpt()
        while True:
            while self._pool is None or len(running) < self._pool.room:
                if again:
                    task = again.popleft()
                elif (file := next(files, None)) is not None:
                    task = _Task(file)
                    if (said := at_once(file, known, job.sampling)) is not None:
                        yield said
                        continue
                else:
                    break
                if self._pool is None:
                    self._pool = self.open_pool()
                self._tickets += 1
                running[self._tickets] = task
                self._pool.submit(self._tickets, self._order(task.file, job), task.avoid)
            if not running:
                return
            assert self._pool is not None
            ticket, message = self._pool.receive()
            task = running[ticket]
            match message:
                case Begun():
                    task.where = message
                case Said():
                    self._note(task, message.notice)
                case Broken():
                    raise _error(task, message)
                case Unseen():
                    task.kept.append(Failed(task.file, _unseen(task)))
                case Died():
                    del running[ticket]
                    if (given_up := _given_up(task, message)) is not None:
                        yield given_up
                    else:
                        again.appendleft(task)
                case Finished():
                    del running[ticket]
                    for event in self._delivered(task, job):
                        yield event
                        if isinstance(event, Lost):
                            task.again()
                            again.append(task)
                case Started():
                    task.started, task.frames = message, 0
                    task.kept.append(message)
                case Underway():
                    yield message
                case Known() | SameContent() | Ended() | Failed() | Entered():
                    task.kept.append(message)
                case _:
                    assert task.started is not None
                    task.kept.append(message)
                    task.frames += message.frames
                    yield Underway(task.started, task.frames)

    def _order(self, file: FoundFile, job: Job) -> Order:
        if job.entry.shared is not None:  # it looks for itself
            return Order(self.recipe, file, job.sampling, job.stream, Excerpt(), job.entry)
        paths = [file.path]
        if job.stream is not None:
            paths += [with_stream(file.path, number) for number in range(STREAMS_ASKED)]
        stored = tuple(one for path in paths if (one := job.known.find(path)) is not None)
        known = Excerpt(stored, bytes(self._of_size(file.size_bytes, job)))
        return Order(self.recipe, file, job.sampling, job.stream, known)

    def _of_size(self, size_bytes: int, job: Job) -> bytearray:
        if size_bytes not in self._contents:
            before = job.known.of_size(size_bytes, job.sampling)
            self._contents[size_bytes] = in_lines(before)
        return self._contents[size_bytes]

    def _delivered(self, task: _Task, job: Job) -> Iterator[Event]:
        """A file's events in order; of content that was stored meanwhile, only that it was."""
        passed_over = False
        for one in task.kept:
            if isinstance(one, Started):
                video, size = one.video, one.video.size_bytes
                passed_over = job.known.holds(video.fingerprint, job.sampling)
                if passed_over:
                    yield SameContent(one.file, video.fingerprint, video.modified_ns)
                else:
                    self._of_size(size, job).extend(f"{video.fingerprint}\n".encode())
            if not passed_over:
                if isinstance(one, Known | SameContent | Started | Ended | Failed | Entered):
                    yield one
                    continue
                try:
                    features = one.load()
                except PieceLost:
                    yield Lost()
                    return
                yield features
            elif isinstance(one, Ended | Failed):
                passed_over = False
            else:
                _discard(one)

    def _note(self, task: _Task, notice: str) -> None:
        said = f"on {task.where.node}: {notice}" if task.where else notice
        if said not in self.notices:
            self.notices.append(said)


def _discard(one: Kept) -> None:
    if not isinstance(one, Known | SameContent | Started | Ended | Failed | Entered):
        one.discard()


def _unseen(task: _Task) -> str:
    path = task.file.path
    if is_gone(path):
        return "No such file or directory"
    node = task.where.node if task.where else "another machine"
    return f"the worker on {node} does not see {path}: mount it there"


def _given_up(task: _Task, died: Died) -> Failed | None:
    """Whether a file is not tried again; what came of it so far is void."""
    task.deaths += not died.innocent
    task.losses += died.innocent
    task.avoid = task.where.place if task.where else ""
    task.again()
    if task.deaths >= TRIES:
        return Failed(task.file, f"it ended {task.deaths} workers that read it ({died.reason})")
    if task.losses >= MOST_LOST:
        return Failed(task.file, f"{task.losses} workers were lost that read it ({died.reason})")
    return None


def _error(task: _Task, broken: Broken) -> VsrEdgeError:
    where = f"the worker on {task.where.node}" if task.where else "a worker"
    kind = getattr(errors, broken.kind, WorkerError)
    if not issubclass(kind, VsrEdgeError) or issubclass(kind, MediaError):
        kind = WorkerError
    return kind(f"{where}, at {task.file.path}: {broken.text}")
