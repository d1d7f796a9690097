"""Work in threads, of which few run at once, some may wait, and the rest is turned away."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import traceback
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Generic, TypeVar

from vsr_edge.server.refusals import Left, Refused, busy

Result = TypeVar("Result")
# How much the latest call counts in the mean of what calls take.
_NEWEST = 0.2


class Ticket:
    """One caller's leave to work: until when, and whether anybody still waits for it."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._left = threading.Event()

    @property
    def remaining(self) -> float:
        """Seconds that are left; none below 0."""
        return max(self._until - time.monotonic(), 0.0)

    @property
    def is_left(self) -> bool:
        """Whether nobody waits any more."""
        return self._left.is_set()

    def leave(self) -> None:
        self._left.set()

    def check(self) -> None:
        """Raise :class:`Left` where nobody waits any more."""
        if self._left.is_set():
            raise Left


class Running(Generic[Result]):
    """A call that was admitted."""

    def __init__(self, future: Future[Result], ticket: Ticket) -> None:
        self.ticket = ticket
        self._future = future
        self._awaited = asyncio.wrap_future(future)

    async def result(self, gone: Awaitable[object]) -> Result:
        """What it returns, or raises.

        Raises:
            Left: ``gone`` came first; what has not begun yet never will.
        """
        leaving = asyncio.ensure_future(gone)
        either: set[asyncio.Future[Any]] = {self._awaited, leaving}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if self._awaited.done():
                return self._awaited.result()
            raise Left
        finally:
            leaving.cancel()
            if not self._awaited.done() or self._awaited.cancelled():
                self.drop()

    def at_end(self, clean_up: Callable[[Result], object]) -> None:
        """What is to be done with a result that comes when nobody waits for it any more."""

        def look(future: Future[Result]) -> None:
            if self.ticket.is_left and not future.cancelled() and future.exception() is None:
                clean_up(future.result())

        self._future.add_done_callback(look)

    def drop(self) -> None:
        """Nobody waits for it any more; without effect where it is over."""
        self.ticket.leave()
        self._awaited.cancel()
        self._future.cancel()


class Pool:
    """At most ``workers`` calls at once and ``queue`` more that wait, each for some ``seconds``.

    What is called gets its :class:`Ticket`. ``tidy``: what it leaves in circles is collected at
    once, which takes some ms.
    """

    def __init__(
        self, name: str, workers: int, queue: int, seconds: float, *, tidy: bool = False
    ) -> None:
        self.name, self.workers, self.queue, self.seconds = name, workers, queue, seconds
        self._tidy = tidy
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix=name)
        self._lock = threading.Lock()
        self._inside = 0
        self._mean = 0.1

    @property
    def inside(self) -> int:
        """Calls that run or wait."""
        return self._inside

    def submit(self, call: Callable[[Ticket], Result]) -> Running[Result]:
        """Let a call in.

        Raises:
            Refused: as many are inside as may be.
        """
        with self._lock:
            if self._inside >= self.workers + self.queue:
                wait = self._mean * self._inside / self.workers
                raise busy(f"{self._inside} others are asking for a {self.name}", wait)
            self._inside += 1
        ticket = Ticket(self.seconds)
        try:
            future = self._executor.submit(self._run, call, ticket)
        except RuntimeError as error:  # it is shut down
            self._over()
            raise Refused(503, "Stopping", "the server is stopping: ask another time") from error
        future.add_done_callback(lambda _: self._over())
        return Running(future, ticket)

    def _run(self, call: Callable[[Ticket], Result], ticket: Ticket) -> Result:
        ticket.check()
        if not ticket.remaining:
            raise busy(f"the {self.name} waited for {self.seconds:g} s in vain", self.seconds)
        began = time.monotonic()
        try:
            return call(ticket)
        except Exception as error:
            if self._tidy:  # what the call held, the error's frames hold
                traceback.clear_frames(error.__traceback__)
            raise
        finally:
            self._mean += _NEWEST * (time.monotonic() - began - self._mean)
            if self._tidy:
                gc.collect()

    def _over(self) -> None:
        with self._lock:
            self._inside -= 1

    def close(self) -> None:
        """What waits is dropped; what runs is not waited for."""
        with suppress(RuntimeError):
            self._executor.shutdown(wait=False, cancel_futures=True)
