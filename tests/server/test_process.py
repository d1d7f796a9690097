"""The command itself: it starts, ends when told to. What a kill leaves is in test_kills.py."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.command import COMMAND
from tests.server.client import TIMEOUT, Site, read_all
from tests.server.test_searching import form

# It is in another process.
SERVED: object = None


@contextmanager
def command(
    archive: Path | str, log: Path, *more: str | Path
) -> Iterator[tuple[subprocess.Popen[bytes], Site]]:
    """`vsr-edge serve` on a free port; what it says is in ``log``."""
    with log.open("wb") as said:
        process = subprocess.Popen(
            [*COMMAND, "serve", "--archive", archive, "--port", "0", "--log-json", *more],
            stderr=said,
        )
    try:
        while (found := re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text("utf-8"))) is None:
            assert process.poll() is None, log.read_text("utf-8")
            time.sleep(0.05)
        yield process, Site(SERVED, int(found[1]))  # type: ignore[arg-type]
    finally:
        process.kill()
        process.wait(TIMEOUT)


def test_told_to_end_it_answers_what_it_was_asked(own_archive: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with command(own_archive, log) as (process, site), site.connected() as asking:
        assert site.get("/readyz").document["ok"]
        body = json.dumps({"query": "an elephant in a river", "candidates": 2}).encode()
        head = "Host: localhost\r\nContent-Type: application/json\r\nAccept: text/event-stream"
        length = f"Content-Length: {len(body)}"
        asking.sendall(f"POST /v1/search HTTP/1.1\r\n{head}\r\n{length}\r\n\r\n".encode() + body)
        said = asking.recv(65536)  # it is being answered
        process.send_signal(signal.SIGTERM)
        assert b"event: answer" in said + read_all(asking)
        assert process.wait(TIMEOUT) == 0
        logged = log.read_text("utf-8")
        assert "told to end" in logged
        assert "Traceback" not in logged
        lines = [json.loads(line) for line in logged.splitlines() if line.startswith("{")]
        assert {"/readyz", "/v1/search"} <= {line["path"] for line in lines}


def test_what_is_logged_for_machines_is_json_alone(own_archive: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with command(own_archive, log) as (process, site):
        body, content = form(b"no picture")
        # Which of them the library warns of depends on its version.
        for odd in (body + b"junk", b"--xjunk", b"--x\r\n: b\r\n\r\n"):
            answer = site.post("/v1/search", odd, Content_Type=content)
            assert answer.status in (400, 415, 422), answer.body
        assert site.get("/healthz").status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) == 0
    told = log.read_text("utf-8")
    first = told.index('{"at"')
    lines = [json.loads(line) for line in told[first:].splitlines() if "told to end" not in line]
    assert [line["path"] for line in lines] == ["/v1/search"] * 3 + ["/healthz"]
