"""The report's plots, as SVG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from vsr_edge.evaluation.archive_scores import THRESHOLDS, ArchiveScores
from vsr_edge.evaluation.calibrate import reliability
from vsr_edge.evaluation.metrics import recall_at, risk_coverage
from vsr_edge.evaluation.records import MOST_PREDICTIONS

_SIZE = (5.2, 3.4)
# Text as outlines needs no fonts on the reader's machine; with a fixed salt the same figures give
# the same file.
_STYLE: Any = {
    "svg.fonttype": "path",
    "svg.hashsalt": "vsr-edge",
    "axes.grid": True,
    "grid.alpha": 0.3,
}


def recall_curves(scores: ArchiveScores, top_k: int) -> str:
    """R@k over k, up to the ``top_k`` asked for, of the video and of the moment at each IoU."""
    figure, axes = _new("answers looked at (k)", "per cent of queries found")
    ks = np.arange(1, min(top_k, MOST_PREDICTIONS) + 1)
    curves = {"video": scores.videos} | {
        f"moment, IoU {threshold}": ranks
        for threshold, ranks in zip(THRESHOLDS, scores.moments.T, strict=True)
    }
    for label, ranks in curves.items():
        found = ranks[scores.present]
        axes.plot(ks, [100 * recall_at(found, int(k)) for k in ks], label=label)
    if len(ks) > 1:
        axes.set_xscale("log")
    ticks = [k for k in (1, 2, 5, 10, 20, 50, 100) if k <= len(ks)]
    axes.set_xticks(ticks, [str(k) for k in ticks])
    axes.set_xticks([], minor=True)
    axes.set_ylim(0, 100)
    axes.legend()
    return _svg(figure)


def risk_coverage_curve(sure: ArrayLike, right: ArrayLike, by: str) -> str:
    """The error rate among the surest first moments, over how many of them are kept."""
    figure, axes = _new(
        f"per cent of first moments kept, by {by}", "per cent of them in a wrong video"
    )
    curve = risk_coverage(sure, right)
    axes.plot(100 * curve.coverage, 100 * curve.risk)
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    return _svg(figure)


def reliability_plot(said: Mapping[str, ArrayLike], right: ArrayLike) -> str:
    """How often answers are right over what they say, for probabilities of several kinds, the size
    of a point telling how many there are; and where what is said holds.
    """
    figure, axes = _new("per cent said", "per cent right")
    axes.plot([0, 100], [0, 100], color="grey", linewidth=1)
    for label, probability in said.items():
        bins = reliability(probability, right)
        places = [100 * one.said for one in bins], [100 * one.right for one in bins]
        (line,) = axes.plot(*places, label=label)
        axes.scatter(*places, s=[4 * one.count for one in bins], color=line.get_color(), alpha=0.5)
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    axes.legend()
    return _svg(figure)


def latency_histogram(milliseconds: Sequence[float]) -> str:
    """How long searches took; the slowest in a hundred are counted in the last bar."""
    figure, axes = _new("milliseconds a search", "searches")
    values = np.asarray(milliseconds)
    axes.hist(np.minimum(values, np.percentile(values, 99)), bins=min(40, 5 + len(values) // 5))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return _svg(figure)


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
