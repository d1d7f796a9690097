"""Evaluations for people: their tables on stdout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vsr_edge.cli.output import messages, print_blank
from vsr_edge.cli.tables import Column, print_table, shortened
from vsr_edge.evaluation.figures import (
    TextTable,
    comparison_table,
    evaluation_summary,
    evaluation_tables,
    file_tables,
)

_LONGEST_FILE_NAME = 24


def print_evaluation(document: Mapping[str, Any]) -> None:
    """A run's tables on stdout."""
    _print_tables([evaluation_summary(document), *evaluation_tables(document)])


def print_comparison(document: Mapping[str, Any]) -> None:
    """Two runs and their paired difference."""
    table = comparison_table(document)
    title, first, second, difference = table.columns
    messages.print(
        f"difference: {first} − {second}, paired [95 % interval]; * where that leaves out 0",
        markup=False,
    )
    names = [shortened(name, _LONGEST_FILE_NAME) for name in (first, second)]
    _print_tables([TextTable([title, *names, difference], table.rows)])


def print_metrics(metrics: Mapping[str, Any], form: str) -> None:
    """The figures of a file of predictions in that format."""
    _print_tables(file_tables(metrics, form))


def _print_tables(tables: Iterable[TextTable]) -> None:
    for number, table in enumerate(tables):
        if number:
            print_blank()
        first, *others = table.columns
        kind = [Column(title, "number" if table.numbers else "text") for title in others]
        print_table((Column(first, "text"), *kind), table.rows)
