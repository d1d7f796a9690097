"""Making, migrating and replacing what an archive on a server is kept in: a schema a generation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

import psycopg
from psycopg import sql

from vsr_edge.errors import ArchiveDamaged, ArchiveError
from vsr_edge.store.base import Store, UnfinishedReindex
from vsr_edge.store.connection import unfinished_copy
from vsr_edge.store.postgres.pg_check import check_tables
from vsr_edge.store.postgres.pg_connection import (
    Address,
    Connection,
    extension_schema,
    key_of,
    lift_limits,
    names,
    not_found,
    read_only,
)
from vsr_edge.store.postgres.pg_rows import fetch
from vsr_edge.store.postgres.pg_schema import BASE, META, SCHEMA_VERSION, STEPS

# Removing what nobody needs waits so long for those that still read it.
_PATIENCE = "2s"


@dataclass(frozen=True, slots=True)
class Generation:
    """One generation of an archive: its number, its bundle, and where its tables are looked for."""

    number: int
    bundle_id: str
    dim: int
    schemas: tuple[str, ...]


@contextmanager
def under_lock(connection: Connection, address: Address) -> Iterator[None]:
    """One process at a time makes tables, in one transaction."""
    with connection.transaction():
        lift_limits(connection, local=True)
        key = key_of("schema", address.schema)
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [key])
        yield


def make_archive(connection: Connection, address: Address, bundle_id: str, dim: int) -> None:
    """Make an archive where there is none."""
    if pointers(connection, address) is not None:
        return
    with under_lock(connection, address):
        extension = extension_schema(connection, address, create=True)
        if pointers(connection, address) is not None:
            return
        if copied_into(connection, address) is not None:
            raise unfinished_copy(address.shown)
        number = make_first(connection, address, extension, bundle_id, dim)
        _look_in(connection, address.schema)
        connection.execute("INSERT INTO archive VALUES (1, %s)", [number])


def make_first(
    connection: Connection, address: Address, extension: str, bundle_id: str, dim: int
) -> int:
    """Make the tables of an archive and its first generation, which none points to yet; returns
    its number. Inside a transaction under the lock."""
    connection.execute(
        sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(address.schema))
    )
    _look_in(connection, address.schema)
    for statement in BASE:
        connection.execute(statement)
    number = _free(connection, address, 0)
    make_generation(connection, address, number, extension, bundle_id, dim)
    return number


def copied_into(connection: Connection, address: Address) -> tuple[int, str] | None:
    """The generation that a migration which has not finished fills, and of which archive."""
    table = "SELECT to_regclass(format('%%I.migration', %s::text))"
    if fetch(connection, table, [address.schema])[0][0] is None:
        return None
    rows = fetch(
        connection,
        sql.SQL("SELECT generation, came_from FROM {}.migration").format(
            sql.Identifier(address.schema)
        ),
    )
    return (rows[0][0], rows[0][1]) if rows else None


def make_generation(
    connection: Connection, address: Address, number: int, extension: str, bundle: str, dim: int
) -> None:
    """Make the tables of one, empty. Inside a transaction under the lock."""
    schema = address.generation(number)
    connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    connection.execute(
        sql.SQL("COMMENT ON SCHEMA {} IS {}").format(sql.Identifier(schema), _mark(address))
    )
    _look_in(connection, schema, address.schema, extension)
    connection.execute(META)
    connection.execute("INSERT INTO meta (id, bundle_id, dim) VALUES (1, %s, %s)", [bundle, dim])
    _apply(connection, 0, dim)


def _mark(address: Address) -> str:
    """The comment on a generation, as a schema may be called like one and be somebody else's."""
    return f"a generation of the vsr-edge archive {address.schema}"


def _free(connection: Connection, address: Address, number: int) -> int:
    """The next number after one by which no schema is called, whoever made it."""
    rows = fetch(connection, "SELECT nspname::text FROM pg_namespace")
    taken = {name for (name,) in rows}
    return next(n for n in count(number + 1) if address.generation(n) not in taken)


def pointers(connection: Connection, address: Address) -> tuple[int, int | None] | None:
    """The present generation and the one that is being filled; None where there is no archive."""
    (there,) = fetch(
        connection, "SELECT to_regclass(format('%%I.archive', %s::text))", [address.schema]
    )[0]
    if there is None:
        return None
    rows = fetch(
        connection,
        sql.SQL("SELECT present, following FROM {}.archive").format(sql.Identifier(address.schema)),
    )
    return (rows[0][0], rows[0][1]) if rows else None


def open_generation(
    connection: Connection, address: Address, number: int | None = None
) -> Generation:
    """The present one, or another, with all steps applied.

    Raises:
        ArchiveNotFound: there is no archive.
        ArchiveError: it was written by a newer version, or by an older one and cannot be changed.
    """
    if number is None:
        found = pointers(connection, address)
        if found is None:
            copied = copied_into(connection, address)
            raise not_found(address) if copied is None else unfinished_copy(address.shown)
        number = found[0]
    extension = extension_schema(connection, address, create=False)
    schemas = (address.generation(number), address.schema, extension)
    bundle, dim, version = _meta(connection, schemas[0])
    if version > SCHEMA_VERSION:
        raise ArchiveError(
            f"{address.shown} was written by a newer version of vsr-edge (schema {version}, this "
            f"one knows {SCHEMA_VERSION}): update vsr-edge, or index into another archive"
        )
    if version < SCHEMA_VERSION:
        if is_read_only(connection):
            raise ArchiveError(
                f"{address.shown} was written by an older version and cannot be changed here: "
                "open it once where it can be written"
            )
        with under_lock(connection, address):
            _look_in(connection, *schemas)
            *_, version = _meta(connection, schemas[0])
            _apply(connection, version, dim)
    return Generation(number, bundle, dim, schemas)


def is_read_only(connection: Connection) -> bool:
    """Whether the server only reads, as a replica does."""
    ((only,),) = fetch(connection, "SHOW transaction_read_only")
    return bool(only == "on")


def _apply(connection: Connection, done: int, dim: int) -> None:
    for number, statements in enumerate(STEPS[done:], done + 1):
        for statement in statements:
            connection.execute(statement.replace("{dim}", str(dim)))
        connection.execute("UPDATE meta SET version = %s", [number])


def _meta(connection: Connection, schema: str) -> tuple[str, int, int]:
    ((bundle, dim, version),) = fetch(
        connection,
        sql.SQL("SELECT bundle_id, dim, version FROM {}.meta").format(sql.Identifier(schema)),
    )
    return bundle, dim, version


def _look_in(connection: Connection, *schemas: str) -> None:
    connection.execute(sql.SQL("SET LOCAL search_path TO {}").format(names(*schemas)))


class ServerShadowArchive:
    """:class:`vsr_edge.store.base.ShadowArchive`: the next generation of an archive.

    The switch points the archive to it, in one transaction. Who reads keeps the state that he began
    with, as the former tables stay until nobody reads them.
    """

    def __init__(
        self,
        address: Address,
        connection: Connection,
        open_store: Callable[[int, str, int], Store],
        notices: list[str],
    ) -> None:
        self._address = address
        self._connection = connection
        self._open_store = open_store
        self._notices = notices

    @property
    def bundle_id(self) -> str:
        present, _ = self._pointers()
        return _meta(self._connection, self._address.generation(present))[0]

    def open(self, bundle_id: str, dim: int) -> Store:
        self.tidy()
        if is_read_only(self._connection):
            raise read_only(self._address)
        present, following = self._pointers()
        if following is not None:
            found = _meta(self._connection, self._address.generation(following))[:2]
            if found != (bundle_id, dim):
                self._notices.append(
                    "the unfinished re-index (by another bundle) was thrown away and begun anew"
                )
                self._forget(following)
                following = None
        if following is None:
            with under_lock(self._connection, self._address):
                following = _free(self._connection, self._address, present)
                extension = extension_schema(self._connection, self._address, create=False)
                make_generation(
                    self._connection, self._address, following, extension, bundle_id, dim
                )
                self._point(present, following)
        return self._open_store(following, bundle_id, dim)

    def switch(self) -> None:
        present, following = self._pointers()
        if following is None:
            raise RuntimeError("there is nothing to switch to")
        now, then = (self._address.generation(number) for number in (present, following))
        with self._connection.transaction():
            opened = open_generation(self._connection, self._address, following)
            _look_in(self._connection, *opened.schemas)
            problems = check_tables(self._connection, opened.dim)
        if problems:
            self._forget(following)
            raise ArchiveDamaged(
                f"what was encoded anew is damaged ({problems[0]}): it was thrown away, and "
                f"{self._address.shown} is as it was; run the same command again"
            )
        with under_lock(self._connection, self._address):
            # Readers are to notice that it is another one.
            self._connection.execute(
                sql.SQL(
                    "UPDATE {then}.meta SET generation = 1 + greatest(generation,"
                    " (SELECT generation FROM {now}.meta))"
                ).format(then=sql.Identifier(then), now=sql.Identifier(now))
            )
            self._point(following, None)
        self.tidy()

    def tidy(self) -> UnfinishedReindex | None:
        present, following = self._pointers()
        for number in self._numbers():
            if number not in {present, following} and not self._drop(number):
                self._notices.append(
                    f"the former rows of {self._address.shown} are still being read: the next "
                    "re-index removes them"
                )
        return unfinished(self._connection, self._address)

    def _forget(self, number: int) -> None:
        """Throw away one that was being filled."""
        with under_lock(self._connection, self._address):
            self._point(self._pointers()[0], None)
        self._drop(number)

    def _drop(self, number: int) -> bool:
        try:
            with self._connection.transaction():
                self._connection.execute(f"SET LOCAL lock_timeout = '{_PATIENCE}'")
                self._connection.execute(
                    sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(
                        sql.Identifier(self._address.generation(number))
                    )
                )
        except psycopg.errors.LockNotAvailable:
            return False
        return True

    def _pointers(self) -> tuple[int, int | None]:
        found = pointers(self._connection, self._address)
        if found is None:
            raise not_found(self._address)
        return found

    def _point(self, present: int, following: int | None) -> None:
        self._connection.execute(
            sql.SQL("UPDATE {}.archive SET present = %s, following = %s").format(
                sql.Identifier(self._address.schema)
            ),
            [present, following],
        )

    def _numbers(self) -> Sequence[int]:
        """The generations that were made of this archive."""
        rows = fetch(
            self._connection,
            "SELECT substring(nspname::text FROM '[0-9]+$')::int FROM pg_namespace"
            " WHERE nspname::text ~ ('^' || %s::text || '_[1-9][0-9]{0,8}$')"
            " AND obj_description(oid, 'pg_namespace') = %s::text ORDER BY 1",
            [self._address.schema, _mark(self._address)],
        )
        return [number for (number,) in rows]


def unfinished(connection: Connection, address: Address) -> UnfinishedReindex | None:
    """A generation that is being filled, or was left unfinished."""
    found = pointers(connection, address)
    if found is None or found[1] is None:
        return None
    schema = address.generation(found[1])
    ((videos,),) = fetch(
        connection, sql.SQL("SELECT count(*) FROM {}.videos").format(sql.Identifier(schema))
    )
    return UnfinishedReindex(_meta(connection, schema)[0], videos)
