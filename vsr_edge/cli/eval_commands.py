"""The commands that measure: `eval` and `eval-predictions`."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from vsr_edge.cli.options import (
    ArchiveOption,
    BundleOption,
    CandidatesOption,
    JsonOption,
    MaxMsOption,
    MaxTurnsOption,
    OneShotOption,
    ProviderOption,
    RocchioOption,
    ThreadsOption,
)
from vsr_edge.cli.terminal import EXIT_INTERRUPTED, errors_as_exit_codes, open_for_command, say

if TYPE_CHECKING:
    from vsr_edge.evaluation.run import Run

TruthFormatOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--truth-format",
        help="Format of the truth: jsonl, tvr, qvhighlights, verified, activitynet, didemo, "
        "charades-sta.",
    ),
]


def evaluate(
    queries: Annotated[
        Path, typer.Argument(help="Queries with their truth: one JSON object a line.")
    ],
    archive: ArchiveOption = None,
    top_k: Annotated[
        int, typer.Option("--top-k", "-k", min=1, help="Moments asked for; R@100 needs 100.")
    ] = 100,
    max_turns: MaxTurnsOption = None,
    candidates: CandidatesOption = None,
    max_ms: MaxMsOption = None,
    one_shot: OneShotOption = False,
    rocchio: RocchioOption = False,
    save: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--save", help="Write the answers to this file."),
    ] = None,
    save_format: Annotated[
        str, typer.Option("--format", help="Format of answers: jsonl, tvr or qvhighlights.")
    ] = "jsonl",
    truth_format: TruthFormatOption = None,
    report: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--report", help="Write a report for people: one HTML file."),
    ] = None,
    compare: Annotated[
        Optional[tuple[Path, Path]],  # noqa: UP045
        typer.Option(
            "--compare",
            metavar="A B",
            help="Search nothing: compare two saved files of answers to these queries.",
        ),
    ] = None,
    threads: ThreadsOption = None,
    provider: ProviderOption = None,
    bundle: BundleOption = None,
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
    with open_for_command(archive, threads=threads, provider=provider, bundle=bundle) as opened:
        from vsr_edge.bundle.locate import bundle_name
        from vsr_edge.cli.output import print_json
        from vsr_edge.cli.output_eval import print_evaluation
        from vsr_edge.cli.progress import counting_progress
        from vsr_edge.evaluation.benchmarks import read_queries
        from vsr_edge.evaluation.run import path_document, run_queries
        from vsr_edge.evaluation.saving import check_format, save_run
        from vsr_edge.evaluation.summary import summarize
        from vsr_edge.types import SearchChanges, SearchOptions

        if report is not None:
            from vsr_edge.evaluation.report.page import check_extra, write_report

            check_extra()
        check_format(save_format)
        asked = read_queries(queries, truth_format or "jsonl")
        videos = opened.videos()
        given: SearchChanges = {
            "top_k": top_k,
            "max_turns": max_turns,
            "candidates": candidates,
            "max_ms": max_ms,
            "one_shot": one_shot,
            "rocchio": rocchio,
        }
        options = SearchOptions().changed(**given)
        started = time.perf_counter()
        with counting_progress("queries") as on_progress:
            run = run_queries(
                lambda query: opened.search(query, options),
                asked,
                {str(stored.video.path): stored.video.duration for stored in videos},
                on_progress,
            )
        if not run.queries:
            say("interrupted before the first answer")
            raise typer.Exit(EXIT_INTERRUPTED)
        document: dict[str, Any] = {
            "run": {
                "queries": str(queries),
                "archive": str(opened.settings.archive),
                "bundle": opened.bundle.bundle_id,
                "bundle_name": bundle_name(opened.bundle.files.folder),
                "videos": len(videos),
                "clips": sum(stored.clips for stored in videos),
                **{name: value for name, value in asdict(options).items() if name in given},
            },
            **summarize(run.predictions, run.queries, top_k),
            "path": path_document(run.paths),
        }
        document["evaluator"] = _own_time(run, time.perf_counter() - started)
        if save is not None:
            save_run(run, save, save_format)
        if report is not None:
            write_report(report, run, document, [str(stored.video.path) for stored in videos])
        if json_output:
            from vsr_edge.documents_eval import EvalDocument

            print_json(EvalDocument.model_validate(document))
        else:
            print_evaluation(document)
        if run.missing:
            say(
                f"{len(run.missing)} videos that queries name are not in the archive and count as "
                f"not found, {run.missing[0]} for one"
            )
        if run.interrupted:
            say(f"interrupted: these are the first {len(run.queries)} of {len(asked)} queries")
            raise typer.Exit(EXIT_INTERRUPTED)


def _own_time(run: Run, seconds: float) -> dict[str, float]:
    """What evaluating took beside searching; the search before the first is in neither."""
    own = seconds - run.warm_up_seconds - run.search_seconds
    return {
        "search_seconds": round(run.search_seconds, 3),
        "own_seconds": round(own, 3),
        "overhead_percent": round(100 * own / run.search_seconds, 2),
    }


def _compare(
    queries: Path,
    truth_format: str | None,
    files: tuple[Path, Path],
    prediction_format: str,
    json_output: bool,
) -> None:
    with errors_as_exit_codes():
        from vsr_edge.cli.output import print_json
        from vsr_edge.cli.output_eval import print_comparison
        from vsr_edge.evaluation.predictions import compare_files

        compared = compare_files(*files, queries, prediction_format, truth_format=truth_format)
        document = {"files": {"a": str(files[0]), "b": str(files[1])}, **compared}
        if json_output:
            from vsr_edge.documents_eval import EvalCompareDocument

            print_json(EvalCompareDocument.model_validate(document))
        else:
            print_comparison(document)


def evaluate_predictions(
    predictions: Annotated[Path, typer.Argument(help="File of predictions.")],
    truth: Annotated[Path, typer.Argument(help="File of queries with their truth.")],
    prediction_format: Annotated[
        str, typer.Option("--format", help="Format of the predictions: tvr, qvhighlights or jsonl.")
    ],
    truth_format: TruthFormatOption = None,
    json_output: JsonOption = False,
) -> None:
    """Score a file of predictions from anywhere, by the rules of its format; needs no archive.

    The figures are those of the format's own evaluator: TVR's `standalone_eval`, moment_detr's for
    QVHighlights, and this project's for jsonl.

    Example: [bold]vsr-edge eval-predictions submission.json tvr_val.jsonl --format tvr[/bold]
    """
    with errors_as_exit_codes():
        from vsr_edge.cli.output import print_json
        from vsr_edge.cli.output_eval import print_metrics
        from vsr_edge.evaluation.predictions import score_predictions

        document = score_predictions(
            predictions, truth, prediction_format, truth_format=truth_format
        )
        if json_output:
            from vsr_edge.documents_eval import EvalPredictionsDocument

            print_json(EvalPredictionsDocument.model_validate(document))
        else:
            print_metrics(document["metrics"], prediction_format)
