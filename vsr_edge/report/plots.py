"""The report's plots, as SVG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vsr_edge.evaluation.decisions import risk_coverage
from vsr_edge.evaluation.records import MOST_PREDICTIONS, Prediction, Query
from vsr_edge.evaluation.retrieval import recall_at
from vsr_edge.evaluation.scoring.archive import QueryScores, verdict_is_right

_SIZE = (5.2, 3.4)
# Text as outlines needs no fonts on the reader's machine; with a fixed salt the same figures give
# the same file.
_STYLE: Any = {
    "svg.fonttype": "path",
    "svg.hashsalt": "vsr-edge",
    "axes.grid": True,
    "grid.alpha": 0.3,
}


def recall_curves(scores: QueryScores) -> str:
    """R@k over k, for the video and for the moment at each IoU threshold."""
    figure, axes = _new("answers looked at (k)", "per cent of queries found")
    ks = np.arange(1, MOST_PREDICTIONS + 1)
    curves = {"video": scores.videos} | {
        f"moment, IoU {threshold}": scores.moments[:, column]
        for column, threshold in enumerate(scores.thresholds)
    }
    for label, ranks in curves.items():
        axes.plot(ks, [100 * recall_at(ranks, int(k)) for k in ks], label=label)
    axes.set_xscale("log")
    axes.set_xticks([1, 5, 10, 100], ["1", "5", "10", "100"])
    axes.set_ylim(0, 100)
    axes.legend()
    return _svg(figure)


def risk_coverage_curve(sure: Sequence[float], right: Sequence[bool], by: str) -> str:
    """The error rate among the surest answers, over how many of them are kept."""
    figure, axes = _new(f"per cent of answers kept, by {by}", "per cent of them wrong")
    curve = risk_coverage(sure, right)
    axes.plot(100 * curve.coverage, 100 * curve.risk)
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    return _svg(figure)


def latency_histogram(milliseconds: Sequence[float]) -> str:
    """How long searches took; the slowest in a hundred are counted in the last bar."""
    figure, axes = _new("milliseconds a search", "searches")
    values = np.asarray(milliseconds)
    axes.hist(np.minimum(values, np.percentile(values, 99)), bins=40)
    return _svg(figure)


def surest(
    predictions: Sequence[Prediction],
    queries: Sequence[Query],
    first_right: Mapping[int | str, bool],
) -> tuple[list[float], list[bool], str]:
    """How sure each answer is, whether it is right, and what says how sure.

    Where verdicts state a confidence: that, and the verdict. Else the best score, and whether the
    first moment is right at IoU 0.5 (``first_right`` by query; an absent query's never is).
    """
    if all(row.confidence is not None and row.decision != "unverified" for row in predictions):
        sure = [float(row.confidence or 0.0) for row in predictions]
        pairs = zip(predictions, queries, strict=True)
        return sure, [verdict_is_right(row, query) for row, query in pairs], "confidence"
    sure = [float(row.scores[0]) if len(row) else -1.0 for row in predictions]
    return sure, [first_right.get(query.qid, False) for query in queries], "score"


def _new(x: str, y: str) -> tuple[Figure, Axes]:
    with rc_context(_STYLE):
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    with rc_context(_STYLE):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()
