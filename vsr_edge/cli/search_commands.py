"""The commands that ask an archive: `search`, `videos` and `stats`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vsr_edge.cli.console import EXIT_NOTHING, answer, opened_archive, say
from vsr_edge.cli.filter_options import FilterOptions, complete_videos
from vsr_edge.cli.options import (
    ArchiveOption,
    JsonOption,
    LoopOptions,
    ModelOptions,
    argument,
    option,
)
from vsr_edge.cli.recorded_cells import nothing_in, recorded_cell, recorded_column
from vsr_edge.cli.tables import Column, Table, megabytes, pairs, print_tables

if TYPE_CHECKING:
    from vsr_edge.archive import Archive
    from vsr_edge.store.base import ArchiveStats
    from vsr_edge.types import SearchResult, StoredVideo

SHOWN_A_TURN = 3


def search(
    query: Annotated[list[str], argument("What is to be seen, in plain English.")],
    *,
    archive: ArchiveOption = None,
    top_k: Annotated[int, option("At most so many moments.", "--top-k", "-k", min=1)] = 10,
    min_score: Annotated[
        float | None, option("Leave out moments that score lower, from -1 to 1.")
    ] = None,
    filters: FilterOptions,
    loop: LoopOptions,
    explain: Annotated[bool, option("Say how the answer was found.", "--explain", "-e")] = False,
    turns: Annotated[
        bool, option("Every candidate of every turn, in the JSON too.", "--turns")
    ] = False,
    models: ModelOptions,
    json_output: JsonOption = False,
) -> None:
    """Find the moments that match a sentence, or learn that it is not there.

    Exit code 3: nothing matched; what is shown then are guesses.

    Example: [bold]vsr-edge search "a man puts a red box on the shelf" --top-k 5[/bold]
    """
    from vsr_edge.hits.last import keep_last

    with opened_archive(archive, **asdict(models)) as opened:
        found = opened.search(
            " ".join(query),
            top_k=top_k,
            min_score=min_score,
            video=filters.video,
            where=filters.where(opened),
            **asdict(loop),
        )
        keep_last(opened.settings.archive, found)
        for notice in found.notices:
            say(notice)
        answer(
            json_output,
            lambda of: of.SearchDocument.of(found, opened, trace=turns),
            lambda: (
                print_search(found, explain=explain, trace=turns, zone=opened.settings.time_zone)
                if found.moments or explain or turns
                else None
            ),
        )
        if not found.moments:
            say(nothing_in(opened, filters) or _why_nothing(opened, min_score))
        if not found.moments or found.verdict.decision == "no_match":
            raise typer.Exit(EXIT_NOTHING)


def _why_nothing(archive: Archive, min_score: float | None) -> str:
    if not archive.videos():
        return f"nothing is indexed in {archive.settings.archive} yet: vsr-edge index FOLDER"
    if min_score is not None:
        return f"nothing scored {min_score} or more; without --min-score the best is shown"
    return "nothing matched"


def print_search(
    found: SearchResult, *, explain: bool = False, trace: bool = False, zone: str = ""
) -> None:
    """The moments as a table, under the verdict on them; with ``explain``, how they were found, and
    with ``trace``, all that was looked at. Times of recording are by the clocks of ``zone``.
    """
    if found.verdict.decision == "no_match":
        say("nothing found that is likely enough; the nearest guesses:")
    elif found.verdict.decision == "unverified":
        say(found.turns[0].then)
    print_tables(_moments(found, zone))
    if explain or trace:
        _say_path(found, None if trace else SHOWN_A_TURN)


def _moments(found: SearchResult, zone: str) -> Table:
    from vsr_edge.types import clock

    recorded = recorded_column(found.moments, zone)

    threshold = found.verdict.threshold
    judged = threshold is not None
    # A file that is gone is told apart where there is one.
    noted = any(moment.missing for moment in found.moments)
    rows = []
    for place, m in enumerate(found.moments):
        # What is less likely than the threshold is a guess.
        guess = threshold is not None and (m.match_probability or 0.0) < threshold
        rows.append(
            (
                f"{m.rank}?" if guess else str(m.rank),
                *([_percent(m.match_probability)] if judged else []),
                f"{m.score:.3f}",
                clock(m.start),
                clock(m.end),
                *([recorded[place]] if recorded else []),
                *(["missing" if m.missing else ""] if noted else []),
                str(m.video),
            )
        )
    titles = ("#", *(["match"] if judged else []), "score", "from", "to")
    figures = [Column(title, "number") for title in titles]
    figures += [Column("recorded")] if recorded else []
    columns = [*figures, *([Column("note")] if noted else []), Column("video", "path")]
    return Table(columns, rows, named_by=(0, len(columns) - 1))


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def _say_path(found: SearchResult, shown: int | None) -> None:
    """Turn by turn: what was tried, what came of it, and why it went on."""
    from vsr_edge.bundle.locate import bundle_title, name_of_id
    from vsr_edge.types import clock

    for turn in found.turns:
        say(
            f"turn {turn.turn}: {turn.action}, {len(turn.candidates)} new candidates, "
            f"{turn.latency_ms:.1f} ms"
        )
        if (change := turn.refinement) is not None:
            spent = f"{turn.soft_tokens} soft tokens" if turn.soft_tokens else change.method
            say(
                f"  query refined by {spent}, cosine to the original {change.cosine:.2f}"
                + (f"; towards: {', '.join(change.gained)}" if change.gained else "")
                + (f"; away from: {', '.join(change.lost)}" if change.lost else "")
            )
        for one in turn.candidates[:shown]:
            say(
                f"  {_percent(one.match_probability):>4}  score {one.score:.3f}  "
                f"{clock(one.start)}–{clock(one.end)}  {one.video}"
            )
        if turn.then:
            say(f"  {turn.then}")
    stages = ", ".join(f"{name} {ms:.1f}" for name, ms in found.timing_ms.items())
    bundle = bundle_title(name_of_id(found.bundle), found.bundle)
    say(f"milliseconds: {stages}; bundle {bundle}")
    say(f"verdict: {_verdict(found)}")


def _verdict(found: SearchResult) -> str:
    """What was decided, by which numbers."""
    likely = _percent(found.moments[0].match_probability if found.moments else None)
    if found.verdict.decision == "match":
        return f"match; the first moment is right with a probability of {likely}"
    if found.verdict.decision == "no_match":
        return (
            f"no match; the likeliest guess is right with a probability of {likely}, and a "
            f"match begins at {_percent(found.verdict.threshold)}"
        )
    return (
        "unverified. The score is the inner product of query and footage: it orders moments, it "
        "is no probability."
    )


def videos(
    names: Annotated[
        list[str] | None,
        argument(
            "Paths, folders or globs: only these.",
            metavar="[VIDEO]...",
            autocompletion=complete_videos,
        ),
    ] = None,
    *,
    archive: ArchiveOption = None,
    filters: FilterOptions,
    json_output: JsonOption = False,
) -> None:
    """List the indexed videos: what is in them, when they were recorded, their tags.

    Exit code 3: the filters let none through.

    Example: [bold]vsr-edge videos 'cam1/*' --after 2d --json[/bold]
    """
    with opened_archive(archive) as opened:
        given, where = [*(names or []), *(filters.video or [])], filters.where(opened)
        if given:
            opened.select(given)  # each must match something
        found, zone = opened.videos(given or None, where), opened.settings.time_zone
        answer(
            json_output,
            lambda of: of.VideosDocument(videos=[of.Video.of(stored, zone) for stored in found]),
            lambda: print_tables(_videos(found, zone)) if found or where is None else None,
        )
        if not found and where is not None:
            say(nothing_in(opened, filters, given) or "no video matches")
            raise typer.Exit(EXIT_NOTHING)


def _videos(found: Sequence[StoredVideo], zone: str) -> Table:
    from vsr_edge.types import clock

    rows, tagged = [], any(stored.tags for stored in found)
    for stored in found:
        video = stored.video
        missing = ["missing"] if stored.missing else []
        partial = [f"partial: {stored.partial}"] if stored.partial else []
        rows.append(
            (
                str(video.path),
                clock(video.duration),
                f"{video.width}×{video.height}",
                video.codec,
                str(stored.frames),
                str(stored.clips),
                recorded_cell(stored.recorded_at, stored.recorded_from, zone),
                *([" ".join(stored.tags)] if tagged else []),
                "; ".join(missing + partial),
            )
        )
    columns = (
        Column("video", "path"),
        Column("length", "number"),
        Column("size"),
        Column("codec"),
        Column("frames", "number"),
        Column("clips", "number"),
        Column("recorded"),
        *([Column("tags", "text")] if tagged else []),
        Column("note", "text"),
    )
    return Table(columns, rows)


def stats(archive: ArchiveOption = None, json_output: JsonOption = False) -> None:
    """Show how much is indexed and what it takes on disk.

    Example: [bold]vsr-edge stats[/bold]
    """
    with opened_archive(archive) as opened:
        found, folder = opened.stats(), opened.settings.archive
        answer(
            json_output,
            lambda of: of.StatsDocument.of(found, folder),
            lambda: print_tables(_stats(found, folder)),
        )


def _stats(stats: ArchiveStats, folder: Path) -> Table:
    from vsr_edge.bundle.locate import bundle_title, name_of_id

    partial = f", {stats.partial_videos} of them partial" if stats.partial_videos else ""
    bundle = bundle_title(name_of_id(stats.bundle_id), stats.bundle_id)
    known = {
        "archive": str(folder),
        "videos": f"{stats.videos}{partial}",
        "footage": f"{stats.hours:.2f} h",
        "frames": f"{stats.frames}, {'with' if stats.regions else 'without'} regions",
        "clips": str(stats.clips),
        "encoders": f"{bundle}, {stats.dim} dimensions",
        "database": megabytes(stats.database_bytes),
        "cache": megabytes(stats.cache_bytes),
    }
    if (unfinished := stats.reindex) is not None:
        known["reindex"] = (
            f"{unfinished.videos} of {stats.videos} videos are encoded with the bundle "
            f"{unfinished.bundle_id!r}; `vsr-edge reindex` with it goes on"
        )
    return pairs(known)
