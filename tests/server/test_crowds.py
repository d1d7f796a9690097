"""Ten thousand at the door, and thousands who come and go: the server is as it was before."""

from __future__ import annotations

import http.client
import itertools
import json
import select
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.server.client import TIMEOUT, Site
from tests.server.conftest import NASTY
from tests.server.test_process import command

resource = pytest.importorskip("resource")
if not Path("/proc/self/fd").is_dir():
    pytest.skip("/proc says what a process holds", allow_module_level=True)

MANY, CLIENTS = 10_000, 8
Process = subprocess.Popen[bytes]


@pytest.fixture(scope="module")
def running(
    served_archive: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Process, Site]]:
    """A server in a process of its own, with as many files as a service manager allows at first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, soft), hard))
    log = tmp_path_factory.mktemp("crowds") / "log"
    try:
        with command(served_archive, log, "--workers", "2", "--queue", "64") as (process, site):
            yield process, site
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    said = log.read_text("utf-8")
    assert "Traceback" not in said
    assert "resource" not in said  # as asyncio says of too many open files


def files(process: Process) -> Counter[str]:
    """What a process has open, by its kind."""
    found: Counter[str] = Counter()
    for one in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            found[one.readlink().name.partition(":")[0]] += 1
    return found


def threads(process: Process) -> Counter[str]:
    """Its threads, by their name; those of a decoder have the name of that."""
    found: Counter[str] = Counter()
    for one in Path(f"/proc/{process.pid}/task").iterdir():
        with suppress(OSError):
            found[(one / "comm").read_text("ascii").partition(":")[0].strip()] += 1
    return found


def test_ten_thousand_connections_are_refused_politely(running: tuple[Process, Site]) -> None:
    process, site = running
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < MANY + 100:
        pytest.skip(f"one process may open {hard} files")
    before = files(process)
    # The limit is that of this process, raised for its child alone.
    raised = f"import resource as r; r.setrlimit(r.RLIMIT_NOFILE, ({MANY + 100}, {hard}))"
    code = f"{raised}; import runpy; runpy.run_module('tests.server.crowd', run_name='__main__')"
    crowd = [sys.executable, "-c", code, str(site.port), str(MANY)]
    with ExitStack() as stack:
        early = http.client.HTTPConnection("127.0.0.1", site.port, timeout=TIMEOUT)
        stack.enter_context(closing(early))

        def is_served() -> bool:
            early.request("GET", "/healthz")
            answer = early.getresponse()
            return (answer.status, json.loads(answer.read()).get("ok")) == (200, True)

        assert is_served()
        coming = stack.enter_context(
            subprocess.Popen(crowd, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        )
        assert coming.stdin is not None
        assert coming.stdout is not None
        over = False
        while not over:  # who was there before is served all the while, and then
            over = bool(select.select([coming.stdout], [], [], 0.05)[0])
            assert is_served()
        found: dict[str, Any] = json.loads(coming.stdout.readline())
        coming.stdin.close()
    assert found.pop("unanswered") == 0, found
    assert set(found) == {"200", "503", "closed"}
    assert sum(found.values()) == MANY
    while (files(process) - before)["socket"]:
        time.sleep(0.02)
    assert site.search(query="a bicycle", one_shot=True).document["moments"]


def broken_off(site: Site, request: bytes, *, reading: bool) -> None:
    """Ask, read a little of the answer, or nothing, and leave without a word."""
    with site.connected() as connection:
        linger = struct.pack("ii", 1, 0)  # a reset, not an end
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.sendall(request)
        if reading:
            connection.recv(1000)


def come_and_go(site: Site, count: int, ids: dict[str, int]) -> None:
    """Requests of every kind by several clients at once, every tenth broken off half way."""
    search = json.dumps({"query": "a bicycle", "one_shot": True}).encode()
    head = f"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(search)}"
    video = f"/v1/videos/{ids['numbers.mkv']}"
    transcoded = f"/v1/videos/{ids['old.avi']}/stream"
    asked = [f"{video}/frame?t=1", f"{video}/stream", transcoded, f"{video}/clip?from=0&to=4"]
    leaving = [f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() for path in asked]
    events = f"POST /v1/search HTTP/1.1\r\nAccept: text/event-stream\r\n{head}\r\n\r\n".encode()
    leaving += [events + search, events + search[:9]]
    left = itertools.count()
    whole: list[Callable[[], Any]] = [
        lambda: site.get("/healthz"),
        lambda: site.get("/v1/videos"),
        lambda: site.get("/v1/stats"),
        lambda: site.get(f"{video}/frame?t={next(left) % 6}"),
        lambda: site.get(f"/v1/videos/{ids[NASTY]}/stream", Range="bytes=0-999"),
        lambda: site.search(query="a bicycle", one_shot=True),
    ]

    def ask(number: int) -> int:
        if number % 10 == 0:
            which = number // 10 % len(leaving)
            # Of the last, half was sent: there is nothing to read.
            broken_off(site, leaving[which], reading=which % 2 == 0)
            return 0
        status: int = whole[number % len(whole)]().status
        return status

    with ThreadPoolExecutor(CLIENTS) as clients:
        assert set(clients.map(ask, range(count))) == {0, 200, 206}


def test_who_comes_and_goes_leaves_nothing_open(running: tuple[Process, Site]) -> None:
    process, site = running
    listed = site.get("/v1/videos").document["videos"]
    ids = {Path(one["video"]).name: one["id"] for one in listed}

    def idle() -> bool:
        told = [line for line in site.get("/metrics").body.decode().splitlines() if line[0] != "#"]
        inside = [line for line in told if line.startswith("vsr_edge_pool_inside")]
        return bool(inside) and all(line.endswith(" 0.0") for line in inside)

    come_and_go(site, 200, ids)
    while not idle():
        time.sleep(0.02)
    before, began = files(process), threads(process)
    come_and_go(site, 2000, ids)
    while not idle():
        time.sleep(0.02)
    # Whoever reads has a connection to the database, which is kept for the next: of two files, and
    # no more of them than may read at once.
    while (more := files(process) - before) and set(more) - {"archive.db", "archive.db-wal"}:
        time.sleep(0.02)
    assert all(count <= CLIENTS for count in more.values()), more
    while (threads(process) - began)["av"]:
        time.sleep(0.02)
    assert all(count <= CLIENTS for count in (threads(process) - began).values())
