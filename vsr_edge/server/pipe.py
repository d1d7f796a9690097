"""From a thread that writes to a response that is sent: a few chunks lie between, so that neither
runs far ahead of the other.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

from vsr_edge.media.fragments import Fragments
from vsr_edge.server.pool import Ticket
from vsr_edge.server.refusals import Left

# Bytes that lie between, and how often a writer that waits looks whether anybody still reads.
ROOM, LOOKS_EVERY = 4 << 20, 0.25


class Pipe:
    """Written by one thread, read by one coroutine of ``loop``."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._changed = threading.Condition()
        self._chunks: deque[bytes] = deque()
        self._lying = 0
        self._ticket: Ticket | None = None
        self._news = asyncio.Event()
        self._begun: Fragments | None = None
        self._over = False

    def opened(self, ticket: Ticket) -> None:
        """The writer's leave to write."""
        self._ticket = ticket

    def begin(self, told: Fragments) -> None:
        """What is going to be written."""
        self._begun = told

    def write(self, content: bytes, /) -> int:
        """Wait for room, and put it there.

        Raises:
            Left: nobody reads any more, or it took too long.
        """
        assert self._ticket is not None
        with self._changed:
            while self._lying > ROOM:
                self._ticket.check()
                self._changed.wait(LOOKS_EVERY)
            self._ticket.check()
            if not self._ticket.remaining:
                raise Left
            self._chunks.append(bytes(content))
            self._lying += len(content)
        self._tell()
        return len(content)

    def fill(self, write: Callable[[], object]) -> None:
        """Write all of it; however that ends, the reader learns that there is no more."""
        try:
            write()
        finally:
            self._over = True
            self._tell()

    async def begun(self, ended: asyncio.Future[None]) -> Fragments:
        """Until there is something to be sent; what ``ended`` raises where there is nothing."""
        while not self._chunks and not ended.done():
            waiting = asyncio.ensure_future(self._news.wait())
            either: set[asyncio.Future[Any]] = {waiting, ended}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            self._news.clear()
        if not self._chunks:
            await ended
        if self._begun is None:
            raise Left
        return self._begun

    async def content(self) -> AsyncIterator[bytes]:
        """What is written, as it comes."""
        while True:
            with self._changed:
                some = self._chunks.popleft() if self._chunks else None
                self._lying -= len(some or b"")
                self._changed.notify_all()
            if some is not None:
                yield some
            elif self._over:
                return
            else:
                await self._news.wait()
                self._news.clear()

    def _tell(self) -> None:
        with suppress(RuntimeError):  # the server stopped
            self._loop.call_soon_threadsafe(self._news.set)
