"""The command that changes an archive over to another bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vsr_edge.cli.options import (
    ArchiveOption,
    BundleOption,
    HwaccelOption,
    JsonOption,
    ProviderOption,
    ThreadsOption,
)
from vsr_edge.cli.terminal import (
    EXIT_ERROR,
    EXIT_INTERRUPTED,
    open_for_command,
    say,
    terminate_like_ctrl_c,
)

if TYPE_CHECKING:
    from vsr_edge.archive import Archive
    from vsr_edge.ingest.reindex import ReindexSummary


def reindex(
    archive: ArchiveOption = None,
    drop_missing: Annotated[
        bool,
        typer.Option(
            "--drop-missing", help="Change over without the videos that cannot be read any more."
        ),
    ] = False,
    threads: ThreadsOption = None,
    hwaccel: HwaccelOption = None,
    provider: ProviderOption = None,
    bundle: BundleOption = None,
    json_output: JsonOption = False,
) -> None:
    """Change the archive over to another bundle: encode all of its videos anew with that one.

    Searching works all along, with the former bundle until the end. Ctrl-C loses at most the
    video in progress; the same command goes on. Meanwhile the archive takes up to three times
    its room on the disk. Exit code 1 if videos are missing: then nothing has changed.

    Example: [bold]vsr-edge reindex --bundle ./my-bundle[/bold]
    """
    from vsr_edge.cli.output import print_json, print_summary
    from vsr_edge.cli.progress import indexing_progress

    if bundle is None:
        # The default may be what an unfinished run was to change from.
        raise typer.BadParameter("say which bundle to change over to", param_hint="--bundle")
    given = {"threads": threads, "hwaccel": hwaccel, "provider": provider, "bundle": bundle}
    with open_for_command(archive, **given) as opened, terminate_like_ctrl_c():
        with indexing_progress() as report:
            summary = opened.reindex(drop_missing=drop_missing, on_progress=report)
        if json_output:
            from vsr_edge.documents import ReindexDocument

            print_json(ReindexDocument.model_validate(summary))
        if not summary.up_to_date:
            print_summary(summary)
        say(_reindex_outcome(opened, summary, drop_missing))
        if summary.interrupted:
            raise typer.Exit(EXIT_INTERRUPTED)
        if summary.failed:
            raise typer.Exit(EXIT_ERROR)


def _reindex_outcome(archive: Archive, summary: ReindexSummary, drop_missing: bool) -> str:
    folder, bundle = archive.settings.archive, summary.bundle_id
    if summary.up_to_date:
        waiting = (
            ""
            if summary.waiting is None
            else f"; an unfinished re-index with {summary.waiting!r} is kept: this command with "
            "that bundle goes on"
        )
        return f"{folder} is encoded with the bundle {bundle!r} already: nothing to do{waiting}"
    if summary.switched:
        without = f", without {len(summary.dropped)} videos" if summary.dropped else ""
        return (
            f"{folder} is encoded with the bundle {bundle!r} now{without}: search and index it "
            f"with --bundle {archive.settings.bundle}"
        )
    if summary.interrupted:
        return (
            f"interrupted: {folder} is searched with the bundle {bundle!r} as before, and nothing "
            "that was finished is lost; the same command goes on from here"
        )
    return f"{folder} stays with the bundle {bundle!r}, and what was encoded is kept: " + (
        "none of its videos can be read. Mount their drive, then run the same command again"
        if drop_missing
        else "make the videos that failed readable, or index those that moved with that bundle, "
        "and run the same command again; --drop-missing goes on without them"
    )
