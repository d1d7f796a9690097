"""Many queries, a JSON object a line, asked one after the other."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vsr_edge.answer import SearchResult
from vsr_edge.archive import Archive
from vsr_edge.errors import MediaError, UsageError, VsrEdgeError
from vsr_edge.query import Query, SearchOptions

# What a line may say, and of which types.
_FIELDS: dict[str, tuple[type, ...]] = {
    "query": (str,),
    "id": (str, int),
    "like": (str,),
    "weight": (int, float),
    "not": (str,),
    "video": (str, list),
    "top_k": (int,),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """To one line, by its number from 1: what was found, or why nothing was looked for."""

    line: int
    id: str | int | None
    found: SearchResult | None
    error: VsrEdgeError | None = None


def ask_many(archive: Archive, lines: Iterable[str], options: SearchOptions) -> Iterator[Answer]:
    """The answer to each line that is not blank, in order; a line that is wrong is one of them.

    A line is an object of ``query``, ``like``, ``weight`` and ``not`` as
    :class:`vsr_edge.query.Query` has them, ``video`` and ``top_k`` in place of those in
    ``options``, and an ``id`` that the answer repeats.

    Raises:
        VsrEdgeError: what is wrong with the archive or the bundle, and so with any line.
    """
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        given: Mapping[str, Any] = {}
        try:
            given = _object(text)
            _check(given)
            query = Query(
                given.get("query"),
                given.get("like"),
                given.get("weight", 0.5),
                given.get("not"),
            )
            changes = {name: given.get(name) for name in ("video", "top_k")}
            found = archive.search(query, options.changed(**changes))
        except (UsageError, MediaError, ValueError, RecursionError, OverflowError) as error:
            # As a path that holds what no path may; the archive and the bundle raise other errors.
            told = (
                error if isinstance(error, VsrEdgeError) else UsageError(f"not to be read: {error}")
            )
            known = given.get("id")
            yield Answer(number, known if isinstance(known, str | int) else None, None, told)
        else:
            yield Answer(number, given.get("id"), found)


def _object(text: str) -> Mapping[str, Any]:
    try:
        given = json.loads(text)
    except ValueError as error:
        raise UsageError(f"this is no JSON ({error})") from error
    if not isinstance(given, dict):
        raise UsageError('this is no object, as {"query": "a red van"} is one')
    return {name: value for name, value in given.items() if value is not None}


def _check(given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if name not in _FIELDS:
            raise UsageError(f"{name!r} is not known; a line may say {', '.join(_FIELDS)}")
        right = isinstance(value, _FIELDS[name]) and not isinstance(value, bool)
        if isinstance(value, list):
            right = right and all(isinstance(one, str) for one in value)
        if not right:
            raise UsageError(f"{name!r} cannot be {json.dumps(value)}")
