"""A backup is one state of the archive, whole, whoever writes meanwhile."""

from __future__ import annotations

import importlib
import json
import os
import resource
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from tests.backup.archives import PATHS, an_archive, tree
from tests.store.archives import (
    change,
    content,
    fill,
    footage,
    open_archive,
    rows,
    store_footage,
    vector_file,
)
from tests.store.processes import another_process, index_on_request
from vsr_edge.backup.back_up import back_up
from vsr_edge.backup.contents import KEPT, LEFT_OUT, MANIFEST, read_backup
from vsr_edge.backup.restore import STAGED, check_backup, restore
from vsr_edge.errors import ArchiveDamaged, ArchiveError, ArchiveNotFound, UsageError
from vsr_edge.store.connection import DATABASE_FILE
from vsr_edge.store.lock import LOCK_FILE
from vsr_edge.store.shadow import NEXT_FOLDER
from vsr_edge.watch.fired import FIRED, STANDING


def test_a_backup_holds_the_archive_and_what_lies_beside_it(tmp_path: Path) -> None:
    archive = an_archive(tmp_path / "archive")
    made = back_up(archive, tmp_path / "backup")
    assert [file.name for file in made.files] == [
        DATABASE_FILE,
        vector_file(archive).name,
        "access.json",
        "alerts.jsonl",
        "calibration.json",
        "saved/bicycle.json",
    ]
    assert read_backup(tmp_path / "backup") == check_backup(tmp_path / "backup") == made
    assert (made.videos, made.dim) == (len(PATHS), 16)
    copied = (tmp_path / "backup" / vector_file(archive).name).read_bytes()
    assert copied == vector_file(archive).read_bytes()
    assert (tmp_path / "backup" / "alerts.jsonl").read_text() == '{"a": 1}\n'  # not half a line


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_who_may_come_in_is_for_nobody_else_to_read(tmp_path: Path) -> None:
    archive = an_archive(tmp_path / "archive")
    back_up(archive, tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "restored")
    assert stat.S_IMODE((tmp_path / "backup").stat().st_mode) == 0o700
    for folder in ("backup", "restored"):
        assert stat.S_IMODE((tmp_path / folder / "access.json").stat().st_mode) == 0o600


def test_permissions_that_were_too_wide_are_narrowed(tmp_path: Path) -> None:
    archive = an_archive(tmp_path / "archive")
    (archive / "access.json").chmod(0o644)
    backup = back_up(archive, tmp_path / "backup").folder
    restore(backup, tmp_path / "restored")
    for folder in (backup, tmp_path / "restored"):
        assert (folder / "access.json").stat().st_mode & 0o777 == 0o600


def test_a_folder_that_another_backup_has_just_made_is_let_alone(tmp_path: Path) -> None:
    archive = an_archive(tmp_path / "archive")
    empty, unlocked = (tmp_path / "backups" / f".backup-{name}.partial" for name in "ab")
    for folder in (empty, unlocked):
        folder.mkdir(parents=True)
    (unlocked / "archive.lock").touch()
    back_up(archive, tmp_path / "backups" / "first")
    assert empty.exists()
    assert unlocked.exists()
    for folder in (empty, unlocked):
        os.utime(folder, (0, 0))
    back_up(archive, tmp_path / "backups" / "second")
    assert {path.name for path in (tmp_path / "backups").iterdir()} == {"first", "second"}


def test_what_is_committed_while_it_runs_is_not_in_it(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    with open_archive(archive) as store, store.writer() as writer:
        for number in range(20):
            store_footage(writer, footage(f"{number}.mp4", clips=250))
    # Of the rows more is left to copy each time.
    size, told = (archive / DATABASE_FILE).stat().st_size, 0
    with another_process(index_on_request, archive) as (_, pipe):
        assert pipe.recv() == "ready"

        def index_more(done: int, _total: int) -> None:
            nonlocal told
            if 0 < done < size and told < 5:
                pipe.send(f"more-{(told := told + 1)}.mp4")
                assert pipe.recv() == "indexed"

        expected = content(archive)
        made = back_up(archive, tmp_path / "backup", index_more)
    assert told == 5
    assert len(content(archive)) == 25
    assert made.videos == 20
    restore(tmp_path / "backup", tmp_path / "restored")
    assert content(tmp_path / "restored") == expected


def test_vectors_that_are_written_anew_meanwhile_are_still_those_of_the_rows(
    tmp_path: Path,
) -> None:
    archive = tmp_path / "archive"
    fill(archive, *PATHS)
    name, changed = vector_file(archive).name, False

    def replace_all(done: int, _total: int) -> None:
        nonlocal changed
        if done and not changed:
            changed = True
            with open_archive(archive) as store, store.writer() as writer:
                writer.remove([one.video_id for one in store.videos()])
                store_footage(writer, footage("/v/new.mp4"))

    back_up(archive, tmp_path / "backup", replace_all)
    assert vector_file(archive).name != name
    done = restore(tmp_path / "backup", tmp_path / "restored")
    assert done.notices == ()  # nothing had to be rebuilt
    assert vector_file(tmp_path / "restored").name == name
    with open_archive(tmp_path / "restored") as store:
        assert store.check() == []


def test_vectors_that_are_lost_are_no_reason_to_lose_the_backup(tmp_path: Path) -> None:
    archive = an_archive(tmp_path / "archive")
    vector_file(archive).unlink()
    made = back_up(archive, tmp_path / "backup")
    assert not any(file.name.endswith(".codes") for file in made.files)
    restore(tmp_path / "backup", tmp_path / "restored")
    assert vector_file(tmp_path / "restored").is_file()
    assert content(tmp_path / "restored") == content(archive)


def test_a_damaged_archive_is_not_backed_up(tmp_path: Path) -> None:
    archive = an_archive(tmp_path / "archive")
    change(archive, "DELETE FROM frames WHERE number = 3")
    with pytest.raises(ArchiveDamaged, match="not backed up"):
        back_up(archive, tmp_path / "backup")
    assert list(tmp_path.iterdir()) == [archive]


def test_a_backup_is_never_written_over(tmp_path: Path) -> None:
    archive = an_archive(tmp_path / "archive")
    back_up(archive, tmp_path / "backups" / "first")
    before = tree(tmp_path / "backups")
    with pytest.raises(UsageError, match="a backup already"):
        back_up(archive, tmp_path / "backups" / "first")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="there already"):
        back_up(archive, tmp_path / "file")
    assert tree(tmp_path / "backups") == before
    second = back_up(archive, tmp_path / "backups")  # named by the time, beside it
    assert second.folder.parent == tmp_path / "backups"
    assert second.folder.name.startswith("archive-")


def test_where_there_is_no_archive_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(ArchiveNotFound):
        back_up(tmp_path / "none", tmp_path / "backup")
    with closing(sqlite3.connect(tmp_path / DATABASE_FILE)) as other:
        other.execute("CREATE TABLE mine (id)")
    with pytest.raises(ArchiveError, match="another program"):
        back_up(tmp_path, tmp_path / "backup")
    assert [path.name for path in tmp_path.iterdir()] == [DATABASE_FILE]


def test_whoever_ends_it_leaves_nothing(tmp_path: Path) -> None:
    archive = an_archive(tmp_path / "archive")
    total = 0

    def count(_done: int, _total: int) -> None:
        nonlocal total
        total += 1

    back_up(archive, tmp_path / "whole", count)
    for last in range(total):
        left = last

        def end(_done: int, _total: int) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            back_up(archive, tmp_path / "backup", end)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "whole"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX limits")
@pytest.mark.parametrize("least", [2_000, 300_000, 900_000])
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, least: int) -> None:
    archive = tmp_path / "archive"
    fill(archive, *(f"{n}.mp4" for n in range(60)))
    (archive / "alerts.jsonl").write_bytes(b"{}\n" * 400_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (least, hard))
    try:
        with pytest.raises(ArchiveError, match=r"free|full|too large"):
            back_up(archive, tmp_path / "backup")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == [archive]


def test_an_archive_that_is_for_reading_alone_is_backed_up(tmp_path: Path) -> None:
    archive = an_archive(tmp_path / "archive")
    for path in archive.iterdir():
        path.chmod(0o500 if path.is_dir() else 0o400)
    archive.chmod(0o500)
    try:
        assert back_up(archive, tmp_path / "backup").videos == len(PATHS)
    finally:
        archive.chmod(0o700)


def test_no_file_of_an_archive_is_forgotten() -> None:
    """What any room keeps there is either backed up or named as left out."""
    rooms = {
        "hits": ("last", "saved", "thumbnails"),
        "ingest": ("failures",),
        "server": ("access", "jobs"),
        "store": ("corrections",),
        "watch": ("deliver", "journal", "retain"),
    }
    names = {LOCK_FILE, NEXT_FOLDER, "compare", FIRED, STANDING}
    for room, modules in rooms.items():
        for name in modules:
            module = importlib.import_module(f"vsr_edge.{room}.{name}")
            file = getattr(module, "FILE", None)
            names.add(
                file or (module.FOLDER + ("/*.json" if f"{module.FOLDER}/*.json" in KEPT else ""))
            )
    assert names | {"archive.next.discarded"} == {*KEPT, *LEFT_OUT}
    assert STAGED not in KEPT


def test_an_archive_of_an_earlier_version_stays_what_it_is(tmp_path: Path) -> None:
    archive = an_archive(tmp_path / "archive")
    change(archive, "PRAGMA user_version = 6")
    made = back_up(archive, tmp_path / "backup")
    assert made.schema == 6
    assert rows(archive, "PRAGMA user_version") == [(6,)]
    assert json.loads((tmp_path / "backup" / MANIFEST).read_text())["schema"] == 6
