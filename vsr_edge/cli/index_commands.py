"""The commands that change what is indexed: `index`, `reindex`, `remove` and `prune`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vsr_edge.cli.console import (
    EXIT_ERROR,
    EXIT_INTERRUPTED,
    EXIT_NOTHING,
    answer,
    indexing_progress,
    opened_archive,
    say,
    terminate_like_ctrl_c,
)
from vsr_edge.cli.filter_options import FilterOptions, complete_tags, complete_videos
from vsr_edge.cli.options import (
    AllRegionsOption,
    ArchiveOption,
    DecodingOptions,
    ExecutorOptions,
    JsonOption,
    RegionsOption,
    argument,
    option,
)
from vsr_edge.cli.recorded_cells import nothing_in
from vsr_edge.cli.text_options import ListenOptions
from vsr_edge.errors import UsageError

if TYPE_CHECKING:
    from vsr_edge.archive import Archive
    from vsr_edge.ingest.reindex import ReindexSummary
    from vsr_edge.ingest.summary import IngestSummary
    from vsr_edge.watch.retain import Retention

SHOWN_KINDS = 8
# Who forgets a larger share of an archive than one in so many is asked.
ASKED_ABOVE = 5

RetainOption = Annotated[
    str | None,
    option(
        "Forget, of these paths, what was recorded longer ago, as 30d; no file is touched.",
        metavar="TIME",
    ),
]
YesOption = Annotated[bool, option("Do not ask, however many it is.", "--yes", "-y")]


def index(
    paths: Annotated[
        list[Path],
        argument("Videos, and folders to search for videos.", readable=False),
    ],
    *,
    archive: ArchiveOption = None,
    fps: Annotated[
        float | None, option("Frames read per second of footage. \\[default: 1]")
    ] = None,
    granularity: Annotated[
        str | None,
        option("What is searched for: frame, clip, scene or video. \\[default: frame]"),
    ] = None,
    clip_seconds: Annotated[
        float | None, option("Length of a clip, of that granularity. \\[default: 4]")
    ] = None,
    clip_stride: Annotated[
        float | None, option("From one clip's start to the next. \\[default: 2]")
    ] = None,
    include: Annotated[
        list[str] | None, option("Glob; only matching files of a folder. Repeatable.")
    ] = None,
    exclude: Annotated[
        list[str] | None, option("Glob of files and folders to leave out. Repeatable.")
    ] = None,
    include_system: Annotated[
        bool | None,
        option(
            "Also what storage systems keep: @eaDir, #recycle, $RECYCLE.BIN, .Trash, …",
            "--include-system/--no-include-system",
        ),
    ] = None,
    stream: Annotated[
        str | None,
        option(
            "Video stream of files with several, from 0; all: each a video, path#1. "
            "\\[default: the main one]",
            metavar="N|all",
        ),
    ] = None,
    regions: RegionsOption = None,
    no_regions: Annotated[bool, option("As --regions none does.", "--no-regions")] = False,
    fold: Annotated[
        bool | None,
        option("Do not encode frames anew that look like the one before.", "--fold/--no-fold"),
    ] = None,
    keyframes: Annotated[
        str | None,
        option("Read keyframes alone: on, or auto, where they are dense enough. \\[default: off]"),
    ] = None,
    keyframe_seconds: Annotated[
        float | None, option("How far apart they may be for auto. \\[default: 2]")
    ] = None,
    retain: RetainOption = None,
    tag: Annotated[
        list[str] | None,
        option(
            "Give all these videos a tag, known ones too. Repeatable.",
            autocompletion=complete_tags,
        ),
    ] = None,
    listen: ListenOptions,
    decoding: DecodingOptions,
    executor: ExecutorOptions,
    json_output: JsonOption = False,
) -> None:
    """Index videos; what is known and unchanged is skipped, so run it as often as you like.

    Ctrl-C loses at most the video in progress. A file that cannot be read is named and the rest
    goes on. Exit code 1: some file could not be indexed; 3: no video was found there.

    Example: [bold]vsr-edge index /srv/cctv ~/holiday.mp4 --exclude '*/cache/*'[/bold]
    """
    if no_regions and regions not in {None, "none"}:
        raise UsageError(f"--no-regions and --regions {regions} exclude one another: say one")
    clips = {"clip_seconds": clip_seconds, "clip_stride": clip_stride}
    sampling = {"fps": fps, "granularity": granularity, **clips}
    sampling |= {"regions": "none" if no_regions else regions}
    sampling |= {"fold": fold, "keyframes": keyframes, "keyframe_seconds": keyframe_seconds}
    given = {**sampling, "include_system": include_system, **asdict(decoding)}
    with opened_archive(archive, **given) as opened, terminate_like_ctrl_c():
        retention = _retention(opened, retain)
        with indexing_progress() as report:
            summary = opened.index(
                paths,
                include=include or [],
                exclude=exclude or [],
                stream=_stream(stream),
                wanted=None if retention is None else retention.wants,
                tags=tag or [],
                **asdict(listen),
                **asdict(executor),
                on_progress=report,
            )
        if retention is not None and not summary.interrupted:
            summary.forgotten = [one.video.path for one in retention.forget(opened, paths)]
        answer(json_output, lambda of: of.IndexDocument.model_validate(summary))
        say_summary(summary)
        say_forgotten(summary.forgotten)
        if summary.interrupted:
            say(
                "interrupted: nothing that was finished is lost; the same command goes on from here"
            )
            raise typer.Exit(EXIT_INTERRUPTED)
        if summary.failed:
            raise typer.Exit(EXIT_ERROR)
        done = summary.indexed or summary.skipped or summary.moved or summary.copied
        if not (done or retention):
            say("no video was found there; --include GLOB names files with unusual endings")
            raise typer.Exit(EXIT_NOTHING)


def _retention(archive: Archive, retain: str | None) -> Retention | None:
    if retain is None:
        return None
    from vsr_edge.times import seconds_of
    from vsr_edge.watch.retain import Retention

    return Retention(archive.settings.archive, seconds_of(retain, "--retain"))


def say_forgotten(paths: Sequence[Path]) -> None:
    """Which videos were forgotten for their age, or because their files are gone, on stderr."""
    for path in paths[:SHOWN_KINDS]:
        say(f"forgotten: {path}")
    if len(paths) > SHOWN_KINDS:
        say(f"forgotten: {len(paths) - SHOWN_KINDS} more")


def _stream(given: str | None) -> int | Literal["all"] | None:
    if given is None:
        return None
    if given == "all":
        return "all"
    if not given.isdecimal():
        raise UsageError(f"--stream is a number, counted from 0, or all; not {given!r}")
    return int(given)


def say_summary(summary: IngestSummary) -> None:
    """What an indexing run did, for people, on stderr."""
    for kind in ("partial", "failed", "dropped"):  # only a re-index drops any
        for report in getattr(summary, kind, ()):
            say(f"{kind}: {report.path}: {report.reason}")
    for report in summary.text_problems:
        say(f"words: {report.path}: {report.reason}")
    if summary.cues:
        say(f"words: {summary.cues} cues were read")
    for report in summary.left_out:
        say(f"left out of {report.path}: {report.reason}; index --stream all takes them too")
    if summary.passed_over:
        kinds = [
            f"{count} {'without ending' if kind == '(none)' else kind}"
            for kind, count in summary.passed_over.items()
        ]
        more = f" and {len(kinds) - SHOWN_KINDS} more kinds" if len(kinds) > SHOWN_KINDS else ""
        say(f"passed over: {', '.join(kinds[:SHOWN_KINDS])}{more}")
    rate = summary.hours * 3600 / summary.seconds if summary.seconds else 0.0
    say(
        f"{summary.indexed} indexed ({len(summary.partial)} of them partial), "
        f"{summary.skipped} unchanged, {summary.moved} moved, {summary.copied} copies, "
        f"{len(summary.failed)} failed; {summary.hours:.2f} h of footage in "
        f"{summary.seconds:.1f} s ({rate:.0f} × real time)"
    )


def reindex(
    *,
    archive: ArchiveOption = None,
    drop_missing: Annotated[
        bool,
        option("Change over without the videos that cannot be read any more.", "--drop-missing"),
    ] = False,
    regions: AllRegionsOption = None,
    decoding: DecodingOptions,
    executor: ExecutorOptions,
    json_output: JsonOption = False,
) -> None:
    """Change the archive over to another bundle: encode all of its videos anew with that one.

    Searching works all along, with the former bundle until the end. Ctrl-C loses at most the
    video in progress; the same command goes on. Meanwhile the archive takes up to three times
    its room on the disk. Exit code 1 if videos are missing: then nothing has changed.
    --regions alone stores region vectors in a coarser code, from what is stored: no file is read.

    Example: [bold]vsr-edge reindex --bundle ./my-bundle[/bold]
    """
    if decoding.bundle is None and regions is None:
        # The default may be what an unfinished run was to change from.
        raise typer.BadParameter("say which bundle to change over to", param_hint="--bundle")
    given = asdict(decoding) | {"regions": regions}
    with opened_archive(archive, **given) as opened, terminate_like_ctrl_c():
        with indexing_progress() as report:
            code = None if regions is None else opened.settings.sampling.regions
            if code is not None and decoding.bundle is None:
                from vsr_edge.ingest.reindex import recode

                summary = recode(opened.store, code, report)
            else:
                summary = opened.reindex(
                    drop_missing=drop_missing, regions=code, **asdict(executor), on_progress=report
                )
        answer(json_output, lambda of: of.ReindexDocument.model_validate(summary))
        if not summary.up_to_date:
            say_summary(summary)
        say(_reindex_outcome(opened, summary, drop_missing, code))
        if summary.interrupted:
            raise typer.Exit(EXIT_INTERRUPTED)
        if summary.failed:
            raise typer.Exit(EXIT_ERROR)


def _reindex_outcome(
    archive: Archive, summary: ReindexSummary, drop_missing: bool, regions: str | None
) -> str:
    folder, bundle = archive.settings.place, summary.bundle_id
    if summary.up_to_date and regions is not None:
        went_on = "interrupted: the same command goes on; " if summary.interrupted else ""
        return f"{went_on}{summary.recoded} videos have their regions as {regions} now"
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


def remove(
    names: Annotated[
        list[str] | None,
        argument("Paths, folders or globs.", metavar="[VIDEO]...", autocompletion=complete_videos),
    ] = None,
    *,
    archive: ArchiveOption = None,
    filters: FilterOptions,
    yes: YesOption = False,
    json_output: JsonOption = False,
) -> None:
    """Forget videos. The files themselves are not touched.

    Asks before it forgets several that are more than a fifth of the archive. Exit code 3: the
    filters let none through.

    Example: [bold]vsr-edge remove '*/2019/*' --before 2020-01-01[/bold]
    """
    with opened_archive(archive) as opened:
        given, where = [*(names or []), *(filters.video or [])], filters.where(opened)
        if not given and where is None:
            raise UsageError(
                "say which videos: their names, or filters such as --before 2024-01-01"
            )
        chosen = len(opened.select(given, where))
        if chosen > 1 and not yes:
            _ask_if_many(chosen, opened)
        removed = opened.remove(given, where)
        from vsr_edge.hits.thumbnails import forget_pictures

        forget_pictures(opened, removed)
        answer(json_output, lambda of: of.RemoveDocument.model_validate({"removed": removed}))
        if not removed:
            say(nothing_in(opened, given, where) or "no video matches")
            raise typer.Exit(EXIT_NOTHING)
    for stored in removed:
        say(f"removed {stored.video.path}")


def prune(
    archive: ArchiveOption = None,
    dry_run: Annotated[
        bool, option("Only say what would be forgotten.", "--dry-run", "-n")
    ] = False,
    yes: YesOption = False,
    json_output: JsonOption = False,
) -> None:
    """Forget the videos whose files were deleted.

    Held back are those whose folder is gone or empty, as where a drive is not mounted; `remove`
    forgets them too. Asks before it forgets more than a fifth of the archive.

    Example: [bold]vsr-edge prune --dry-run[/bold]
    """
    with opened_archive(archive) as opened:
        done = opened.prune(dry_run=True)
        if done.removed and not dry_run:
            if not yes:
                _ask_if_many(len(done.removed), opened)
            done = opened.prune()
            from vsr_edge.hits.thumbnails import forget_pictures

            forget_pictures(opened, done.removed)
        answer(json_output, lambda of: of.PruneDocument.model_validate(done))
    for stored in done.removed:
        say(f"{'would remove' if dry_run else 'removed'} {stored.video.path}")
    for held in done.held_back:
        say(
            f"held back: {held.videos} videos, for {held.folder} {held.reason}. Mount what belongs "
            "there, or forget them with `vsr-edge remove`"
        )
    if not done.removed and not done.held_back:
        say("no file is missing")


def _ask_if_many(count: int, archive: Archive) -> None:
    """Whether so many are meant; where nobody can be asked, only --yes says so.

    Raises:
        UsageError: there is no terminal.
        Abort: they are not meant.
    """
    total = archive.stats().videos
    if count * ASKED_ABOVE <= total:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError(
            f"that would forget {count} of the archive's {total} videos: say --yes if it is meant"
        )
    # Not typer's own, which writes to stdout too, where a JSON document may be expected.
    typer.echo(f"Forget {count} of the archive's {total} videos? [y/N] ", nl=False, err=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise typer.Abort
