"""The vector file may be late, lost, foreign or damaged: the answers do not change."""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vsr_edge.store.base import Store

from .archives import (
    a_query,
    change,
    fill,
    footage,
    open_archive,
    rows,
    store_footage,
    vector_file,
)

PATHS = [f"/v/{i}.mp4" for i in range(8)]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    fill(tmp_path / "archive", *PATHS)
    return tmp_path / "archive"


def answers(store: Store) -> object:
    return [store.search(a_query(seed), 7) for seed in range(4)]


def flip(place: float) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        content = bytearray(file.read_bytes())
        content[min(int(len(content) * place), len(content) - 1)] ^= 0x40
        file.write_bytes(content)

    return damage


def put_another_archive(file: Path) -> None:
    other = file.parent.parent / "other"
    fill(other, *(path.replace("/v/", "/w/") for path in PATHS))
    shutil.copy(vector_file(other), file)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "first byte": (flip(0.0), "damaged"),
    "a byte in the middle": (flip(0.3), "damaged"),
    "last byte": (flip(1.0), "damaged"),
    "truncated": (lambda file: file.write_bytes(file.read_bytes()[:-50]), "damaged (truncated)"),
    "empty": (lambda file: file.write_bytes(b""), "damaged (empty)"),
    "text": (lambda file: file.write_text("no vectors"), "damaged"),
    "removed": (lambda file: file.unlink(), "missing"),
    "zeros": (lambda file: file.write_bytes(bytes(file.stat().st_size)), "checksum differs"),
    "another archive": (put_another_archive, "another archive"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_rebuilt_and_said_so(archive: Path, damage: str) -> None:
    with open_archive(archive) as store:
        expected = answers(store)
        assert store.notices == []
    do, word = DAMAGES[damage]
    do(vector_file(archive))
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


def test_a_damaged_list_of_what_lies_where_is_damage_too(archive: Path) -> None:
    with open_archive(archive) as store:
        expected = answers(store)
    # The clips of the first two videos change places.
    change(
        archive,
        "UPDATE vector_segments SET clips = substr(clips, 25, 24) || substr(clips, 1, 24)"
        " || substr(clips, 49)",
    )
    with open_archive(archive) as store:
        assert answers(store) == expected
        assert "checksum differs" in store.notices[0]
        assert store.check() == []


@pytest.mark.slow
def test_two_hundred_damages_change_no_answer(archive: Path) -> None:
    with open_archive(archive) as store:
        expected = answers(store)
    chance = random.Random(7)
    for number in range(200):
        file = vector_file(archive)
        size = file.stat().st_size
        if number % 4:
            flip(chance.random())(file)
        else:
            os.truncate(file, chance.randrange(size))
        with open_archive(archive) as store:
            assert len(store.check()) == 1
            assert answers(store) == expected
            (notice,) = store.notices
            assert "damaged" in notice
            assert "rebuilt from archive.db" in notice
            assert store.check() == []


def test_damage_while_the_store_is_open_changes_nothing(archive: Path) -> None:
    with open_archive(archive) as store:
        expected = answers(store)
        flip(0.5)(vector_file(archive))
        assert answers(store) == expected


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_cache_that_was_damaged_before_more_was_written_is_repaired_by_who_searches(
    archive: Path, damage: str
) -> None:
    do, word = DAMAGES[damage]
    do(vector_file(archive))
    with open_archive(archive) as store:
        with store.writer() as writer:
            store_footage(writer, footage("/v/more.mp4"))
        found = answers(store)
        assert word in store.notices[0]
        assert store.check() == []
    vector_file(archive).unlink()
    with open_archive(archive) as store:
        assert answers(store) == found


def test_clips_that_the_file_lacks_are_found_and_added_without_alarm(archive: Path) -> None:
    fill(archive, "/v/new.mp4")
    with open_archive(archive) as store:
        expected = answers(store)
    written = vector_file(archive).read_bytes()
    # As a writer leaves it that was killed after it had begun to append: what it was about to tell
    # of was not committed.
    vector_file(archive).write_bytes(written[:-20])
    change(archive, "DELETE FROM vector_segments WHERE id = (SELECT max(id) FROM vector_segments)")
    with open_archive(archive) as store:
        assert store.check() == []
        assert answers(store) == expected
        made = footage("/v/new.mp4")
        hit = store.search(made.vectors[3].astype(np.float32), 1)[0]
        assert hit.clip.window == made.windows[3]
        assert store.notices == []
    assert vector_file(archive).read_bytes() == written
    assert rows(archive, "SELECT rows FROM vector_segments ORDER BY id") == [(32,), (4,)]


def test_what_was_written_is_appended_to_and_never_changed(archive: Path) -> None:
    file, old = vector_file(archive), vector_file(archive).read_bytes()
    for number in range(3):
        fill(archive, f"/v/new{number}.mp4")
    assert vector_file(archive) == file
    assert file.read_bytes()[: len(old)] == old
    assert file.stat().st_size == len(old) * 11 // 8
    assert rows(archive, "SELECT count(*) FROM vector_segments") == [(4,)]


def test_leftovers_go_and_files_of_others_stay(archive: Path) -> None:
    names = {
        "clips.usearch",
        "clips.usearch.17.tmp",
        "clips.0123abcd.vectors",
        "clips.0123abcd.codes",
    }
    others = {"clips.mp4", "clips.usearch.mp4", "clips.vectors", "clips.01234567.vectors.mp4"}
    for name in names | others:
        (archive / name).write_text("something")
    fill(archive, "/v/new.mp4")
    left = {file.name for file in archive.iterdir()}
    assert others < left
    assert not names & left


def test_a_store_that_stays_open_sees_what_another_one_writes(archive: Path) -> None:
    with open_archive(archive) as reader:
        before = reader.search(a_query(), 100)
        fill(archive, "/v/new.mp4")
        assert len(reader.search(a_query(), 100)) == len(before) + 4
        stamp = vector_file(archive).stat().st_mtime_ns
        assert len(reader.search(a_query(), 100)) == len(before) + 4
        # The writer has saved it: the reader does not save it again.
        assert vector_file(archive).stat().st_mtime_ns == stamp
        assert reader.notices == []


def test_an_interrupted_search_does_not_spoil_the_next_one(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_archive(archive) as store:
        expected = answers(store)
    vector_file(archive).unlink()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with open_archive(archive) as store:
        with monkeypatch.context() as patch:
            patch.setattr("vsr_edge.store.vectors._checksum", interrupted)
            with pytest.raises(KeyboardInterrupt):
                answers(store)
        assert answers(store) == expected


def test_removed_clips_leave_the_file_once_they_are_many(archive: Path) -> None:
    with open_archive(archive) as store:
        ids = [stored.video_id for stored in store.videos()]
        with store.writer() as writer:
            writer.remove(ids[:2])
        assert len(store.search(a_query(), 100)) == 24
        assert rows(archive, "SELECT sum(rows) FROM vector_segments") == [(32,)]
        former = vector_file(archive)
        with store.writer() as writer:
            writer.remove(ids[2:4])
        assert len(store.search(a_query(), 100)) == 16
        assert store.check() == []
        assert rows(archive, "SELECT sum(rows) FROM vector_segments") == [(16,)]
        assert vector_file(archive) != former
        with store.writer() as writer:
            writer.remove(ids)
        assert store.search(a_query(), 100) == []
        assert store.check() == []
        assert not list(archive.glob("clips.*"))


def test_searching_writes_nothing_when_nothing_is_to_repair(archive: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in archive.iterdir()}
    with open_archive(archive) as store:
        answers(store)
    assert vector_file(archive).stat().st_mtime_ns == before[vector_file(archive)]


def test_a_cache_that_cannot_be_saved_is_a_notice(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_archive(archive) as store:
        expected = answers(store)
    file = vector_file(archive)
    file.unlink()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vsr_edge.store.vectors.os.fsync", full)
    with open_archive(archive) as store:
        assert answers(store) == expected
        assert "No space left" in store.notices[-1]
    assert not list(archive.glob("clips.*"))


def test_a_file_that_cannot_be_mapped_is_read(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENODEV, "No such device")

    with open_archive(archive) as store:
        expected = answers(store)
    written = vector_file(archive).stat()
    monkeypatch.setattr("vsr_edge.store.vectors.mmap.mmap", refuse)
    with open_archive(archive) as store:
        assert answers(store) == expected
        assert store.notices == []
    assert vector_file(archive).stat() == written


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
    assert vector_file(folder).is_file()
