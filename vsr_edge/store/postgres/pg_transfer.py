"""Rows out of an archive on a server, and into one that is not an archive yet: by COPY, both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from itertools import chain

import numpy as np
import psycopg
from psycopg import sql

from vsr_edge.errors import ArchiveError, UsageError
from vsr_edge.store.corrections import correction_of
from vsr_edge.store.postgres.pg_connection import (
    Address,
    Connection,
    check_server,
    connect,
    connect_again,
    extension_schema,
    is_lost,
    names,
    read_only,
    translate_errors,
)
from vsr_edge.store.postgres.pg_generations import (
    copied_into,
    is_read_only,
    make_first,
    open_generation,
    pointers,
    under_lock,
)
from vsr_edge.store.postgres.pg_nearest import build_graph
from vsr_edge.store.postgres.pg_rows import fetch
from vsr_edge.store.postgres.pg_schema import MIGRATION
from vsr_edge.store.postgres.pg_texts import put_cues
from vsr_edge.store.postgres.pg_writer import ServerConnection, write_correction
from vsr_edge.store.transfer import (
    PATH_AT,
    SOME_ROWS,
    VIDEO_ROW,
    Head,
    Kind,
    Row,
    Rows,
    other_bundle,
    texts_of,
    unfit,
)

# Columns, the id of the video first, as they are read and written; their types in COPY's binary
# form, where a halfvec is handed over as its bytes; and by what else they are ordered.
_KINDS: dict[Kind, tuple[str, str, str]] = {
    "videos": (
        ", ".join(VIDEO_ROW),
        "int8 bytea text int8 int8 float8 int4 int4 int4 text text float8 int4 text int8 int8 int4"
        " text text float8 text",
        "",
    ),
    "frames": ("video_id, number, time, vector", "int8 int8 float8 bytea", ", number"),
    "regions": ("video_id, number, vectors", "int8 int8 bytea", ", number"),
    "clips": (
        "video_id, id, start_time, end_time, first_frame, last_frame, vector",
        "int8 int8 float8 float8 int8 int8 bytea",
        ", id",
    ),
    "tags": ("video_id, tag", "int8 text", ', tag COLLATE "C"'),
    "texts": ("video_id, source, stamp", "int8 text text", ', source COLLATE "C"'),
    "cues": (
        "video_id, source, number, start_time, end_time, text",
        "int8 text int8 float8 float8 text",
        ', source COLLATE "C", number',
    ),
}
_WRITTEN: tuple[Kind, ...] = ("videos", "frames", "regions", "clips", "tags")


class ServerRowsRead:
    """:class:`vsr_edge.store.transfer.StoredRows` of PostgreSQL.

    ``connection`` gives one that looks for tables where they are.
    """

    def __init__(self, address: Address, connection: Callable[[], Connection]) -> None:
        self._address = address
        self._connection = connection

    def head(self) -> Head:
        with translate_errors(self._address):
            connection = self._connection()
            ((bundle_id, dim, created_at, generation),) = fetch(
                connection, "SELECT bundle_id, dim, created_at, generation FROM meta"
            )
            given = [
                fetch(connection, f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {s}")
                for s in ("video_ids", "clip_ids")
            ]
            rows = fetch(connection, "SELECT name, content FROM corrections")
        created = created_at.astimezone(UTC).isoformat(timespec="seconds")
        every = ((name, correction_of(content)) for name, content in rows)
        corrections = {name: one for name, one in every if one is not None}
        (((videos,),), ((clips,),)) = given
        return Head(bundle_id, dim, created, generation, videos, clips, corrections)

    def videos(self) -> list[tuple[int, int]]:
        with translate_errors(self._address):
            return fetch(
                self._connection(), "SELECT id, frame_count + clip_count FROM videos ORDER BY id"
            )

    def read(self, kind: Kind, first: int, last: int) -> Rows:
        columns, types, order = _KINDS[kind]
        video = "id" if kind == "videos" else "video_id"
        statement = (
            f"COPY (SELECT {columns} FROM {kind} WHERE {video} BETWEEN {first:d} AND {last:d}"
            f" ORDER BY {video}{order}) TO STDOUT (FORMAT BINARY)"
        )
        with (
            translate_errors(self._address),
            self._connection().cursor() as cursor,
            cursor.copy(statement) as copy,
        ):
            copy.set_types(types.split())
            some: list[Row] = []
            for row in copy.rows():
                some.append(row)
                if len(some) == SOME_ROWS:
                    yield _out_of(kind, some)
                    some = []
            if some:
                yield _out_of(kind, some)


@contextmanager
def server_rows(url: str, *, alone: bool) -> Iterator[ServerRowsRead]:
    """As :func:`vsr_edge.store.transfer_places.stored_rows`."""
    address = Address.of(url)
    with ExitStack() as stack:
        stack.enter_context(translate_errors(address))
        connection = stack.enter_context(closing(connect(address)))
        check_server(connection, address)
        opened = open_generation(connection, address)
        if alone and not is_read_only(connection):
            locked = ServerConnection(address, opened.schemas, alone=True)
            stack.callback(locked.close)
            # Who had it replaced meanwhile has let go of the lock.
            opened = open_generation(connection, address)
        connection.execute(sql.SQL("SET search_path TO {}").format(names(*opened.schemas)))
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield ServerRowsRead(address, lambda: connection)


class ServerStaging:
    """:class:`vsr_edge.store.transfer.Staging` on a server: a generation to which none points."""

    def __init__(
        self,
        address: Address,
        number: int,
        schemas: Sequence[str],
        came_from: str,
        connection: ServerConnection,
    ) -> None:
        self._address = address
        self._number = number
        self._schemas = schemas
        self._connection = connection
        self._read: Connection | None = None
        self.came_from: str | None = came_from
        self.rows = ServerRowsRead(address, self._reading)

    def _reading(self) -> Connection:
        """A connection to read with, anew if it broke: nobody else changes what is here."""
        if self._read is not None:
            try:
                self._read.execute("SELECT 1")
            except psycopg.Error as error:
                if not is_lost(error):
                    raise
                self._read.close()
        if self._read is None or self._read.closed:
            self._read = connect_again(self._address)
            self._read.execute(sql.SQL("SET search_path TO {}").format(names(*self._schemas)))
        return self._read

    def put(self, first: int, last: int, read: Callable[[Kind], Rows]) -> None:
        def change(connection: Connection) -> None:
            connection.execute("DELETE FROM videos WHERE id BETWEEN %s AND %s", [first, last])
            for kind in _WRITTEN:
                columns, types, _ = _KINDS[kind]
                rows = read(kind)
                if kind == "videos":
                    rows = iter([list(chain.from_iterable(rows))])
                for some in rows:
                    if kind == "videos":
                        # Of another id, if the archive that is copied was changed in between.
                        connection.execute(
                            "DELETE FROM videos WHERE sha256(path) = ANY"
                            " (SELECT sha256(unnest(%s::bytea[])))",
                            [[row[PATH_AT] for row in some]],
                        )
                    _copy(connection, f"{kind} ({columns})", types, _into(kind, some))
            for video, source, texts in texts_of(read):
                put_cues(connection, video, source, texts)

        try:
            self._connection.run(change)
        except ArchiveError as error:
            if isinstance(cause := error.__cause__, psycopg.IntegrityError):
                raise unfit(first, last, cause) from error
            raise

    def forget(self, video_ids: Iterable[int]) -> None:
        ids = list(video_ids)
        delete = "DELETE FROM videos WHERE id = ANY(%s::bigint[])"
        self._connection.run(lambda connection: connection.execute(delete, [ids]))

    def put_head(self, head: Head) -> None:
        def change(connection: Connection) -> None:
            connection.execute(
                "UPDATE meta SET created_at = %s, generation = %s",
                [datetime.fromisoformat(head.created_at), head.generation],
            )
            for sequence, last in (("video_ids", head.last_video), ("clip_ids", head.last_clip)):
                connection.execute(
                    "SELECT setval(%s::regclass, %s, %s)", [sequence, max(last, 1), last > 0]
                )
            connection.execute("DELETE FROM corrections")
            for name, correction in head.corrections.items():
                write_correction(connection, name, correction)

        self._connection.run(change)

    def seal(self) -> None:
        def change(connection: Connection) -> None:
            with under_lock(connection, self._address):
                if pointers(connection, self._address) is None:
                    connection.execute("INSERT INTO archive VALUES (1, %s)", [self._number])
                    connection.execute("DROP TABLE migration")
                elif copied_into(connection, self._address) is not None:
                    raise _taken(self._address)
                # Else the connection broke after it was done.

        analyze = f"ANALYZE {', '.join(_KINDS)}"
        self._connection.run(lambda connection: connection.execute(analyze))
        self._connection.run(change)

    def bring_up(self) -> list[str]:
        build_graph(self._connection)
        return []

    def close(self) -> None:
        if self._read is not None:
            self._read.close()
        self._connection.close()


@contextmanager
def server_staging(
    url: str, bundle_id: str, dim: int, came_from: str, *, restart: bool
) -> Iterator[ServerStaging]:
    """As :func:`vsr_edge.store.transfer_places.staging`."""
    address = Address.of(url)
    with translate_errors(address), closing(connect(address)) as connection:
        check_server(connection, address)
        if is_read_only(connection):
            raise read_only(address)
        if restart:
            _throw_away(connection, address)
        with under_lock(connection, address):
            if pointers(connection, address) is not None:
                raise _taken(address)
            extension = extension_schema(connection, address, create=True)
            found = copied_into(connection, address)
            if found is None:
                number = make_first(connection, address, extension, bundle_id, dim)
                connection.execute(
                    sql.SQL("SET LOCAL search_path TO {}").format(names(address.schema))
                )
                connection.execute(MIGRATION)
                connection.execute("INSERT INTO migration VALUES (%s, %s)", [number, came_from])
                found = number, came_from
        number, before = found
        opened = open_generation(connection, address, number)
    if (opened.bundle_id, opened.dim) != (bundle_id, dim):
        raise other_bundle(address.shown, opened.bundle_id, bundle_id)
    locked = ServerConnection(address, opened.schemas, alone=True)
    staged = ServerStaging(address, number, opened.schemas, before, locked)
    try:
        yield staged
    finally:
        staged.close()


def _throw_away(connection: Connection, address: Address) -> None:
    """What an earlier migration has left, if nobody is at it."""
    found = copied_into(connection, address)
    if found is None:
        return
    schema = address.generation(found[0])
    with (
        closing(ServerConnection(address, [schema, address.schema], alone=True)),
        under_lock(connection, address),
    ):
        if copied_into(connection, address) == found:
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))
            connection.execute(
                sql.SQL("DROP TABLE {}.migration").format(sql.Identifier(address.schema))
            )


def _taken(address: Address) -> UsageError:
    return UsageError(
        f"{address.shown} holds another archive: name a database, or a ?schema=, that holds none"
    )


def _copy(connection: Connection, table: str, types: str, rows: Iterable[Row]) -> None:
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY {table} FROM STDIN (FORMAT BINARY)") as copy,
    ):
        copy.set_types(types.split())
        for row in rows:
            copy.write_row(row)


def _into(kind: Kind, rows: Sequence[Row]) -> Iterable[Row]:
    """Rows as the server has them: a halfvec is its length, nothing, and its numbers big-endian."""
    if kind != "clips":
        return rows
    vectors = _swapped([row[-1] for row in rows])
    head = (len(vectors[0]) // 2).to_bytes(2, "big") + b"\0\0"
    return ((*row[:-1], head + one) for row, one in zip(rows, vectors, strict=True))


def _out_of(kind: Kind, rows: Sequence[Row]) -> Sequence[Row]:
    """Rows as they are in every store."""
    if kind != "clips":
        return rows
    vectors = _swapped([row[-1][4:] for row in rows])
    return [(*row[:-1], one) for row, one in zip(rows, vectors, strict=True)]


def _swapped(vectors: Sequence[bytes]) -> list[bytes]:
    """Float16 of the other order of bytes."""
    every = np.frombuffer(b"".join(vectors), np.uint16).byteswap().tobytes()
    size = len(vectors[0])
    return [every[start : start + size] for start in range(0, len(every), size)]
