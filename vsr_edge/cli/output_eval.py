"""Figures of evaluations as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsr_edge.bundle.locate import bundle_title
from vsr_edge.cli.output import messages, print_blank
from vsr_edge.cli.tables import Column, Row, print_table, shortened
from vsr_edge.evaluation.scoring.archive import RECALLS, recall_place

TOP = (1, 5, 10, 100)
THRESHOLDS = ("0.3", "0.5", "0.7")
_MOMENTS = {"VCMR": "moment", "VCMR_answered": "moment, after the verdict"}
# What the figures are called, wherever people read them.
_SINGLE = {
    ("mAP", "average"): "mAP, IoU 0.5:0.95",
    ("grounding", "mean_iou"): "mean IoU in the right video",
    ("VER", "accuracy"): "verification accuracy",
    ("not_there", "precision"): "“not there”, precision",
    ("not_there", "recall"): "“not there”, recall",
    ("confidence", "accuracy"): "verdicts that are right",
    ("confidence", "risk_coverage_area"): "area under risk–coverage (0 is best)",
    ("confidence", "calibration_error"): "calibration error of match (0 is best)",
}
_BY_KIND = ("queries", "video R@1", *(f"moment R@1, IoU {level}" for level in THRESHOLDS))
_LONGEST_FILE_NAME = 24


@dataclass(frozen=True, slots=True)
class TextTable:
    """Cells of text under headings; headings may all be empty."""

    columns: Row
    rows: list[Row]


def print_evaluation(document: Mapping[str, Any]) -> None:
    """A run's tables on stdout."""
    about = TextTable(["", ""], [[name, value] for name, value in summary_of(document)])
    _print_tables([about, *evaluation_tables(document)])


def _print_tables(tables: Iterable[TextTable]) -> None:
    for number, table in enumerate(tables):
        if number:
            print_blank()
        first, *others = table.columns
        kind = [Column(title, "number" if any(table.columns) else "text") for title in others]
        print_table((Column(first, "text"), *kind), table.rows)


def evaluation_tables(document: Mapping[str, Any]) -> list[TextTable]:
    """A run: its figures with intervals, by kind of query, the path, and latency by stage."""
    about, path = document["run"], document["path"]
    tables = [
        *_figures(document["metrics"], document["intervals"], about["top_k"]),
        TextTable(["by kind of query", *_BY_KIND], _by_kind(document.get("by_kind", {}))),
        TextTable(
            ["what a search took", "mean"],
            [[name.replace("_", " "), f"{path[name]:g}"] for name in path if name != "latency_ms"],
        ),
        TextTable(
            ["milliseconds", "p50", "p95"],
            [[name, f"{ms['p50']:.2f}", f"{ms['p95']:.2f}"] for name, ms in _latency(path)],
        ),
    ]
    return [table for table in tables if table.rows]


def summary_of(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was asked of what, and how: names and values."""
    about, took = document["run"], document["evaluator"]
    return [
        ("queries", f"{about['queries']}: {_asked(document['metrics'])}"),
        ("archive", f"{about['archive']}: {about['videos']} videos, {about['clips']} clips"),
        ("bundle", bundle_title(about["bundle_name"], about["bundle"])),
        ("search", _searched(about)),
        (
            "time",
            f"{took['search_seconds']:.2f} s of searching, {took['own_seconds']:.2f} s of scoring "
            f"({took['overhead_percent']:.1f} %)",
        ),
    ]


def _searched(about: Mapping[str, Any]) -> str:
    moments = f"{about['top_k']} moments asked for"
    if about["one_shot"]:
        return f"{moments}, in one shot"
    limit = "" if about["max_ms"] is None else f", none begun after {about['max_ms']:g} ms"
    turns = f"{about['max_turns']} turns" if about["max_turns"] > 1 else "one turn"
    method = ", refined by Rocchio" if about["rocchio"] else ""
    return f"{moments}; at most {turns} of {about['candidates']} candidates{limit}{method}"


def _asked(metrics: Mapping[str, Any]) -> str:
    counts = metrics["queries"]
    return f"{counts['all']}, {counts['present']} present and {counts['absent']} absent"


def _figures(
    metrics: Mapping[str, Any], intervals: Mapping[str, Any], top_k: int
) -> Iterable[TextTable]:
    shown = [k for k in TOP if k <= top_k]
    sampled = "per cent [95 % interval]" if intervals else "per cent"
    yield TextTable([sampled, *(f"R@{k}" for k in shown)], _recall(metrics, intervals, shown))
    yield TextTable([sampled, ""], _single_figures(metrics, intervals))


def _latency(path: Mapping[str, Any]) -> Iterable[tuple[str, Mapping[str, float]]]:
    return path["latency_ms"].items()  # type: ignore[no-any-return]


def _recall(
    metrics: Mapping[str, Any], intervals: Mapping[str, Any], shown: Iterable[int]
) -> list[Row]:
    rows: list[Row] = []
    for table, title in _MOMENTS.items():
        figures = metrics.get(table)
        if figures is None or (table == "VCMR_answered" and figures == metrics["VCMR"]):
            continue
        for threshold in THRESHOLDS:
            cells = [_cell(metrics, intervals, table, f"{threshold}-r{k}") for k in shown]
            rows.append([f"{title}, IoU {threshold}", *cells])
    if "VR" in metrics:
        rows.append(["video", *(_cell(metrics, intervals, "VR", f"r{k}") for k in shown)])
    return rows


def _single_figures(metrics: Mapping[str, Any], intervals: Mapping[str, Any]) -> list[Row]:
    found: list[Row] = [
        [title, _cell(metrics, intervals, table, name)]
        for (table, name), title in _SINGLE.items()
        if table in metrics
    ]
    if "VR" in metrics:
        rank = metrics["VR"]["median_rank"]
        found.append(
            ["median rank of the right video", "not found" if rank is None else f"rank {rank}"]
        )
    if "not_there" not in metrics:
        found.append(["verdicts", "none: nothing was verified"])
    return found


def _by_kind(kinds: Mapping[str, Any]) -> list[Row]:
    return [
        [
            kind,
            str(metrics["queries"]["all"]),
            _plain(metrics.get("VR", {}).get("r1")),
            *(_plain(metrics.get("VCMR", {}).get(f"{t}-r1")) for t in THRESHOLDS),
        ]
        for kind, metrics in kinds.items()
    ]


def figure_name(table: str, name: str) -> str | None:
    """What a figure is called; None for one that tables for people leave out."""
    if table in _MOMENTS:
        threshold, place = name.split("-r")
        return f"{_MOMENTS[table]}, IoU {threshold}, R@{place}"
    if table == "VR":
        return f"video, R@{name.removeprefix('r')}"
    return _SINGLE.get((table, name))


def print_comparison(document: Mapping[str, Any]) -> None:
    """Two runs and their paired difference; a star where its interval leaves out zero."""
    ours, theirs = document["a"], document["b"]
    # Among more moments than a run lists nothing more is found, whatever it would have found.
    listed = min(document["moments"].values())
    rows: list[Row] = []
    for table, figures in document["difference"].items():
        if table == "VCMR_answered" and all(run[table] == run["VCMR"] for run in (ours, theirs)):
            continue
        for name, (value, low, high) in figures.items():
            title = figure_name(table, name)
            if title is None or (table in RECALLS and recall_place(name) > listed):
                continue
            sure = value is not None and low is not None and (low > 0 or high < 0)
            shown = "–" if value is None else f"{value:+.1f}"
            if value is not None and low is not None:
                shown += f" [{low:+.1f}, {high:+.1f}]" + (" *" if sure else "  ")
            rows.append([title, *(_cell(run, {}, table, name) for run in (ours, theirs)), shown])
    first, second = told_apart(document["files"]["a"], document["files"]["b"])
    messages.print(
        f"difference: {first} − {second}, paired [95 % interval]; * where that leaves out 0",
        markup=False,
    )
    names = (shortened(name, _LONGEST_FILE_NAME) for name in (first, second))
    columns = (*(Column(name, "number") for name in names), Column("difference", "number"))
    print_table((Column("per cent", "text"), *columns), rows)


def told_apart(first: str, second: str) -> tuple[str, str]:
    """Two files by the shortest endings of their paths that differ."""
    paths = Path(first).parts, Path(second).parts
    for kept in range(1, max(map(len, paths))):
        names = tuple(str(Path(*parts[-kept:])) for parts in paths)
        if names[0] != names[1]:
            return names[0], names[1]
    return first, second


def print_metrics(metrics: Mapping[str, Any], form: str) -> None:
    """The figures of a file in that format: as `eval` shows them, or under the names of the
    format's own evaluator.
    """
    if form == "jsonl":
        asked = TextTable(["", ""], [["queries", _asked(metrics)]])
        _print_tables(table for table in (asked, *_figures(metrics, {}, max(TOP))) if table.rows)
    else:
        print_table((Column("", "text"), Column("", "number")), _leaves(metrics))


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> list[Row]:
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
    if value is None:
        return "–"
    if low is None:
        return f"{value:.1f}"
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"
