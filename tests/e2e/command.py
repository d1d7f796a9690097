"""Run the real command in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.forked import fork_server

Argument = str | bytes | Path

COMMAND = (sys.executable, "-m", "vsr_edge")
# Shells start background jobs with SIGINT ignored, and so would be all that they start.
INTERRUPTIBLE = (
    sys.executable,
    "-c",
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from vsr_edge.cli.app import main; main()",
)
TIMEOUT = 240


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """stdout, which must be one JSON document and nothing else."""
        return json.loads(self.out)


def run(
    *arguments: Argument,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    under: tuple[str, ...] = (),
) -> Ended:
    """Run the command, perhaps ``under`` another one, to its end.

    It may fail, but never with a traceback.
    """
    variables = os.environ | (environment or {})
    server = None if under else fork_server()
    if server is not None and server.takes(variables):
        words = [os.fsdecode(argument) for argument in arguments]
        ended = server.run(words, cwd or Path.cwd(), variables, TIMEOUT)
    else:
        ended = subprocess.run(
            [*under, *COMMAND, *arguments],
            cwd=cwd,
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
    return _ended(ended.returncode, ended.stdout, ended.stderr)


def succeed(*arguments: Argument, **how: Any) -> Ended:
    """Run the command, which must exit with 0."""
    ended = run(*arguments, **how)
    assert ended.code == 0, ended
    return ended


@contextmanager
def running(
    *arguments: Argument, command: tuple[str, ...] = COMMAND
) -> Iterator[subprocess.Popen[bytes]]:
    """Start the command, and kill it at the end if it still runs."""
    with subprocess.Popen(
        [*command, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def finish(process: subprocess.Popen[bytes]) -> Ended:
    """Wait for a started command."""
    out, err = process.communicate(timeout=TIMEOUT)
    return _ended(process.returncode, out, err)


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Poll until the condition holds; the process must not end before."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert process.poll() is None, finish(process)
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.005)


def stopped_midway(process: subprocess.Popen[bytes], done: Callable[[], int], total: int) -> bool:
    """Make it stand still once the first of ``total`` videos is done (POSIX).

    False if this came too late to leave it more than one: then start another.
    """
    while not done():
        if process.poll() is not None:
            return False
        time.sleep(0.005)
    process.send_signal(signal.SIGSTOP)
    return process.poll() is None and done() < total - 1


def _ended(code: int, out: bytes, err: bytes) -> Ended:
    ended = Ended(code, out.decode("utf-8"), err.decode("utf-8"))
    assert "Traceback" not in ended.err, ended.err
    assert "Exception ignored" not in ended.err, ended.err
    return ended
