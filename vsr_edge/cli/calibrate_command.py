"""The command that finds out what a probability means in an archive: `calibrate`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vsr_edge.cli.console import EXIT_ERROR, answer, counting_progress, opened_archive, say
from vsr_edge.cli.options import ArchiveOption, JsonOption, ModelOptions, option
from vsr_edge.cli.search_commands import say_first_time
from vsr_edge.cli.tables import Column, Table, print_tables
from vsr_edge.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vsr_edge.archive import Archive
    from vsr_edge.bundle.manifest import Calibration
    from vsr_edge.evaluation.calibrate import Floats, Line
    from vsr_edge.evaluation.records import Query
    from vsr_edge.query import SearchOptions
    from vsr_edge.types import Correction

_BAR = 20


def calibrate(
    *,
    archive: ArchiveOption = None,
    queries: Annotated[
        Path | None,
        option("Learn from queries whose answers are known, as `eval` takes.", "--queries"),
    ] = None,
    absent: Annotated[
        float | None,
        option(
            "So large a share of the questions here is about what is not there, up to 0.95; more "
            "than was calibrated for.",
            "--absent",
            min=0.0,
            max=0.95,
        ),
    ] = None,
    sentences: Annotated[
        int, option("Ask so many sentences about anything, 50 or more.", "--sentences", min=50)
    ] = 200,
    heads: Annotated[
        str | None,
        option("Of which heads, where not of those that search.", metavar="dedicated|universal"),
    ] = None,
    dry_run: Annotated[
        bool, option("Tell what would be, and change nothing.", "--dry-run")
    ] = False,
    reset: Annotated[bool, option("Forget what was found out before.", "--reset")] = False,
    plot: Annotated[
        Path | None,
        option("Draw how often what is said is right: an SVG file; needs --queries.", "--plot"),
    ] = None,
    models: ModelOptions,
    json_output: JsonOption = False,
) -> None:
    """Find out what a probability means in this archive, or say so, for later searches.

    Sentences about anything are asked, most of which nothing here shows: how many are said to be
    there? No labels are needed to say how often people ask here for what is not there, by --absent:
    the more often, the fewer answers are right; which of them are a match stays. With queries whose
    answers are known, asked as people ask here, it is better: a hundred are plenty, twenty help
    where what is said is far off.

    Example: [bold]vsr-edge calibrate --absent 0.7[/bold]

    Example: [bold]vsr-edge calibrate --queries queries.jsonl --plot plot.svg[/bold]

    Example: [bold]vsr-edge calibrate --reset[/bold]
    """
    from vsr_edge.query import SearchOptions
    from vsr_edge.search.verifier import correction_name, heads_of

    if plot is not None and queries is None:
        raise UsageError("a plot of what is right needs answers that are known: add --queries FILE")
    if reset and (absent is not None or queries is not None):
        raise UsageError("--reset forgets what was found out: leave out --absent and --queries")
    if absent is not None and queries is not None:
        raise UsageError("queries show themselves how many are absent: leave out --absent")
    if plot is not None:
        _check_plot(plot)
    with opened_archive(archive, **asdict(models)) as opened:
        changes: Any = {"heads": heads, "text": False}
        # Words that are said or written need no probability.
        options = SearchOptions().changed(**changes)
        store = opened.encoded_store()
        say_first_time(opened, options)
        chosen = heads_of(opened.bundle, options)
        name = correction_name(opened.bundle, chosen or "universal")
        if reset:
            if not dry_run:
                with store.writer() as writer:
                    writer.correct(name, None)
            again = "would say" if dry_run else "say"
            say(f"{chosen} heads {again} again what they say everywhere")
        report = {} if reset else _report(opened, options, sentences, absent, queries, name)
        correction, told = report.pop("correction", None), report.pop("told", None)
        known = absent is not None or queries is not None
        if known and not dry_run:
            with store.writer() as writer:
                writer.correct(name, correction)
        document = {
            "archive": str(opened.settings.place),
            "bundle": opened.bundle.bundle_id,
            "heads": chosen,
            "stored": correction is not None and not (known and dry_run),
            "correction": None if correction is None else asdict(correction),
            **report,
        }
    answer(
        json_output,
        lambda of: of.CalibrateDocument.model_validate(document),
        lambda: print_tables(*_tables(document)),
    )
    if not reset:
        say(_conclusion(document, dry_run))
    if plot is not None and told is not None:
        _draw(plot, told)


def _report(
    archive: Archive,
    options: SearchOptions,
    count: int,
    absent: float | None,
    queries: Path | None,
    name: str,
) -> dict[str, Any]:
    """What was asked, what came of it, the ``correction`` of that or else of before, if any, and
    what the queries' answers ``told``: before, after, and whether they are right.
    """
    from vsr_edge.bundle.universal_head import sentences
    from vsr_edge.evaluation import calibrate as of
    from vsr_edge.evaluation.benchmarks import read_queries
    from vsr_edge.search.verifier import calibration_of, verifier_of
    from vsr_edge.types import Correction

    known = [] if queries is None else read_queries(queries, "jsonl")
    if queries is not None and len(known) < of.FEWEST_QUERIES:
        raise UsageError(
            f"{queries} has {len(known)} queries: at least {of.FEWEST_QUERIES} tell something, "
            "as many of them for what is not there as are asked here; or leave out --queries"
        )
    store, bundle = archive.encoded_store(), archive.bundle
    verifier = verifier_of(store, bundle, options)
    assert verifier is not None
    # What is said now may be corrected already: that is taken back first.
    old = store.correction(name)
    before = of.Line() if old is None else of.Line(old.slope, old.bias)
    calibration = calibration_of(bundle, verifier.heads)
    line = told = None
    if absent is not None and (line := of.by_absent(absent, calibration)) is None:
        raise UsageError(
            f"the calibration of {bundle.bundle_id} does not tell what came of questions about "
            "what is not there: --queries FILE instead of --absent"
        )
    once = options.changed(top_k=1)
    every = sentences()
    asked = [every[number * len(every) // count] for number in range(min(count, len(every)))]
    with counting_progress("sentences") as on_progress:
        found = of.ask_sentences(lambda said: archive.search(said, once), asked, on_progress)
    plain = before.undone(found)
    if known:
        likely, right = _known_answers(archive, once, known)
        said = before.undone(likely)
        told = (said, of.not_seen(said, right), right)
        line = of.by_queries(said, right)
    correction = old
    if line is not None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        numbers = round(line.slope, 5), round(line.bias, 5)
        correction = Correction(*numbers, now, 0 if told is None else len(told[0]), absent)
    after = line or (None if old is None else before)
    return {
        "threshold": calibration.threshold,
        "absent": calibration.absent if calibration.absent_of_wrong is not None else None,
        "sentences": len(plain),
        "said": _said(plain, after, calibration, correction),
        "queries": None if told is None else _reliability(*told),
        "told": told,
        "correction": correction,
    }


def _check_plot(plot: Path) -> None:
    """Before minutes are spent: can it be drawn, and is there a place for it?"""
    from vsr_edge.evaluation.report.page import check_extra

    check_extra()
    # As pathlib does it, but it never raises.
    if os.path.isdir(plot) or not os.path.isdir(plot.parent):  # noqa: PTH112
        raise UsageError(f"--plot {plot} is no file in a folder that is there: name another")


def _draw(plot: Path, told: tuple[Floats, Floats, NDArray[np.bool_]]) -> None:
    from vsr_edge.evaluation.report.plots import reliability_plot

    before, after, right = told
    try:
        plot.write_text(reliability_plot({"before": before, "after": after}, right), "utf-8")
    except OSError as error:
        say(f"the plot could not be written: {error}; all else is done")
        raise typer.Exit(EXIT_ERROR) from error


def _known_answers(
    archive: Archive, options: SearchOptions, known: Sequence[Query]
) -> tuple[Floats, NDArray[np.bool_]]:
    """How likely the first moment of each query is said to match, and whether its video is right;
    of those that were answered.
    """
    import numpy as np

    from vsr_edge.evaluation.archive_scores import score_queries
    from vsr_edge.evaluation.evaluate import run_queries

    lengths = {str(one.video.path): one.video.duration for one in archive.videos()}
    with counting_progress("queries") as on_progress:
        run = run_queries(lambda q: archive.search(q, options), known, lengths, on_progress)
    if run.interrupted:
        raise KeyboardInterrupt
    scores = score_queries(run.predictions, run.queries)
    judged = ~np.isnan(scores.likely)
    if judged.sum() < 2 or scores.right[judged].all() or not scores.right[judged].any():
        raise UsageError(
            "the queries' answers are all right or all wrong, which says nothing of probabilities: "
            "ask more, and for what is not there too"
        )
    return scores.likely[judged], scores.right[judged]


def _said(
    plain: Floats, line: Line | None, calibration: Calibration, correction: Correction | None
) -> list[dict[str, Any]]:
    """Of the sentences, how many are said to be there at least so surely, in [0, 1]."""
    from vsr_edge.evaluation.calibrate import LEVELS

    match = round(calibration.threshold, 3)
    # What counts as a match may move with the probabilities.
    bars = {level: level for level in LEVELS} | {match: calibration.corrected(correction).threshold}
    after = None if line is None else line(plain)
    return [
        {
            "at_least": level,
            "threshold": level == match,
            "before": round(float((plain >= level).mean()), 4),
            "after": None if after is None else round(float((after >= bars[level]).mean()), 4),
        }
        for level in sorted(bars)
    ]


def _reliability(plain: Floats, after: Floats, right: NDArray[np.bool_]) -> dict[str, Any]:
    from vsr_edge.evaluation.calibrate import calibration_error, reliability

    return {
        "count": len(plain),
        "right": round(float(right.mean()), 4),
        "error_before": round(calibration_error(plain, right), 4),
        "error_after": round(calibration_error(after, right), 4),
        "before": [asdict(one) for one in reliability(plain, right)],
        "after": [asdict(one) for one in reliability(after, right)],
    }


def _tables(document: dict[str, Any]) -> list[Table]:
    rows = [
        (
            f"{row['at_least']:.0%}" + (" (a match)" if row["threshold"] else ""),
            f"{row['before']:.0%}",
            "–" if row["after"] is None else f"{row['after']:.0%}",
        )
        for row in document.get("said", ())
    ]
    columns = [Column("a sentence is there, at least"), Column("before", "number")]
    tables = [Table([*columns, Column("after", "number")], rows)] if rows else []
    if found := document.get("queries"):
        for when in ("before", "after"):
            bins = [
                (
                    f"{one['low']:.0%}–{one['high']:.0%}",
                    str(one["count"]),
                    f"{one['said']:.0%}",
                    f"{one['right']:.0%}",
                    "█" * round(_BAR * one["right"]),
                )
                for one in found[when]
            ]
            titles = [
                Column(f"said, {when}"),
                *(Column(t, "number") for t in ("n", "mean", "right")),
            ]
            tables.append(Table([*titles, Column("")], bins))
    return tables


def _conclusion(document: dict[str, Any], dry_run: bool) -> str:
    found = document["queries"]
    error = ""
    if found is not None:
        error = (
            f"calibration error over {found['count']} queries: {found['error_before']:.1%} before, "
            f"{found['error_after']:.1%} after (each told by the others); "
        )
    if document["correction"] is None:
        share = document["absent"]
        meant = f" where {share:.0%} of the questions have no answer" if share else ""
        more = "--absent SHARE if it is more here, or " if share else ""
        return (
            f"nothing is changed: probabilities are those of footage like that of the calibration"
            f"{meant}; say {more}--queries FILE with answers that are known"
        )
    if dry_run:
        return f"{error}nothing is changed: --dry-run"
    return f"{error}later searches of this archive count by it; to undo: vsr-edge calibrate --reset"
