"""Writers that are killed, readers beside writers, and who may write."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from vsr_edge.errors import ArchiveLocked
from vsr_edge.store.lock import LOCK_FILE, UPKEEP, WriterLock

from .archives import (
    BUNDLE,
    DIM,
    a_query,
    content,
    fill,
    footage,
    found_places,
    open_archive,
    store_footage,
    vector_file,
)
from .processes import (
    another_process,
    index_again_and_again,
    index_on_request,
    index_videos,
    look_without_rights,
)

PATHS = [f"/v/{i:02}.mp4" for i in range(10)]

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals and permissions")


@posix
def test_killing_a_writer_again_and_again_loses_nothing_that_was_finished(tmp_path: Path) -> None:
    fill(tmp_path / "calm", *PATHS)
    chance = random.Random(20)
    folder, kills, stored = tmp_path / "killed", 0, 0
    while kills < 24:
        with another_process(index_videos, folder, PATHS) as (process, pipe):
            steps = chance.randrange(0, 12)
            for _ in range(steps):
                if pipe.recv() == "closed":
                    break
            time.sleep(chance.uniform(0.0, 0.004))
            process.kill()  # It may have ended by itself.
            process.join()
            kills += process.exitcode == -signal.SIGKILL
        if (folder / "archive.db").exists():
            with open_archive(folder) as store:
                now = len(store.videos())
                assert now >= stored
                assert len(store.search(a_query(), 1000)) == 4 * now
                assert store.notices == []
                assert store.check() == []
                # Begin anew, or the later kills find nothing to interrupt.
                if now == len(PATHS):
                    with store.writer() as writer:
                        writer.remove(found.video_id for found in store.videos())
                    now = 0
            stored = now
    with another_process(index_videos, folder, PATHS) as (process, pipe):
        while pipe.recv() != "closed":
            pass
        process.join()
    assert content(folder) == content(tmp_path / "calm")
    with open_archive(folder) as killed, open_archive(tmp_path / "calm") as calm:
        assert found_places(killed, killed.search(a_query(), 20)) == found_places(
            calm, calm.search(a_query(), 20)
        )
        assert killed.check() == []


@posix
def test_killing_a_writer_amid_a_replacement_leaves_old_or_new(tmp_path: Path) -> None:
    fill(tmp_path, *PATHS[:3])
    expected = content(tmp_path)
    chance = random.Random(5)
    for _ in range(6):
        with another_process(index_again_and_again, tmp_path, PATHS[:3]) as (process, pipe):
            for _ in range(chance.randrange(1, 6)):
                pipe.recv()
            time.sleep(chance.uniform(0.0, 0.01))
            process.kill()
        assert content(tmp_path) == expected


def test_a_second_writer_is_told_who_the_first_one_is(tmp_path: Path) -> None:
    with another_process(index_on_request, tmp_path) as (process, pipe):
        assert pipe.recv() == "ready"
        with open_archive(tmp_path) as store:
            with pytest.raises(ArchiveLocked, match=f"process {process.pid} on ") as caught:
                store.writer().__enter__()
            assert "since 20" in str(caught.value)
            assert "python" in str(caught.value)
            process.kill()
            process.join()
            with store.writer() as writer:
                store_footage(writer, footage("/v/a.mp4"))
            assert len(store.videos()) == 1


def test_two_stores_of_one_process_cannot_both_write(tmp_path: Path) -> None:
    with open_archive(tmp_path) as one, open_archive(tmp_path) as two:
        with (
            one.writer(),
            pytest.raises(ArchiveLocked, match=f"process {os.getpid()} "),
            two.writer(),
        ):
            pass
        with two.writer() as writer:
            store_footage(writer, footage("/v/a.mp4"))
        assert len(one.videos()) == 1


def test_a_writer_waits_for_a_search_that_saves_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, "/v/a.mp4")
    upkeep = WriterLock(tmp_path, UPKEEP)
    assert upkeep.try_acquire()
    naps = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 30:
            upkeep.release()

    clock = iter(range(1000))
    monkeypatch.setattr("vsr_edge.store.lock.time.monotonic", lambda: next(clock))
    monkeypatch.setattr("vsr_edge.store.lock.time.sleep", nap)
    with open_archive(tmp_path) as store, store.writer() as writer:
        store_footage(writer, footage("/v/b.mp4"))
    assert len(naps) == 30


def test_a_lock_file_of_nonsense_does_not_keep_a_writer_out(tmp_path: Path) -> None:
    fill(tmp_path, "/v/a.mp4")
    (tmp_path / LOCK_FILE).write_bytes(b"\xff[1, 2")
    fill(tmp_path, "/v/b.mp4")
    lock = WriterLock(tmp_path)
    with lock, open_archive(tmp_path) as store:
        (tmp_path / LOCK_FILE).write_bytes(b"\xff[1, 2")
        with pytest.raises(ArchiveLocked, match="another process"):
            store.writer().__enter__()


def test_a_search_beside_a_writer_is_right_and_leaves_the_cache_to_it(tmp_path: Path) -> None:
    fill(tmp_path, *PATHS[:3])
    cache = vector_file(tmp_path)
    before = cache.read_bytes()
    with another_process(index_on_request, tmp_path) as (process, pipe):
        assert pipe.recv() == "ready"
        with open_archive(tmp_path) as staying:
            for number in range(3, 6):
                pipe.send(PATHS[number])
                assert pipe.recv() == "indexed"
                made = footage(PATHS[number])
                with open_archive(tmp_path) as fresh:
                    for store in (staying, fresh):
                        hit = store.search(made.vectors[1].astype(np.float32), 1)[0]
                        assert hit.clip.window == made.windows[1]
                        assert len(store.search(a_query(), 100)) == 4 * (number + 1)
                        assert store.notices == []
            assert cache.read_bytes() == before
            pipe.send(None)
            assert pipe.recv() == "closed"
            process.join()
            written = cache.read_bytes()
            assert written != before
            assert len(staying.search(a_query(), 100)) == 24
            assert cache.read_bytes() == written


def test_a_damaged_cache_beside_a_writer_is_bridged_in_memory(tmp_path: Path) -> None:
    fill(tmp_path, *PATHS[:3])
    cache = vector_file(tmp_path)
    with open_archive(tmp_path) as store:
        expected = store.search(a_query(), 100)
    with another_process(index_on_request, tmp_path) as (_, pipe):
        assert pipe.recv() == "ready"
        cache.write_bytes(b"nonsense")
        with open_archive(tmp_path) as store:
            assert store.search(a_query(), 100) == expected
            assert "damaged" in store.notices[0]
        assert cache.read_bytes() == b"nonsense"


def test_searches_amid_constant_replacement_see_whole_videos(tmp_path: Path) -> None:
    fill(tmp_path, *PATHS[:3])
    wanted = {path: footage(path) for path in PATHS[:3]}
    with (
        another_process(index_again_and_again, tmp_path, PATHS[:3]) as (_, pipe),
        open_archive(tmp_path) as store,
    ):
        for _ in range(40):
            pipe.recv()
            while pipe.poll():
                pipe.recv()
            hits = store.search(a_query(), 100)
            assert len(hits) == 12
            assert len({hit.clip.video_id for hit in hits}) == 3
            for stored in store.videos():
                frames = store.frames(stored.video_id, regions=True)
                assert len(frames) in {0, 12}
                assert len(wanted[str(stored.video.path)].windows) == stored.clips
        assert store.notices == []


def test_threads_share_one_store_while_it_writes(tmp_path: Path) -> None:
    fill(tmp_path, *PATHS[:2])
    with open_archive(tmp_path) as store, ThreadPoolExecutor(4) as pool:
        searches = [pool.submit(store.search, a_query(seed), 9) for seed in range(60)]
        with store.writer() as writer:
            for path in PATHS[2:6]:
                store_footage(writer, footage(path))
        searches += [pool.submit(store.search, a_query(seed), 9) for seed in range(20)]
        counts = {len(search.result()) for search in searches}
        assert counts <= {8, 9}
        assert len(store.search(a_query(), 100)) == 24
        assert store.notices == []


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that another user can reach, which pytest's own cannot be."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        yield Path(place)
        for entry in (Path(place), *Path(place).rglob("*")):
            entry.chmod(0o755)


def forbid_writing(folder: Path) -> None:
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)


@posix
@pytest.mark.parametrize("damage", [False, True])
def test_an_archive_is_searched_where_nothing_may_be_written(
    open_folder: Path, damage: bool
) -> None:
    folder = open_folder / "archive"
    fill(folder, "/v/a.mp4", "/v/b.mp4")
    with open_archive(folder) as store:
        expected = store.search(a_query(), 5)
        b_only = [hit for hit in store.search(a_query(), 8) if hit.clip.video_id == 2][:5]
    if damage:
        vector_file(folder).write_bytes(b"nonsense")
    forbid_writing(folder)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with another_process(look_without_rights, folder) as (_, pipe):
        hits, few, notices, problems, refused = pipe.recv()
    assert hits == expected
    assert few == b_only
    assert len(notices) == len(problems) == int(damage)
    assert refused.startswith("ArchiveError: ")
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


@posix
def test_someone_without_rights_searches_while_another_one_writes(open_folder: Path) -> None:
    folder = open_folder / "archive"
    fill(folder, "/v/a.mp4")
    folder.chmod(0o755)
    with open_archive(folder) as store, store.writer() as writer:
        store_footage(writer, footage("/v/b.mp4"))
        for file in folder.iterdir():
            file.chmod(0o644)
        with another_process(look_without_rights, folder) as (_, pipe):
            hits, few, notices, problems, refused = pipe.recv()
        assert hits == store.search(a_query(), 5)
        assert len(few) == 4
        assert notices == problems == []
        assert refused.startswith("ArchiveError: ")


@posix
def test_a_read_only_copy_of_a_busy_archive_says_what_to_do(open_folder: Path) -> None:
    folder, copy = open_folder / "archive", open_folder / "copy"
    fill(folder, "/v/a.mp4")
    with open_archive(folder, bundle_id=BUNDLE, dim=DIM) as store, store.writer() as writer:
        store_footage(writer, footage("/v/b.mp4"))
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("*-shm"))
    forbid_writing(copy)
    with another_process(look_without_rights, copy) as (_, pipe):
        answer = pipe.recv()
    assert isinstance(answer, str)
    assert "copy the folder again" in answer


def test_a_checkpoint_is_left_behind_so_that_the_folder_can_be_copied(tmp_path: Path) -> None:
    fill(tmp_path, "/v/a.mp4")
    assert not (tmp_path / "archive.db-wal").exists()
    connection = sqlite3.connect(f"file:{tmp_path}/archive.db?immutable=1", uri=True)
    assert connection.execute("SELECT count(*) FROM clips").fetchone() == (4,)
    connection.close()
