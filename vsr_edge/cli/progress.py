"""Progress bars on stderr, where that is a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from vsr_edge.cli.output import messages
from vsr_edge.errors import printable

if TYPE_CHECKING:
    from vsr_edge.ingest.run import Progress as IngestProgress

NAME_WIDTH = 28


@contextmanager
def indexing_progress() -> Iterator[Callable[[IngestProgress], None]]:
    """Files, rate, real-time factor and time left of an indexing run; yields what ingest calls."""
    columns = (
        TextColumn("{task.fields[files]}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:3.0f} %"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[name]}", style="dim"),
    )
    with Progress(
        *columns, console=messages, transient=True, disable=not messages.is_terminal
    ) as bar:
        task = bar.add_task("index", total=None, files="", rate="", name="")

        def report(now: IngestProgress) -> None:
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
    columns = (
        TextColumn(f"{what} {{task.completed}}/{{task.total}}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:3.0f} %"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(
        *columns, console=messages, transient=True, disable=not messages.is_terminal
    ) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
