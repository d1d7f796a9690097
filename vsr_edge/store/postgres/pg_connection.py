"""Connections to the server: addresses, what goes wrong said in our words, and the pool."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit, urlunsplit

from vsr_edge.config import without_password
from vsr_edge.errors import ArchiveDamaged, ArchiveError, ArchiveLocked, ArchiveNotFound, UsageError

try:
    import psycopg
    from psycopg import errors, sql
    from psycopg_pool import ConnectionPool, PoolTimeout
except ImportError as error:
    raise ArchiveError(
        "archives on a PostgreSQL server need psycopg: pip install 'vsr-edge[postgres]'"
    ) from error

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]

# Iterative scans, without which a filter loses what it lets through.
_LEAST_EXTENSION = (0, 8)
_LEAST_SERVER = 140_000
_CONNECT_SECONDS = 10
# A server that restarts is back within this.
_WAIT_SECONDS = 20.0
MOST_CONNECTIONS = 16
# Not every version has all of them.
_LIMITS = (
    "statement_timeout",
    "transaction_timeout",
    "idle_session_timeout",
    "idle_in_transaction_session_timeout",
)
# What a server says that has no connection left; in other languages than English it is not known.
_FULL = ("too many clients", "too many connections", "remaining connection slots")
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,50}")
_GENERATION = re.compile(r"_[0-9]+$")
_PORTS = re.compile(r"[0-9,]*")

# Each attempt to connect that fails would be told of, beside the error that we raise.
logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Address:
    """Where an archive lies: what libpq connects to, its schema, and how it is shown."""

    conninfo: str = field(repr=False)
    schema: str
    shown: str

    @classmethod
    def of(cls, url: str) -> Address:
        """From ``postgresql://user@host:port/database?schema=name``; ``vsr_edge`` by default."""
        shown = without_password(url)
        no_address = f"{shown} is no address of a PostgreSQL database"
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise UsageError(no_address) from error
        options = [(part.partition("="), part) for part in parts.query.split("&")]
        names = [unquote(value) for (key, _, value), _ in options if key == "schema"]
        schema = names[-1] if names else "vsr_edge"
        if not _NAME.fullmatch(schema):
            raise UsageError(
                f"{shown}: a schema is called by small letters, digits and _, not {schema!r}"
            )
        if _GENERATION.search(schema):
            raise UsageError(
                f"{shown}: {schema!r} ends as the schemas do that an archive's rows are in: name "
                "one that does not end in _ and digits"
            )
        # As they are: libpq reads them otherwise than HTML's forms, in which a + is a space.
        rest = "&".join(part for (key, *_), part in options if part and key != "schema")
        conninfo = urlunsplit((parts.scheme, parts.netloc, parts.path, rest, ""))
        if not parts.netloc:  # else urlunsplit leaves the slashes out
            conninfo = conninfo.replace(":/", ":///", 1).replace(":////", ":///", 1)
        try:
            known = psycopg.conninfo.conninfo_to_dict(conninfo)
        except psycopg.ProgrammingError as error:
            raise UsageError(no_address) from error
        # Else the server, or an error of libpq, is told a part of the password.
        if "#" in url or "@" in parts.path or not _PORTS.fullmatch(str(known.get("port") or "")):
            raise UsageError(
                f"{no_address}: in a name or password, write # as %23, / as %2F, : as %3A, @ as %40"
            )
        return cls(conninfo, schema, shown)

    def known_anywhere(self, connection: Connection) -> Address:
        """The same for another machine: with what this connection took from the environment and
        from files of this one, as its password.
        """
        found: dict[str, Any] = connection.info.get_parameters()
        for of_this_machine in ("service", "servicefile", "passfile"):
            found.pop(of_this_machine, None)
        if connection.info.password:
            found["password"] = connection.info.password
        return replace(self, conninfo=psycopg.conninfo.make_conninfo("", **found))

    def generation(self, number: int) -> str:
        """The schema of a generation."""
        return f"{self.schema}_{number}"


def key_of(*parts: str | bytes) -> int:
    """The number of an advisory lock."""
    content = b"\0".join(part.encode() if isinstance(part, str) else part for part in parts)
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big", signed=True)


def connect(address: Address) -> Connection:
    """A connection of its own; nothing begins or commits a transaction by itself."""
    with translate_errors(address):
        return psycopg.connect(address.conninfo, **_how(address))


def _how(address: Address) -> dict[str, Any]:
    """What is not libpq's, and what the address and the environment leave open."""
    how: dict[str, Any] = {
        "autocommit": True,
        "prepare_threshold": None,  # plans differ by what is set for a transaction
        "fallback_application_name": "vsr-edge",
    }
    known = psycopg.conninfo.conninfo_to_dict(address.conninfo)
    if "connect_timeout" not in known and "PGCONNECT_TIMEOUT" not in os.environ:
        how["connect_timeout"] = _CONNECT_SECONDS
    return how


def connect_again(address: Address) -> Connection:
    """The same while a server restarts."""
    until = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            return connect(address)
        except ArchiveError as error:
            if not is_lost(error.__cause__) or time.monotonic() > until:
                raise
        time.sleep(0.25)


def pool_of(address: Address, schemas: Sequence[str]) -> ConnectionPool[Connection]:
    """Connections to read with, which look for tables in these schemas."""

    def configure(connection: Connection) -> None:
        connection.execute(sql.SQL("SET search_path TO {}").format(names(*schemas)))

    return ConnectionPool(
        address.conninfo,
        min_size=0,
        max_size=MOST_CONNECTIONS,
        timeout=_WAIT_SECONDS,
        reconnect_timeout=_WAIT_SECONDS,
        num_workers=1,
        open=True,
        configure=configure,
        kwargs=_how(address),
    )


def lift_limits(connection: Connection, *, local: bool = False) -> None:
    """Let no statement of this connection, or of its transaction, be ended for taking long.

    What a server allows is meant for searches. Who stores a video or builds a graph takes as long
    as that takes, and who holds the archive is silent while he encodes; as pg_dump does it.
    """
    connection.execute(
        "SELECT set_config(name, '0', %s) FROM pg_settings WHERE name = ANY(%s::text[])",
        [local, list(_LIMITS)],
    )


def check_server(connection: Connection, address: Address) -> None:
    """Refuse a server that is too old."""
    if connection.info.server_version < _LEAST_SERVER:
        raise ArchiveError(
            f"the server of {address.shown} is PostgreSQL "
            f"{connection.info.server_version // 10_000}: archives need 14 or newer"
        )


def extension_schema(connection: Connection, address: Address, *, create: bool) -> str:
    """The schema that pgvector lies in; ``create`` installs it in the database where it lacks.

    Raises:
        ArchiveError: it is not there, or too old.
    """
    found = _extension(connection)
    if found is None and create:
        try:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        except (errors.UndefinedFile, errors.FeatureNotSupported) as error:
            raise ArchiveError(
                f"the server of {address.shown} has no pgvector: install it there "
                "(https://github.com/pgvector/pgvector), then run the same command again"
            ) from error
        except errors.InsufficientPrivilege as error:
            raise ArchiveError(
                f"the database {address.shown} lacks the extension pgvector, and you may not add "
                "it: have its owner run `CREATE EXTENSION vector`"
            ) from error
        found = _extension(connection)
    if found is None:
        raise ArchiveError(
            f"the database {address.shown} lacks the extension pgvector: have its owner run "
            "`CREATE EXTENSION vector`"
        )
    schema, version = found
    if tuple(int(part) for part in version.split(".")[:2]) < _LEAST_EXTENSION:
        raise ArchiveError(
            f"pgvector of {address.shown} is {version}: archives need 0.8 or newer; update it "
            "there, then have the owner run `ALTER EXTENSION vector UPDATE`"
        )
    return schema


def _extension(connection: Connection) -> tuple[str, str] | None:
    row = connection.execute(
        "SELECT nspname::text, extversion FROM pg_extension"
        " JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'vector'"
    ).fetchone()
    return None if row is None else (str(row[0]), str(row[1]))


def names(*schemas: str) -> sql.Composed:
    """Schemas as SQL has them, one after the other."""
    return sql.SQL(", ").join(map(sql.Identifier, schemas))


def is_lost(error: BaseException | None) -> bool:
    """Whether the connection broke or the server restarts: what can be tried again."""
    if isinstance(error, PoolTimeout) or not isinstance(error, psycopg.Error):
        return False
    state = error.sqlstate
    if state is None:
        said = str(error)
        refused = ("Connection refused", "No such file or directory", "closed", "terminat", "lost")
        return isinstance(error, psycopg.OperationalError) and any(w in said for w in refused)
    return state.startswith("08") or state in {"57P01", "57P02", "57P03", "57P05"}


def is_passing(error: BaseException) -> bool:
    """Whether a transaction failed by no fault of its own."""
    passing = (errors.SerializationFailure, errors.DeadlockDetected)
    return is_lost(error) or isinstance(error, passing)


@contextmanager
def translate_errors(address: Address) -> Iterator[None]:
    """Turn PostgreSQL's errors into ours, saying what to do."""
    try:
        yield
    except psycopg.Error as error:
        raise _translated(address, error) from error


def _translated(address: Address, error: psycopg.Error) -> ArchiveError:
    shown, said = address.shown, str(error).strip().splitlines()[:1]
    why = without_password(said[0]) if said else type(error).__name__
    if isinstance(error, PoolTimeout):
        return ArchiveLocked(
            f"{shown} gave no connection within {_WAIT_SECONDS:.0f} s: the server does not answer, "
            "or all connections are in use; try again in a moment, or allow more of them"
        )
    if isinstance(error, errors.TooManyConnections) or (
        error.sqlstate is None and any(words in why for words in _FULL)
    ):
        return ArchiveLocked(f"{shown} takes no more connections: try again, or allow more there")
    if isinstance(error, errors.DiskFull | errors.OutOfMemory):
        return ArchiveError(
            f"the server of {shown} has no room ({why}): free some there and run it again; nothing "
            "of what was being stored is left"
        )
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return read_only(address)
    if isinstance(error, errors.LockNotAvailable | errors.DeadlockDetected):
        return ArchiveLocked(f"{shown} is busy in another process: try again in a moment")
    if isinstance(error, errors.QueryCanceled) or error.sqlstate in {"25P03", "25P04"}:
        return ArchiveError(
            f"the server of {shown} ended what took longer than it allows ({why}): try again when "
            "it is less busy, or have its administrator allow more time; nothing half done is left"
        )
    if isinstance(error, errors.InsufficientPrivilege):
        return ArchiveError(f"{shown}: you may not do that there ({why}): ask its owner for it")
    # What is refused while connecting has no code.
    lacks = why.startswith("connection failed") and "FATAL:  database" in why
    if isinstance(error, errors.InvalidCatalogName) or (lacks and "does not exist" in why):
        return ArchiveNotFound(f"{shown}: there is no such database; make it with `createdb`")
    if isinstance(error, errors.DataCorrupted | errors.IndexCorrupted):
        return ArchiveDamaged(f"{shown} is damaged ({why}): restore it from a copy")
    if is_lost(error):
        return ArchiveError(
            f"the connection to {shown} broke ({why}): make sure that the server runs, then run "
            "the same command again; what was stored before is there"
        )
    if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:
        return ArchiveError(f"{shown} cannot be reached ({why}): check address, name and password")
    return ArchiveError(f"{shown} cannot be used ({why}): see the log of the server")


def read_only(address: Address) -> ArchiveError:
    """The error for a server that only reads."""
    return ArchiveError(
        f"{address.shown} cannot be written, as it is a replica or set to read only: name the "
        "server that is written to"
    )


def not_found(address: Address) -> ArchiveNotFound:
    """The error for a database without an archive."""
    return ArchiveNotFound(
        f"{address.shown} holds no archive yet: index some videos into it first with `vsr-edge "
        "index FOLDER`, or name another archive with --archive"
    )
