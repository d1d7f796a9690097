"""The command `migrate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vsr_edge.cli.console import answer, counting_progress, say, terminate_like_ctrl_c
from vsr_edge.cli.options import JsonOption, argument, option

if TYPE_CHECKING:
    from vsr_edge.backup.migrate import Migration


def migrate(
    source: Annotated[
        str, argument("Folder of the archive, or postgresql://…", metavar="SOURCE", readable=False)
    ],
    target: Annotated[
        str,
        argument(
            "Folder or address where it is to go: one that holds no archive.",
            metavar="TARGET",
            readable=False,
        ),
    ],
    *,
    restart: Annotated[
        bool, option("Throw away what an unfinished migration has left there.", "--restart")
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Copy an archive from a folder to a PostgreSQL server, or back, under the numbers it has.

    The copy becomes an archive when all of it was read again and has the checksums of the rows that
    were copied. Interrupted, the same command goes on where it was. The archive that is copied
    stays as it is: search it meanwhile, but nobody may write it.

    Example: [bold]vsr-edge migrate ./archive postgresql://me@db.example/footage[/bold]
    """
    from vsr_edge.backup.migrate import migrate as move
    from vsr_edge.config import load_settings

    settings = [load_settings({"archive": place}) for place in (source, target)]
    sealed = False

    def tell() -> None:
        nonlocal sealed
        sealed = True
        say(f"{settings[1].place}: all rows are there and checked; making what searching goes by")

    try:
        with (
            terminate_like_ctrl_c(),
            counting_progress("rows copied and checked") as progress,
        ):
            done = move(*settings, restart=restart, on_progress=progress, on_sealed=tell)
    except KeyboardInterrupt:
        if not sealed:
            say(f"{settings[1].place}: not finished; the same command goes on where it was")
        raise
    answer(json_output, lambda of: _document(of, done), lambda: _show(done))
    for name in done.left:
        say(f"{name} did not come along: another one lies there")
    for notice in done.notices:
        say(notice)
    videos = done.checksums.rows("videos")
    if done.there:
        say(f"{done.target} holds these rows already: {videos} videos")
    else:
        known = f", of which {done.passed_over} were there" if done.passed_over else ""
        say(
            f"{done.target}: {videos} videos{known}; {done.source} is as it was, and what was "
            "to be indexed or watched into it goes to the new one by --archive"
        )


def _document(of: Any, done: Migration) -> Any:
    return of.MigrationDocument(
        source=done.source,
        target=done.target,
        bundle_id=done.head.bundle_id,
        copied=done.copied,
        passed_over=done.passed_over,
        there=done.there,
        checksums={
            kind: {"rows": done.checksums.rows(kind), "checksum": done.checksums.checksum(kind)}
            for kind in _kinds()
        },
        beside=list(done.beside),
        left=list(done.left),
        notices=list(done.notices),
    )


def _show(done: Migration) -> None:
    for kind in _kinds():
        checksums = done.checksums
        typer.echo(f"{kind:8}{checksums.rows(kind):>12,} rows  {checksums.checksum(kind)}")


def _kinds() -> tuple[str, ...]:
    from vsr_edge.backup.migrate import KINDS_COUNTED

    return KINDS_COUNTED
