"""The command `cut`: hits, or a span that is named, as files of their own or as a list."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vsr_edge.cli.console import (
    EXIT_ERROR,
    EXIT_NOTHING,
    answer,
    counting_progress,
    opened_archive,
    say,
    terminate_like_ctrl_c,
)
from vsr_edge.cli.filter_options import FilterOptions
from vsr_edge.cli.list_options import FORMAT_ABOUT, check_format, put_list
from vsr_edge.cli.options import ArchiveOption, JsonOption, ModelOptions, argument, option
from vsr_edge.errors import UsageError

if TYPE_CHECKING:
    from vsr_edge.archive import Archive
    from vsr_edge.hits.cuts import CutSummary, Hit


def cut(
    query: Annotated[
        list[str] | None,
        argument(
            "What is to be seen; or with --from or --to, a video.", metavar="[QUERY|VIDEO]..."
        ),
    ] = None,
    *,
    archive: ArchiveOption = None,
    out: Annotated[
        Path | None,
        option("Folder, or for one cut a file. \\[default: this folder]", "--out", "-o"),
    ] = None,
    top: Annotated[int, option("Cut at most so many moments.", "--top", "-k", min=1)] = 3,
    from_: Annotated[
        str | None, option("Where a cut of VIDEO begins: 83.5 or 1:23.5.", "--from")
    ] = None,
    to: Annotated[str | None, option("Where it ends. \\[default: with the video]", "--to")] = None,
    last: Annotated[
        str | None,
        option("Cut moments of the last answer of `search`: 1,3 or 2-5 or all.", "--last"),
    ] = None,
    pad: Annotated[float, option("Seconds more on both sides.", "--pad", min=0)] = 0.0,
    copy: Annotated[
        bool,
        option(
            "Copy as it is coded, from the keyframe before: quick and without loss, but longer.",
            "--copy",
        ),
    ] = False,
    format: Annotated[str | None, option(f"{FORMAT_ABOUT}. Cut nothing.", "--format")] = None,
    min_probability: Annotated[
        float | None, option("Leave out what is less likely, from 0 to 1.", min=0, max=1)
    ] = None,
    guesses: Annotated[
        bool, option("Cut guesses too, where nothing is likely enough.", "--guesses")
    ] = False,
    force: Annotated[bool, option("Overwrite files.", "--force")] = False,
    filters: FilterOptions,
    models: ModelOptions,
    json_output: JsonOption = False,
) -> None:
    """Cut moments out of their videos, each as a file of its own.

    Encoded anew, exact to the frame, as H.264 with AAC in MP4, unless --copy is said. No file is
    overwritten unless --force is said. Exit code 3: nothing matched; 1: some could not be cut.

    Example: [bold]vsr-edge cut "a red car" --top 3 --pad 2 --out clips[/bold]
    """
    named = from_ is not None or to is not None
    if bool(query) + (last is not None) != 1 or (named and last is not None):
        raise UsageError(
            "say what to cut: a sentence, or a video with --from and --to, or --last 1,3"
        )
    if named and len(query or []) != 1:
        raise UsageError("--from and --to are of one VIDEO: put its name in quotes")
    narrowed = any(getattr(filters, one.name) is not None for one in fields(filters))
    if (named or last is not None) and narrowed:
        raise UsageError("filters narrow a search: leave them out with --from, --to and --last")
    check_format(format)
    if format is not None and json_output and out is None:
        raise UsageError("--format and --json both want stdout: say --out FILE")
    with ExitStack() as stack:
        opened: Archive | None = None
        path = _file(query[0]) if named and query else None
        if path is None:
            opened = stack.enter_context(opened_archive(archive, **asdict(models)))
        notices: Sequence[str] = ()
        if named and query:
            hits = [_span(path or _indexed(opened, query[0]), from_, to)]
        elif opened is not None and last is not None:
            hits = _of_last(opened, last, guesses, min_probability)
        elif opened is not None:
            hits, notices = _searched(
                opened, " ".join(query or []), top, filters, guesses, min_probability
            )
        if not hits:
            answer(json_output, lambda of: of.CutDocument.of(_nothing(), (), notices))
            raise typer.Exit(EXIT_NOTHING)
        if format is not None:
            files = put_list(hits, format, out, opened, pad=pad, force=force)
            if json_output:
                answer(True, lambda of: of.CutDocument.of(_nothing(), files, notices))
            return
        threads = models.threads or (0 if opened is None else opened.settings.threads)
        summary = _cut(hits, out or Path(), pad, copy, force, threads)
        answer(json_output, lambda of: of.CutDocument.of(summary, (), notices))
    if summary.failed:
        raise typer.Exit(EXIT_ERROR)


def _nothing() -> CutSummary:
    from vsr_edge.hits.cuts import CutSummary

    return CutSummary()


def _file(name: str) -> Path | None:
    """The file, or the video stream of one, that lies at this path."""
    from vsr_edge.media.source import split_stream

    path = Path(name)
    try:
        return path if split_stream(path)[0].is_file() else None
    except (OSError, ValueError):
        return None


def _indexed(archive: Archive | None, name: str) -> Path:
    assert archive is not None
    found = archive.select([name])
    if len(found) > 1:
        raise UsageError(f"{name!r} means {len(found)} indexed videos: name one by its path")
    return found[0].video.path


def _span(video: Path, from_: str | None, to: str | None) -> Hit:
    from vsr_edge.hits.cuts import Hit
    from vsr_edge.hits.timecode import seconds_of
    from vsr_edge.media.probe import probe

    start = 0.0 if from_ is None else seconds_of(from_)
    end = probe(video, known_fingerprint="-")[0].duration if to is None else seconds_of(to)
    if to is not None and end <= start:
        raise UsageError(f"--to {to} does not lie behind --from {from_ or 0}")
    if end <= start:
        raise UsageError(f"{video} ends at {end:.3f} s, before --from {from_}")
    return Hit(1, video, start, end, video.stem)


def _of_last(
    archive: Archive, wanted: str, guesses: bool, min_probability: float | None
) -> list[Hit]:
    """What was named by its number is meant, a guess too."""
    from vsr_edge.hits.cuts import hits_of_last
    from vsr_edge.hits.last import last_answer

    if guesses or min_probability is not None:
        raise UsageError("--guesses and --min-probability choose by a search: --last names moments")
    return hits_of_last(last_answer(archive.settings.archive), wanted)


def _searched(
    archive: Archive,
    query: str,
    top: int,
    filters: FilterOptions,
    guesses: bool,
    min_probability: float | None,
) -> tuple[list[Hit], Sequence[str]]:
    from vsr_edge.hits.cuts import hits_of
    from vsr_edge.hits.last import keep_last

    found = archive.search(query, top_k=top, **filters.changes(archive))
    keep_last(archive.settings.archive, found)
    for notice in found.notices:
        say(notice)
    hits = hits_of(found, guesses=guesses, min_probability=min_probability)
    if not hits:
        more = "" if guesses or not found.moments else "; --guesses cuts the nearest guesses"
        say(f"nothing found that is likely enough{more}")
    return hits, found.notices


def _cut(
    hits: Sequence[Hit], out: Path, pad: float, copy: bool, force: bool, threads: int
) -> CutSummary:
    """Cut, and say of each what came of it."""
    from vsr_edge.hits.cuts import CutSummary, cut_hits, targets_of
    from vsr_edge.media.stream_copy import check_can_copy

    if copy:
        check_can_copy()
    targets = targets_of(hits, out, pad=pad, copy=copy, force=force)
    summary = CutSummary()
    try:
        with terminate_like_ctrl_c(), counting_progress("cut") as progress:
            cut_hits(
                hits,
                targets,
                pad=pad,
                copy=copy,
                force=force,
                threads=threads,
                on_done=progress,
                summary=summary,
            )
    finally:
        for cut in summary.cuts:
            done = cut.trimmed
            how = "copied" if done.copied else "cut"
            notes = f" ({'; '.join(done.notes)})" if done.notes else ""
            say(
                f"{how} {done.path}: {done.start:.3f} to {done.end:.3f} s of {cut.hit.video}, "
                f"{done.frames} frames{notes}"
            )
        for path, reason in summary.failed:
            say(f"failed: {path}: {reason}")
    return summary
