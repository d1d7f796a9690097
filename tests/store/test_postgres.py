"""What only an archive on a server has: others that write, and what goes wrong with servers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.servers import Server, a_server
from vsr_edge.config import load_settings, without_password
from vsr_edge.errors import ArchiveError, ArchiveLocked, ArchiveNotFound
from vsr_edge.store import open_settings_store, open_store
from vsr_edge.store.postgres import pg_connection

from .archives import (
    a_query,
    content,
    fill,
    footage,
    found_places,
    index,
    open_archive,
    rows,
    store_footage,
)

PATHS = [f"/v/{i}.mp4" for i in range(4)]


def test_both_stores_answer_alike(server: Server, tmp_path: Path) -> None:
    url = server.url()
    for place in (tmp_path, url):
        fill(place, *PATHS)
    assert content(url) == content(tmp_path)
    with open_archive(url) as there, open_archive(tmp_path) as here:
        for seed in range(5):
            query = a_query(seed)
            answers = [found_places(one, one.search(query, 9)) for one in (there, here)]
            assert answers[0] == answers[1]


def test_several_write_at_once_and_none_waits_for_the_archive(server: Server) -> None:
    url = server.url()
    fill(url)
    names = [[f"/v/{writer}/{i}.mp4" for i in range(5)] for writer in range(3)]

    def write(paths: list[str]) -> None:
        with open_archive(url) as store:
            index(store, *paths, "/v/same.mp4")

    with ThreadPoolExecutor(3) as pool, open_archive(url) as reader:
        writing = [pool.submit(write, paths) for paths in names]
        while not all(one.done() for one in writing):
            hits = reader.search(a_query(), 1000)
            assert len(hits) % 4 == 0
        for one in writing:
            one.result()
        assert len(reader.videos()) == 16
        assert len(reader.search(a_query(), 1000)) == 64
        assert reader.check() == []


def test_a_video_lives_through_a_server_that_restarts(tmp_path: Path) -> None:
    with a_server() as own:
        url = own.url()
        with open_archive(url) as store, store.writer() as writer:
            store_footage(writer, footage("/v/before.mp4"))
            assert len(store.search(a_query(), 100)) == 4
            made = footage("/v/a.mp4")
            with writer.begin(made.video, made.sampling) as entry:
                for batch in made.batches:
                    entry.add_frames(batch)
                own.restart()
                entry.finish(made.windows, made.vectors)
            assert len(store.search(a_query(), 100)) == 8
            assert store.check() == []
        own.stop()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pg_connection, "_WAIT_SECONDS", 0.5)
            with pytest.raises(ArchiveError, match=r"make sure that the server runs|reached"):
                open_store(url)
        own.start()
        fill(tmp_path, "/v/before.mp4", "/v/a.mp4")
        assert content(url) == content(tmp_path)


def test_what_only_reads_is_read_and_not_written(server: Server) -> None:
    url = server.url()
    fill(url, *PATHS)
    only_read = f"{url}&options=-cdefault_transaction_read_only%3Don"
    with open_archive(only_read) as store:
        assert len(store.search(a_query(), 100)) == 16
        with pytest.raises(ArchiveError, match="replica or set to read only"):
            store.writer().__enter__()


def test_an_extension_that_lacks_is_named(server: Server) -> None:
    server.run("DROP ROLE IF EXISTS guest", "CREATE ROLE guest LOGIN", "CREATE DATABASE bare")
    url = server.url(database="bare").replace("postgres:@", "guest:hidden@")
    with pytest.raises(ArchiveError, match="CREATE EXTENSION vector") as caught:
        open_archive(url)
    assert "hidden" not in str(caught.value)
    with pytest.raises(ArchiveNotFound, match="no such database"):
        open_store(server.url(database="nowhere"))
    with pytest.raises(ArchiveNotFound, match="holds no archive yet"):
        open_store(server.url())


def test_connections_that_are_all_in_use_are_named(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pg_connection, "MOST_CONNECTIONS", 1)
    monkeypatch.setattr(pg_connection, "_WAIT_SECONDS", 0.3)
    with (
        open_archive(server.url()) as store,
        ThreadPoolExecutor(1) as another,
        store.reading(),
        pytest.raises(ArchiveLocked, match="all connections are in use"),
    ):
        another.submit(store.videos).result()


def test_nothing_shows_a_password(tmp_path: Path) -> None:
    url = "postgresql://me:secret@host:1/db?schema=one&sslpassword=secret"
    settings = load_settings({"archive": url}, environment={}, file=tmp_path / "none")
    assert settings.database == url
    assert settings.place == "postgresql://me@host:1/db?schema=one&sslpassword=…"
    for shown in (repr(settings), str(settings.archive), without_password(f"to {url} failed")):
        assert "secret" not in shown
    refused = load_settings({"archive": "postgresql://me:secret@127.0.0.1:1/db"})
    with pytest.raises(ArchiveError) as caught:
        open_settings_store(refused)
    assert "secret" not in str(caught.value)


def test_tables_are_in_a_schema_of_their_own(server: Server) -> None:
    url = server.url(schema="one")
    fill(url, *PATHS[:1])
    assert rows(url, "SELECT current_schema()::text") == [("one_1",)]
