"""What every command does around its work: answers, messages, progress, and errors as exit codes.

The only place where an error becomes an exit code, and a JSON document where JSON was asked for.
Answers go to stdout, everything said about them to stderr, so that either can be piped.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from vsr_edge.errors import UsageError, VsrEdgeError, printable, wanted_memory

if TYPE_CHECKING:
    from rich.progress import Progress

    from vsr_edge.archive import Archive
    from vsr_edge.document_parts import Document
    from vsr_edge.ingest.summary import Progress as IngestProgress

EXIT_ERROR, EXIT_USAGE, EXIT_NOTHING, EXIT_INTERRUPTED = 1, 2, 3, 130
NAME_WIDTH = 28

# `--json`, or its letter among others that take no value.
_JSON_OPTION = re.compile(r"--json|-[a-z]*j[a-z]*")
# Has stdout its JSON document? It never gets a second one.
_answered = False


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
        _answer_error("Aborted", "aborted: nothing was done", code)
    except Exception as error:
        # Click's class, or that of the copy that newer versions of typer bring: told by its method.
        if not hasattr(error, "format_message"):
            raise
        from typer.rich_utils import rich_format_error

        rich_format_error(error)  # type: ignore[arg-type]
        code = getattr(error, "exit_code", EXIT_USAGE)
        kind = "UsageError" if code == EXIT_USAGE else type(error).__name__
        _answer_error(kind, error.format_message(), code)
    sys.exit(code or 0)


@contextmanager
def opened_archive(folder: Path | str | None, **settings: Any) -> Iterator[Archive]:
    """An archive for one command, which passes on what it had to repair."""
    from vsr_edge.archive import Archive
    from vsr_edge.config import load_settings

    with Archive(load_settings({"archive": folder, **settings})) as archive:
        try:
            yield archive
        finally:
            for notice in archive.notices:
                say(notice)


@contextmanager
def errors_as_exit_codes() -> Iterator[None]:
    """What was expected to go wrong becomes a sentence and an exit code."""
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except UsageError as error:
        _fail(error, EXIT_USAGE)
    except VsrEdgeError as error:
        _fail(error, EXIT_ERROR)
    except BrokenPipeError:
        # The reader of our output left (`| head`): no error, but nothing may be flushed to it any
        # more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit from None
    except OSError as error:
        # What the machine refuses (a permission, a disk) is no defect that a traceback would mend.
        _fail(error, EXIT_ERROR)
    except Exception as error:
        if not wanted_memory(error):
            raise
        # Ours say what for.
        said = str(error) if isinstance(error, MemoryError) else ""
        _fail(MemoryError(said or f"there is not enough memory ({error})"), EXIT_ERROR)
    except KeyboardInterrupt as error:
        _fail(error, EXIT_INTERRUPTED)


# What a signal raises amid a call of PyAV back into Python is swallowed there: whoever is told of
# progress looks here too.
_told_to_end = Event()


@contextmanager
def terminate_like_ctrl_c() -> Iterator[None]:
    """A service manager's SIGTERM ends an indexing run as tidily as Ctrl-C."""

    def interrupt(*_: object) -> NoReturn:
        _told_to_end.set()
        raise KeyboardInterrupt

    _told_to_end.clear()
    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, interrupt)}
    # Shells start background jobs with SIGINT ignored, and so it stays.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        before[signal.SIGINT] = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_if_told() -> None:
    if _told_to_end.is_set():
        _told_to_end.clear()
        raise KeyboardInterrupt


def say(message: str) -> None:
    """One line on stderr."""
    typer.echo(printable(message), err=True)


def answer(
    as_json: bool,
    document: Callable[[Any], Document],
    show: Callable[[], object] | None = None,
) -> None:
    """The one answer of a command, on stdout: a JSON document, or what ``show`` prints.

    ``document`` makes it of the module :mod:`vsr_edge.documents`, which is imported only if it is
    asked for. File names that are no UTF-8 keep their bytes as escapes.
    """
    global _answered
    if as_json:
        from vsr_edge import documents

        text = json.dumps(document(documents).model_dump(by_alias=True), indent=2)
        _answered = True
        sys.stdout.write(text + "\n")
        # Now, and not when Python exits, is the time to learn that the reader has left.
        sys.stdout.flush()
    elif show is not None:
        show()


def answer_line(document: Callable[[Any], Document]) -> None:
    """One of many answers: a JSON document on a line of its own, at once."""
    global _answered
    from vsr_edge import documents

    text = json.dumps(document(documents).model_dump(by_alias=True))
    _answered = True
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _fail(error: BaseException, code: int) -> NoReturn:
    message = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
    say(f"error: {message}")
    _answer_error(type(error).__name__, message, code)
    raise typer.Exit(code)


def _answer_error(kind: str, message: str, code: int) -> None:
    """The error as the one document on stdout, if that is to be JSON and has none yet.

    The arguments are asked, for they may be what could not be understood.
    """
    given = sys.argv[1:]
    options = given[: given.index("--")] if "--" in given else given
    if _answered or not any(_JSON_OPTION.fullmatch(option) for option in options):
        return
    with suppress(OSError):  # stdout may be what failed; the message is on stderr
        answer(True, lambda of: of.ErrorDocument(kind=kind, message=message, exit_code=code))


@contextmanager
def indexing_progress() -> Iterator[Callable[[IngestProgress], None]]:
    """Files, rate, real-time factor and time left of an indexing run; yields what ingest calls."""
    from rich.markup import escape

    with _progress(
        "{task.fields[files]}", "{task.fields[rate]}", "[dim]{task.fields[name]}"
    ) as bar:
        task = bar.add_task("index", total=None, files="", rate="", name="")

        def report(now: IngestProgress) -> None:
            _end_if_told()
            elapsed = max(now.elapsed, 1e-3)
            bar.update(
                task,
                total=max(now.total_bytes, 1),
                completed=now.done_bytes,
                files=f"{now.done_files}/{now.total_files} files",
                rate=f"{now.frames / elapsed:.0f} frames/s, {now.media_seconds / elapsed:.0f}×",
                name=escape(printable(now.path.name)[:NAME_WIDTH]),
            )

        yield report


@contextmanager
def counting_progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """How many of how many, and the time left; yields what takes (done, total)."""
    with _progress(f"{what} {{task.completed}}/{{task.total}}") as bar:
        task = bar.add_task(what, total=None)

        def report(done: int, total: int) -> None:
            _end_if_told()
            bar.update(task, completed=done, total=total)

        yield report


def _progress(before: str, rate: str | None = None, after: str | None = None) -> Progress:
    """A bar on stderr, where that is a terminal, between texts that its tasks fill in."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    columns = [
        TextColumn(before),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:3.0f} %"),
        *([] if rate is None else [TextColumn(rate)]),
        TimeRemainingColumn(compact=True),
        *([] if after is None else [TextColumn(after)]),
    ]
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
