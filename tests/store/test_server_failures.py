"""What goes wrong with servers: each a clear error or a second try, and nothing is half written."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import psycopg
import pytest

from tests.servers import Server, a_server
from vsr_edge.errors import ArchiveError, ArchiveLocked
from vsr_edge.store import open_store
from vsr_edge.store.postgres import pg_connection
from vsr_edge.store.postgres.pg_connection import Address, connect

from .archives import (
    a_query,
    content,
    fill,
    footage,
    of_server,
    open_archive,
    rows,
    store_footage,
)

WAITING = "SELECT pid FROM pg_stat_activity WHERE application_name = 'vsr-edge' AND wait_event_type"
WAITING += " = 'Lock' AND datname = current_database() AND pid <> pg_backend_pid()"


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    """A server that nobody else is on."""
    with a_server() as running:
        yield running


@contextmanager
def held(url: str, lock: str) -> Iterator[psycopg.Connection]:
    """Something that a writer or a reader needs is another's until the block ends."""
    with psycopg.connect(Address.of(url).conninfo) as holder, suppress(psycopg.OperationalError):
        (schema,) = rows(url, "SELECT current_schema()::text")[0]
        holder.execute(lock.format(schema=schema))
        yield holder
        holder.rollback()


# Each writer changes this row last, when all else of a video is written.
LAST_ROW = "SELECT 1 FROM {schema}.meta FOR UPDATE"


def until_one_waits(url: str) -> int:
    while not (found := of_server(url, WAITING)):
        time.sleep(0.01)
    return int(found[0][0])


@pytest.mark.parametrize("lost", ["the connection", "the server"])
def test_a_transaction_that_is_cut_short_is_made_again(
    own: Server, tmp_path: Path, lost: str
) -> None:
    url = own.url()
    fill(url, "/v/before.mp4")
    with ThreadPoolExecutor(1) as pool:
        with held(url, LAST_ROW):
            writing = pool.submit(fill, url, "/v/a.mp4")
            writer = until_one_waits(url)
            # All of it is written but not committed.
            assert rows(url, "SELECT count(*) FROM videos") == [(1,)]
            if lost == "the server":
                own.restart()
            else:
                own.run(f"SELECT pg_terminate_backend({writer}, 5000)")
        writing.result()
    fill(tmp_path, "/v/before.mp4", "/v/a.mp4")
    assert content(url) == content(tmp_path)
    with open_archive(url) as store:
        assert store.check() == []


class Wire:
    """Between a client and the server's socket: cut at the first message that holds ``mark``."""

    def __init__(self, server: str, folder: Path) -> None:
        self._server, self.folder = server, folder
        self.mark, self.deliver, self.cuts = b"", False, 0
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / ".s.PGSQL.5432"))
        self._listener.listen()
        self._begin(self._accept)

    def _begin(self, work: Callable[..., None], *arguments: object) -> None:
        self._threads.append(threading.Thread(target=work, args=arguments, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                self._sockets += (client, server)
                server.connect(self._server)
                for ends in ((client, server, True), (server, client, False)):
                    self._begin(self._pass_on, *ends)

    def _pass_on(self, source: socket.socket, target: socket.socket, asks: bool) -> None:
        with suppress(OSError):
            while some := source.recv(1 << 16):
                if asks and self.mark and self.mark in some:
                    self.mark, self.cuts = b"", self.cuts + 1
                    source.shutdown(socket.SHUT_RDWR)
                    if self.deliver:
                        target.sendall(some)
                        target.shutdown(socket.SHUT_WR)
                    break
                target.sendall(some)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR if not (asks and self.deliver) else socket.SHUT_WR)

    def close(self) -> None:
        for one in (self._listener, *self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in (self._listener, *self._sockets):
            one.close()


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    (place,) = parse_qs(urlsplit(server.url()).query)["host"]
    folder = Path("/tmp") / f"w{uuid4().hex[:12]}"
    folder.mkdir()
    between = Wire(f"{place}/.s.PGSQL.5432", folder)
    try:
        yield between
    finally:
        between.close()
        shutil.rmtree(folder)


@pytest.mark.parametrize("deliver", [False, True], ids=["before the server", "after the server"])
def test_a_connection_that_breaks_amid_a_commit_stores_a_video_once(
    server: Server, wire: Wire, tmp_path: Path, deliver: bool
) -> None:
    url = server.url()
    fill(url, "/v/before.mp4")
    (place,) = parse_qs(urlsplit(url).query)["host"]
    through = url.replace(place, str(wire.folder))
    made = footage("/v/a.mp4")
    with open_archive(through) as store, store.writer() as writer:
        with writer.begin(made.video, made.sampling) as entry:
            for batch in made.batches:
                entry.add_frames(batch)
            wire.deliver, wire.mark = deliver, b"COMMIT"
            entry.finish(made.windows, made.vectors)
        assert wire.cuts == 1
        wire.mark = b"SELECT count"
        with pytest.raises(ArchiveError, match=r"connection to .* broke"):
            store.stats()
        assert store.stats().videos == 2
    assert wire.cuts == 2
    fill(tmp_path, "/v/before.mp4", "/v/a.mp4")
    assert content(url) == content(tmp_path)


def test_a_server_whose_disk_is_full_keeps_what_it_had(own: Server, tmp_path: Path) -> None:
    with small_disk(tmp_path, own) as (folder, enlarge):
        space = f"small{uuid4().hex[:8]}"
        own.run(f"CREATE TABLESPACE {space} LOCATION '{folder}'")
        url = f"{own.url()}&options=-cdefault_tablespace%3D{space}"
        stored: list[str] = []
        with open_archive(url) as store:
            for number in range(100):
                made = footage(f"/v/{number}.mp4", clips=200)
                try:
                    with store.writer() as writer:
                        store_footage(writer, made)
                except ArchiveError as error:
                    assert "has no room" in str(error)  # noqa: PT017 — one of them, not any
                    break
                stored.append(f"/v/{number}.mp4")
            else:
                pytest.fail("the disk did not fill up")
            assert stored
            assert [str(one.video.path) for one in store.videos()] == sorted(stored)
            assert len(store.search(a_query(), 100_000)) == 200 * len(stored)
            assert store.check() == []
            enlarge()
            with store.writer() as writer:
                store_footage(writer, made)
            assert len(store.videos()) == len(stored) + 1
            assert store.check() == []
        schema = Address.of(url).schema
        own.run(f"DROP SCHEMA {schema}_1, {schema} CASCADE", f"DROP TABLESPACE {space}")


@contextmanager
def small_disk(tmp_path: Path, server: Server) -> Iterator[tuple[Path, Callable[[], None]]]:
    """A folder on a disk of its own, which is small, and what makes it larger."""
    place = tmp_path / "small"
    place.mkdir()

    def mount(options: str) -> bool:
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(place)]
        try:
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
        except FileNotFoundError:
            return False

    if not mount("size=3m"):
        pytest.skip("a small disk can be had by root alone")
    try:
        folder = place / "space"
        folder.mkdir()
        owner = server.folder.stat()
        os.chown(folder, owner.st_uid, owner.st_gid)
        for above in (place, *place.parents):
            if str(above).startswith("/tmp/"):
                above.chmod(above.stat().st_mode | 0o055)
        yield folder, lambda: (mount("remount,size=64m"), None)[1]
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_replica_is_searched_and_says_that_it_is_one(own: Server) -> None:
    url = own.url()
    fill(url, "/v/a.mp4", "/v/b.mp4")
    with own.replica() as replica:
        there = replica.address(url)
        with open_archive(there) as copy, open_archive(url) as store:
            assert copy.search(a_query(), 9) == store.search(a_query(), 9)
            assert content(there) == content(url)
            assert copy.check() == []
            for write in (copy.writer, copy.shadow_archive):
                with pytest.raises(ArchiveError, match="replica or set to read only"):
                    write().__enter__()
            with store.writer() as writer:
                store_footage(writer, footage("/v/c.mp4"))
            while len(copy.videos()) < 3:
                time.sleep(0.02)
            assert copy.search(a_query(), 9) == store.search(a_query(), 9)
        with pytest.raises(ArchiveError, match="holds no archive yet"):
            open_archive(replica.address(own.url()))


@pytest.fixture
def guest(server: Server) -> Iterator[tuple[str, str, str]]:
    """An archive's address, that of one who has no rights there yet, and the name of his."""
    name, url = f"g{uuid4().hex[:10]}", server.url()
    fill(url, "/v/a.mp4")
    server.run(f"CREATE ROLE {name} LOGIN")
    yield url, url.replace("postgres:@", f"{name}:hidden@"), name
    server.run(f"DROP OWNED BY {name}", f"DROP ROLE {name}")


def test_who_lacks_rights_is_told_which(server: Server, guest: tuple[str, str, str]) -> None:
    url, theirs, name = guest
    schema = Address.of(url).schema
    with pytest.raises(ArchiveError, match=r"you may not do that there \(permission denied"):
        open_store(theirs)
    server.run(
        f"GRANT USAGE ON SCHEMA {schema}, {schema}_1 TO {name}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema}, {schema}_1 TO {name}",
    )
    with open_archive(theirs) as store:
        assert len(store.search(a_query(), 9)) == 4
        assert store.check() == []
        denied = pytest.raises(ArchiveError, match=r"you may not do that there .*ask its owner")
        with denied, store.writer() as writer:
            store_footage(writer, footage("/v/b.mp4"))
        with pytest.raises(ArchiveError, match="you may not"), store.writer() as writer:
            writer.remove([one.video_id for one in store.videos()])
        assert len(store.videos()) == 1
    fresh = theirs.replace(schema, f"{schema}x")
    with pytest.raises(ArchiveError, match=r"you may not do that there .*permission denied"):
        open_archive(fresh)
    with pytest.raises(ArchiveError, match="holds no archive yet"):
        open_store(fresh)


def test_what_the_server_ends_for_taking_long_is_named_and_writing_is_not_ended(
    server: Server, guest: tuple[str, str, str]
) -> None:
    url, theirs, name = guest
    schema = Address.of(url).schema
    server.run(
        f"GRANT ALL ON SCHEMA {schema}, {schema}_1 TO {name}",
        f"GRANT ALL ON ALL TABLES IN SCHEMA {schema}, {schema}_1 TO {name}",
        f"GRANT ALL ON ALL SEQUENCES IN SCHEMA {schema} TO {name}",
        f"ALTER ROLE {name} SET statement_timeout = '500ms'",
        f"ALTER ROLE {name} SET idle_session_timeout = '300ms'",
        f"ALTER ROLE {name} SET idle_in_transaction_session_timeout = '300ms'",
    )
    with open_archive(theirs) as store:
        assert len(store.search(a_query(), 9)) == 4
        ended = pytest.raises(ArchiveError, match=r"took longer than it allows .*statement")
        with held(url, "LOCK TABLE {schema}.clips IN ACCESS EXCLUSIVE MODE"), ended:
            store.search(a_query(), 9)
        time.sleep(0.5)  # the server ends what is idle
        assert len(store.search(a_query(), 9)) == 4
        cut = pytest.raises(ArchiveError, match=r"longer than it allows|connection to .* broke")
        with cut, store.reading():
            time.sleep(0.6)
            store.videos()
        assert len(store.videos()) == 1
        with store.writer() as writer, ThreadPoolExecutor(1) as pool:
            with held(url, LAST_ROW):
                time.sleep(0.5)
                writing = pool.submit(store_footage, writer, footage("/v/b.mp4"))
                until_one_waits(url)
                time.sleep(0.7)
            writing.result()
        assert len(store.videos()) == 2
        assert store.check() == []


def test_a_server_without_a_connection_left_is_named(
    server: Server, guest: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, theirs, name = guest
    monkeypatch.setattr(pg_connection, "_WAIT_SECONDS", 0.3)
    server.run(f"ALTER ROLE {name} CONNECTION LIMIT 1")
    full = pytest.raises(ArchiveLocked, match="takes no more connections")
    with connect(Address.of(theirs)), full:
        open_store(theirs)


def test_versions_that_do_not_do_are_named(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    database = f"old{uuid4().hex[:8]}"
    server.run(f"CREATE DATABASE {database}")
    url = server.url(database=database)
    server.run("CREATE EXTENSION vector", database=database)
    fill(url, "/v/a.mp4")
    version = rows(url, "SELECT extversion FROM pg_extension WHERE extname = 'vector'")[0][0]
    for found, said in (("0.7.4", "pgvector of .* is 0.7.4.*ALTER EXTENSION"), (version, "")):
        server.run(
            f"UPDATE pg_extension SET extversion = '{found}' WHERE extname = 'vector'",
            database=database,
        )
        if said:
            for opened in (open_store, open_archive):
                with pytest.raises(ArchiveError, match=said):
                    opened(url)
    newer = f"UPDATE {Address.of(url).schema}_1.meta SET version = version"
    server.run(f"{newer} + 1", database=database)
    with pytest.raises(ArchiveError, match="newer version of vsr-edge"):
        open_archive(url)
    server.run(f"{newer} - 1", database=database)
    with open_archive(url) as store:
        assert len(store.videos()) == 1
    monkeypatch.setattr(pg_connection, "_LEAST_SERVER", 990_000)
    with pytest.raises(ArchiveError, match="archives need 14 or newer"):
        open_store(url)


def test_an_address_may_say_how_long_to_wait_and_who_asks(server: Server) -> None:
    url = f"{server.url()}&application_name=desk&connect_timeout=7"
    with open_archive(url) as store, store.reading():
        assert of_server(url, "SELECT current_setting('application_name')") == [("desk",)]


def test_a_dump_is_a_backup(server: Server) -> None:
    url, bin_path = server.url(schema=f"d{uuid4().hex[:8]}"), server.bin_path
    schema, database = Address.of(url).schema, f"back{uuid4().hex[:8]}"
    fill(url, "/v/a.mp4", "/v/b.mp4")
    server.run(f"CREATE DATABASE {database}")
    server.run("CREATE EXTENSION vector", database=database)
    there = url.replace("/postgres?", f"/{database}?")
    dumped = subprocess.run(
        [bin_path / "pg_dump", "-n", f"{schema}*", Address.of(url).conninfo],
        check=True,
        capture_output=True,
    )
    subprocess.run(
        [bin_path / "psql", "-q", "-v", "ON_ERROR_STOP=1", Address.of(there).conninfo],
        input=dumped.stdout,
        check=True,
        capture_output=True,
    )
    assert content(there) == content(url)
    fill(there, "/v/c.mp4")
    with open_archive(there) as store:
        assert len(store.videos()) == 3
        assert store.check() == []
