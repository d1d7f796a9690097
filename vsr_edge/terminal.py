"""What every command does around its work: messages, signals, and errors as exit codes.

The only place where an error becomes an exit code.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from vsr_edge.errors import UsageError, VsrEdgeError

if TYPE_CHECKING:
    from vsr_edge.archive import Archive

EXIT_ERROR, EXIT_USAGE, EXIT_NOTHING, EXIT_INTERRUPTED = 1, 2, 3, 130


@contextmanager
def open_for_command(folder: Path | None, **options: Any) -> Iterator[Archive]:
    """Open an archive for one command, and pass on what it had to repair."""
    from vsr_edge.archive import Archive
    from vsr_edge.config import load_settings

    with errors_as_exit_codes(), Archive(load_settings({"archive": folder, **options})) as opened:
        try:
            yield opened
        finally:
            for notice in opened.notices:
                say(notice)


@contextmanager
def errors_as_exit_codes() -> Iterator[None]:
    """What was expected to go wrong becomes a sentence and an exit code."""
    try:
        yield
    except UsageError as error:
        fail(str(error), EXIT_USAGE)
    except VsrEdgeError as error:
        fail(str(error), EXIT_ERROR)
    except BrokenPipeError:
        # The reader of our output left (`| head`): no error, but nothing may be flushed to it any
        # more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit from None
    except OSError as error:
        # What the machine refuses (a permission, a disk) is no defect that a traceback would mend.
        fail(str(error), EXIT_ERROR)
    except KeyboardInterrupt:
        fail("interrupted", EXIT_INTERRUPTED)


@contextmanager
def terminate_like_ctrl_c() -> Iterator[None]:
    """A service manager's SIGTERM ends an indexing run as tidily as Ctrl-C."""

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def say(message: str) -> None:
    from vsr_edge.output import printable

    typer.echo(printable(message), err=True)


def fail(message: str, code: int) -> NoReturn:
    say(f"error: {message}")
    raise typer.Exit(code)
