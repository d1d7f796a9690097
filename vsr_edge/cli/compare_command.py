"""`bundle compare`: two bundles on the same footage and the same questions, and what each costs."""

from __future__ import annotations

import hashlib
import shutil
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from vsr_edge.cli.console import (
    answer,
    counting_progress,
    indexing_progress,
    opened_archive,
    say,
    terminate_like_ctrl_c,
)
from vsr_edge.cli.cost_table import cost_table
from vsr_edge.cli.eval_commands import TruthFormatOption
from vsr_edge.cli.options import (
    ArchiveOption,
    JsonOption,
    LoopOptions,
    ProviderOption,
    ThreadsOption,
    argument,
    option,
)
from vsr_edge.cli.tables import Column, Table, print_tables, shortened
from vsr_edge.errors import ArchiveError, UsageError

if TYPE_CHECKING:
    from vsr_edge.archive import Archive
    from vsr_edge.bundle.cost import Cost
    from vsr_edge.evaluation.evaluate import Run
    from vsr_edge.evaluation.records import Query
    from vsr_edge.query import SearchOptions
    from vsr_edge.types import StoredVideo

_LONGEST_NAME = 24


def bundle_compare(
    first: Annotated[str, argument("A bundle, by name or folder.", metavar="A")],
    second: Annotated[str, argument("Another one.", metavar="B")],
    *,
    queries: Annotated[
        Path, option("Queries with their truth: one JSON object a line, as for eval.")
    ],
    archive: ArchiveOption = None,
    work: Annotated[
        Path | None,
        option(
            "Keep vectors that are made for this here, for the next comparison. "
            "\\[default: in the archive's folder, until this one is done]"
        ),
    ] = None,
    truth_format: TruthFormatOption = None,
    loop: LoopOptions,
    threads: ThreadsOption = None,
    provider: ProviderOption = None,
    json_output: JsonOption = False,
) -> None:
    """Ask two bundles the same questions about the same footage: what each finds, and costs.

    Differences are paired, with intervals of 95 % by bootstrap over videos. An archive holds the
    vectors of one bundle: its videos are encoded with the other beside it, the archive stays as it
    is. Ctrl-C loses at most the video in progress; the same command goes on.

    Example: [bold]vsr-edge bundle compare lite ./my-bundle --archive DIR --queries q.jsonl[/bold]
    """
    from vsr_edge.bundle.cost import measure_costs
    from vsr_edge.evaluation.archive_scores import compare
    from vsr_edge.evaluation.benchmarks import read_queries
    from vsr_edge.query import SearchOptions

    with (
        opened_archive(archive, threads=threads, provider=provider) as opened,
        terminate_like_ctrl_c(),
        ExitStack() as beside,
    ):
        videos = opened.videos()
        asked = read_queries(queries, truth_format or "jsonl")
        settings = opened.settings
        costs = measure_costs([first, second], provider=settings.provider, threads=settings.threads)
        if costs[0].bundle_id == costs[1].bundle_id:
            raise UsageError(f"{first} and {second} are the same bundle, {costs[0].bundle_id}")
        place = work or settings.archive / "compare"
        archives = [
            beside.enter_context(_encoded(opened, name, cost, videos, place))
            for name, cost in zip((first, second), costs, strict=True)
        ]
        # Words know no encoder, and may be on one side alone.
        options = SearchOptions().changed(top_k=100, text=False, **asdict(loop))
        unequal = _unequal(opened, archives, (first, second), options)
        runs = [
            _asked(one, name, asked, videos, options)
            for one, name in zip(archives, (first, second), strict=True)
        ]
        compared = compare(runs[0].predictions, runs[1].predictions, runs[0].queries)
        document = _document(queries, settings.place, costs, runs, compared)
        document["notices"] += unequal
        answer(
            json_output,
            lambda of: of.BundleCompareDocument.model_validate(document),
            lambda: _show(document, costs),
        )
        for sentence in document["notices"]:
            say(sentence)
        beside.close()
        if work is None:
            shutil.rmtree(place, ignore_errors=True)


def _encoded(
    opened: Archive, bundle: str, cost: Cost, videos: Sequence[StoredVideo], place: Path
) -> Archive:
    """An archive of these videos with the vectors of a bundle: the one there is, or another beside
    it, which is brought up to date first.
    """
    from vsr_edge.archive import Archive

    settings = replace(opened.settings, bundle=bundle)
    own = Archive(settings)
    encoders = own.bundle.encoders_id
    if encoders == opened.store.bundle_id:
        return own
    own.close()
    # A manifest may call its encoders anything, which no folder need bear.
    folder = place / hashlib.sha256(encoders.encode()).hexdigest()[:16]
    settings = replace(settings, archive=folder, database="", include_system=True)
    there: set[Path] = set()
    if settings.archive.exists():
        with Archive(settings) as before:
            wanted = {one.video.path for one in videos}
            kept = before.videos()
            before.forget([one for one in kept if one.video.path not in wanted])
            there = {one.video.path for one in kept}
    new = [one for one in videos if one.video.path not in there]
    if new:
        frames = sum(one.frames for one in new)
        say(
            f"{len(new)} of {len(videos)} videos are to be encoded with {bundle}: {frames} frames, "
            f"about {_duration(frames * cost.frame_ms / 1000)} at {cost.frames_per_second:.0f} a "
            f"second that it was measured at, longer where decoding is slower; into "
            f"{settings.archive}"
        )
    groups = defaultdict(list)
    for one in videos:
        groups[one.sampling].append(one.video.path)
    for sampling, paths in groups.items():
        with Archive(replace(settings, **asdict(sampling))) as beside:
            with indexing_progress() as report:
                summary = beside.index(paths, on_progress=report)
            if summary.interrupted:
                say("nothing that was finished is lost: the same command goes on from here")
                raise KeyboardInterrupt
            if summary.failed:
                failed = summary.failed[0]
                raise ArchiveError(
                    f"{len(summary.failed)} of the archive's videos cannot be read any more, "
                    f"{failed.path} for one ({failed.reason}), so that the two would not search "
                    "the same footage: mount their drive, or forget them (`vsr-edge prune`)"
                )
    return Archive(settings)


def _unequal(
    opened: Archive, archives: Sequence[Archive], names: Sequence[str], options: SearchOptions
) -> list[str]:
    """What is known of this archive and does not count, or on one side alone, in sentences."""
    from vsr_edge.search.verifier import correction_name, heads_of

    said = []
    if opened.store.has_texts():
        said.append("pictures alone were asked: the archive's words know no encoder")
    for one, name in zip(archives, names, strict=True):
        heads = heads_of(one.bundle, options)
        if heads and one.encoded_store().correction(correction_name(one.bundle, heads)):
            said.append(
                f"probabilities of {name} are corrected for this archive, which may not be so of "
                "the other: to compare them as they are, first `vsr-edge calibrate --reset`"
            )
    return said


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _asked(
    archive: Archive,
    bundle: str,
    asked: Sequence[Query],
    videos: Sequence[StoredVideo],
    options: SearchOptions,
) -> Run:
    from vsr_edge.evaluation.evaluate import run_queries

    lengths = {str(one.video.path): one.video.duration for one in videos}
    with counting_progress(f"{shortened(bundle, _LONGEST_NAME)}: queries") as on_progress:
        run = run_queries(lambda query: archive.search(query, options), asked, lengths, on_progress)
    if run.interrupted:
        say("what was encoded is kept: the same command encodes nothing again")
        raise KeyboardInterrupt
    return run


def _document(
    queries: Path,
    archive: Path | str,
    costs: Sequence[Cost],
    runs: Sequence[Run],
    compared: dict[str, Any],
) -> dict[str, Any]:
    from vsr_edge.evaluation.evaluate import path_document
    from vsr_edge.evaluation.paired import resolution, said_of

    sides = [
        {"cost": cost, "path": path_document(run.paths)}
        for cost, run in zip(costs, runs, strict=True)
    ]
    names = [cost.bundle_name for cost in costs]
    notices = said_of(compared, names)
    if missing := runs[0].missing:
        notices.append(
            "not in the archive and counted as not found: "
            f"{missing[0]}{f' and {len(missing) - 1} more' if len(missing) > 1 else ''}"
        )
    return {
        "queries": str(queries),
        "archive": str(archive),
        "bundles": dict(zip("ab", sides, strict=True)),
        **compared,
        "resolution": resolution(compared),
        "notices": notices,
    }


def _show(document: dict[str, Any], costs: Sequence[Cost]) -> None:
    from vsr_edge.evaluation.figures import comparison_table
    from vsr_edge.evaluation.paired import telling

    names = {side: cost.bundle_name for side, cost in zip("ab", costs, strict=True)}
    table = comparison_table({**telling(document), "files": names})
    titles = [shortened(title, _LONGEST_NAME) for title in table.columns]
    columns = [Column(titles[0], "text"), *(Column(title, "number") for title in titles[1:])]
    columns[-1] = Column(f"{titles[1]} − {titles[2]} [95 %; * leaves out 0]", "number")
    latency = [
        [names[side], *(f"{ms:.1f}" for ms in one["path"]["latency_ms"]["total"].values())]
        for side, one in document["bundles"].items()
    ]
    print_tables(
        Table(columns, table.rows),
        cost_table(costs),
        Table((Column("a search, ms"), Column("p50", "number"), Column("p95", "number")), latency),
    )
