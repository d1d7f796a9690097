"""What is restored is what was backed up; what is not sound is refused, and nothing has changed."""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.backup.archives import PATHS, an_archive, tree
from tests.store.archives import BUNDLE, DIM, a_query, content, fill, open_archive, vector_file
from tests.store.processes import another_process, index_on_request
from vsr_edge.backup.back_up import back_up
from vsr_edge.backup.contents import FORMAT, MANIFEST
from vsr_edge.backup.restore import STAGED, check_backup, restore
from vsr_edge.bundle.manifest import SEAL, digest_of
from vsr_edge.errors import ArchiveError, ArchiveLocked, BackupError, BundleMismatch, UsageError
from vsr_edge.store import open_store
from vsr_edge.store.connection import DATABASE_FILE

BESIDE = ("access.json", "calibration.json", "saved/bicycle.json")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return an_archive(tmp_path / "archive")


@pytest.fixture
def backup(tmp_path: Path, archive: Path) -> Path:
    return back_up(archive, tmp_path / "backup").folder


def test_it_comes_back_elsewhere_as_it_was(tmp_path: Path, archive: Path, backup: Path) -> None:
    done = restore(backup, tmp_path / "far" / "away")
    assert not done.replaced
    found, before = tree(tmp_path / "far" / "away"), tree(archive)
    assert {name: found[name] for name in BESIDE} == {name: before[name] for name in BESIDE}
    assert content(tmp_path / "far" / "away") == content(archive)
    with (
        open_store(tmp_path / "far" / "away", bundle_id=BUNDLE, dim=DIM) as restored,
        open_archive(archive) as store,
    ):
        assert restored.check() == restored.notices == []
        for seed in range(5):
            assert restored.search(a_query(seed), 7) == store.search(a_query(seed), 7)
        with restored.writer() as writer:  # and it goes on from there
            writer.remove([restored.videos()[0].video_id])
    assert not (tmp_path / "far" / "away" / STAGED).exists()


def test_a_folder_that_holds_other_files_keeps_them(tmp_path: Path, backup: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "clips.mp4").write_bytes(b"mine")
    (tmp_path / "videos" / "archive.db-wal").write_bytes(b"of an archive that was deleted")
    restore(backup, tmp_path / "videos")
    assert (tmp_path / "videos" / "clips.mp4").read_bytes() == b"mine"
    assert len(content(tmp_path / "videos")) == len(PATHS)


def test_an_archive_is_not_overwritten_unless_that_is_said(tmp_path: Path, backup: Path) -> None:
    other = tmp_path / "other"
    fill(other, "/v/z.mp4")
    before = tree(other)
    with pytest.raises(UsageError, match="--force"):
        restore(backup, other)
    assert tree(other) == before
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "access.json").write_text("{}")  # somebody was let in already
    with pytest.raises(UsageError, match=r"access\.json"):
        restore(backup, tmp_path / "open")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file"):
        restore(backup, tmp_path / "file", force=True)


def test_what_was_said_after_the_backup_is_gone_with_it(archive: Path, backup: Path) -> None:
    expected = content(archive)
    fill(archive, "/v/later.mp4")
    (archive / "saved" / "later.json").write_text("{}")
    (archive / "calibration.json").write_text('{"changed": 1}')
    assert restore(backup, archive, force=True).replaced
    assert content(archive) == expected
    assert not (archive / "saved" / "later.json").exists()
    assert (archive / "calibration.json").read_text() == "{}"
    assert (archive / "notes.txt").read_text() == "of the user"


def test_whoever_searches_goes_on_with_what_was_restored(archive: Path, backup: Path) -> None:
    with open_archive(archive) as store:
        expected = store.search(a_query(), 5)
        fill(archive, *(f"/v/more-{n}.mp4" for n in range(9)))
        assert store.search(a_query(), 5) != expected
        with store.reading():
            within = store.search(a_query(), 5)
            restore(backup, archive, force=True)
            assert store.search(a_query(), 5) == within
        assert store.search(a_query(), 5) == expected
        fill(archive, "/v/later.mp4")
        assert len(store.videos()) == len(PATHS) + 1
        assert store.check() == []


def test_whoever_searches_with_another_bundle_is_told(tmp_path: Path, backup: Path) -> None:
    with open_archive(tmp_path / "other", bundle_id="other-test") as store:
        restore(backup, tmp_path / "other", force=True)
        with pytest.raises(BundleMismatch):
            store.search(a_query(), 5)


def test_pages_of_another_size_are_no_obstacle(tmp_path: Path, backup: Path) -> None:
    fill(tmp_path / "other", "/v/z.mp4")
    with closing(sqlite3.connect(tmp_path / "other" / DATABASE_FILE)) as database:
        database.execute("PRAGMA journal_mode = DELETE")
        database.execute("PRAGMA page_size = 4096")
        database.execute("VACUUM")
        database.execute("PRAGMA journal_mode = WAL")
    restore(backup, tmp_path / "other", force=True)
    assert list(content(tmp_path / "other")) == [Path(path) for path in PATHS]


@pytest.mark.parametrize("what", ["header", "empty", "middle"])
def test_an_archive_that_is_damaged_is_replaced_and_kept(
    what: str, archive: Path, backup: Path
) -> None:
    expected, database = content(archive), archive / DATABASE_FILE
    whole = database.read_bytes()
    bad = {
        "header": b"x" * 4096 + whole[4096:],
        "empty": b"",
        "middle": whole[:20_000] + b"\xff" * 50_000 + whole[70_000:],
    }[what]
    database.write_bytes(bad)
    done = restore(backup, archive, force=True)
    assert content(archive) == expected
    with open_archive(archive) as store:
        assert store.check() == []
    if what == "header":
        assert done.set_aside is not None
        assert done.set_aside.read_bytes() == bad


def test_a_database_of_another_program_is_let_alone(tmp_path: Path, backup: Path) -> None:
    (tmp_path / "other").mkdir()
    with closing(sqlite3.connect(tmp_path / "other" / DATABASE_FILE)) as other:
        other.execute("CREATE TABLE mine (id)")
    before = (tmp_path / "other" / DATABASE_FILE).read_bytes()
    with pytest.raises(ArchiveError, match="another program"):
        restore(backup, tmp_path / "other", force=True)
    assert (tmp_path / "other" / DATABASE_FILE).read_bytes() == before


def test_where_the_rows_cannot_be_put_who_may_come_in_stays(tmp_path: Path, backup: Path) -> None:
    for name, former in (("let-in", "{}"), ("open", None)):
        folder = tmp_path / name
        folder.mkdir()
        if former is not None:
            (folder / "access.json").write_text(former)
        with closing(sqlite3.connect(folder / DATABASE_FILE)) as other:
            other.execute("CREATE TABLE mine (id)")
        with pytest.raises(ArchiveError, match="another program"):
            restore(backup, folder, force=True)
        after = tree(folder).get("access.json")
        assert after == (None if former is None else former.encode())


def test_nothing_is_restored_into_an_archive_that_is_written(archive: Path, backup: Path) -> None:
    with another_process(index_on_request, archive) as (_, pipe):
        assert pipe.recv() == "ready"
        with pytest.raises(ArchiveLocked):
            restore(backup, archive, force=True)


def test_every_flipped_byte_and_every_lost_end_is_refused(tmp_path: Path, backup: Path) -> None:
    chance, target = random.Random(17), tmp_path / "restored"
    for file in sorted(path for path in backup.rglob("*") if path.is_file()):
        whole = file.read_bytes()
        places = {0, len(whole) - 1, *(chance.randrange(len(whole)) for _ in range(6))}
        spoilt = [
            *(
                bytes([*whole[:n], whole[n] ^ 1 << chance.randrange(8), *whole[n + 1 :]])
                for n in places
            ),
            *(whole[:n] for n in (0, 1, len(whole) // 2, len(whole) - 1)),
            whole + b"\0",
        ]
        for content_ in spoilt:
            file.write_bytes(content_)
            for attempt in (check_backup, lambda one: restore(one, target)):
                if file.name == MANIFEST and _same(content_, whole):
                    continue  # white space between its fields says nothing
                with pytest.raises(BackupError, match=file.name):
                    attempt(backup)
                assert not target.exists()
        file.unlink()
        with pytest.raises(BackupError, match=file.name):
            restore(backup, target)
        file.write_bytes(whole)
    check_backup(backup)


def _same(one: bytes, other: bytes) -> bool:
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False


def test_a_damaged_backup_leaves_the_former_archive(archive: Path, backup: Path) -> None:
    fill(archive, "/v/later.mp4")
    expected, before = content(archive), tree(archive)
    file = backup / "saved" / "bicycle.json"  # the last that is copied
    file.write_bytes(file.read_bytes().replace(b"bicycle", b"bicicle"))
    with pytest.raises(BackupError, match=r"bicycle\.json"):
        restore(backup, archive, force=True)
    assert content(archive) == expected
    assert tree(archive).keys() - before.keys() <= {
        f"{DATABASE_FILE}-{end}" for end in ("wal", "shm")
    }


def of(raw: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in raw["files"] if one["name"] == name)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda raw: raw.update(format="other/1"), "no backup of this program"),
        (lambda raw: raw["files"][0].update(name="../archive.db"), "no archive's"),
        (lambda raw: raw["files"][0].update(name="/etc/passwd"), "no archive's"),
        (lambda raw: raw["files"][2].update(name="saved/../../x.json"), "no archive's"),
        (lambda raw: raw["files"][2].update(name="videos.mp4"), "no archive's"),
        (lambda raw: raw["files"].append(raw["files"][0]), "no archive's"),
        (lambda raw: raw["files"].pop(0), "no archive's"),
        (lambda raw: raw.pop("dim"), "is damaged"),
        (lambda raw: raw["files"][0].update(name=7), "is damaged"),
        (lambda raw: raw.update(files=3), "is damaged"),
        (lambda raw: raw.update(videos=99), "videos"),
        *(
            (lambda raw, mode=mode: raw["files"][0].update(mode=mode), "permissions")
            for mode in ("rw", None, True, 384.0, -1, 0o6777, 1 << 70)
        ),
        (lambda raw: of(raw, "access.json").update(mode=0o640), r"access\.json .*0o640"),
    ],
)
def test_a_foreign_manifest_is_refused(
    change: Callable[[dict[str, object]], object], said: str, tmp_path: Path, backup: Path
) -> None:
    raw = json.loads((backup / MANIFEST).read_text())
    change(raw)
    (backup / MANIFEST).write_text(json.dumps(raw | {SEAL: digest_of(raw)}))
    with pytest.raises(BackupError, match=said):
        restore(backup, tmp_path / "restored")
    assert not (tmp_path / "restored").exists()


def test_what_is_no_backup_is_refused(tmp_path: Path, archive: Path, backup: Path) -> None:
    for other in (archive, tmp_path / "nowhere", archive / DATABASE_FILE):
        with pytest.raises(BackupError, match="no backup"):
            restore(other, tmp_path / "restored")
    with pytest.raises(BackupError, match="it holds backup"):  # the folder around it
        restore(backup.parent, tmp_path / "restored")
    (backup / MANIFEST).write_text("[1]")
    with pytest.raises(BackupError, match=FORMAT):
        restore(backup, tmp_path / "restored")


def test_a_backup_of_a_newer_version_is_refused(tmp_path: Path, backup: Path) -> None:
    with closing(sqlite3.connect(backup / DATABASE_FILE)) as database:
        database.execute("PRAGMA user_version = 99")
    raw = json.loads((backup / MANIFEST).read_text())
    whole = (backup / DATABASE_FILE).read_bytes()
    raw["files"][0] |= {"bytes": len(whole), "sha256": hashlib.sha256(whole).hexdigest()}
    (backup / MANIFEST).write_text(json.dumps(raw | {SEAL: digest_of(raw), "schema": 7}))
    raw = json.loads((backup / MANIFEST).read_text())
    (backup / MANIFEST).write_text(json.dumps(raw | {SEAL: digest_of(raw)}))
    with pytest.raises(ArchiveError, match="newer version"):
        restore(backup, tmp_path / "restored")
    assert not (tmp_path / "restored").exists()


@pytest.mark.skipif(os.name == "nt", reason="POSIX limits")
def test_a_full_disk_is_said_and_changes_nothing(archive: Path, backup: Path) -> None:
    fill(archive, "/v/later.mp4")
    expected = content(archive)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(ArchiveError, match="free some"):
            restore(backup, archive, force=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert content(archive) == expected
    assert not (archive / STAGED).exists()


def test_whoever_ends_it_changes_nothing(tmp_path: Path, archive: Path, backup: Path) -> None:
    fill(archive, "/v/later.mp4")
    expected, names = content(archive), set(tree(archive))

    last = 0

    def end(done: int, _total: int) -> None:
        if done > last:
            raise KeyboardInterrupt

    for last in (0, 100_000, 120_000):  # noqa: B007
        with pytest.raises(KeyboardInterrupt):
            restore(backup, archive, force=True, on_progress=end)
        with pytest.raises(KeyboardInterrupt):
            restore(backup, tmp_path / "new", on_progress=end)
        assert content(archive) == expected
        assert set(tree(archive)) == names
        assert not (tmp_path / "new").exists()


def test_a_vector_file_of_the_same_name_that_was_damaged_is_made_anew(
    archive: Path, backup: Path
) -> None:
    file = vector_file(archive)
    file.write_bytes(bytes(len(file.read_bytes())))
    done = restore(backup, archive, force=True)
    assert any("rebuilt" in notice for notice in done.notices)
    with open_archive(archive) as store:
        assert store.check() == []


def test_the_copy_of_a_backup_is_a_backup(tmp_path: Path, backup: Path) -> None:
    shutil.copytree(backup, tmp_path / "copy")
    shutil.rmtree(backup)
    assert restore(tmp_path / "copy", tmp_path / "restored").backup.videos == len(PATHS)
