"""Saved searches: queries with their examples, a file each, in an archive's folder."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vsr_edge.errors import UsageError
from vsr_edge.hits.asked import query_document, query_of
from vsr_edge.query import Query

FOLDER, SUFFIX, FORMAT = "saved", ".json", 1


@dataclass(frozen=True, slots=True)
class SavedSearch:
    """A query under its name. ``problem`` says why it cannot be read, if so: then there is none."""

    name: str
    saved_at: str
    query: Query | None
    problem: str | None = None


def save_search(folder: Path, name: str, query: Query) -> bool:
    """Save a query in the archive ``folder``, whole or not at all; whether it replaces another.

    Raises:
        UsageError: a name that is no plain file name.
    """
    path = _path(folder, name)
    path.parent.mkdir(exist_ok=True)
    replaced = path.exists()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    document = {"format": FORMAT, "name": name, "saved_at": now, "query": query_document(query)}
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
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']}")
        return SavedSearch(name, str(document["saved_at"]), query_of(document["query"]))
    except FileNotFoundError as error:
        known = ", ".join(one.stem for one in sorted(path.parent.glob(f"*{SUFFIX}")))
        there = f"there is {known}" if known else "save one with vsr-edge search … --remember NAME"
        raise UsageError(f"no search is saved as {name!r}: {there}") from error
    except (OSError, ValueError, KeyError, TypeError, UsageError) as error:
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


def _path(folder: Path, name: str) -> Path:
    from vsr_edge.bundle.manifest import is_plain_name

    if not is_plain_name(name):
        raise UsageError(
            f"a search cannot be saved as {name!r}: use letters, digits, '.', '_', '+' and '-', "
            "beginning with a letter or digit"
        )
    return folder / FOLDER / f"{name}{SUFFIX}"
