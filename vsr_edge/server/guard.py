"""What every request passes before its route: who may send it, how large and how slow it may be;
and what every response gets: headers that browsers heed, a line in the log, a count.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import re
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vsr_edge.errors import printable
from vsr_edge.server.refusals import Refused, refusal

if TYPE_CHECKING:
    from vsr_edge.server.served import Served

MOST_BODY, MOST_UPLOAD = 256 << 10, 16 << 20
MOST_HEADERS = 32 << 10
BODY_SECONDS = 20.0
# Who is still sending what is too large hears of it so, and not of a connection that broke.
DRAINED_BYTES, DRAINED_SECONDS = 32 << 20, 1.0
UPLOADS = frozenset({"/v1/search"})
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
METHODS = SAFE | {"POST", "DELETE"}
# No script or style but those of files of ours, nothing in a frame, and nobody is told where a
# reader came from.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self'; font-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?", re.IGNORECASE)

# Where readers of a log may see a line end, beside what is never printed.
_BREAKS = str.maketrans({"\n": "\\n", "\u2028": "\\u2028", "\u2029": "\\u2029"})
_INDENTED = _BREAKS | {ord("\n"): "\n  "}

log = logging.getLogger("vsr_edge.access")


class Guard:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, served: Served) -> None:
        self._app, self._served = app, served
        self._hosts = known_hosts(served.options.host, served.options.allow_hosts)
        self._any_address = not is_loopback(served.options.host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, sent, whole = time.perf_counter(), 0, 0, False

        async def tell(message: Message) -> None:
            nonlocal status, sent, whole
            if message["type"] == "http.response.start":
                status = message["status"]
                have = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(
                        (name.lower().encode(), value.encode())
                        for name, value in HEADERS.items()
                        if name.lower().encode() not in have
                    ),
                ]
            else:
                sent += len(message.get("body", b""))
                whole = not message.get("more_body", False)
            await send(message)

        body = _Body(receive)
        try:
            try:
                self._check(scope)
                body.most = self._limit(scope)
                await self._app(scope, body.receive, tell)
            except Exception as error:
                # What is unexpected was answered, and logged, on its way up to here.
                if not status:
                    response = refusal(error)
                    if response.status_code == 413 and b"expect" not in dict(scope["headers"]):
                        await body.drain()
                    # What is left of the request is not read.
                    response.headers["Connection"] = "close"
                    await response(scope, receive, tell)
                elif not whole:
                    raise  # the connection is closed, so that nobody takes it for all of it
        finally:
            self._note(scope, status, sent, time.perf_counter() - began)

    def _check(self, scope: Scope) -> None:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        names = [name for name, _ in headers]
        if sum(len(name) + len(value) for name, value in headers) > MOST_HEADERS:
            raise Refused(431, "TooLarge", f"the headers have at most {MOST_HEADERS} bytes")
        if b"transfer-encoding" in names and b"content-length" in names:
            raise Refused(400, "BadRequest", "a request has one length, not two")
        for name in (b"host", b"content-length", b"transfer-encoding", b"authorization"):
            if names.count(name) > 1:
                raise Refused(400, "BadRequest", f"{name.decode()} stands there twice")
        said = dict(headers)
        host = _host_of(said.get(b"host", b""))
        if host is None or not self._is_ours(host):
            raise Refused(
                421,
                "WrongHost",
                "this is no name of this server: use its address, or name it with --allow-host",
            )
        if scope["method"] not in SAFE:
            _check_origin(said)

    def _is_ours(self, host: str) -> bool:
        if host in self._hosts:
            return True
        # An address cannot be made to mean another machine, as a name can.
        return self._any_address and _address(host) is not None

    def _limit(self, scope: Scope) -> int:
        content = dict(scope["headers"]).get(b"content-type", b"")
        upload = scope["path"] in UPLOADS and content.lower().startswith(b"multipart/form-data")
        most = MOST_UPLOAD if upload else MOST_BODY
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit():
            raise Refused(400, "BadRequest", "the length of the request is no number")
        if int(length) > most:
            raise _too_large(most)
        return most

    def _note(self, scope: Scope, status: int, sent: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        # Anybody may make up methods, each of which would be kept.
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._served.metrics.requests.labels(method, route, str(status)).inc()
        self._served.metrics.seconds.labels(route).observe(seconds)
        state = scope.get("state", {})
        client = scope.get("client")
        words = {
            "client": client[0] if client else None,
            "who": state.get("who"),
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "bytes": sent,
            "ms": round(seconds * 1000, 1),
            "query": state.get("query"),
        }
        log.info("request", extra={"words": {k: v for k, v in words.items() if v is not None}})


class _Body:
    """A request's body, up to ``most`` bytes, within ``BODY_SECONDS``."""

    def __init__(self, receive: Receive) -> None:
        self._receive, self.most = receive, MOST_BODY
        self._read, self._whole = 0, False
        self._until = time.monotonic() + BODY_SECONDS

    async def receive(self) -> Message:
        if self._whole:  # what comes now is that the client left
            return await self._receive()
        try:
            left = max(self._until - time.monotonic(), 0.0)
            message = await asyncio.wait_for(self._receive(), left)
        except TimeoutError as error:
            raise Refused(408, "TooSlow", "the request took too long to come in") from error
        self._whole = message["type"] == "http.disconnect" or not message.get("more_body", False)
        self._read += len(message.get("body", b""))
        if self._read > self.most:
            raise _too_large(self.most)
        return message

    async def drain(self) -> None:
        """Read what still comes, for a while, in vain."""
        self.most = DRAINED_BYTES
        self._until = time.monotonic() + DRAINED_SECONDS
        with suppress(Refused):
            while not self._whole:
                await self.receive()


class LogLines(logging.Formatter):
    """A log's records as lines for people, or as JSON objects for machines."""

    def __init__(self, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        words = getattr(record, "words", {})
        said = record.getMessage()
        trace = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        if self._as_json:
            line = {"at": at, "level": record.levelname.lower(), "event": said + trace, **words}
            return json.dumps(line)
        told = " ".join(f"{name}={_in_line(str(value))}" for name, value in words.items())
        # Of a traceback too nothing begins as a record does.
        return f"{at} {told or _in_line(said)}{printable(trace).translate(_INDENTED)}"


def _in_line(text: str) -> str:
    """A line stays a line, whatever somebody asked for."""
    return printable(text).translate(_BREAKS)


def known_hosts(host: str, allowed: Iterable[str]) -> frozenset[str]:
    """The names that this server goes by."""
    ours = {"localhost", "127.0.0.1", "[::1]", *(name.lower().rstrip(".") for name in allowed)}
    if is_loopback(host):
        return frozenset(ours)
    machine = {socket.gethostname().lower(), socket.getfqdn().lower()}
    return frozenset({*ours, *machine, _written(host)})


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine reach it there."""
    address = _address(_written(host))
    return host == "localhost" if address is None else address.is_loopback


def _written(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host.lower()


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _host_of(said: bytes) -> str | None:
    """The host of a header, without its port."""
    found = _HOST.fullmatch(said.decode("latin-1"))
    return found[1].lower().rstrip(".") if found else None


def _check_origin(headers: dict[bytes, bytes]) -> None:
    """Browsers say which site a request comes from: no other one is to send any."""
    origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site", b"none")
    foreign = site not in (b"none", b"same-origin")
    if origin is not None and not foreign:
        try:
            theirs = urlsplit(origin.decode("latin-1")).netloc.lower()
        except ValueError:
            theirs = ""
        foreign = theirs.encode("latin-1") != headers[b"host"].lower()
    if foreign:
        raise Refused(403, "ForeignOrigin", "another site's page may not ask for this")


def _too_large(most: int) -> Refused:
    return Refused(413, "TooLarge", f"a request of this kind has at most {most} bytes")
