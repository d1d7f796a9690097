"""Score files of predictions against a file of truth, by the rules of the predictions' format.

Figures are per cent with two decimals, under the keys of the format's own evaluator.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vsr_edge.errors import UsageError
from vsr_edge.evaluation.archive_scores import archive_tables, compare, score_queries
from vsr_edge.evaluation.benchmarks import check_known, read_predictions, read_queries
from vsr_edge.evaluation.field_scores import score_qvhighlights, score_tvr
from vsr_edge.evaluation.records import DURATION_KEY, Prediction, Query


def score_predictions(
    predictions: Path, truth: Path, format: str, *, truth_format: str | None = None
) -> dict[str, dict[str, object]]:
    """``{"metrics": …}``, ready for JSON, of ``predictions`` in ``format`` (``tvr``,
    ``qvhighlights`` or ``jsonl``).

    ``truth`` is in the same format unless ``truth_format`` says otherwise: a TVR submission for a
    VERIFIED or DiDeMo set, for one. Raises ``FormatError`` for a malformed file, and ``UsageError``
    for an unknown format or files that are not about the same queries.
    """
    check_known(format)
    queries = read_queries(truth, truth_format or format)
    tasks = {
        task: paired(rows, queries, predictions, truth)
        for task, rows in read_predictions(predictions, format).items()
    }
    if format == "tvr":
        return {"metrics": score_tvr(tasks, queries)}
    (rows,) = tasks.values()
    if format == "qvhighlights":
        return {"metrics": score_qvhighlights(rows, queries)}
    return {"metrics": {**archive_tables(score_queries(rows, _clipped(queries, rows)))}}


def compare_files(
    first: Path, second: Path, truth: Path, format: str, *, truth_format: str | None = None
) -> dict[str, object]:
    """Two files of answers to the same queries, in ``jsonl`` or ``tvr`` (its VCMR task), by
    ``archive_scores.compare``. Raises as ``score_predictions``, and ``UsageError`` for files
    without the ranking of a whole archive.
    """
    queries = read_queries(truth, truth_format or format)
    runs = []
    for path in (first, second):
        tasks = read_predictions(path, format)
        if "VCMR" not in tasks:
            raise UsageError(f"{path} holds {', '.join(tasks)}; comparing needs VCMR.")
        runs.append(paired(tasks["VCMR"], queries, path, truth))
    return compare(runs[0], runs[1], _clipped(queries, runs[0]))


def paired(
    predictions: Sequence[Prediction], queries: Sequence[Query], source: Path, truth: Path
) -> list[Prediction]:
    """The predictions in the order of the queries. Raises ``UsageError`` unless each query has one
    and each prediction is for one, as the field's evaluators do.
    """
    by_id = {row.qid: row for row in predictions}
    asked = {query.qid for query in queries}
    missing = [query.qid for query in queries if query.qid not in by_id]
    unknown = [row.qid for row in predictions if row.qid not in asked]
    if missing:
        raise UsageError(
            f"{source} answers {len(queries) - len(missing)} of the {len(queries)} queries of "
            f"{truth}: {missing[0]!r} is missing. Both must hold the same queries."
        )
    if unknown:
        raise UsageError(
            f"{source} answers {len(unknown)} queries that {truth} does not hold, such as "
            f"{unknown[0]!r}. Both must hold the same queries."
        )
    return [by_id[query.qid] for query in queries]


def _clipped(queries: Sequence[Query], predictions: Sequence[Prediction]) -> list[Query]:
    """The queries as they were when they were asked: a prediction may keep how long the right
    video is, and a true span that was written as "to the end" ends there.
    """
    lengths = [prediction.extra.get(DURATION_KEY) for prediction in predictions]
    return [
        query.clipped(float(length)) if isinstance(length, int | float) else query
        for query, length in zip(queries, lengths, strict=True)
    ]
