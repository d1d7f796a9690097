"""What every command does around its work: messages, signals, and errors as exit codes.

The only place where an error becomes an exit code, and a JSON document where JSON was asked for.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from vsr_edge.errors import UsageError, VsrEdgeError, printable, wanted_memory

if TYPE_CHECKING:
    from vsr_edge.archive import Archive

EXIT_ERROR, EXIT_USAGE, EXIT_NOTHING, EXIT_INTERRUPTED = 1, 2, 3, 130

# `--json`, or its letter among others that take no value.
_JSON_OPTION = re.compile(r"--json|-[a-z]*j[a-z]*")


def run(app: typer.Typer) -> NoReturn:
    """Run the command line and exit. What typer itself has to say of the arguments is an error like
    any other.
    """
    try:
        code = app(prog_name="vsr-edge", standalone_mode=False)
    except typer.Abort as aborted:
        interrupted = isinstance(aborted.__cause__, KeyboardInterrupt)
        code = EXIT_INTERRUPTED if interrupted else EXIT_ERROR
        say("interrupted" if interrupted else "aborted: nothing was done")
        _print_error("Aborted", "aborted: nothing was done", code)
    except Exception as error:
        # Click's class, or that of the copy that newer versions of typer bring: told by its method.
        if not hasattr(error, "format_message"):
            raise
        from typer.rich_utils import rich_format_error

        rich_format_error(error)  # type: ignore[arg-type]
        code = getattr(error, "exit_code", EXIT_USAGE)
        kind = "UsageError" if code == EXIT_USAGE else type(error).__name__
        _print_error(kind, error.format_message(), code)
    sys.exit(code or 0)


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
    except (typer.Exit, typer.Abort):
        raise
    except UsageError as error:
        fail(error, EXIT_USAGE)
    except VsrEdgeError as error:
        fail(error, EXIT_ERROR)
    except BrokenPipeError:
        # The reader of our output left (`| head`): no error, but nothing may be flushed to it any
        # more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit from None
    except OSError as error:
        # What the machine refuses (a permission, a disk) is no defect that a traceback would mend.
        fail(error, EXIT_ERROR)
    except Exception as error:
        if not wanted_memory(error):
            raise
        # Ours say what for.
        said = str(error) if isinstance(error, MemoryError) else ""
        fail(MemoryError(said or f"there is not enough memory ({error})"), EXIT_ERROR)
    except KeyboardInterrupt as error:
        fail(error, EXIT_INTERRUPTED)


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
    typer.echo(printable(message), err=True)


def fail(error: BaseException, code: int) -> NoReturn:
    message = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
    say(f"error: {message}")
    _print_error(type(error).__name__, message, code)
    raise typer.Exit(code)


def json_asked() -> bool:
    """Do the arguments ask for JSON? Also known where they cannot be understood otherwise."""
    given = sys.argv[1:]
    options = given[: given.index("--")] if "--" in given else given
    return any(_JSON_OPTION.fullmatch(option) for option in options)


def _print_error(kind: str, message: str, code: int) -> None:
    """The error as the one document on stdout, if that is to be JSON and has none yet."""
    from vsr_edge.cli import output

    if not json_asked() or output.printed:
        return
    from vsr_edge.documents import ErrorDocument

    with suppress(OSError):  # stdout may be what failed; the message is on stderr
        output.print_json(ErrorDocument(kind=kind, message=message, exit_code=code))
