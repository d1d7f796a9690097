"""Files of rows, read so that an error can name the file, the line and what is wrong there."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vsr_edge.errors import UsageError, VsrEdgeError
from vsr_edge.evaluation.records import Prediction, Query, QueryId, Span

_decode = json.JSONDecoder().raw_decode


class FormatError(VsrEdgeError):
    """A file that is not what its format says; ``path`` and ``line``, from 1, name the place."""

    def __init__(self, path: Path, line: int, reason: str) -> None:
        super().__init__(f"{path}, line {line}: {reason}")
        self.path = path
        self.line = line


class Source:
    """A text file in UTF-8, read from its start to its end.

    It is walked line by line, or as one JSON value, piece by piece: ``members`` and ``elements``
    stop before each value; the caller takes it, by ``value`` or by walking into it, before going
    on. Raises ``UsageError`` if it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._at = 0
        try:
            self._text = path.read_text("utf-8-sig")
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            raise FormatError(path, line, "not a text file in UTF-8") from error
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}.") from error

    def error(self, at: int, reason: str) -> FormatError:
        return FormatError(self.path, self._text.count("\n", 0, at) + 1, reason)

    def lines(self) -> Iterator[tuple[int, str]]:
        """The lines that are not empty, each with where it starts."""
        at = 0
        for text in self._text.split("\n"):
            if text.strip():
                yield at, text
            at += len(text) + 1

    def rows(self) -> Iterator[Row]:
        """The objects of JSON Lines."""
        for at, text in self.lines():
            try:
                value = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise self.error(at, f"not JSON: {_why(error)}") from error
            yield Row.of(self, at, value)

    def row(self) -> Row:
        """The object that comes next."""
        self._next()
        at = self._at
        return Row.of(self, at, self.value())

    def value(self) -> object:
        """The value that comes next, whole."""
        self._next()
        try:
            value, self._at = _decode(self._text, self._at)
        except (ValueError, RecursionError) as error:
            at = error.pos if isinstance(error, json.JSONDecodeError) else self._at
            raise self.error(at, f"not JSON: {_why(error)}") from error
        return value

    def members(self) -> Iterator[str]:
        """The keys of the object that comes next."""
        for _ in self._pieces("{", "}"):
            key = self.value()
            if not isinstance(key, str):
                raise self.error(self._at, f"a key is needed here, not {shown(key)}")
            self._take(":")
            yield key

    def elements(self) -> Iterator[None]:
        """Stops before each element of the list that comes next."""
        return self._pieces("[", "]")

    def end(self) -> None:
        """Raise unless nothing is left."""
        if self._next():
            raise self.error(self._at, "the file goes on after its JSON ends")

    def _pieces(self, opening: str, closing: str) -> Iterator[None]:
        self._take(opening)
        if self._next() != closing:
            yield
            while self._next() == ",":
                self._at += 1
                yield
        self._take(closing)

    def _next(self) -> str:
        """The character that comes next."""
        while self._text[self._at : self._at + 1] in {" ", "\t", "\r", "\n"}:
            self._at += 1
        return self._text[self._at : self._at + 1]

    def _take(self, mark: str) -> None:
        if (found := self._next()) != mark:
            said = shown(found) if found else "the end of the file"
            raise self.error(self._at, f'"{mark}" is needed here, not {said}')
        self._at += 1


@dataclass(frozen=True, slots=True)
class Row:
    """One JSON object of a file. Every getter raises ``FormatError`` for what cannot be right."""

    source: Source
    at: int
    values: Mapping[str, object]

    @classmethod
    def of(cls, source: Source, at: int, value: object) -> Row:
        if not isinstance(value, dict):
            raise source.error(at, f"an object {{…}} is needed here, not {shown(value)}")
        return cls(source, at, value)

    def error(self, reason: str) -> FormatError:
        return self.source.error(self.at, reason)

    def get(self, key: str) -> object:
        if key not in self.values:
            raise self.error(f'"{key}" is missing')
        return self.values[key]

    def has(self, key: str) -> bool:
        return self.values.get(key) is not None

    def text(self, key: str) -> str:
        if not isinstance(value := self.get(key), str):
            raise self.error(f'"{key}" must be text, not {shown(value)}')
        return value

    def optional_text(self, key: str) -> str | None:
        return self.text(key) if self.has(key) else None

    def identifier(self, key: str) -> QueryId:
        value = self.get(key)
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise self.error(f'"{key}" must be a number without decimals or text')
        return value

    def number(self, key: str) -> float:
        return self.finite(key, self.get(key))

    def optional_number(self, key: str) -> float | None:
        return self.number(key) if self.has(key) else None

    def finite(self, key: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(f'"{key}" must be a number, not {shown(value)}')
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise self.error(f'"{key}" must be finite')
        return number

    def items(self, key: str) -> list[object]:
        if not isinstance(value := self.get(key), list):
            raise self.error(f'"{key}" must be a list, not {shown(value)}')
        return value

    def numbers(self, key: str) -> NDArray[np.float64]:
        """Numbers, all finite: float64 [n]."""
        return np.array([self.finite(key, value) for value in self.items(key)], dtype=np.float64)

    def table(self, key: str) -> NDArray[np.float64]:
        """Rows of numbers, all finite and as long as each other: float64 [n, columns]."""
        items = self.items(key)
        try:
            array = np.asarray(items, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            raise self.error(f'"{key}" must hold rows of numbers of one length') from None
        if items and array.ndim != 2:
            raise self.error(f'"{key}" must hold rows of numbers')
        if not np.isfinite(array).all():
            raise self.error(f'"{key}" holds a number that is missing or not finite')
        return array

    def span(self, key: str, value: object) -> Span:
        if not isinstance(value, list) or len(value) != 2:
            raise self.error(f'"{key}" must hold [start, end] in seconds, not {shown(value)}')
        start, end = (self.finite(key, part) for part in value)
        if end < start:
            raise self.error(f'"{key}" holds a span that ends before it starts: {shown(value)}')
        return start, end

    def spans(self, key: str) -> tuple[Span, ...]:
        return tuple(self.span(key, item) for item in self.items(key))

    def parts(self, key: str) -> list[Row]:
        """The objects of a list that may be missing."""
        items = self.items(key) if self.has(key) else []
        return [Row.of(self.source, self.at, item) for item in items]

    def extra(self, *known: str) -> dict[str, object]:
        """The columns that the format does not name, kept for writing the row again."""
        return {key: value for key, value in self.values.items() if key not in known}


Item = TypeVar("Item", Query, Prediction)


def unique(pairs: Iterable[tuple[Row, Item]]) -> tuple[Item, ...]:
    """What was read from the rows; raises ``FormatError`` for a query that comes twice."""
    seen: dict[QueryId, Item] = {}
    for row, item in pairs:
        if item.qid in seen:
            raise row.error(f"the query {item.qid} came before: every id stands once")
        seen[item.qid] = item
    return tuple(seen.values())


def shown(value: object) -> str:
    """A value in a message: short."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _why(error: Exception) -> str:
    return error.msg if isinstance(error, json.JSONDecodeError) else str(error)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8. Raises ``UsageError`` if that is not possible."""
    try:
        path.write_text(text, "utf-8", newline="\n")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.") from error


def json_line(value: object) -> str:
    """JSON that reads well in any language; a file's name that is no Unicode is escaped."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(value)
    return text + "\n"
