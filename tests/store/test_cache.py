"""The cache file may be late, lost, foreign or damaged: the answers do not change."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from usearch.index import Index

from vsr_edge.store.base import Store
from vsr_edge.store.index import ClipIndex

from .archives import (
    DIM,
    a_query,
    change,
    fill,
    footage,
    open_archive,
    rows,
    store_footage,
    unit_vectors,
)

PATHS = [f"/v/{i}.mp4" for i in range(8)]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    fill(tmp_path / "archive", *PATHS)
    return tmp_path / "archive"


def answers(store: Store) -> object:
    return store.search_many(np.stack([a_query(seed) for seed in range(4)]), 7)


def cache_of(archive: Path) -> Path:
    return archive / "clips.usearch"


def flip(place: float) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        content = bytearray(file.read_bytes())
        content[min(int(len(content) * place), len(content) - 1)] ^= 0x40
        file.write_bytes(content)

    return damage


def put_another_dimension(file: Path) -> None:
    index = Index(ndim=DIM // 2, metric="ip", dtype="f16")
    vectors = unit_vectors(np.random.default_rng(0), 32, DIM // 2)
    index.add(np.arange(1, 33, dtype=np.uint64), vectors)
    index.save(str(file))


def put_another_archive(file: Path) -> None:
    other = file.parent.parent / "other"
    fill(other, *(path.replace("/v/", "/w/") for path in PATHS))
    shutil.copy(other / "clips.usearch", file)


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "first byte": (flip(0.0), "damaged"),
    "a byte of the vectors": (flip(0.3), "damaged"),
    "a byte of the graph": (flip(0.9), "damaged"),
    "last byte": (flip(1.0), "damaged"),
    "truncated": (lambda file: file.write_bytes(file.read_bytes()[:-50]), "damaged"),
    "empty": (lambda file: file.write_bytes(b""), "damaged"),
    "text": (lambda file: file.write_text("not an index"), "damaged"),
    "removed": (lambda file: file.unlink(), "missing"),
    "another dimension": (put_another_dimension, "checksum differs"),
    "another archive": (put_another_archive, "another archive"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_rebuilt_and_said_so(archive: Path, damage: str) -> None:
    with open_archive(archive) as store:
        expected = answers(store)
        assert store.notices == []
    do, word = DAMAGES[damage]
    do(cache_of(archive))
    with open_archive(archive) as store:
        assert len(store.check()) == 1
        assert word in store.check()[0]
        assert answers(store) == expected
        assert len(store.notices) == 1
        assert word in store.notices[0]
        assert "rebuilt from archive.db" in store.notices[0]
        assert answers(store) == expected
        assert len(store.notices) == 1
        assert store.check() == []
    with open_archive(archive) as store:
        assert answers(store) == expected
        assert store.notices == []


def test_a_wrong_index_is_refused_even_if_the_record_vouches_for_it(archive: Path) -> None:
    import hashlib

    with open_archive(archive) as store:
        expected = answers(store)
    put_another_dimension(cache_of(archive))
    digest = hashlib.sha256(cache_of(archive).read_bytes()).hexdigest()
    change(archive, f"UPDATE search_cache SET sha256 = '{digest}'")
    with open_archive(archive) as store:
        assert answers(store) == expected
        assert f"{DIM} dimensions" in store.notices[0]


def test_damage_while_the_store_is_open_changes_nothing(archive: Path) -> None:
    with open_archive(archive) as store:
        expected = answers(store)
        flip(0.5)(cache_of(archive))
        assert answers(store) == expected


def test_a_writer_repairs_a_damaged_cache(archive: Path) -> None:
    flip(0.5)(cache_of(archive))
    with open_archive(archive) as store:
        with store.writer() as writer:
            store_footage(writer, footage("/v/more.mp4"))
        assert "damaged" in store.notices[0]
        assert store.check() == []


def test_clips_that_a_cache_lacks_are_found_and_added_without_alarm(archive: Path) -> None:
    old = cache_of(archive).read_bytes()
    fill(archive, "/v/new.mp4")
    with open_archive(archive) as store:
        expected = answers(store)
    # As a writer leaves it that was killed before it saved the cache.
    cache_of(archive).write_bytes(old)
    change(archive, "DELETE FROM search_cache WHERE id = (SELECT max(id) FROM search_cache)")
    with open_archive(archive) as store:
        assert answers(store) == expected
        made = footage("/v/new.mp4")
        hit = store.search(made.vectors[3].astype(np.float32), 1)[0]
        assert hit.clip.window == made.windows[3]
        assert store.notices == []
    assert cache_of(archive).read_bytes() != old
    assert rows(archive, "SELECT clips FROM search_cache ORDER BY id DESC LIMIT 1") == [(36,)]


def test_a_crash_between_record_and_file_is_not_taken_for_damage(archive: Path) -> None:
    old = cache_of(archive).read_bytes()
    fill(archive, "/v/new.mp4")
    with open_archive(archive) as store:
        expected = answers(store)
    # The record of the new file was written, the file not put in place.
    cache_of(archive).write_bytes(old)
    for _ in range(2):
        with open_archive(archive) as store:
            assert answers(store) == expected
            assert store.notices == []
    assert cache_of(archive).read_bytes() != old


def test_whoever_reads_the_former_file_reads_it_to_its_end(archive: Path) -> None:
    old = cache_of(archive).read_bytes()
    with cache_of(archive).open("rb") as file:
        for number in range(3):
            fill(archive, f"/v/new{number}.mp4")
        assert file.read() == old
    assert rows(archive, "SELECT count(*) FROM search_cache") == [(2,)]


def test_a_store_that_stays_open_sees_what_another_one_writes(archive: Path) -> None:
    with open_archive(archive) as reader:
        before = reader.search(a_query(), 100)
        fill(archive, "/v/new.mp4")
        assert len(reader.search(a_query(), 100)) == len(before) + 4
        stamp = cache_of(archive).stat().st_mtime_ns
        assert len(reader.search(a_query(), 100)) == len(before) + 4
        # The writer has saved it: the reader does not save it again.
        assert cache_of(archive).stat().st_mtime_ns == stamp
        assert reader.notices == []


def test_an_interrupted_search_does_not_spoil_the_next_one(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_archive(archive) as store:
        expected = answers(store)
    cache_of(archive).unlink()
    add = ClipIndex.add

    def interrupted(index: ClipIndex, *arguments: object) -> None:
        add(index, *arguments)
        raise KeyboardInterrupt

    with open_archive(archive) as store:
        with monkeypatch.context() as patch:
            patch.setattr(ClipIndex, "add", interrupted)
            with pytest.raises(KeyboardInterrupt):
                answers(store)
        assert answers(store) == expected


def test_removed_clips_leave_the_file_once_they_are_many(archive: Path) -> None:
    with open_archive(archive) as store:
        ids = [stored.video_id for stored in store.videos()]
        with store.writer() as writer:
            writer.remove(ids[:4])
        assert len(store.search(a_query(), 100)) == 16
    assert rows(archive, "SELECT clips FROM search_cache ORDER BY id DESC LIMIT 1") == [(16,)]


def test_searching_writes_nothing_when_nothing_is_to_repair(archive: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in archive.iterdir()}
    with open_archive(archive) as store:
        answers(store)
    assert cache_of(archive).stat().st_mtime_ns == before[cache_of(archive)]
    assert not list(archive.glob("*.tmp"))


def test_a_cache_that_cannot_be_saved_is_a_notice(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_archive(archive) as store:
        expected = answers(store)
    cache_of(archive).unlink()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vsr_edge.store.cache.os.fsync", full)
    with open_archive(archive) as store:
        assert answers(store) == expected
        assert "No space left" in store.notices[-1]
    assert not cache_of(archive).exists()
    assert not list(archive.glob("*.tmp"))


def test_a_folder_name_that_is_not_utf8_has_a_cache_too(tmp_path: Path) -> None:
    import os
    import sys

    if sys.platform in {"win32", "darwin"}:
        pytest.skip("file names are Unicode there")
    folder = tmp_path / os.fsdecode(b"caf\xe9 #?%20")
    fill(folder, *PATHS)
    with open_archive(folder) as store:
        assert len(store.search(a_query(), 5)) == 5
        assert store.notices == []
        assert store.check() == []
    assert cache_of(folder).is_file()
