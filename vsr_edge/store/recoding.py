"""The regions of a stored video in a coarser code, whatever stores them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from vsr_edge.store.region_codes import decode_regions, encode_regions
from vsr_edge.types import Regions

# So many rows are in memory at a time.
_SOME = 256


class Cursor(Protocol):
    """What SQLite's and PostgreSQL's have in common."""

    def execute(self, sql: str, parameters: Sequence[Any], /) -> Any: ...

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]], /) -> Any: ...

    def fetchall(self) -> list[Any]: ...


def recode(cursor: Cursor, value: str, video_id: int, code: Regions, dim: int) -> None:
    """As :meth:`vsr_edge.store.base.Writer.recode`, inside its transaction; ``value`` stands for a
    parameter in this database's statements.
    """
    cursor.execute(f"SELECT sampling FROM videos WHERE id = {value}", [video_id])
    ((sampling,),) = cursor.fetchall()
    changed = json.dumps(json.loads(sampling) | {"regions": code})
    cursor.execute(f"UPDATE videos SET sampling = {value} WHERE id = {value}", [changed, video_id])
    if code == "none":
        cursor.execute(f"DELETE FROM regions WHERE video_id = {value}", [video_id])
        cursor.execute(f"UPDATE videos SET region_count = 0 WHERE id = {value}", [video_id])
        return
    after = -1
    while True:
        cursor.execute(
            f"SELECT number, vectors FROM regions WHERE video_id = {value} AND number > {value}"
            f" ORDER BY number LIMIT {_SOME}",
            [video_id, after],
        )
        if not (found := cursor.fetchall()):
            return
        regions = decode_regions([row for _, row in found], dim).astype(np.float16)
        coded = encode_regions(regions, code)
        cursor.executemany(
            f"UPDATE regions SET vectors = {value} WHERE video_id = {value} AND number = {value}",
            [(row, video_id, number) for (number, _), row in zip(found, coded, strict=True)],
        )
        after = found[-1][0]
