"""A hub on this machine: as much of the Hugging Face hub's protocol as its client uses to download.

It can be told to misbehave, file by file.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER_COMMIT = "f" * 40


@dataclass
class Hub:
    """Repositories, and how to serve them.

    ``dropped`` files end halfway with a closed connection, ``stalled`` ones halfway without;
    ``altered`` ones have another content than their size and the manifest say.
    """

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    revisions: dict[str, str] = field(default_factory=lambda: {"main": COMMIT, COMMIT: COMMIT})
    gated: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    dropped: set[str] = field(default_factory=set)
    stalled: set[str] = field(default_factory=set)
    altered: set[str] = field(default_factory=set)
    failing: bool = False
    served_commit: str = COMMIT
    requests: list[tuple[str, str]] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)
    halfway: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    endpoint: str = ""

    def publish(self, repository: str, folder: Path) -> None:
        self.repositories[repository] = {
            path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()
        }

    def downloaded(self) -> set[str]:
        """The files that were asked for."""
        paths = [path for method, path in self.requests if method == "GET" and "/resolve/" in path]
        return {path.rpartition("/")[2] for path in paths}


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub at ``endpoint`` on a free port of localhost."""
    hub = Hub()

    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        hub.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self) -> None:
        hub = self.hub
        hub.requests.append((self.command, self.path))
        if hub.failing:
            return self._fail(503, None)
        if "/resolve/" in self.path or self.path.startswith("/api/models/"):
            hub.tokens.add(self.headers.get("Authorization"))
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/([^/?]+)", self.path):
            return self._describe(*found.groups())
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path):
            return self._give(*found.groups())
        return self._fail(404, None)

    def _describe(self, repository: str, revision: str) -> None:
        hub = self.hub
        if repository not in hub.repositories:
            return self._fail(401, "RepoNotFound")
        if repository in hub.refused:
            return self._fail(403, None)
        if revision not in hub.revisions:
            return self._fail(404, "RevisionNotFound")
        document = {
            "id": repository,
            "sha": hub.revisions[revision],
            "siblings": [{"rfilename": name} for name in hub.repositories[repository]],
        }
        return self._send(json.dumps(document).encode(), {"Content-Type": "application/json"})

    def _give(self, repository: str, revision: str, name: str) -> None:
        hub = self.hub
        if repository in hub.gated:
            return self._fail(403, "GatedRepo")
        if revision != COMMIT or name not in hub.repositories[repository] or name in hub.lost:
            return self._fail(404, "EntryNotFound")
        content = hub.repositories[repository][name]
        etag = hashlib.sha256(content).hexdigest()
        if name in hub.altered:
            content = content[:-1] + bytes([content[-1] ^ 1])
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": hub.served_commit}
        return self._send(content, headers, whole=name not in hub.dropped | hub.stalled, name=name)

    def _fail(self, status: int, code: str | None) -> None:
        self._send(b"{}", {"X-Error-Code": code} if code else {}, status=status)

    def _send(
        self,
        content: bytes,
        headers: dict[str, str],
        *,
        status: int = 200,
        whole: bool = True,
        name: str = "",
    ) -> None:
        self.send_response(status)
        for key, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if whole:
            self.wfile.write(content)
            return
        self.wfile.write(content[: len(content) // 2])
        self.wfile.flush()
        self.hub.halfway.set()
        if name in self.hub.stalled:
            self.hub.ended.wait(60)
        self.close_connection = True
