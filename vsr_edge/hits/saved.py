"""Saved searches: queries with their examples and filters, a file each, in an archive's folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from vsr_edge.errors import UsageError
from vsr_edge.hits.asked import query_document, query_of
from vsr_edge.query import Filter, FilterWords, Query
from vsr_edge.search.video_names import named

if TYPE_CHECKING:
    from vsr_edge.archive import Archive

FOLDER, SUFFIX = "saved", ".json"
# What has no filters is read by versions that know none.
PLAIN, FILTERED = 1, 2
# As they were said, by the names of FilterWords, and patterns of videos: "yesterday" is the day
# before each time that it is asked.
Filters: TypeAlias = Mapping[str, str | list[str]]
_LISTS = ("video", "tags")
_NAMES = ("video", *FilterWords.__annotations__)


@dataclass(frozen=True, slots=True)
class SavedSearch:
    """A query under its name. ``problem`` says why it cannot be read, if so: then there is none."""

    name: str
    saved_at: str
    query: Query | None
    problem: str | None = None
    filters: Filters = field(default_factory=dict)

    @property
    def footage(self) -> str:
        """The filters in one line, for people; empty without any."""
        said = {
            name: ", ".join(value) if isinstance(value, list) else value
            for name, value in self.filters.items()
        }
        return "; ".join(f"{name.replace('_', '-')} {value}" for name, value in said.items())


def filters_of(archive: Archive, said: Mapping[str, Any]) -> Filters:
    """What was said of footage as it can be kept; None and what is empty say nothing.

    Raises:
        UsageError: a condition that cannot be, or a video that is not there.
    """
    found = {name: said[name] for name in _NAMES if said.get(name)}
    where_of(archive, found)
    where = named(archive.store, found.get("video"))
    if where is not None:
        # What lies at a path from here is to be found from elsewhere.
        found["video"] = list(where.videos)
    return found


def where_of(archive: Archive, filters: Filters) -> Filter | None:
    """The footage that filters mean now; None without any.

    Raises:
        UsageError: a condition that cannot be.
    """
    words: dict[str, Any] = {name: value for name, value in filters.items() if name != "video"}
    where = archive.where(**words)
    if (videos := filters.get("video")) is None:
        return where
    return replace(where or Filter(), videos=tuple(videos))


def save_search(folder: Path, name: str, query: Query, filters: Filters | None = None) -> bool:
    """Save a query in the archive ``folder``, whole or not at all; whether it replaces another.

    ``filters``: as :func:`filters_of` makes them.

    Raises:
        UsageError: a name that is no plain file name.
    """
    path = _path(folder, name)
    path.parent.mkdir(exist_ok=True)
    replaced = path.exists()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    document: dict[str, Any] = {
        "format": FILTERED if filters else PLAIN,
        "name": name,
        "saved_at": now,
        "query": query_document(query),
    }
    if filters:
        document["filters"] = dict(filters)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_text(json.dumps(document, indent=1), "utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return replaced


def saved_searches(folder: Path) -> list[SavedSearch]:
    """All of an archive, by name; what cannot be read is among them, with its problem."""
    found = []
    for path in sorted((folder / FOLDER).glob(f"*{SUFFIX}")):
        try:
            found.append(saved_search(folder, path.stem))
        except UsageError as error:
            found.append(SavedSearch(path.stem, "", None, str(error)))
    return found


def saved_search(folder: Path, name: str) -> SavedSearch:
    """The one of this name; its ``query`` is there.

    Raises:
        UsageError: there is none, or it cannot be read.
    """
    path = _path(folder, name)
    try:
        document = json.loads(path.read_text("utf-8"))
        if document["format"] not in (PLAIN, FILTERED):
            raise ValueError(f"format {document['format']}")
        query = query_of(document["query"])
        filters = _checked(document["filters"]) if document["format"] == FILTERED else {}
        return SavedSearch(name, str(document["saved_at"]), query, filters=filters)
    except FileNotFoundError as error:
        known = ", ".join(one.stem for one in sorted(path.parent.glob(f"*{SUFFIX}")))
        there = f"there is {known}" if known else "save one with vsr-edge search … --remember NAME"
        raise UsageError(f"no search is saved as {name!r}: {there}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UsageError) as error:
        raise UsageError(
            f"{path} cannot be read ({error}): vsr-edge saved forget {name}, and save it anew"
        ) from error


def forget_search(folder: Path, name: str) -> None:
    """Remove the one of this name, sound or not.

    Raises:
        UsageError: there is none.
    """
    path = _path(folder, name)
    if not path.exists():
        saved_search(folder, name)
    path.unlink()


def _checked(filters: Any) -> Filters:
    """Filters of a file, if they are some."""
    for name, value in filters.items():
        several = value if name in _LISTS else [value]
        strings = isinstance(several, list) and all(isinstance(one, str) for one in several)
        if name not in _NAMES or not strings:
            raise ValueError(f"{name!r} is no filter")
    return dict(filters)


def _path(folder: Path, name: str) -> Path:
    from vsr_edge.bundle.manifest import is_plain_name

    if not is_plain_name(name):
        raise UsageError(
            f"a search cannot be saved as {name!r}: use letters, digits, '.', '_', '+' and '-', "
            "beginning with a letter or digit"
        )
    return folder / FOLDER / f"{name}{SUFFIX}"
