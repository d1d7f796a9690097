"""Receipts: the options of `search` that write one, and the command that checks one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vsr_edge.cli.console import EXIT_NOTHING, answer, opened_archive, say
from vsr_edge.cli.options import App, ArchiveOption, JsonOption, ModelOptions, argument, option
from vsr_edge.cli.tables import Column, Table, print_tables
from vsr_edge.errors import UsageError

if TYPE_CHECKING:
    from vsr_edge.answer import SearchResult
    from vsr_edge.archive import Archive
    from vsr_edge.query import Query, SearchOptions

receipt_app = App(
    no_args_is_help=True,
    help="What a search looked through, on record: `search --receipt FILE` writes it.\n\n"
    "Example: [bold]vsr-edge receipt check receipt.json[/bold]",
)
_SHOWN = 60


@dataclass(frozen=True)
class ReceiptOptions:
    """Where to write a receipt."""

    receipt: Annotated[
        Path | None,
        option("Write what was searched, how, and what came of it: a JSON file.", "--receipt"),
    ]
    force: bool


def search_on_record(
    archive: Archive, query: Query, options: SearchOptions, wanted: ReceiptOptions
) -> SearchResult:
    """Search, and write the receipt if one is wanted."""
    if wanted.receipt is None:
        return archive.search(query, options)
    from vsr_edge.hits.receipt import refuse_existing, with_receipt, write_receipt

    if query.sentence is None:
        raise UsageError("a receipt is of words alone: leave out pictures, --not and feedback")
    refuse_existing(wanted.receipt, force=wanted.force)
    found, receipt = with_receipt(archive, query.sentence, options)
    write_receipt(wanted.receipt, receipt, force=wanted.force)
    say(f"receipt: {wanted.receipt}, sha256 {receipt['sha256']}")
    return found


@receipt_app.command("check")
def receipt_check(
    file: Annotated[Path, argument("What `search --receipt` wrote.")],
    *,
    archive: ArchiveOption = None,
    models: ModelOptions,
    json_output: JsonOption = False,
) -> None:
    """Search again as a receipt says, and tell what has changed since.

    The archive is that of the receipt, unless another is named. Exit code 3: something changed.

    Example: [bold]vsr-edge receipt check receipt.json[/bold]
    """
    from vsr_edge.hits.receipt import changes, read_receipt, run_again

    before = read_receipt(file)
    with opened_archive(archive or before["archive"]["folder"], **asdict(models)) as opened:
        after = run_again(opened, before)
    found = changes(before, after)
    answer(
        json_output,
        lambda of: of.ReceiptCheckDocument(
            file=file, made_at=before["made_at"], holds=not found, changes=found, now=after
        ),
        lambda: print_tables(_changes(found)) if found else None,
    )
    about = f'"{before["query"]}", {before["answer"]["verdict"]} on {before["made_at"]}'
    if found:
        say(f"changed since: {about}; now {after['answer']['verdict']}")
        raise typer.Exit(EXIT_NOTHING)
    say(f"nothing has changed: {about}")


def _changes(found: list[dict[str, Any]]) -> Table:
    rows = [[one["what"], _short(one["before"]), _short(one["after"])] for one in found]
    return Table((Column(""), Column("before", "text"), Column("now", "text")), rows)


def _short(value: Any) -> str:
    text = "–" if value is None else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
