"""One self-contained HTML file: tables, curves, latency, and the queries that went worst."""

from __future__ import annotations

import base64
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vsr_edge.errors import UsageError, printable
from vsr_edge.evaluation.archive_scores import score_queries
from vsr_edge.evaluation.evaluate import Run
from vsr_edge.evaluation.figures import evaluation_summary, evaluation_tables
from vsr_edge.types import clock

if TYPE_CHECKING:
    from markupsafe import Markup

_NEEDED = ("jinja2", "matplotlib")
_TEMPLATE = Path(__file__).with_name("page.html.j2")


def check_extra() -> None:
    """Raise ``UsageError`` unless the ``report`` extra is installed."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"a report needs {' and '.join(missing)}: pip install 'vsr-edge[report]'")


def write_report(path: Path, run: Run, document: Mapping[str, Any], videos: Sequence[str]) -> None:
    """Write the report of a run whose figures are ``document``; ``videos`` are the archive's."""
    from jinja2 import Environment, StrictUndefined

    from vsr_edge.evaluation.report.plots import (
        latency_histogram,
        recall_curves,
        risk_coverage_curve,
    )
    from vsr_edge.evaluation.report.worst import worst_queries

    latency = latency_histogram([p.timing_ms["total"] for p in run.paths])
    plots = {"Latency": (latency, "What searches took; the slowest in a hundred in the last bar.")}
    scores = score_queries(run.predictions, run.queries)
    top_k = document["run"]["top_k"]
    if scores.present.any():
        # How sure first moments are: by the match probability where there are any.
        sure, by = scores.likely, "match"
        if np.isnan(sure).all():
            sure = np.array([p.scores[0] if len(p) else np.nan for p in run.predictions])
            by = "score"
        known = ~np.isnan(sure)
        plots = {
            "Recall": (recall_curves(scores, top_k), "R@k for every k; the higher, the better."),
            "Risk and coverage": (
                risk_coverage_curve(sure[known], scores.right[known], by),
                f"If only the first moments of the highest {by} are kept: how many of them lie in "
                "a wrong video. Were that known for certain, the curve would lie at 0 for long.",
            ),
            **plots,
        }
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {
        "clock": clock,
        "data_uri": _data_uri,
        "figure": _figure,
        "file_name": lambda video: Path(video).name,
        "printable": printable,
    }
    page = environment.from_string(_TEMPLATE.read_text("utf-8")).render(
        about=document["run"],
        summary=evaluation_summary(document).rows,
        count=len(run.queries),
        tables=evaluation_tables(document),
        plots=plots,
        worst=worst_queries(run.predictions, run.queries, scores, videos, top_k),
    )
    path.write_text(page, "utf-8")


def _figure(cell: str) -> Markup:
    """A figure and its interval, each of them whole where the line breaks."""
    from markupsafe import Markup

    value, bracket, interval = cell.partition(" [")
    if not bracket:
        return Markup("<span>{}</span>").format(cell)
    whole = Markup('<span>{}</span> <span class="interval">[{}</span>')
    return whole.format(value, interval)


def _data_uri(content: bytes | str, kind: str) -> str:
    data = content.encode() if isinstance(content, str) else content
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
