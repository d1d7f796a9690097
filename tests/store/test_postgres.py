"""What only an archive on a server has: others that write, and what goes wrong with servers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import psycopg
import pytest

from tests.servers import Server, a_server
from vsr_edge.config import load_settings, without_password
from vsr_edge.errors import ArchiveError, ArchiveLocked, ArchiveNotFound
from vsr_edge.query import Filter
from vsr_edge.store import open_settings_store, open_store
from vsr_edge.store.postgres import pg_connection, pg_nearest

from .archives import (
    Another,
    a_query,
    content,
    fill,
    fill_up,
    footage,
    found_places,
    index,
    open_archive,
    rows,
    store_footage,
)
from .processes import another_process, index_videos, search_all_the_while

PATHS = [f"/v/{i}.mp4" for i in range(4)]
_SCANS = "SELECT pg_stat_get_numscans('clips_nearest'::regclass)"


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


def test_ten_processes_write_while_four_search(server: Server, tmp_path: Path) -> None:
    url = server.url()
    fill(url)
    names = [[f"/v/{writer}/{i}.mp4" for i in range(8)] for writer in range(10)]
    with ExitStack() as stack:
        searching = [
            stack.enter_context(another_process(search_all_the_while, url))[1] for _ in range(4)
        ]
        assert [pipe.recv() for pipe in searching] == ["ready"] * 4
        writing = [
            stack.enter_context(another_process(index_videos, url, paths))[1] for paths in names
        ]
        for pipe in writing:
            while pipe.recv() != "closed":
                pass
        for pipe in searching:
            pipe.send("enough")
            assert pipe.recv() > 0
    fill(tmp_path, *chain(*names))
    assert content(url) == content(tmp_path)
    with open_archive(url) as there, open_archive(tmp_path) as here:
        assert there.check() == []
        for seed in range(5):
            query = a_query(seed)
            answers = [found_places(one, one.search(query, 50)) for one in (there, here)]
            assert answers[0] == answers[1]


def test_who_has_written_is_in_nobodys_way_however_late_the_server_ends_the_session(
    server: Server,
) -> None:
    url = server.url()
    fill(url)
    late: list[psycopg.Connection] = []
    with open_archive(url) as store:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(psycopg.Connection, "close", lambda one: late.append(one))
            with store.writer():
                pass
        assert late
        with store.shadow_archive():
            pass
    for one in late:
        one.close()


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


def reindexed(url: str, other: Another, meanwhile: Callable[[], None] = lambda: None) -> None:
    with open_store(url) as store, store.shadow_archive() as shadow:
        with shadow.open(other.bundle_id, other.dim) as successor:
            fill_up(successor, PATHS[:1], other)
        meanwhile()
        shadow.switch()
        assert store.notices == []


def test_schemas_that_are_called_like_generations_are_left_alone(server: Server) -> None:
    name = f"cams{uuid4().hex[:8]}"
    url = server.url(schema=name)
    # One is there before the archive, one where its next rows would be, and some far from both.
    server.run(f"CREATE SCHEMA {name}_1", f"CREATE TABLE {name}_1.kept (id int)")
    fill(url, PATHS[0])
    others = (f"{name}_3", f"{name}_2024", f"{name}_20240101000000")
    for other in others:
        server.run(f"CREATE SCHEMA {other}", f"CREATE TABLE {other}.kept (id int)")
    for number in range(3):
        reindexed(url, Another(f"other-{number}"))
    found = rows(url, f"SELECT nspname::text FROM pg_namespace WHERE nspname ~ '^{name}'")
    assert {one for (one,) in found} == {name, f"{name}_1", *others, f"{name}_6"}
    for other in (f"{name}_1", *others):
        assert rows(url, f"SELECT count(*) FROM {other}.kept") == [(0,)]
    with open_store(url) as store:
        assert len(store.videos()) == 1
        assert store.check() == []


def test_who_has_the_archive_no_longer_alone_does_not_switch_it(server: Server) -> None:
    url, other = server.url(), Another("other-test")
    fill(url, *PATHS)

    def lose() -> None:
        server.run(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks"
            " WHERE locktype = 'advisory' AND mode = 'ExclusiveLock'"
        )
        fill(url, "/v/late.mp4")

    with pytest.raises(ArchiveError, match=r"connection to .* broke"):
        reindexed(url, other, lose)
    with open_archive(url) as store:
        assert store.find(Path("/v/late.mp4")) is not None
        assert len(store.videos()) == len(PATHS) + 1


@pytest.mark.parametrize(("memory", "in_view"), [("4MB", 400), ("64kB", 1)])
def test_beyond_the_switch_the_graph_finds_what_comparing_finds(
    server: Server, monkeypatch: pytest.MonkeyPatch, memory: str, in_view: int
) -> None:
    url = server.url()
    with open_archive(url) as store, store.writer() as writer:
        for number in range(20):
            store_footage(writer, footage(f"/v/{number % 5}/{number}.mp4", clips=60))
    filters = [
        None,
        Filter(videos=("/v/[01]",)),
        Filter(videos=("/v/3/3.mp4",)),
        Filter(videos=("none",)),
    ]
    cases = [(seed, where, k) for seed in range(4) for where in filters for k in (10, 50)]
    with open_store(url) as store:
        compared = [
            [hit.clip.clip_id for hit in store.search(a_query(s), k, w)] for s, w, k in cases
        ]
    monkeypatch.setattr(pg_nearest, "EXACT_CLIPS", 10)
    monkeypatch.setattr(pg_nearest, "_IN_VIEW", in_view)
    # So that no plan but the graph's seems cheap. It runs out of the lesser memory at once.
    options = f"-cenable_seqscan=off -cenable_sort=off -cwork_mem={memory}"
    with open_archive(f"{url}&options={quote(options)}") as store:
        with store.writer():
            pass
        ((scanned,),) = rows(url, _SCANS)
        walked = [[hit.clip.clip_id for hit in store.search(a_query(s), k, w)] for s, w, k in cases]
    assert rows(url, "SELECT to_regclass('clips_nearest') IS NOT NULL") == [(True,)]
    assert [len(one) for one in walked] == [len(one) for one in compared]
    pairs = zip(walked, compared, strict=True)
    shared = sum(len(set(one) & set(other)) for one, other in pairs)
    assert shared >= (0.98 if in_view > 1 else 0.7) * sum(map(len, compared))
    assert rows(url, _SCANS)[0][0] > scanned
