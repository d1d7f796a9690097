"""The commands that forget videos; the files themselves are never touched."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from vsr_edge.cli.options import ArchiveOption, JsonOption
from vsr_edge.cli.terminal import open_for_command, say
from vsr_edge.errors import UsageError

# Who forgets a larger share of an archive than one in so many is asked.
ASKED_ABOVE = 5

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, however many it is.")]


def remove(
    names: Annotated[
        list[str], typer.Argument(metavar="VIDEO...", help="Paths, folders or globs.")
    ],
    archive: ArchiveOption = None,
    yes: YesOption = False,
    json_output: JsonOption = False,
) -> None:
    """Forget videos. The files themselves are not touched.

    Asks before it forgets several that are more than a fifth of the archive.

    Example: [bold]vsr-edge remove '*/2019/*'[/bold]
    """
    from vsr_edge.cli.output import print_json

    with open_for_command(archive) as opened:
        chosen = opened.select(names)
        total = opened.stats().videos
        if not yes and len(chosen) > 1 and len(chosen) * ASKED_ABOVE > total:
            _ask(len(chosen), total)
        removed = opened.remove(names)
        if json_output:
            from vsr_edge.documents import RemoveDocument

            print_json(RemoveDocument(removed=[str(stored.video.path) for stored in removed]))
    for stored in removed:
        say(f"removed {stored.video.path}")


def prune(
    archive: ArchiveOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Only say what would be forgotten.")
    ] = False,
    yes: YesOption = False,
    json_output: JsonOption = False,
) -> None:
    """Forget the videos whose files were deleted.

    Held back are those whose folder is gone or empty, as where a drive is not mounted; `remove`
    forgets them too. Asks before it forgets more than a fifth of the archive.

    Example: [bold]vsr-edge prune --dry-run[/bold]
    """
    from vsr_edge.cli.output import print_json

    with open_for_command(archive) as opened:
        done = opened.prune(dry_run=True)
        if not dry_run and done.removed:
            total = opened.stats().videos
            if not yes and len(done.removed) * ASKED_ABOVE > total:
                _ask(len(done.removed), total)
            done = opened.prune()
        if json_output:
            from vsr_edge.documents import PruneDocument

            print_json(PruneDocument.of(done))
    for stored in done.removed:
        say(f"{'would remove' if dry_run else 'removed'} {stored.video.path}")
    for held in done.held_back:
        say(
            f"held back: {held.videos} videos, for {held.folder} {held.reason}. Mount what belongs "
            "there, or forget them with `vsr-edge remove`"
        )
    if not done.removed and not done.held_back:
        say("no file is missing")


def _ask(count: int, total: int) -> None:
    """Whether so many are meant; where nobody can be asked, only --yes says so.

    Raises:
        UsageError: there is no terminal.
        Abort: they are not meant.
    """
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError(
            f"that would forget {count} of the archive's {total} videos: say --yes if it is meant"
        )
    # Not typer's own, which writes to stdout too, where a JSON document may be expected.
    typer.echo(f"Forget {count} of the archive's {total} videos? [y/N] ", nl=False, err=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise typer.Abort
