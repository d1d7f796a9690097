"""The last answer of an archive: what `open 2`, `cut 1,3` or `--good 1` speak of."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vsr_edge.answer import SearchResult
from vsr_edge.errors import UsageError
from vsr_edge.hits.asked import query_document
from vsr_edge.query import Query

FILE = "last-answer.json"


def keep_last(folder: Path, found: SearchResult, query: Query | None = None) -> None:
    """Keep an answer in the archive's folder, with the fields of its class, and what was ``asked``.

    Where nothing can be written, as in an archive that is only read, nothing is kept.
    """
    part = folder / f"{FILE}.{os.getpid()}.part"
    with suppress(OSError):
        try:
            asked = query_document(query or Query(found.query))
            part.write_text(json.dumps(asdict(found) | {"asked": asked}, default=os.fspath))
            part.replace(folder / FILE)
        finally:
            part.unlink(missing_ok=True)


def last_answer(folder: Path) -> dict[str, Any]:
    """The answer that was kept last.

    Raises:
        UsageError: there is none, or it cannot be read.
    """
    try:
        found = json.loads((folder / FILE).read_text("utf-8"))
    except FileNotFoundError as error:
        raise UsageError(
            f"no answer is kept in {folder}: ask first, with vsr-edge search"
        ) from error
    except (OSError, ValueError) as error:
        raise UsageError(f"the last answer in {folder} cannot be read: search again") from error
    if not isinstance(found, dict):
        raise UsageError(f"the last answer in {folder} cannot be read: search again")
    return found
