"""Figures of evaluations as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vsr_edge.output import Row, print_table

TOP = (1, 5, 10, 100)


@dataclass(frozen=True, slots=True)
class TextTable:
    """Cells of text under headings; headings may all be empty."""

    columns: Row
    rows: list[Row]


def print_evaluation(document: Mapping[str, Any]) -> None:
    """A run's tables on stdout."""
    for table in evaluation_tables(document):
        print_table(table.columns, table.rows)
        print_table([""], [[""]])


def evaluation_tables(document: Mapping[str, Any]) -> list[TextTable]:
    """A run: its figures with intervals, by kind of query, the path, and latency by stage."""
    metrics, intervals = document["metrics"], document["intervals"]
    counts, about, path = metrics["queries"], document["run"], document["path"]
    evaluator = document["evaluator"]
    own_time = (
        f"{evaluator['own_seconds']:.2f} s beside {evaluator['search_seconds']:.2f} s of searching "
        f"({evaluator['overhead_percent']:.1f} %)"
    )
    tables = [
        TextTable(
            ["", ""],
            [
                [
                    "queries",
                    f"{counts['all']}: {counts['present']} present, {counts['absent']} absent",
                ],
                ["archive", f"{about['videos']} videos, {about['clips']} clips"],
                ["bundle", about["bundle"]],
            ],
        ),
        TextTable(
            ["per cent [95 % interval]", *(f"R@{k}" for k in TOP)], _recall(metrics, intervals)
        ),
        TextTable(["", ""], _single_figures(metrics, intervals)),
        TextTable(["by kind of query", *BY_KIND], _by_kind(document.get("by_kind", {}))),
        TextTable(
            ["a search", "mean"],
            [[name.replace("_", " "), f"{path[name]:g}"] for name in path if name != "latency_ms"],
        ),
        TextTable(
            ["milliseconds", "p50", "p95"],
            [[name, f"{ms['p50']:.2f}", f"{ms['p95']:.2f}"] for name, ms in _latency(path)],
        ),
        TextTable(["", ""], [["evaluator", own_time]]),
    ]
    return [table for table in tables if table.rows]


def _latency(path: Mapping[str, Any]) -> Iterable[tuple[str, Mapping[str, float]]]:
    return path["latency_ms"].items()  # type: ignore[no-any-return]


BY_KIND = ("queries", "VR R@1", "R@1 IoU 0.3", "R@1 IoU 0.5", "R@1 IoU 0.7")


def _recall(metrics: Mapping[str, Any], intervals: Mapping[str, Any]) -> list[Row]:
    rows: list[Row] = []
    for table, title in (("VCMR", "moment"), ("VCMR_answered", "moment, after the verdict")):
        figures = metrics.get(table)
        if figures is None or (table == "VCMR_answered" and figures == metrics["VCMR"]):
            continue
        for threshold in ("0.3", "0.5", "0.7"):
            cells = [_cell(metrics, intervals, table, f"{threshold}-r{k}") for k in TOP]
            rows.append([f"{title}, IoU {threshold}", *cells])
    if "VR" in metrics:
        rows.append(["video", *(_cell(metrics, intervals, "VR", f"r{k}") for k in TOP)])
    return rows


def _single_figures(metrics: Mapping[str, Any], intervals: Mapping[str, Any]) -> list[Row]:
    rows = [
        ("mAP 0.5:0.95", "mAP", "average"),
        ("mean IoU in the right video", "grounding", "mean_iou"),
        ("verification accuracy", "VER", "accuracy"),
        ("“not there”, precision", "not_there", "precision"),
        ("“not there”, recall", "not_there", "recall"),
        ("verdicts that are right", "confidence", "accuracy"),
        ("area under risk–coverage", "confidence", "risk_coverage_area"),
        ("expected calibration error", "confidence", "calibration_error"),
    ]
    found: list[Row] = [
        [title, _cell(metrics, intervals, table, name)]
        for title, table, name in rows
        if table in metrics
    ]
    if "VR" in metrics:
        rank = metrics["VR"]["median_rank"]
        found.append(["median rank of the right video", "not found" if rank is None else str(rank)])
    if "not_there" not in metrics:
        found.append(["verdicts", "none: nothing was verified"])
    return found


def _by_kind(kinds: Mapping[str, Any]) -> list[Row]:
    return [
        [
            kind,
            str(metrics["queries"]["all"]),
            _plain(metrics.get("VR", {}).get("r1")),
            *(_plain(metrics.get("VCMR", {}).get(f"{t}-r1")) for t in ("0.3", "0.5", "0.7")),
        ]
        for kind, metrics in kinds.items()
    ]


def print_comparison(document: Mapping[str, Any]) -> None:
    """Two runs and their paired difference; a star where its interval leaves out zero."""
    rows: list[Row] = []
    for table, figures in document["difference"].items():
        for name, (value, low, high) in figures.items():
            sure = value is not None and low is not None and (low > 0 or high < 0)
            shown = f"{value:+.2f} [{low:+.2f}, {high:+.2f}]" if value is not None else "–"
            a, b = (document[run][table][name] for run in ("a", "b"))
            rows.append([f"{table} {name}", _plain(a), _plain(b), shown + (" *" if sure else "")])
    print_table(["per cent", "A", "B", "A − B [95 % interval]"], rows)


def print_metrics(metrics: Mapping[str, Any], prefix: str = "") -> None:
    """Any tree of figures, a row each."""
    print_table(["", ""], _leaves(metrics, prefix))


def _leaves(tree: Mapping[str, Any], prefix: str) -> list[Row]:
    rows: list[Row] = []
    for key, value in tree.items():
        name = f"{prefix} {key}".strip()
        if isinstance(value, Mapping):
            rows += _leaves(value, name)
        else:
            rows.append([name, value if isinstance(value, str) else _plain(value)])
    return rows


def _cell(metrics: Mapping[str, Any], intervals: Mapping[str, Any], table: str, name: str) -> str:
    value = metrics[table].get(name)
    low, high = intervals.get(table, {}).get(name, (None, None))
    if value is None or low is None:
        return _plain(value)
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"
