"""The command line: parse, call, print."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Optional

import typer

# Everything else that is heavy (numpy, rich's tables, the models) is imported by the command that
# needs it, so that `--help` answers at once.
from vsr_edge.cli.bundle_commands import bundle_app
from vsr_edge.cli.eval_commands import evaluate, evaluate_predictions
from vsr_edge.cli.export_command import PASS_ON, export
from vsr_edge.cli.help_pages import App
from vsr_edge.cli.options import (
    ArchiveOption,
    BundleOption,
    CandidatesOption,
    HwaccelOption,
    JsonOption,
    MaxMsOption,
    MaxTurnsOption,
    OneShotOption,
    ProviderOption,
    RocchioOption,
    ThreadsOption,
)
from vsr_edge.cli.reindex_command import reindex
from vsr_edge.cli.remove_commands import prune, remove
from vsr_edge.cli.terminal import (
    EXIT_ERROR,
    EXIT_INTERRUPTED,
    EXIT_NOTHING,
    errors_as_exit_codes,
    open_for_command,
    run,
    say,
    terminate_like_ctrl_c,
)
from vsr_edge.errors import UsageError

if TYPE_CHECKING:
    from vsr_edge.archive import Archive

app = App(
    name="vsr-edge",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version as installed

        typer.echo(f"vsr-edge {installed('vsr-edge')}")
        raise typer.Exit


@app.callback()
def main_callback(
    show_version: Annotated[
        bool,
        typer.Option("--version", "-V", callback=version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Search a private video archive by text, on the machine where it lies.

    Exit codes of every command: 0 found or done, 1 error (of a single file, too), 2 wrong usage,
    3 nothing found, 130 interrupted. With --json an error is a JSON document as well.

    Example: [bold]vsr-edge index ~/videos && vsr-edge search "a red car on the road"[/bold]
    """


@app.command()
def index(
    paths: Annotated[
        list[Path],
        typer.Argument(help="Videos, and folders to search for videos.", readable=False),
    ],
    archive: ArchiveOption = None,
    fps: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Frames read per second of footage. \\[default: 1]"),
    ] = None,
    clip_seconds: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Length of a clip. \\[default: 4]"),
    ] = None,
    clip_stride: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="From one clip's start to the next. \\[default: 2]"),
    ] = None,
    include: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="Glob; only matching files of a folder. Repeatable."),
    ] = None,
    exclude: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="Glob of files and folders to leave out. Repeatable."),
    ] = None,
    include_system: Annotated[
        Optional[bool],  # noqa: UP045
        typer.Option(
            "--include-system/--no-include-system",
            help="Also what storage systems keep: @eaDir, #recycle, $RECYCLE.BIN, .Trash, …",
        ),
    ] = None,
    stream: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="N|all",
            help="Video stream of files with several, from 0; all: each a video, path#1. "
            "\\[default: the main one]",
        ),
    ] = None,
    regions: Annotated[
        Optional[bool],  # noqa: UP045
        typer.Option(
            "--regions/--no-regions", help="Store region features beside the global ones."
        ),
    ] = None,
    threads: ThreadsOption = None,
    hwaccel: HwaccelOption = None,
    provider: ProviderOption = None,
    bundle: BundleOption = None,
    json_output: JsonOption = False,
) -> None:
    """Index videos; what is known and unchanged is skipped, so run it as often as you like.

    Ctrl-C loses at most the video in progress. A file that cannot be read is named and the rest
    goes on. Exit code 1: some file could not be indexed; 3: no video was found there.

    Example: [bold]vsr-edge index /srv/cctv ~/holiday.mp4 --exclude '*/cache/*'[/bold]
    """
    from vsr_edge.cli.output import print_json, print_summary
    from vsr_edge.cli.progress import indexing_progress

    given = {
        "fps": fps,
        "clip_seconds": clip_seconds,
        "clip_stride": clip_stride,
        "include_system": include_system,
        "regions": regions,
        "threads": threads,
        "hwaccel": hwaccel,
        "provider": provider,
        "bundle": bundle,
    }
    with open_for_command(archive, **given) as opened, terminate_like_ctrl_c():
        with indexing_progress() as report:
            summary = opened.index(
                paths,
                include=include or [],
                exclude=exclude or [],
                stream=_stream(stream),
                on_progress=report,
            )
        if json_output:
            from vsr_edge.documents import IndexDocument

            print_json(IndexDocument.model_validate(summary))
        print_summary(summary)
        if summary.interrupted:
            say(
                "interrupted: nothing that was finished is lost; the same command goes on from here"
            )
            raise typer.Exit(EXIT_INTERRUPTED)
        if summary.failed:
            raise typer.Exit(EXIT_ERROR)
        if not (summary.indexed or summary.skipped or summary.moved or summary.copied):
            say("no video was found there; --include GLOB names files with unusual endings")
            raise typer.Exit(EXIT_NOTHING)


def _stream(given: str | None) -> int | Literal["all"] | None:
    if given is None:
        return None
    if given == "all":
        return "all"
    if not given.isdecimal():
        raise UsageError(f"--stream is a number, counted from 0, or all; not {given!r}")
    return int(given)


app.command("reindex")(reindex)


@app.command()
def search(
    query: Annotated[list[str], typer.Argument(help="What is to be seen, in plain English.")],
    archive: ArchiveOption = None,
    top_k: Annotated[
        int, typer.Option("--top-k", "-k", min=1, help="At most so many moments.")
    ] = 10,
    min_score: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Leave out moments that score lower, from -1 to 1."),
    ] = None,
    video: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--video",
            "-v",
            help="Search only these: a path, a folder, a glob such as '*.mkv'. Repeatable.",
        ),
    ] = None,
    max_turns: MaxTurnsOption = None,
    candidates: CandidatesOption = None,
    max_ms: MaxMsOption = None,
    one_shot: OneShotOption = False,
    rocchio: RocchioOption = False,
    explain: Annotated[
        bool, typer.Option("--explain", "-e", help="Say how the answer was found.")
    ] = False,
    turns: Annotated[
        bool, typer.Option("--turns", help="Every candidate of every turn, in the JSON too.")
    ] = False,
    threads: ThreadsOption = None,
    provider: ProviderOption = None,
    bundle: BundleOption = None,
    json_output: JsonOption = False,
) -> None:
    """Find the moments that match a sentence, or learn that it is not there.

    Exit code 3: nothing matched; what is shown then are guesses.

    Example: [bold]vsr-edge search "a man puts a red box on the shelf" --top-k 5[/bold]
    """
    from vsr_edge.cli.output import print_json, print_search

    with open_for_command(archive, threads=threads, provider=provider, bundle=bundle) as opened:
        result = opened.search(
            " ".join(query),
            top_k=top_k,
            min_score=min_score,
            video=video,
            max_turns=max_turns,
            candidates=candidates,
            max_ms=max_ms,
            one_shot=one_shot,
            rocchio=rocchio,
        )
        for notice in result.notices:
            say(notice)
        if json_output:
            from vsr_edge.documents import SearchDocument

            print_json(SearchDocument.of(result, opened, trace=turns))
        elif result.moments or explain or turns:
            print_search(result, explain=explain, trace=turns)
        if not result.moments:
            say(_why_nothing(opened, min_score))
        if not result.moments or result.verdict.decision == "no_match":
            raise typer.Exit(EXIT_NOTHING)


def _why_nothing(archive: Archive, min_score: float | None) -> str:
    if not archive.videos():
        return f"nothing is indexed in {archive.settings.archive} yet: vsr-edge index FOLDER"
    if min_score is not None:
        return f"nothing scored {min_score} or more; without --min-score the best is shown"
    return "nothing matched"


@app.command()
def videos(
    names: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(metavar="[VIDEO]...", help="Paths, folders or globs: only these."),
    ] = None,
    archive: ArchiveOption = None,
    json_output: JsonOption = False,
) -> None:
    """List the indexed videos.

    Example: [bold]vsr-edge videos 'cam1/*' --json[/bold]
    """
    from vsr_edge.cli.output import print_json, print_videos

    with open_for_command(archive) as opened:
        if names:
            opened.select(names)  # each must match something
        found = opened.videos(names or None)
        if json_output:
            from vsr_edge.documents import Video, VideosDocument

            print_json(VideosDocument(videos=[Video.of(stored) for stored in found]))
        else:
            print_videos(found)


@app.command()
def stats(archive: ArchiveOption = None, json_output: JsonOption = False) -> None:
    """Show how much is indexed and what it takes on disk.

    Example: [bold]vsr-edge stats[/bold]
    """
    from vsr_edge.cli.output import print_json, print_stats

    with open_for_command(archive) as opened:
        found = opened.stats()
        if json_output:
            from vsr_edge.documents import StatsDocument

            print_json(StatsDocument.of(found, opened.settings.archive))
        else:
            print_stats(found, opened.settings.archive)


app.command("remove")(remove)
app.command("prune")(prune)


@app.command()
def demo(
    folder: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Argument(help="Your own videos; without it, the packaged clips.", exists=True),
    ] = None,
    archive: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--archive",
            "-a",
            help="Keep the demo's archive here; else it is thrown away.",
            readable=False,
        ),
    ] = None,
    threads: ThreadsOption = None,
    provider: ProviderOption = None,
    bundle: BundleOption = None,
    json_output: JsonOption = False,
) -> None:
    """Index a few real clips, search them three times, and show what was done.

    Example: [bold]pip install 'vsr-edge[demo]' && vsr-edge demo[/bold]
    """
    from vsr_edge.cli.demo import run_demo

    with errors_as_exit_codes():
        settings = {"threads": threads, "provider": provider, "bundle": bundle}
        found = run_demo(folder, archive, as_json=json_output, **settings)
    if not found:
        raise typer.Exit(EXIT_NOTHING)


@app.command()
def doctor(archive: ArchiveOption = None, json_output: JsonOption = False) -> None:
    """Check versions, execution providers, threads, the bundle and the archive.

    Exit code 1 if something is wrong.

    Example: [bold]vsr-edge doctor[/bold]
    """
    from vsr_edge.cli.doctor import examine, print_report
    from vsr_edge.cli.output import print_json

    with errors_as_exit_codes():
        report = examine(archive)
        if json_output:
            from vsr_edge.documents import DoctorDocument

            print_json(DoctorDocument.model_validate(report))
        else:
            print_report(report)
    for problem in report["problems"]:
        say(f"problem: {problem}")
    if report["problems"]:
        raise typer.Exit(EXIT_ERROR)


app.command("eval")(evaluate)
app.command("eval-predictions")(evaluate_predictions)
app.command("export", context_settings=PASS_ON)(export)
app.add_typer(bundle_app, name="bundle")


def main() -> None:
    """Entry point of ``vsr-edge``."""
    with Path(os.devnull).open("w") as nowhere:
        # Started with a closed stdout or stderr, as some services do, Python has none.
        sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                # A terminal that lacks a character is no reason to fail.
                stream.reconfigure(errors="backslashreplace")
        run(app)


if __name__ == "__main__":
    main()
