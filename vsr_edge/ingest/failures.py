"""Files that could not be indexed: an archive holds nothing of them, but knows which they are."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from vsr_edge.ingest.scan import is_gone
from vsr_edge.ingest.summary import FileReport
from vsr_edge.store.base import Store

FILE = "failed.json"


def keep_failed(
    folder: Path, store: Store, failed: Iterable[FileReport], tried: Iterable[Path] = ()
) -> None:
    """Add a run's failures to those of before; what was indexed or deleted since is forgotten, and
    what lies in folders of which all was ``tried`` in this run.

    Where nothing can be written, nothing is kept.
    """
    roots = {Path(os.path.abspath(root)) for root in tried}  # noqa: PTH100 — as scan does
    before = (
        one
        for one in failed_files(folder, store)
        if roots.isdisjoint((one.path, *one.path.parents))
    )
    known = {one.path: one for one in (*before, *failed)}
    if not known and not (folder / FILE).exists():
        return
    rows = [[os.fspath(path), one.reason] for path, one in sorted(known.items())]
    part = folder / f"{FILE}.{os.getpid()}.part"
    with suppress(OSError):
        try:
            part.write_text(json.dumps(rows), "utf-8")
            part.replace(folder / FILE)
        finally:
            part.unlink(missing_ok=True)


def failed_files(folder: Path, store: Store) -> list[FileReport]:
    """The files that the latest run that tried them could not index, by path."""
    try:
        rows = json.loads((folder / FILE).read_text("utf-8"))
        reports = [FileReport(Path(path), str(reason)) for path, reason in rows]
    except (OSError, ValueError, TypeError):
        return []
    return [one for one in reports if store.find(one.path) is None and not is_gone(one.path)]
