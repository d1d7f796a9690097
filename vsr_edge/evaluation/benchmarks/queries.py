"""Truth files by the name of their format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from vsr_edge.errors import UsageError
from vsr_edge.evaluation.benchmarks import benchmarks, rows
from vsr_edge.evaluation.reading import FormatError, Row, json_lines, unique, write_json_lines
from vsr_edge.evaluation.records import Query

Reader: TypeAlias = Callable[[Path], Iterable[Query]]
Writer: TypeAlias = Callable[[Path, Sequence[Query]], None]


def _lines(
    read: Callable[[Row], Query], write: Callable[[Query], Mapping[str, object]]
) -> tuple[Reader, Writer]:
    def read_file(path: Path) -> tuple[Query, ...]:
        return unique((row, read(row)) for row in json_lines(path))

    def write_file(path: Path, queries: Sequence[Query]) -> None:
        write_json_lines(path, [write(query) for query in queries])

    return read_file, write_file


_FORMATS: Final[Mapping[str, tuple[Reader, Writer]]] = {
    "tvr": _lines(rows.tvr_query, rows.tvr_row),
    "qvhighlights": _lines(rows.qvhighlights_query, rows.qvhighlights_row),
    "verified": _lines(rows.verified_query, rows.verified_row),
    "jsonl": _lines(rows.own_query, rows.own_row),
    "activitynet": (benchmarks.read_activitynet, benchmarks.write_activitynet),
    "didemo": (benchmarks.read_didemo, benchmarks.write_didemo),
    "charades-sta": (benchmarks.read_charades, benchmarks.write_charades),
}
QUERY_FORMATS: Final = tuple(_FORMATS)


def read_queries(path: Path, format: str) -> tuple[Query, ...]:
    """The queries of a file with their truth, in its order.

    Raises ``FormatError`` for a malformed row or a file without queries, and ``UsageError`` for an
    unknown format (``QUERY_FORMATS``) or a file that cannot be opened.
    """
    read, _ = _known(format)
    queries = tuple(read(path))
    if not queries:
        raise FormatError(path, 1, "the file holds no queries")
    return queries


def write_queries(path: Path, queries: Sequence[Query], format: str) -> None:
    """Write queries with their truth. Raises ``UsageError`` for what the format cannot hold."""
    _, write = _known(format)
    write(path, queries)


def _known(format: str) -> tuple[Reader, Writer]:
    if format not in _FORMATS:
        raise UsageError(f'No format "{format}" for queries; there is {", ".join(_FORMATS)}.')
    return _FORMATS[format]
