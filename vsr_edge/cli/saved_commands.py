"""The commands that ask again: `similar`, and `saved list`, `run` and `forget`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from vsr_edge.cli.console import EXIT_ERROR, answer, opened_archive, say
from vsr_edge.cli.filter_options import FilterOptions
from vsr_edge.cli.options import (
    App,
    ArchiveOption,
    JsonOption,
    LoopOptions,
    ModelOptions,
    argument,
    option,
)
from vsr_edge.cli.output_options import OutputOptions
from vsr_edge.cli.search_commands import answer_query, how_to_search
from vsr_edge.cli.tables import Column, Table, print_tables
from vsr_edge.errors import UsageError

if TYPE_CHECKING:
    from vsr_edge.hits.saved import SavedSearch

saved_app = App(
    no_args_is_help=True,
    help="List, run and forget searches that were saved with `search … --remember NAME`.\n\n"
    "Example: [bold]vsr-edge saved list[/bold]",
)

TopOption = Annotated[int, option("At most so many moments.", "--top-k", "-k", min=1)]
ScoreOption = Annotated[
    float | None, option("Leave out moments that score lower, from -1 to 1.", "--min-score")
]


def similar(
    moment: Annotated[
        str, argument("A time in a video, or a picture's file.", metavar="VIDEO@TIME")
    ],
    *,
    archive: ArchiveOption = None,
    top_k: TopOption = 10,
    min_score: ScoreOption = None,
    filters: FilterOptions,
    output: OutputOptions,
    models: ModelOptions,
    json_output: JsonOption = False,
) -> None:
    """Find moments that look like one of a video; `search --like` is the same.

    The moment itself is left out. Likeness is not verified: the score orders moments.

    Example: [bold]vsr-edge similar bikes.mp4@0:07[/bold]
    """
    from vsr_edge.hits.asked import settled
    from vsr_edge.query import Query

    output.check(json_output)
    with opened_archive(archive, **asdict(models)) as opened:
        query = settled(opened, Query(like=moment))
        options = how_to_search(top_k=top_k, min_score=min_score, **filters.changes(opened))
        answer_query(opened, query, options, output, json_output)


@saved_app.command("list")
def saved_list(archive: ArchiveOption = None, json_output: JsonOption = False) -> None:
    """List the saved searches of an archive.

    Example: [bold]vsr-edge saved list --json[/bold]
    """
    from vsr_edge.hits.saved import saved_searches

    with opened_archive(archive) as opened:
        opened.stats()  # there must be an archive
        found = saved_searches(opened.settings.archive)
        answer(
            json_output,
            lambda of: of.SavedDocument(saved=[_row(one) for one in found]),
            lambda: print_tables(_saved(found)) if found else None,
        )
        if not found:
            say("no search is saved here yet: vsr-edge search … --remember NAME")


def _row(one: SavedSearch) -> dict[str, object]:
    query = one.query
    counts = {"good": len(query.good) if query else 0, "bad": len(query.bad) if query else 0}
    about = {"name": one.name, "saved_at": one.saved_at, "problem": one.problem}
    return {**about, **counts, "query": query and query.shown, "filters": one.filters}


def _saved(found: list[SavedSearch]) -> Table:
    columns = [Column("name"), Column("saved"), Column("query", "text")]
    rows = [
        [one.name, one.saved_at[:10], one.query.shown if one.query else f"{one.problem}"]
        for one in found
    ]
    if any(one.filters for one in found):
        columns.append(Column("filters", "text"))
        rows = [[*row, one.footage] for row, one in zip(rows, found, strict=True)]
    return Table(columns, rows)


@saved_app.command("run")
def saved_run(
    name: Annotated[str, argument("The name that it was saved as.")],
    *,
    archive: ArchiveOption = None,
    top_k: TopOption = 10,
    min_score: ScoreOption = None,
    filters: FilterOptions,
    loop: LoopOptions,
    output: OutputOptions,
    models: ModelOptions,
    json_output: JsonOption = False,
) -> None:
    """Ask a saved search again, of what the archive holds now.

    It has the filters that it was saved with, but for those that are given anew.

    Example: [bold]vsr-edge saved run red-vans --top-k 5[/bold]
    """
    from vsr_edge.hits.saved import saved_search, where_of

    output.check(json_output)
    with opened_archive(archive, **asdict(models)) as opened:
        found = saved_search(opened.settings.archive, name)
        assert found.query is not None
        footage = {**found.filters, **filters.said()}
        options = how_to_search(
            top_k=top_k,
            min_score=min_score,
            video=filters.video or None,
            where=where_of(opened, footage),
            **asdict(loop),
        )
        answer_query(opened, found.query, options, output, json_output)


@saved_app.command("forget")
def saved_forget(
    names: Annotated[list[str], argument("The names that they were saved as.", metavar="NAME...")],
    archive: ArchiveOption = None,
    json_output: JsonOption = False,
) -> None:
    """Forget saved searches.

    Example: [bold]vsr-edge saved forget red-vans[/bold]
    """
    from vsr_edge.hits.saved import forget_search

    forgotten, wrong = [], False
    with opened_archive(archive) as opened:
        for name in dict.fromkeys(names):
            try:
                forget_search(opened.settings.archive, name)
                forgotten.append(name)
            except UsageError as error:
                wrong = True
                say(f"{name}: {error}")
        answer(json_output, lambda of: of.SavedForgetDocument(forgotten=forgotten))
    say(f"forgotten: {', '.join(forgotten)}" if forgotten else "nothing was forgotten")
    if wrong:
        raise typer.Exit(EXIT_ERROR)
