"""A run in figures: values, intervals, tables by kind of query, and the difference of two runs.

Intervals are 95 %, by bootstrap over videos: queries about one video are drawn together, each
absent query is on its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vsr_edge.errors import UsageError
from vsr_edge.evaluation.bootstrap import (
    Interval,
    Ratio,
    ratio_differences,
    ratio_intervals,
)
from vsr_edge.evaluation.records import MOST_PREDICTIONS, Prediction, Query
from vsr_edge.evaluation.scoring.archive import (
    RECALLS,
    Figures,
    archive_figures,
    recall_place,
    score_archive,
)
from vsr_edge.evaluation.scoring.tables import percent

# The column of a query that says what kind it is, where a set of queries has kinds.
KIND_KEY = "kind"


def summarize(
    predictions: Sequence[Prediction], queries: Sequence[Query], top_k: int = MOST_PREDICTIONS
) -> dict[str, object]:
    """``metrics`` as ``score_archive`` gives them, ``intervals`` of those that are means or shares
    ([low, high] in per cent, in the same tables), and ``by_kind`` where queries have a kind.

    ``top_k`` moments were asked for at most: recall among more than that is null.
    """
    figures = archive_figures(predictions, queries)
    document: dict[str, object] = {
        "metrics": _asked_for(top_k, score_archive(predictions, queries, figures), None),
        "intervals": _asked_for(top_k, intervals(figures, queries), [None, None]),
    }
    kinds = dict.fromkeys(str(q.extra[KIND_KEY]) for q in queries if KIND_KEY in q.extra)
    if len(kinds) > 1:
        document["by_kind"] = {
            kind: _asked_for(top_k, score_archive(*_of_kind(kind, predictions, queries)), None)
            for kind in kinds
        }
    return document


def _asked_for(
    top_k: int, tables: Mapping[str, Mapping[str, object]], unknown: object
) -> dict[str, dict[str, object]]:
    """The same tables, with what needs more than ``top_k`` moments unknown."""
    return {
        table: {
            name: unknown if table in RECALLS and recall_place(name) > top_k else value
            for name, value in figures.items()
        }
        for table, figures in tables.items()
    }


def intervals(figures: Figures, queries: Sequence[Query]) -> dict[str, dict[str, object]]:
    """[low, high] of every figure, in per cent."""
    names, ratios = _flat(figures)
    found = ratio_intervals(ratios, _groups(queries)) if ratios else []
    return _tables(names, [[percent(i.low), percent(i.high)] for i in found])


def compare(
    first: Sequence[Prediction], second: Sequence[Prediction], queries: Sequence[Query]
) -> dict[str, object]:
    """Two runs over the same queries: ``a``, ``b`` as ``score_archive`` gives them, ``moments``,
    how many each lists at most, and ``difference``, [a − b, low, high] of every figure that both
    have, paired, in per cent.
    """
    figures = archive_figures(first, queries), archive_figures(second, queries)
    (names, ours), (others, theirs) = map(_flat, figures)
    shared = [name for name in names if name in others]
    if not shared:
        raise UsageError("the two runs have no figure in common")
    differences = ratio_differences(
        [ours[names.index(name)] for name in shared],
        [theirs[others.index(name)] for name in shared],
        _groups(queries),
    )
    return {
        "a": score_archive(first, queries, figures[0]),
        "b": score_archive(second, queries, figures[1]),
        "moments": {
            name: max(map(len, run), default=0) for name, run in (("a", first), ("b", second))
        },
        "difference": _tables(shared, [_three(found) for found in differences]),
    }


def _three(found: Interval) -> list[float | None]:
    return [percent(found.estimate), percent(found.low), percent(found.high)]


def _flat(figures: Figures) -> tuple[list[tuple[str, str]], list[Ratio]]:
    names = [(table, name) for table, ratios in figures.items() for name in ratios]
    return names, [figures[table][name] for table, name in names]


def _tables(
    names: Sequence[tuple[str, str]], values: Sequence[object]
) -> dict[str, dict[str, object]]:
    tables: dict[str, dict[str, object]] = {}
    for (table, name), value in zip(names, values, strict=True):
        tables.setdefault(table, {})[name] = value
    return tables


def _groups(queries: Sequence[Query]) -> NDArray[np.intp]:
    """Numbers of groups that are drawn together, intp [q]."""
    keys = [("video", q.video) if q.video is not None else ("query", str(q.qid)) for q in queries]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys], dtype=np.intp)


def _of_kind(
    kind: str, predictions: Sequence[Prediction], queries: Sequence[Query]
) -> tuple[list[Prediction], list[Query]]:
    pairs = [
        (prediction, query)
        for prediction, query in zip(predictions, queries, strict=True)
        if str(query.extra.get(KIND_KEY)) == kind
    ]
    return [prediction for prediction, _ in pairs], [query for _, query in pairs]
