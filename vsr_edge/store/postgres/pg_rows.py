"""Values as PostgreSQL's binary format has them, for COPY and back."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vsr_edge.store.postgres.pg_connection import Connection
from vsr_edge.store.rows import VIDEO_FIELDS, RowsDamaged
from vsr_edge.types import HalfVectors

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_CHUNK = 1 << 20

# As in vsr_edge/store/rows.py, where another database divides whole numbers in another way.
RECORDED = "coalesce(recorded_at, modified_ns::float8 / 1e9::float8 - duration)"
VIDEO_COLUMNS = ", ".join(
    (
        *("id", *VIDEO_FIELDS, "sampling", "frame_count", "clip_count", "partial", "indexed_at"),
        *(RECORDED, "coalesce(recorded_from, 'file')"),
        "(SELECT string_agg(tag, ' ') FROM tags WHERE video_id = videos.id)",
    )
)


def whole(value: int) -> bytes:
    """A bigint."""
    return struct.pack(">q", value)


def real(value: float) -> bytes:
    """A float8."""
    return struct.pack(">d", value)


def halfvec(vector: NDArray[np.float16]) -> bytes:
    """A halfvec of float16 [D]."""
    return struct.pack(">hh", len(vector), 0) + vector.astype(">f2").tobytes()


def row_of(*values: bytes) -> bytes:
    """A row of COPY in binary."""
    parts = [struct.pack(">h", len(values))]
    for value in values:
        parts += (struct.pack(">i", len(value)), value)
    return b"".join(parts)


def copy_rows(connection: Connection, table: str, rows: IO[bytes]) -> None:
    """Have a table take a file of rows."""
    rows.seek(0)
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY {table} FROM STDIN (FORMAT BINARY)") as copy,
    ):
        copy.write(_HEADER)
        while chunk := rows.read(_CHUNK):
            copy.write(chunk)
        copy.write(_TRAILER)


def halfvecs(blobs: Sequence[bytes], dim: int) -> HalfVectors:
    """Binary halfvecs as float16 [n, D].

    Raises:
        RowsDamaged: one of another length.
    """
    if not set(map(len, blobs)) <= {4 + 2 * dim}:
        raise RowsDamaged("a stored vector has the wrong length")
    content = b"".join(blob[4:] for blob in blobs)
    return np.frombuffer(content, ">f2").reshape(len(blobs), dim).astype(np.float16)


def path_bytes(path: Path | str) -> bytes:
    """A path as stored."""
    return os.fsencode(path)


def fetch(connection: Connection, query: Any, parameters: Sequence[Any] = ()) -> list[Any]:
    """All rows of a query, in binary: what has no type of Python's comes as bytes."""
    with connection.cursor(binary=True) as cursor:
        return cursor.execute(query, parameters).fetchall()
