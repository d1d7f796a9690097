"""Commands that begin in milliseconds: forked by a process that has imported them already.

``python -m tests.e2e.forked`` is that process. It has started no thread and opened nothing, and
forks once for each command, which then runs ``python -m vsr_edge`` as any other process does, in a
folder, with arguments, an environment and files for its output that are its own.

What Python or a library reads as it starts can not be changed any more: whoever needs that, starts
a process. ``PLAIN_PROCESSES=1`` has all tests do so.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from threading import Lock

PROJECT = Path(__file__).parents[2]
# What nearly every command imports. Not huggingface_hub and matplotlib, which read the environment.
IMPORTED = (
    "vsr_edge.cli.app",
    "vsr_edge.archive",
    "vsr_edge.documents",
    "vsr_edge.evaluation.evaluate",
    "vsr_edge.hits.asked",
    "vsr_edge.hits.cuts",
    "vsr_edge.hits.saved",
    "vsr_edge.watch.standing",
    "rich.progress",
    "rich.table",
    "tokenizers",
    "typer.rich_utils",
    "vsr_edge.bundle.verify",
    "vsr_edge.ingest.choose",
    "vsr_edge.ingest.run",
    "vsr_edge.store.sqlite",
)
# Read when they are needed, and not when something is imported.
READ_LATE = re.compile(r"_?VSR_EDGE_\w+|XDG_\w+|PYTEST_\w+|HOME|PATH|COLUMNS|COMP_\w+")
LONGEST = 100_000  # bytes of a request, which is one packet


class ForkServer:
    """The tests' side of it."""

    def __init__(self) -> None:
        self._environment = dict(os.environ)
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.e2e.forked", str(theirs.fileno())],
                cwd=PROJECT,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        atexit.register(self.close)

    def close(self) -> None:
        self._requests.close()
        self._process.communicate()

    def takes(self, environment: Mapping[str, str]) -> bool:
        """Whether a command may have this environment, which is not that of the server."""
        names = self._environment.keys() | environment.keys()
        changed = {n for n in names if self._environment.get(n) != environment.get(n)}
        if environment.get("PYTHONPATH") == str(PROJECT):  # where the server imported from
            changed -= {"PYTHONPATH"}
        return all(READ_LATE.fullmatch(name) for name in changed)

    def run(
        self,
        arguments: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        timeout: float,
        module: str = "vsr_edge",
    ) -> subprocess.CompletedProcess[bytes]:
        """As ``subprocess.run`` of ``python -m module``, with what it wrote."""
        request = json.dumps([module, arguments, os.fspath(folder), dict(environment)]).encode()
        assert len(request) <= LONGEST
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            ours, theirs = socket.socketpair()
            with ours, ours.makefile("rb") as reply:
                with theirs:
                    files = [out.fileno(), err.fileno(), theirs.fileno()]
                    socket.send_fds(self._requests, [request], files)
                ours.settimeout(timeout)
                process = int(reply.readline())
                try:
                    code = int(reply.readline())
                except TimeoutError as error:
                    os.kill(process, signal.SIGKILL)
                    raise subprocess.TimeoutExpired(module, timeout) from error
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(arguments, code, out.read(), err.read())


_lock = Lock()


@cache
def _started() -> ForkServer:
    return ForkServer()


def fork_server() -> ForkServer | None:
    """That of this process of the tests; none where processes are not to be forked so."""
    # On macOS a process that has loaded its frameworks may not go on without an exec.
    if sys.platform != "linux" or os.environ.get("PLAIN_PROCESSES"):
        return None
    with _lock:
        return _started()


def serve(requests: socket.socket) -> tuple[bytes, list[int]]:
    """Fork for each request until the tests end. Returns it in the process that is to meet it."""
    while True:
        request, files, *_ = socket.recv_fds(requests, LONGEST, 3)
        if not request:
            os._exit(0)
        if not os.fork():
            requests.close()
            break
        for file in files:
            os.close(file)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    *output, reply = files
    if command := os.fork():
        # This one waits for the command, as the server has others to serve.
        for file in output:
            os.close(file)
        with contextlib.suppress(BrokenPipeError):
            os.write(reply, b"%d\n" % command)
            code = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
            os.write(reply, b"%d\n" % code)
        os._exit(0)
    os.close(reply)
    return request, output


def main() -> None:
    requests = socket.socket(fileno=int(sys.argv[1]))
    for name in IMPORTED:
        importlib.import_module(name)
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "a thread does not live on in a fork"
    gc.freeze()
    try:
        request, output = serve(requests)
    except KeyboardInterrupt:
        os._exit(130)
    for number, file in enumerate([os.open(os.devnull, os.O_RDONLY), *output]):
        os.dup2(file, number)
        os.close(file)
    module, arguments, folder, environment = json.loads(request)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.argv[1:] = arguments
    sys.path[0] = folder
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
