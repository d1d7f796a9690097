"""The command line: what there is, and its entry point. Each command lies with those of its group.

What is heavy (numpy, the models, pydantic) is imported by the command that needs it, so that
`--help` answers at once.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from vsr_edge.cli import search_commands
from vsr_edge.cli.backup_command import backup, restore
from vsr_edge.cli.bundle_commands import bundle_app
from vsr_edge.cli.calibrate_command import calibrate
from vsr_edge.cli.console import run
from vsr_edge.cli.cut_command import cut
from vsr_edge.cli.demo import demo
from vsr_edge.cli.doctor import doctor
from vsr_edge.cli.eval_commands import evaluate, evaluate_predictions
from vsr_edge.cli.export_command import PASS_ON, export
from vsr_edge.cli.index_commands import index, prune, reindex, remove
from vsr_edge.cli.mcp_command import mcp
from vsr_edge.cli.migrate_command import migrate
from vsr_edge.cli.open_command import open_hit
from vsr_edge.cli.options import App
from vsr_edge.cli.receipt_commands import receipt_app
from vsr_edge.cli.saved_commands import saved_app, similar
from vsr_edge.cli.serve_command import serve_app
from vsr_edge.cli.tag_command import TagCommand, tag
from vsr_edge.cli.watch_command import watch

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


# In the order of the help page. A new command is a function in a file of its group, named here.
for command in (
    index,
    watch,
    reindex,
    search_commands.search,
    cut,
    similar,
    search_commands.videos,
    search_commands.stats,
    remove,
    prune,
    backup,
    restore,
    migrate,
    demo,
    doctor,
):
    app.command()(command)
app.command("open")(open_hit)
app.command(cls=TagCommand)(tag)
app.command()(calibrate)
app.command()(mcp)
app.command("eval")(evaluate)
app.command("eval-predictions")(evaluate_predictions)
app.command("export", context_settings=PASS_ON)(export)
app.add_typer(serve_app, name="serve")
app.add_typer(saved_app, name="saved")
app.add_typer(bundle_app, name="bundle")
app.add_typer(receipt_app, name="receipt")


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
