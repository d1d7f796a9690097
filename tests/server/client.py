"""A server in this process, on a port of its own, and requests to it byte by byte."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vsr_edge import open_archive
from vsr_edge.server.served import Served, ServeOptions
from vsr_edge.server.serving import Server, _listener, prepare

TIMEOUT = 60


@dataclass(frozen=True)
class Answer:
    """A response, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str:
        return {key.lower(): value for key, value in self.headers.items()}.get(name.lower(), "")


@dataclass
class Site:
    """A server that runs, and who asks it."""

    served: Served
    port: int
    headers: dict[str, str] = field(default_factory=dict)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request; a body that is no bytes goes as JSON."""
        sent = dict(self.headers) | dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent = {"Content-Type": "application/json"} | sent
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def post(self, path: str, body: Any, **headers: str) -> Answer:
        named = {k.replace("_", "-"): v for k, v in headers.items()}
        return self.ask("POST", path, body, named)

    def search(self, **asked: Any) -> Answer:
        return self.post("/v1/search", asked)

    def raw(self, request: bytes, *, timeout: float = TIMEOUT) -> bytes:
        """Bytes as they are, and all that comes back until the server hangs up."""
        with self.connected(timeout) as connection:
            connection.sendall(request)
            return read_all(connection)

    @contextmanager
    def connected(self, timeout: float = TIMEOUT) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as connection:
            yield connection


def read_all(connection: socket.socket) -> bytes:
    found = b""
    try:
        while some := connection.recv(65536):
            found += some
    except ConnectionResetError:
        pass
    return found


@contextmanager
def serving(folder: Path | str, **options: Any) -> Iterator[Site]:
    """A server of an archive, as the command starts it but for its process."""
    with open_archive(folder, threads=1) as archive:
        served = prepare(archive, ServeOptions(**{"port": 0, "workers": 2} | options))
        listener = _listener(served.options)
        up = threading.Event()
        server = Server(served, up.set, lambda: None)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            assert up.wait(TIMEOUT)
            yield Site(served, listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(TIMEOUT)
            listener.close()
        assert not thread.is_alive()
