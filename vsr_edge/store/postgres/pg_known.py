"""Names and tags of an archive on a server for a shell that completes them: soon, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

from psycopg import conninfo

from vsr_edge.store.postgres.pg_connection import Address, Connection, connect
from vsr_edge.store.postgres.pg_generations import open_generation
from vsr_edge.store.postgres.pg_rows import fetch

# Whoever pressed the key waits no longer for a server to answer.
_SECONDS = 2


def tags_on_server(url: str, begins: str, most: int) -> list[str]:
    """At most so many tags that begin so, by name; any error where there is no archive."""
    with _looking(url) as connection:
        rows = fetch(
            connection,
            "SELECT DISTINCT tag FROM tags WHERE starts_with(tag, %s::text)"
            ' ORDER BY tag COLLATE "C" LIMIT %s',
            [begins, most],
        )
    return [tag for (tag,) in rows]


def paths_on_server(url: str, within: bytes, most: int) -> list[bytes]:
    """At most so many paths of videos that hold these bytes; errors likewise."""
    with _looking(url) as connection:
        rows = fetch(
            connection,
            "SELECT path FROM videos WHERE position(%s::bytea IN path) > 0 ORDER BY path LIMIT %s",
            [within, most],
        )
    return [bytes(path) for (path,) in rows]


@contextmanager
def _looking(url: str) -> Iterator[Connection]:
    address = Address.of(url)
    soon = conninfo.make_conninfo(address.conninfo, connect_timeout=_SECONDS)
    with closing(connect(replace(address, conninfo=soon))) as connection:
        connection.execute(f"SET statement_timeout = '{_SECONDS}s'")
        with connection.transaction():
            connection.execute("SET TRANSACTION READ ONLY")
            schemas = open_generation(connection, address).schemas
            connection.execute("SELECT set_config('search_path', %s, true)", [",".join(schemas)])
            yield connection
