"""The commands that ask an archive: `search`, `videos` and `stats`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vsr_edge.cli.console import EXIT_NOTHING, answer, opened_archive, say
from vsr_edge.cli.filter_options import FilterOptions, complete_videos
from vsr_edge.cli.many_queries import answer_queries
from vsr_edge.cli.options import (
    ArchiveOption,
    JsonOption,
    LoopOptions,
    ModelOptions,
    argument,
    option,
)
from vsr_edge.cli.output_options import OutputOptions
from vsr_edge.cli.part_options import PartOptions, part_rows
from vsr_edge.cli.query_options import QueryOptions, asked_query, remember
from vsr_edge.cli.receipt_commands import search_on_record
from vsr_edge.cli.recorded_cells import nothing_in, recorded_cell, recorded_column
from vsr_edge.cli.tables import Column, Table, megabytes, pairs, print_tables
from vsr_edge.cli.text_options import TextOptions, text_cells, text_columns, why_no_words
from vsr_edge.errors import UsageError

if TYPE_CHECKING:
    from vsr_edge.answer import SearchResult
    from vsr_edge.archive import Archive
    from vsr_edge.query import Query, SearchOptions
    from vsr_edge.store.base import ArchiveStats
    from vsr_edge.types import StoredVideo

SHOWN_A_TURN = 3


def search(
    query: Annotated[
        list[str] | None, argument("What is to be seen, in plain English.", metavar="[QUERY]...")
    ] = None,
    *,
    archive: ArchiveOption = None,
    top_k: Annotated[int, option("At most so many moments.", "--top-k", "-k", min=1)] = 10,
    min_score: Annotated[
        float | None, option("Leave out moments that score lower, from -1 to 1.")
    ] = None,
    asked: QueryOptions,
    parts: PartOptions,
    filters: FilterOptions,
    texts: TextOptions,
    loop: LoopOptions,
    output: OutputOptions,
    models: ModelOptions,
    json_output: JsonOption = False,
) -> None:
    """Find the moments that match a sentence or look like a picture, or learn that there are none.

    Exit code 3: nothing matched; what is shown then are guesses.

    Example: [bold]vsr-edge search "a man puts a red box on the shelf" --top-k 5[/bold]
    """
    output.check(json_output)
    with opened_archive(archive, **asdict(models)) as opened:
        options = how_to_search(
            top_k=top_k,
            min_score=min_score,
            **filters.changes(opened),
            **parts.changes(),
            **asdict(texts),
            **asdict(loop),
        )
        if asked.queries is not None:
            answer_queries(opened, query, asked, options, output)
        if asked.remember is not None and (options.text or parts.given()):
            raise UsageError(
                "--remember keeps one sentence, with pictures, feedback and filters, no more"
            )
        say_first_time(opened, options)
        what = asked_query(opened, query, asked)
        kept = None if asked.remember is None else (asked.remember, filters.said())
        answer_query(opened, what, options, output, json_output, kept)


def say_first_time(archive: Archive, options: SearchOptions) -> None:
    """Say what the first search with a bundle waits for."""
    if options.text:  # no model is asked
        return
    from vsr_edge.search.verifier import first_time

    if (waits := first_time(archive.bundle, options)) is not None:
        say(waits)


def how_to_search(**given: Any) -> SearchOptions:
    """The options of a search that are given, and not None; the defaults of the others."""
    from vsr_edge.query import SearchOptions

    return SearchOptions().changed(**given)


def answer_query(
    archive: Archive,
    query: Query,
    options: SearchOptions,
    output: OutputOptions,
    as_json: bool,
    kept: tuple[str, dict[str, Any]] | None = None,
) -> None:
    """Search, keep the answer as the last one, show it, and exit with 3 where nothing matched.

    ``kept``: a name to keep the query under, and what was said of footage.
    """
    from vsr_edge.hits.last import keep_last

    found = search_on_record(archive, query, options, output)
    keep_last(archive.settings.archive, found, query)
    if kept is not None:
        name, said = kept
        remember(archive, name, query, said)
    for notice in found.notices:
        say(notice)
    output.put_list(found, archive, force=output.force)
    answer(
        as_json,
        lambda of: of.SearchDocument.of(found, archive, trace=output.turns),
        lambda: (
            print_search(found, output.explain, output.turns, archive.settings.time_zone)
            if (found.moments or output.explain or output.turns) and output.format is None
            else None
        ),
    )
    output.show(archive, found, as_json=as_json)
    if not found.moments:
        say(_why_nothing(archive, options))
    if not found.moments or found.verdict.decision == "no_match":
        raise typer.Exit(EXIT_NOTHING)


def _why_nothing(archive: Archive, options: SearchOptions) -> str:
    if not archive.videos():
        return f"nothing is indexed in {archive.settings.place} yet: vsr-edge index FOLDER"
    if why := nothing_in(archive, options.video, options.where):
        return why
    if options.text:
        return why_no_words(archive)
    if options.min_score is not None:
        return f"nothing scored {options.min_score} or more; without --min-score the best is shown"
    return "nothing matched"


def print_search(
    found: SearchResult, explain: bool = False, trace: bool = False, zone: str = ""
) -> None:
    """The moments as a table, under the verdict on them; with ``explain``, how they were found, and
    with ``trace``, all that was looked at. Times of recording are by the clocks of ``zone``.
    """
    if found.verdict.decision == "unverified":
        say(found.turns[-1 if found.read_as else 0].then)
    elif found.moments and found.verdict.decision == "no_match":
        say("nothing found that is likely enough; the nearest guesses:")
    if found.moments:
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
    texts = text_columns(found.moments)
    rows = []
    for place, m in enumerate(found.moments):
        # What is less likely than the threshold is a guess.
        unlikely = threshold is not None and (m.match_probability or 0.0) < threshold
        guess = unlikely and m.source == "seen"
        rows.append(
            (
                f"{m.rank}?" if guess else str(m.rank),
                *([_percent(m.match_probability)] if judged else []),
                f"{m.score:.3f}" if m.source in {"seen", "both"} else "–",
                clock(m.start),
                clock(m.end),
                *([recorded[place]] if recorded else []),
                *text_cells(m, texts),
                *(["missing" if m.missing else ""] if noted else []),
                str(m.video),
            )
        )
        rows += part_rows(m, judged=judged, blanks=len(texts) + bool(recorded) + noted)
    titles = ("#", *(["match"] if judged else []), "score", "from", "to")
    figures = [Column(title, "number") for title in titles]
    recorded_columns = [Column("recorded")] if recorded else []
    notes = [Column("note")] if noted else []
    columns = [*figures, *recorded_columns, *texts, *notes, Column("video", "path")]
    return Table(columns, rows, named_by=(0, len(columns) - 1))


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def _say_path(found: SearchResult, shown: int | None) -> None:
    """Turn by turn: what was tried, what came of it, and why it went on."""
    from vsr_edge.bundle.locate import bundle_title, name_of_id
    from vsr_edge.types import clock

    if found.read_as is not None:
        say(f"read as: {found.read_as}")
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
    if found.verified_by is not None:
        say(f"verified by {found.verified_by}")
    say(f"verdict: {_verdict(found)}")


def _verdict(found: SearchResult) -> str:
    """What was decided, by which numbers."""
    if not found.moments and found.verdict.decision == "no_match":
        return "no match; nothing is left to guess"
    likely = _percent(found.moments[0].match_probability if found.moments else None)
    if found.verdict.decision == "match" and found.verdict.confidence is None:
        return "match; the words are there, which needs no probability"
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
            say(nothing_in(opened, given, where) or "no video matches")
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
        found, folder = opened.stats(), opened.settings.place
        answer(
            json_output,
            lambda of: of.StatsDocument.of(found, folder),
            lambda: print_tables(_stats(found, folder)),
        )


def _stats(stats: ArchiveStats, folder: Path | str) -> Table:
    from vsr_edge.bundle.locate import bundle_title, name_of_id

    partial = f", {stats.partial_videos} of them partial" if stats.partial_videos else ""
    bundle = bundle_title(name_of_id(stats.bundle_id), stats.bundle_id)
    known = {
        "archive": str(folder),
        "videos": f"{stats.videos}{partial}",
        "footage": f"{stats.hours:.2f} h",
        "frames": f"{stats.frames}, {'with' if stats.regions else 'without'} regions",
        "clips": str(stats.clips),
        "words": f"{stats.cues} subtitles and the like",
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
