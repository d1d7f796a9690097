"""Run a command on a pseudo-terminal that answers as a terminal does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from tests.e2e.command import TIMEOUT

# The command runs where stdin is its terminal. Python that runs between fork and exec (preexec_fn)
# waits for ever where another thread of the tests imports something just then.
_AT_HOME = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
# What would tell the tester's own terminal.
_TELLING = ("TMUX", "TERM_PROGRAM", "LC_TERMINAL", "KITTY_WINDOW_ID", "KONSOLE_VERSION")


def in_terminal(
    command: Sequence[str], environment: Mapping[str, str], *, answer: bytes = b""
) -> tuple[str, str]:
    """What a command shows on a terminal, which gives this answer when it is asked what it is; and
    what it says on stderr.
    """
    import pty

    ours, theirs = pty.openpty()
    clean = {name: value for name, value in os.environ.items() if name not in _TELLING}
    with subprocess.Popen(
        [sys.executable, "-c", _AT_HOME, *command],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        env={**clean, "TERM": "xterm", **environment},
        start_new_session=True,
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 65536):
                shown += chunk
                if answer and b"\x1b[c" in chunk:
                    os.write(ours, answer)
        except OSError:
            pass  # how Linux says that the other end is closed
        assert process.stderr is not None
        said = process.stderr.read().decode("utf-8")
        process.wait(TIMEOUT)
    os.close(ours)
    assert process.returncode in (0, 3), said
    return shown.decode("utf-8"), said
