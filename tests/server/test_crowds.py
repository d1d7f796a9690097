"""Ten thousand at the door, and thousands who come and go: the server is as it was before."""

from __future__ import annotations

import http.client
import json
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.server.client import TIMEOUT, Site
from tests.server.test_process import command

resource = pytest.importorskip("resource")
if not Path("/proc/self/fd").is_dir():
    pytest.skip("/proc says what a process holds", allow_module_level=True)

MANY = 10_000
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


def files(process: Process) -> int:
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


def threads(process: Process) -> int:
    return len(list(Path(f"/proc/{process.pid}/task").iterdir()))


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
    with (
        closing(http.client.HTTPConnection("127.0.0.1", site.port, timeout=TIMEOUT)) as early,
        subprocess.Popen(crowd, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as coming,
    ):
        assert coming.stdin is not None
        assert coming.stdout is not None
        over = False
        while not over:  # who was there before is served all the while, and then
            over = bool(select.select([coming.stdout], [], [], 0.05)[0])
            early.request("GET", "/healthz")
            answer = early.getresponse()
            assert (answer.status, json.loads(answer.read())["ok"]) == (200, True)
        found: dict[str, Any] = json.loads(coming.stdout.readline())
        coming.stdin.close()
    assert found.pop("unanswered") == 0, found
    assert set(found) == {"200", "503", "closed"}
    assert sum(found.values()) == MANY
    while files(process) > before:
        pass
    assert site.search(query="a bicycle", one_shot=True).document["moments"]
