"""The commands that measure: `eval` and `eval-predictions`."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vsr_edge.cli.console import EXIT_INTERRUPTED, answer, counting_progress, opened_archive, say
from vsr_edge.cli.options import (
    ArchiveOption,
    JsonOption,
    LoopOptions,
    ModelOptions,
    argument,
    option,
)
from vsr_edge.cli.search_commands import say_first_time
from vsr_edge.cli.tables import Column, Kind, Table, print_tables, shortened

if TYPE_CHECKING:
    from vsr_edge.archive import Archive
    from vsr_edge.evaluation.evaluate import Run
    from vsr_edge.evaluation.figures import TextTable
    from vsr_edge.query import SearchOptions

_LONGEST_FILE_NAME = 24

TruthFormatOption = Annotated[
    str | None,
    option(
        "Format of the truth: jsonl, tvr, qvhighlights, verified, activitynet, didemo, "
        "charades-sta.",
        "--truth-format",
    ),
]


def evaluate(
    queries: Annotated[Path, argument("Queries with their truth: one JSON object a line.")],
    *,
    archive: ArchiveOption = None,
    top_k: Annotated[
        int, option("Moments asked for; R@100 needs 100.", "--top-k", "-k", min=1)
    ] = 100,
    loop: LoopOptions,
    save: Annotated[Path | None, option("Write the answers to this file.", "--save")] = None,
    save_format: Annotated[
        str, option("Format of answers: jsonl, tvr or qvhighlights.", "--format")
    ] = "jsonl",
    truth_format: TruthFormatOption = None,
    report: Annotated[
        Path | None, option("Write a report for people: one HTML file.", "--report")
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        option(
            "Search nothing: compare two saved files of answers to these queries.",
            "--compare",
            metavar="A B",
        ),
    ] = None,
    models: ModelOptions,
    json_output: JsonOption = False,
) -> None:
    """Run queries whose answers are known through the search, and say how good it is.

    A line of the file is one query: qid, query, video (a path or the ending of one; null if no
    video shows it) and spans, a list of pairs of start and end in seconds. Intervals are 95 %, by
    bootstrap over videos.

    Example: [bold]vsr-edge eval queries.jsonl --archive DIR --save a.jsonl --report a.html[/bold]

    Example: [bold]vsr-edge eval queries.jsonl --compare a.jsonl b.jsonl[/bold]
    """
    if compare is not None:
        _compare(queries, truth_format, compare, save_format, json_output)
        return
    from vsr_edge.evaluation.benchmarks import read_queries
    from vsr_edge.evaluation.evaluate import check_format, run_queries, save_run
    from vsr_edge.evaluation.figures import evaluation_summary, evaluation_tables
    from vsr_edge.evaluation.report.page import check_extra, write_report
    from vsr_edge.query import SearchOptions

    with opened_archive(archive, **asdict(models)) as opened:
        if report is not None:
            check_extra()
        check_format(save_format)
        asked = read_queries(queries, truth_format or "jsonl")
        lengths = {str(one.video.path): one.video.duration for one in opened.videos()}
        options = SearchOptions().changed(top_k=top_k, **asdict(loop))
        say_first_time(opened, options)
        started = time.perf_counter()
        with counting_progress("queries") as on_progress:
            run = run_queries(
                lambda query: opened.search(query, options), asked, lengths, on_progress
            )
        if not run.queries:
            say("interrupted before the first answer")
            raise typer.Exit(EXIT_INTERRUPTED)
        document = _measured(opened, queries, options, run, started)
        if save is not None:
            save_run(run, save, save_format)
        if report is not None:
            write_report(report, run, document, [*lengths])
        answer(
            json_output,
            lambda of: of.EvalDocument.model_validate(document),
            lambda: _print(evaluation_summary(document), *evaluation_tables(document)),
        )
        if run.missing:
            say(
                f"{len(run.missing)} videos that queries name are not in the archive and count as "
                f"not found, {run.missing[0]} for one"
            )
        if run.interrupted:
            say(f"interrupted: these are the first {len(run.queries)} of {len(asked)} queries")
            raise typer.Exit(EXIT_INTERRUPTED)


def _measured(
    archive: Archive, queries: Path, options: SearchOptions, run: Run, started: float
) -> dict[str, Any]:
    """What was asked of what, the figures, and what evaluating took beside searching."""
    from vsr_edge.bundle.locate import bundle_name
    from vsr_edge.evaluation.archive_scores import summarize
    from vsr_edge.evaluation.evaluate import path_document

    stats = archive.stats()
    about = {
        "queries": str(queries),
        "archive": str(archive.settings.place),
        "bundle": archive.bundle.bundle_id,
        "bundle_name": bundle_name(archive.bundle.manifest.folder),
        "videos": stats.videos,
        "clips": stats.clips,
    }
    figures = summarize(run.predictions, run.queries, options.top_k)
    path = path_document(run.paths)
    # The search before the first is in neither.
    own = time.perf_counter() - started - run.warm_up_seconds - run.search_seconds
    took = {
        "search_seconds": round(run.search_seconds, 3),
        "own_seconds": round(own, 3),
        "overhead_percent": round(100 * own / run.search_seconds, 2),
    }
    return {"run": about | asdict(options), **figures, "path": path, "evaluator": took}


def _compare(
    queries: Path,
    truth_format: str | None,
    files: tuple[Path, Path],
    prediction_format: str,
    json_output: bool,
) -> None:
    from vsr_edge.evaluation.figures import TextTable, comparison_table
    from vsr_edge.evaluation.predictions import compare_files

    compared = compare_files(*files, queries, prediction_format, truth_format=truth_format)
    document = {"files": {"a": str(files[0]), "b": str(files[1])}, **compared}

    def show() -> None:
        table = comparison_table(document)
        title, first, second, difference = table.columns
        say(f"difference: {first} − {second}, paired [95 % interval]; * where that leaves out 0")
        names = [shortened(name, _LONGEST_FILE_NAME) for name in (first, second)]
        _print(TextTable([title, *names, difference], table.rows))

    answer(json_output, lambda of: of.EvalCompareDocument.model_validate(document), show)


def evaluate_predictions(
    predictions: Annotated[Path, argument("File of predictions.")],
    truth: Annotated[Path, argument("File of queries with their truth.")],
    prediction_format: Annotated[
        str, option("Format of the predictions: tvr, qvhighlights or jsonl.", "--format")
    ],
    truth_format: TruthFormatOption = None,
    json_output: JsonOption = False,
) -> None:
    """Score a file of predictions from anywhere, by the rules of its format; needs no archive.

    The figures are those of the format's own evaluator: TVR's `standalone_eval`, moment_detr's for
    QVHighlights, and this project's for jsonl.

    Example: [bold]vsr-edge eval-predictions submission.json tvr_val.jsonl --format tvr[/bold]
    """
    from vsr_edge.evaluation.figures import file_tables
    from vsr_edge.evaluation.predictions import score_predictions

    scored = score_predictions(predictions, truth, prediction_format, truth_format=truth_format)
    answer(
        json_output,
        lambda of: of.EvalPredictionsDocument.model_validate(scored),
        lambda: _print(*file_tables(scored["metrics"], prediction_format)),
    )


def _print(*tables: TextTable) -> None:
    shown = []
    for titles, rows, numbers in tables:
        kind: Kind = "number" if numbers else "text"
        columns = [Column(title, kind if place else "text") for place, title in enumerate(titles)]
        shown.append(Table(columns, rows))
    print_tables(*shown)
