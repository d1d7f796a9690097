"""Figures of evaluations in words: tables of text, for the terminal and the report alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from vsr_edge.bundle.locate import bundle_title
from vsr_edge.evaluation.archive_scores import RECALLS, THRESHOLDS, recall_place
from vsr_edge.evaluation.field_scores import TOP

_THRESHOLDS = tuple(map(str, THRESHOLDS))
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
_RECALLS = {("VR", f"r{k}"): f"video, R@{k}" for k in TOP} | {
    (table, f"{threshold}-r{k}"): f"{title}, IoU {threshold}, R@{k}"
    for table, title in _MOMENTS.items()
    for threshold in _THRESHOLDS
    for k in TOP
}
_BY_KIND = ("queries", "video R@1", *(f"moment R@1, IoU {level}" for level in _THRESHOLDS))

Document: TypeAlias = Mapping[str, Any]


class TextTable(NamedTuple):
    """Cells of text under headings, which may all be empty; behind the first column numbers, or
    else text.
    """

    columns: list[str]
    rows: list[list[str]]
    numbers: bool = True


def evaluation_summary(document: Document) -> TextTable:
    """What was asked of what, and how: names and values."""
    about, took = document["run"], document["evaluator"]
    rows = {
        "queries": f"{about['queries']}: {_asked(document['metrics'])}",
        "archive": f"{about['archive']}: {about['videos']} videos, {about['clips']} clips",
        "bundle": bundle_title(about["bundle_name"], about["bundle"]),
        "search": _searched(about),
        "time": f"{took['search_seconds']:.2f} s of searching, {took['own_seconds']:.2f} s of "
        f"scoring ({took['overhead_percent']:.1f} %)",
    }
    return TextTable(["", ""], [[name, value] for name, value in rows.items()], numbers=False)


def _searched(about: Document) -> str:
    moments = f"{about['top_k']} moments asked for"
    if about["one_shot"]:
        return f"{moments}, in one shot"
    limit = "" if about["max_ms"] is None else f", none begun after {about['max_ms']:g} ms"
    turns = f"{about['max_turns']} turns" if about["max_turns"] > 1 else "one turn"
    method = ", refined by Rocchio" if about["rocchio"] else ""
    heads = about.get("heads", "auto")
    method += "" if heads == "auto" else f", {heads} heads"
    return f"{moments}; at most {turns} of {about['candidates']} candidates{limit}{method}"


def _asked(metrics: Document) -> str:
    counts = metrics["queries"]
    return f"{counts['all']}, {counts['present']} present and {counts['absent']} absent"


def evaluation_tables(document: Document) -> list[TextTable]:
    """A run: its figures with intervals, by kind of query, the path, and latency by stage."""
    path = document["path"]
    means = [[name.replace("_", " "), f"{path[name]:g}"] for name in path if name != "latency_ms"]
    stages = [
        [stage, f"{ms['p50']:.2f}", f"{ms['p95']:.2f}"] for stage, ms in path["latency_ms"].items()
    ]
    tables = [
        *_figures(document["metrics"], document["intervals"], document["run"]["top_k"]),
        TextTable(["by kind of query", *_BY_KIND], _by_kind(document.get("by_kind", {}))),
        TextTable(["what a search took", "mean"], means),
        TextTable(["milliseconds", "p50", "p95"], stages),
    ]
    return [table for table in tables if table.rows]


def file_tables(metrics: Document, form: str) -> list[TextTable]:
    """The figures of a file of predictions in that format: as those of a run, or under the names
    of the format's own evaluator.
    """
    if form != "jsonl":
        return [TextTable(["", ""], list(_leaves(metrics)))]
    asked = TextTable(["", ""], [["queries", _asked(metrics)]], numbers=False)
    return [table for table in (asked, *_figures(metrics, {}, max(TOP))) if table.rows]


def _leaves(tree: Document, prefix: str = "") -> Iterator[list[str]]:
    for key, value in tree.items():
        name = f"{prefix} {key}".strip()
        if isinstance(value, Mapping):
            yield from _leaves(value, name)
        else:
            yield [name, value if isinstance(value, str) else _plain(value)]


def _figures(metrics: Document, intervals: Document, top_k: int) -> tuple[TextTable, TextTable]:
    """Recall by k, and what has one figure alone."""
    shown = [k for k in TOP if k <= top_k]
    sampled = "per cent [95 % interval]" if intervals else "per cent"
    recall = [
        [f"{title}, IoU {t}", *(_cell(metrics, intervals, table, f"{t}-r{k}") for k in shown)]
        for table, title in _MOMENTS.items()
        if table in metrics and not (table == "VCMR_answered" and _answers_all(metrics))
        for t in _THRESHOLDS
    ]
    single = [
        [title, _cell(metrics, intervals, table, name)]
        for (table, name), title in _SINGLE.items()
        if table in metrics
    ]
    if "VR" in metrics:
        recall.append(["video", *(_cell(metrics, intervals, "VR", f"r{k}") for k in shown)])
        rank = metrics["VR"]["median_rank"]
        said = "not found" if rank is None else f"rank {rank}"
        single.append(["median rank of the right video", said])
    if "not_there" not in metrics:
        single.append(["verdicts", "none: nothing was verified"])
    by_k = TextTable([sampled, *(f"R@{k}" for k in shown)], recall)
    return by_k, TextTable([sampled, ""], single)


def _answers_all(metrics: Document) -> bool:
    """Does no verdict of "not there" take anything from recall?"""
    return bool(metrics["VCMR_answered"] == metrics["VCMR"])


def _by_kind(kinds: Document) -> list[list[str]]:
    return [
        [
            kind,
            str(metrics["queries"]["all"]),
            _plain(metrics.get("VR", {}).get("r1")),
            *(_plain(metrics.get("VCMR", {}).get(f"{t}-r1")) for t in _THRESHOLDS),
        ]
        for kind, metrics in kinds.items()
    ]


def comparison_table(document: Document) -> TextTable:
    """Two runs, named by their files, and their paired difference; a star where its interval
    leaves out zero.
    """
    ours, theirs = document["a"], document["b"]
    # Among more moments than a run lists nothing more is found, whatever it would have found.
    listed = min(document["moments"].values())
    rows = []
    for table, figures in document["difference"].items():
        if table == "VCMR_answered" and _answers_all(ours) and _answers_all(theirs):
            continue
        for name, difference in figures.items():
            title = (_SINGLE | _RECALLS).get((table, name))
            if title is not None and not (table in RECALLS and recall_place(name) > listed):
                cells = (_cell(run, {}, table, name) for run in (ours, theirs))
                rows.append([title, *cells, _difference(*difference)])
    names = _told_apart(document["files"]["a"], document["files"]["b"])
    return TextTable(["per cent", *names, "difference"], rows)


def _difference(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return "–"
    if low is None or high is None:
        return f"{value:+.1f}"
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]" + (" *" if low > 0 or high < 0 else "  ")


def _told_apart(first: str, second: str) -> Iterable[str]:
    """Two files by the shortest endings of their paths that differ."""
    paths = Path(first).parts, Path(second).parts
    for kept in range(1, max(map(len, paths))):
        names = [str(Path(*parts[-kept:])) for parts in paths]
        if names[0] != names[1]:
            return names
    return first, second


def _cell(metrics: Document, intervals: Document, table: str, name: str) -> str:
    value = metrics[table].get(name)
    low, high = intervals.get(table, {}).get(name, (None, None))
    if value is None:
        return "–"
    return f"{value:.1f}" if low is None else f"{value:.1f} [{low:.1f}, {high:.1f}]"


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"
