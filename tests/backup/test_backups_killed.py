"""`kill -9` at every step that a backup and a restore take of the system."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from tests.backup.archives import an_archive, tree
from tests.store.archives import content, fill, open_archive
from tests.store.processes import another_process
from vsr_edge.backup.back_up import back_up
from vsr_edge.backup.restore import STAGED, check_backup, restore
from vsr_edge.errors import ArchiveNotFound
from vsr_edge.store.connection import DATABASE_FILE

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")

EVENTS = {
    *("open", "os.chmod", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "shutil.rmtree"),
    *("sqlite3.connect", "tempfile.mkdtemp"),
}

# Of the steps so many are tried in every run; KILLS=1000 tries all, SEED chooses which.
TRIED = int(os.environ.get("KILLS", "4"))


def chosen(total: int | None) -> list[int]:
    """Steps to be killed at, the last one among them."""
    assert total is not None
    assert total > 25
    chance = random.Random(int(os.environ.get("SEED", "5")))
    return sorted({total, *chance.sample(range(1, total), min(TRIED, total - 1))})


def do(pipe: Connection, what: str, first: Path, second: Path, last: int) -> None:
    """Take a backup or restore one, and be killed at the step of that number."""
    done = 0
    roots = {os.fspath(first.parent), os.fspath(second.parent)}

    def kill(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal done
        if event in EVENTS and any(str(one).startswith(tuple(roots)) for one in arguments):
            done += 1
            if done == last:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(kill)
    if what == "back up":
        back_up(first, second)
    else:
        restore(first, second, force=True)
    pipe.send(done)


def steps(what: str, first: Path, second: Path, last: int = 0) -> int | None:
    """How many it took; None if it was killed at the ``last``."""
    with another_process(do, what, first, second, last) as (_, pipe):
        try:
            return int(pipe.recv())
        except EOFError:
            return None


def test_a_backup_that_is_killed_leaves_archive_and_former_backups(tmp_path: Path) -> None:
    archive = an_archive(tmp_path / "archive")
    former = back_up(archive, tmp_path / "backups" / "former").folder
    expected, before = content(archive), tree(former)
    total = steps("back up", archive, tmp_path / "undisturbed" / "new")
    for last in chosen(total):
        assert steps("back up", archive, tmp_path / "backups" / "new", last) is None
        assert content(archive) == expected
        assert tree(former) == before
        if (new := tmp_path / "backups" / "new").exists():
            check_backup(new)
            shutil.rmtree(new)
    for path in (tmp_path / "backups").glob(".*"):
        os.utime(path, (0, 0))
    back_up(archive, tmp_path / "backups" / "new")
    left = {path.name for path in (tmp_path / "backups").iterdir()}
    assert left == {"former", "new"}  # what was left behind is gone


@pytest.mark.parametrize("there", [True, False])
def test_a_restore_that_is_killed_leaves_the_former_archive_or_the_new(
    tmp_path: Path, there: bool
) -> None:
    backup = back_up(an_archive(tmp_path / "source"), tmp_path / "backups" / "b").folder
    archive, before = tmp_path / "archives" / "a", tree(backup)
    new = content(tmp_path / "source")
    former = tmp_path / "former"
    former.mkdir()
    if there:
        fill(former, "/v/x.mp4", "/v/y.mp4")
        (former / "calibration.json").write_text('{"former": 1}')
        (former / "access.json").write_text('{"former": 1}')
    old = content(former) if there else None
    shutil.copytree(former, archive)
    total = steps("restore", backup, archive)
    seen = set()
    for last in chosen(total):
        shutil.rmtree(archive)
        shutil.copytree(former, archive)
        assert steps("restore", backup, archive, last) is None
        try:
            found = content(archive)
        except ArchiveNotFound:
            found = None
        assert found in (old, new), last
        seen.add(found == new)
        if found == new:  # never without those who may come in to it
            assert (archive / "access.json").read_bytes() == before["access.json"]
        if found is not None:
            with open_archive(archive) as store:
                assert store.check() == []
        assert tree(backup) == before
        restore(backup, archive, force=True)
        assert content(archive) == new
        assert (archive / "calibration.json").read_text() == "{}"
        assert not (archive / STAGED).exists()
    assert True in seen


def test_a_damaged_archive_is_not_lost_when_its_restore_is_killed(tmp_path: Path) -> None:
    backup = back_up(an_archive(tmp_path / "source"), tmp_path / "backups" / "b").folder
    archive = tmp_path / "archives" / "a"
    damaged = b"no database" * 1000
    archive.mkdir(parents=True)
    (archive / DATABASE_FILE).write_bytes(damaged)
    total = steps("restore", backup, archive)
    for last in chosen(total):
        shutil.rmtree(archive)
        archive.mkdir()
        (archive / DATABASE_FILE).write_bytes(damaged)
        assert steps("restore", backup, archive, last) is None
        assert damaged in [file.read_bytes() for file in archive.glob(f"{DATABASE_FILE}*")]
        restore(backup, archive, force=True)
        assert content(archive) == content(tmp_path / "source")
