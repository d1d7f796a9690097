"""Archives that move between a folder and a server, are ended amid it, and go on."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from tests.backup.moved import CORRECTION, Place, a_rich_archive, all_rows, move, settings
from tests.e2e.command import run
from tests.servers import Server, a_server
from tests.store.archives import (
    a_query,
    change,
    content,
    fill,
    footage,
    index,
    open_archive,
    store_footage,
)
from tests.store.processes import another_process
from vsr_edge.backup import migrate as migrating
from vsr_edge.documents import MigrationDocument
from vsr_edge.errors import (
    ArchiveDamaged,
    ArchiveError,
    ArchiveLocked,
    ArchiveNotFound,
    BundleMismatch,
    UsageError,
    VsrEdgeError,
)
from vsr_edge.store import open_store
from vsr_edge.store.base import Texts
from vsr_edge.store.connection import MIGRATING_FILE
from vsr_edge.store.transfer import KINDS
from vsr_edge.types import Cue

# So that there are many of them.
ROWS_AT_ONCE = 20


@pytest.fixture(autouse=True)
def _small_transactions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(migrating, "_ROWS", ROWS_AT_ONCE)
    # What lies beside the rows on a server, too.
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It is shared: nobody writes it."""
    return a_rich_archive(tmp_path_factory.mktemp("rich") / "archive")


def answers(place: Place) -> Any:
    with open_store(place) as store:
        assert store.check() == []
        texts = [store.find_text(words, 5) for words in ('"fire door"', "naive", "nothing")]
        plain = [[(hit.video_id, hit.start, hit.end, hit.text) for hit in one] for one in texts]
        return [store.search(a_query(seed), 7) for seed in range(3)], plain, store.videos()


class Ended(Exception):
    """What ends a migration at some row."""


def ending(at: int, act: Callable[[], object] | None = None) -> Callable[[int, int], None]:
    """What acts once so many rows are done: it ends it, if nothing else is said."""
    acted: list[int] = []

    def report(done: int, _total: int) -> None:
        if done >= at and not acted:
            acted.append(done)
            if act is None:
                raise Ended
            act()

    return report


def is_no_archive(place: Place) -> None:
    """Neither for those who read nor for those who write."""
    for options in ({}, {"bundle_id": "lite-test", "dim": 16, "create": True}):
        with pytest.raises(ArchiveNotFound, match="migration that has not finished"):
            open_store(place, **options)  # type: ignore[arg-type]


def test_there_and_back_all_rows_numbers_and_answers_are_the_same(
    rich: Path, server: Server, tmp_path: Path
) -> None:
    before, expected = all_rows(rich), answers(rich)
    hops: list[Place] = [rich, server.url(), tmp_path / "b", tmp_path / "c", server.url()]
    hops.append(server.url())
    checksums = set()
    for source, target in pairwise(hops):
        done = move(source, target)
        assert done.copied == len(before["videos"])
        assert (done.there, done.passed_over, done.left, done.notices) == (False, 0, (), ())
        checksums.add(tuple(done.checksums.checksum(kind) for kind in migrating.KINDS_COUNTED))
        assert all_rows(target) == before
        assert answers(target) == expected
        assert set(done.beside) == {"access.json", "alerts.jsonl", "saved/bicycle.json"}
    assert len(checksums) == 1
    access = settings(hops[1]).archive / "access.json"
    assert access.stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.rglob("*migrating*"))
    assert all_rows(rich) == before
    # Numbers that were handed out never come again, also of what is gone.
    new = []
    for place in (tmp_path / "b", hops[1]):
        with open_archive(place) as store:
            new.append(index(store, "/v/new.mp4"))
            assert store.correction("verify") == CORRECTION
    assert new[0] == new[1]
    assert new[0][0] > max(row[0] for row in before["videos"])
    with pytest.raises(UsageError, match="holds another archive"):
        move(rich, tmp_path / "b")
    again = move(rich, tmp_path / "c")
    assert (again.there, again.copied) == (True, 0)


def test_ended_anywhere_it_is_no_archive_and_goes_on(
    rich: Path, server: Server, tmp_path: Path
) -> None:
    total = sum(len(all_rows(rich)[kind]) for kind in ("frames", "clips"))
    targets: tuple[Place, ...] = (tmp_path / "b", server.url())
    other = tmp_path / "other"
    fill(other, "/w.mp4")
    for target in targets:
        for at in (1, total // 2, total - 1, total + total // 2):
            with pytest.raises(Ended):
                move(rich, target, on_progress=ending(at))
            is_no_archive(target)
        with pytest.raises(UsageError, match=r"unfinished migration of .*--restart"):
            move(other, target)
        done = move(rich, target)
        assert done.passed_over == len(all_rows(rich)["videos"])
        assert done.copied == 0
        assert all_rows(target) == all_rows(rich)
        assert answers(target) == answers(rich)


EVENTS = {"os.rename", "os.remove", "sqlite3.connect", "open"}


def killed(pipe: Connection, source: Place, target: Place, at: int, steps: bool) -> None:
    """Move it, and be killed at that row, or at that step that its end takes of the system."""
    migrating._ROWS = ROWS_AT_ONCE
    count = Counter[str]()

    def kill() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def step(event: str, _arguments: tuple[object, ...]) -> None:
        if event in EVENTS and count["ending"]:
            count["steps"] += 1
            if count["steps"] == at:
                kill()

    def progress(done: int, total: int) -> None:
        count["ending"] += done == total
        if done >= at and not steps:
            kill()

    sys.addaudithook(step if steps else lambda *_: None)
    move(source, target, on_progress=progress)
    pipe.send(count["steps"])


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_killed_at_rows_and_while_it_becomes_an_archive(
    rich: Path, server: Server, tmp_path: Path
) -> None:
    expected = all_rows(rich)
    total = sum(len(expected[kind]) for kind in ("frames", "clips"))
    url = server.url()
    plans: list[tuple[Place, Place, int, bool]] = [
        (rich, tmp_path / "rows", total // 2, False),
        (rich, url, total // 2, False),
        *((rich, tmp_path / f"step{at}", at, True) for at in (1, 3, 5, 7, 9, 14, 20)),
    ]
    for source, target, at, steps in plans:
        with another_process(killed, source, target, at, steps) as (_, pipe):
            try:
                taken = int(pipe.recv())
                assert steps  # it takes no more of them
                assert taken < at
            except EOFError:
                pass
        with suppress(ArchiveNotFound):
            assert all_rows(target) == expected  # then it was whole
        done = move(source, target)
        if not steps:
            assert done.passed_over > 0 < done.copied
        assert all_rows(target) == expected
        assert not list(tmp_path.rglob("*migrating*"))


def test_what_was_changed_in_between_comes_along(server: Server, tmp_path: Path) -> None:
    source = tmp_path / "a"
    paths = [f"/v/{number}.mp4" for number in range(8)]
    fill(source, *paths)
    total = 8 * 16
    targets: tuple[Place, ...] = (tmp_path / "b", server.url())
    for target in targets:
        with pytest.raises(Ended):
            move(source, target, on_progress=ending(total + 1))
    with open_archive(source) as store, store.writer() as writer:
        by_path = {str(one.video.path): one.video_id for one in store.videos()}
        writer.remove([by_path["/v/0.mp4"]])
        # The path of one becomes that of another, and of a new one.
        writer.rename(by_path["/v/3.mp4"], Path("/v/4.mp4"), size_bytes=1, modified_ns=2)
        store_footage(writer, footage("/v/3.mp4"))
        writer.set_texts(by_path["/v/6.mp4"], "ocr", Texts("x", (Cue(0, 1, "late"),)))
    for target in targets:
        done = move(source, target)
        assert done.passed_over > 0 < done.copied
        assert all_rows(target) == all_rows(source)
    # And if it is another's vectors now, nothing of both is mixed.
    for target in (tmp_path / "c", server.url()):
        with pytest.raises(Ended):
            move(source, target, on_progress=ending(total))
        change(source, "UPDATE meta SET bundle_id = 'another'")
        with pytest.raises(BundleMismatch, match="--restart"):
            move(source, target)
        assert move(source, target, restart=True).passed_over == 0
        assert all_rows(target) == all_rows(source)
        change(source, "UPDATE meta SET bundle_id = 'lite-test'")


def test_what_cannot_be_is_said(rich: Path, server: Server, tmp_path: Path) -> None:
    url, full = server.url(), tmp_path / "full"
    fill(full, "/v/a.mp4")
    fill(url, "/v/a.mp4")
    # (source, target, error, what it says)
    cases: list[tuple[Place, Place, type[VsrEdgeError], str]] = [
        (rich, full, UsageError, "holds another archive"),
        (rich, url, UsageError, "holds another archive"),
        (rich, rich, UsageError, "named twice"),
        (tmp_path / "none", tmp_path / "t", ArchiveNotFound, "holds no archive yet"),
        (server.url(), tmp_path / "t", ArchiveNotFound, "holds no archive yet"),
        (rich, server.url(database="nowhere"), ArchiveNotFound, "createdb"),
        (rich, full / "archive.db" / "t", ArchiveError, "cannot be made"),
    ]
    for source, target, error, says in cases:
        with pytest.raises(error, match=says):
            move(source, target)
    assert not (tmp_path / "t").exists()
    for place in (full, url):  # they are being written
        with (
            open_archive(place) as store,
            store.writer(),
            pytest.raises(ArchiveLocked, match="being written"),
        ):
            move(place, tmp_path / "t")
    for place in (tmp_path / "two", server.url()):  # two at once
        with pytest.raises(Ended):
            move(rich, place, on_progress=ending(30))

        def second(place: Place = place) -> None:
            with pytest.raises(ArchiveLocked, match="being written"):
                move(full, place)

        move(rich, place, on_progress=ending(40, second))
    damage = {
        "UPDATE clips SET vector = x'00' WHERE id = 2": "wrong length",
        "DELETE FROM clips WHERE id = 2": "lacks clips",
        "DELETE FROM frames WHERE number = 11": "(lacks frames|do not belong together)",
    }
    for number, (statement, says) in enumerate(damage.items()):
        fill(tmp_path / f"damaged{number}", "/v/a.mp4")
        change(tmp_path / f"damaged{number}", statement)
        for target in (tmp_path / f"of-damaged{number}", server.url()):
            with pytest.raises(ArchiveDamaged, match=f"{says}.*doctor"):
                move(tmp_path / f"damaged{number}", target)
            is_no_archive(target)


def test_a_copy_that_is_not_what_was_read_is_thrown_away(
    rich: Path, server: Server, tmp_path: Path
) -> None:
    total = sum(len(all_rows(rich)[kind]) for kind in ("frames", "clips"))
    target, url = tmp_path / "b", server.url()
    last = all_rows(rich)["videos"][-1][0]  # when it is spoilt, that is not read again yet
    statement = f"UPDATE frames SET time = time + 0.001 WHERE video_id = {last} AND number = 3"

    def spoil_file() -> None:
        with closing(sqlite3.connect(target / MIGRATING_FILE)) as connection:
            connection.execute(statement)
            connection.commit()

    def spoil_server() -> None:
        schema = url.rpartition("schema=")[2] + "_1"
        server.run(statement.replace("frames", f"{schema}.frames"))

    plans: list[tuple[Place, Callable[[], None]]] = [(target, spoil_file), (url, spoil_server)]
    for place, spoil in plans:
        with pytest.raises(Ended):
            move(rich, place, on_progress=ending(total))
        spoiled = ending(total + 1, spoil)
        with pytest.raises(ArchiveDamaged, match="is not what was read"):
            move(rich, place, on_progress=spoiled)
        is_no_archive(place)
        assert move(rich, place).copied > 0
        assert all_rows(place) == all_rows(rich)


def test_a_server_that_restarts_costs_nothing_or_the_same_again(rich: Path, tmp_path: Path) -> None:
    with a_server() as own:
        url = own.url()
        move(rich, url, on_progress=ending(60, own.restart))
        assert all_rows(url) == all_rows(rich)
        with pytest.raises(ArchiveError, match="run the same command again"):
            move(url, tmp_path / "b", on_progress=ending(60, own.restart))
        is_no_archive(tmp_path / "b")
        assert move(url, tmp_path / "b").passed_over > 0
        assert content(tmp_path / "b") == content(rich)


def test_the_command_answers_in_json_and_tells_what_stays(
    rich: Path, server: Server, tmp_path: Path
) -> None:
    url = server.url()
    home = {"XDG_DATA_HOME": str(tmp_path / "data")}
    beside = settings(url).archive
    (beside / "saved").mkdir(parents=True)
    (beside / "saved" / "bicycle.json").write_text("another")
    ended = run("migrate", rich, url, "--json", environment=home)
    assert ended.code == 0, ended
    document = MigrationDocument.model_validate(ended.document)
    assert (document.copied, document.there) == (len(all_rows(rich)["videos"]), False)
    assert document.left == ["saved/bicycle.json"]
    assert document.checksums["regions"].rows == len(all_rows(rich)["regions"])
    assert document.checksums.keys() == set(migrating.KINDS_COUNTED)
    back = run("migrate", url, tmp_path / "b", environment=home)
    assert back.code == 0, back
    for kind in KINDS:
        assert document.checksums[kind].checksum in back.out
    wrong = run("migrate", rich, url.replace(url[-3:], "abc"), tmp_path, environment=home)
    assert wrong.code == 2
    found = run("search", "anything", "--archive", tmp_path / "none", "--json", environment=home)
    assert found.code == 1
