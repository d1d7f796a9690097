"""`search --queries`: a line in, a line out."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from vsr_edge.cli.console import EXIT_ERROR, EXIT_NOTHING, answer_line, counting_progress, say
from vsr_edge.cli.query_options import QueryOptions
from vsr_edge.errors import UsageError

if TYPE_CHECKING:
    from vsr_edge.archive import Archive
    from vsr_edge.cli.output_options import OutputOptions
    from vsr_edge.document_parts import Document
    from vsr_edge.hits.many import Answer
    from vsr_edge.query import SearchOptions

_STDIN = Path("-")


def answer_queries(
    archive: Archive,
    words: Iterable[str] | None,
    given: QueryOptions,
    options: SearchOptions,
    output: OutputOptions,
) -> NoReturn:
    """Answer each line with a document, in order, and exit.

    A line that is wrong is named and answered with an error document. The exit code is 1 if there
    was one, 3 if nothing was found for any.
    """
    others = (given.like, given.weight, given.against, given.good, given.bad, given.remember)
    if words or any(one is not None for one in others):
        raise UsageError("--queries brings its own: say sentence, like and not in its lines")
    if output.asked_for():
        raise UsageError("--queries answers in JSON alone: leave out pages, lists and receipts")
    from vsr_edge.hits.many import ask_many

    assert given.queries is not None
    asked = wrong = found = 0
    with ExitStack() as stack:
        lines: Iterable[str]
        count: int | None = None
        if given.queries == _STDIN:
            lines = _stdin()
        else:
            lines = _lines(given.queries)
            count = sum(1 for line in lines if line.strip())
        report = None if count is None else stack.enter_context(counting_progress("queries"))
        for one in ask_many(archive, lines, options):
            asked += 1
            answer_line(partial(_document, one, archive, output.turns))
            if one.error is not None:
                wrong += 1
                say(f"line {one.line}: {one.error}")
            elif one.found is not None:
                found += bool(one.found.moments) and one.found.verdict.decision != "no_match"
            if report is not None and count is not None:
                report(asked, count)
    say(f"{asked} queries: something was found for {found}" + (f", {wrong} wrong" * bool(wrong)))
    raise typer.Exit(EXIT_ERROR if wrong else 0 if found else EXIT_NOTHING)


def _document(one: Answer, archive: Archive, trace: bool, of: Any) -> Document:
    if one.error is not None:
        kind, message = type(one.error).__name__, str(one.error)
        said: Document = of.ErrorDocument(
            kind=kind, message=message, exit_code=EXIT_ERROR, id=one.id
        )
    else:
        said = of.SearchDocument.of(one.found, archive, trace=trace, id=one.id)
    return said


def _lines(file: Path) -> list[str]:
    try:
        # A line that is no UTF-8 is wrong by itself: it reads as what no sentence may hold.
        return file.read_text("utf-8-sig", errors="surrogateescape").split("\n")
    except OSError as error:
        raise UsageError(f"{file} cannot be read ({error.strerror})") from error


def _stdin() -> Iterator[str]:
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")
    yield from sys.stdin
