"""HTTP/1.1 by h11, strict about what a request is, with patience that ends: for headers that do not
come, for a client that does not read, and with more connections than there is room for.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import Any, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

from vsr_edge.documents import ErrorDocument

HEADER_SECONDS, READ_SECONDS = 10.0, 30.0
MOST_CONNECTIONS = 512
# So many more are told that there is no room; any beyond that are hung up on.
TOLD = 512
_REFUSED_SECONDS = 1.0


class Protocol(H11Protocol):
    """One connection."""

    _waiting: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(Any, transport))
        others = len(self.connections)
        self._refused = others > MOST_CONNECTIONS
        if others > MOST_CONNECTIONS + TOLD:
            self.transport.abort()
            return
        patience = _REFUSED_SECONDS if self._refused else HEADER_SECONDS
        self._waiting = self.loop.call_later(patience, self._lost_patience)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            # Whoever asks hears the answer; unasked, it might be lost with the connection.
            self._refuse()
            return
        super().data_received(data)
        if self._is_asked():
            self._stop("_waiting")
        elif self._waiting is None and not self.transport.is_closing():
            self._waiting = self.loop.call_later(HEADER_SECONDS, self._lost_patience)

    def on_response_complete(self) -> None:
        self._stop("_waiting")
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop("_waiting")
        self._stop("_unread")
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(READ_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop("_unread")
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        if self._is_asked() and self.cycle.response_started:
            self.transport.abort()
        else:
            self._hang_up(400, "BadRequest", msg)

    def _is_asked(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def _lost_patience(self) -> None:
        self._waiting = None
        if self._refused:
            self._refuse()
        elif not self._is_asked():
            self._hang_up(408, "TooSlow", "the request took too long to come in")

    def _refuse(self) -> None:
        self._hang_up(503, "Busy", "too many are connected: try again in 1 s")

    def _stop(self, name: str) -> None:
        timer: asyncio.TimerHandle | None = getattr(self, name)
        if timer is not None:
            timer.cancel()
            setattr(self, name, None)

    def _hang_up(self, status: int, kind: str, message: str) -> None:
        """Answer what is no request yet, and close."""
        if self.transport.is_closing():
            return
        said = ErrorDocument(kind=kind, message=message, exit_code=1 if status >= 500 else 2)
        body = json.dumps(said.model_dump(by_alias=True)).encode("ascii")
        lines = [
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "X-Content-Type-Options: nosniff",
            "Connection: close",
            *(["Retry-After: 1"] if status == 503 else []),
        ]
        self.transport.write("\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + body)
        self.transport.close()
