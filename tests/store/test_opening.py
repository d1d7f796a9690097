"""Opening: nothing there, another bundle, other versions, damage."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from sqlite_utils import Database

from vsr_edge.errors import (
    ArchiveDamaged,
    ArchiveError,
    ArchiveLocked,
    ArchiveNotFound,
    BundleMismatch,
    UsageError,
)
from vsr_edge.store import open_store
from vsr_edge.store.connection import connect, translate_errors
from vsr_edge.store.migrations import APPLICATION_ID, SCHEMA_VERSION, migrations

from .archives import BUNDLE, DIM, a_query, change, content, fill, open_archive, rows, vector_file


def test_an_archive_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArchiveNotFound, match="index some videos"):
        open_store(tmp_path / "none", bundle_id=BUNDLE, dim=DIM)
    assert not (tmp_path / "none").exists()


def test_creating_makes_the_folders_above_it(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "archive"
    with open_archive(folder) as store:
        assert (store.bundle_id, store.dim) == (BUNDLE, DIM)
        assert store.videos() == []
        assert store.check() == []
        assert store.search(a_query(), 3) == []
        assert store.notices == []
    assert rows(folder, "PRAGMA application_id") == [(APPLICATION_ID,)]
    assert rows(folder, "PRAGMA journal_mode") == [("wal",)]


def test_creating_needs_to_know_the_bundle(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs the bundle's id"):
        open_store(tmp_path, create=True)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArchiveError, match="cannot be made"):
        open_archive(tmp_path / "file" / "archive")


@pytest.mark.parametrize("create", [False, True])
def test_another_bundle_is_refused(tmp_path: Path, create: bool) -> None:
    fill(tmp_path, "/v/a.mp4")
    before = content(tmp_path)
    with pytest.raises(BundleMismatch, match=f"'{BUNDLE}'.*reindex --bundle"):
        open_archive(tmp_path, bundle_id="big", create=create)
    with pytest.raises(BundleMismatch, match="16 dimensions"):
        open_archive(tmp_path, dim=DIM * 2, create=create)
    assert content(tmp_path) == before


def test_looking_needs_no_bundle(tmp_path: Path) -> None:
    fill(tmp_path, "/v/a.mp4")
    with open_store(str(tmp_path)) as store:
        assert store.stats().bundle_id == BUNDLE
    with open_store(tmp_path.as_uri()) as store:
        assert len(store.videos()) == 1


def test_no_other_addresses_can_be_opened() -> None:
    with pytest.raises(UsageError, match="local"):
        open_store("mysql://host/archive")


def test_the_version_is_the_number_of_steps(tmp_path: Path) -> None:
    fill(tmp_path, "/v/a.mp4")
    names = [row[0] for row in rows(tmp_path, "SELECT name FROM _sqlite_migrations ORDER BY id")]
    assert len(names) == SCHEMA_VERSION
    assert [int(name[:4]) for name in names] == list(range(1, SCHEMA_VERSION + 1))
    assert rows(tmp_path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]


def test_an_older_schema_is_upgraded_and_keeps_its_rows(tmp_path: Path) -> None:
    vector = np.eye(DIM, dtype=np.float16)[0]
    connection = connect(tmp_path / "archive.db", create=True)
    database = Database(connection)
    migrations().apply(database, stop_before="0002_regions")
    connection.execute("INSERT INTO meta VALUES (1, ?, ?, 1, '2025')", [BUNDLE, DIM])
    connection.execute(
        "INSERT INTO videos VALUES (1, '/v/a.mp4', 'f', 1, 2, 3.0, 4, 5, 0, 'h264', 'mp4', 25.0, 0,"
        """ '{"fps": 2.0, "a setting of old": 1}', 1, 1, NULL, '2025')"""
    )
    connection.execute("INSERT INTO frames VALUES (1, 0, 0.0, ?)", [vector.tobytes()])
    connection.execute("INSERT INTO clips VALUES (9, 1, 0.0, 3.0, 0, 0, ?)", [vector.tobytes()])
    connection.close()
    for _ in range(2):
        with open_archive(tmp_path, create=False) as store:
            assert store.videos()[0].sampling.fps == 2.0
            hits = store.search(vector.astype(np.float32), 3)
            assert [(hit.clip.clip_id, hit.score) for hit in hits] == [(9, 1.0)]
            assert store.frames(1, regions=True).regions is None
            assert store.check() == []
            assert store.notices == []
    fill(tmp_path, "/v/b.mp4")
    assert len(content(tmp_path)) == 2


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, "/v/a.mp4")
    change(tmp_path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    for create in (False, True):
        with pytest.raises(ArchiveError, match="newer version"):
            open_archive(tmp_path, create=create)


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_creation_that_was_interrupted_is_completed(tmp_path: Path, steps: int) -> None:
    connection = connect(tmp_path / "archive.db", create=True)
    database = Database(connection)
    migrations().ensure_migrations_table(database)
    if steps:
        stop = ["0002_regions", "0003_search_cache"][steps - 1]
        migrations().apply(database, stop_before=stop)
    connection.close()
    with pytest.raises(ArchiveNotFound):
        open_archive(tmp_path, create=False)
    fill(tmp_path, "/v/a.mp4")
    assert len(content(tmp_path)) == 1


def test_an_empty_file_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "archive.db").write_bytes(b"")
    with pytest.raises(ArchiveNotFound):
        open_archive(tmp_path, create=False)
    fill(tmp_path, "/v/a.mp4")


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "archive.db")) as other:
        other.execute("CREATE TABLE mine (a INTEGER)")
    before = (tmp_path / "archive.db").read_bytes()
    for create in (False, True):
        with pytest.raises(ArchiveError, match="another program"):
            open_archive(tmp_path, create=create)
    assert (tmp_path / "archive.db").read_bytes() == before


@pytest.mark.parametrize("create", [False, True])
def test_a_file_that_is_no_database_is_damaged(tmp_path: Path, create: bool) -> None:
    (tmp_path / "archive.db").write_bytes(b"not a database at all" * 1000)
    with pytest.raises(ArchiveDamaged, match="index the videos again"):
        open_archive(tmp_path, create=create)


def test_a_truncated_database_is_damaged(tmp_path: Path) -> None:
    fill(tmp_path, *(f"/v/{i}.mp4" for i in range(5)))
    vector_file(tmp_path).unlink()
    content = (tmp_path / "archive.db").read_bytes()
    (tmp_path / "archive.db").write_bytes(content[: len(content) // 2])

    def use() -> None:
        with open_archive(tmp_path, create=False) as store:
            problems = store.check()
            assert problems
            assert all("archive.db is damaged" in problem for problem in problems)
            store.search(a_query(), 5)
            for stored in store.videos():
                store.frames(stored.video_id, regions=True)

    with pytest.raises(ArchiveDamaged, match="not affected"):
        use()


@pytest.mark.parametrize(
    ("statement", "word"),
    [
        ("DELETE FROM frames WHERE video_id = 1 AND number = 3", "lacks frames"),
        ("DELETE FROM clips WHERE id = 2", "lacks frames or clips"),
        ("DELETE FROM regions WHERE number = 0", "lacks frames"),
        ("DELETE FROM videos WHERE id = 1", "belong to no video"),
        ("UPDATE clips SET vector = zeroblob(4) WHERE id = 2", "unfit"),
        (f"UPDATE frames SET vector = x'{'ff' * 2 * DIM}' WHERE number = 1", "unfit"),
        ("UPDATE clips SET last_frame = 99 WHERE id = 1", "lacks frames"),
    ],
)
def test_a_check_names_what_is_wrong(tmp_path: Path, statement: str, word: str) -> None:
    fill(tmp_path, "/v/a.mp4", "/v/b.mp4")
    with open_archive(tmp_path) as store:
        assert store.check() == []
    change(tmp_path, statement)
    with open_archive(tmp_path) as store:
        problems = store.check()
        assert any(word in problem for problem in problems)
        assert all("index" in problem for problem in problems)


def test_a_clip_vector_of_wrong_length_is_damage(tmp_path: Path) -> None:
    fill(tmp_path, "/v/a.mp4")
    vector_file(tmp_path).unlink()
    change(tmp_path, "UPDATE clips SET vector = zeroblob(4) WHERE id = 2")
    with open_archive(tmp_path) as store, pytest.raises(ArchiveDamaged, match="wrong length"):
        store.search(a_query(), 3)


def test_importing_the_interface_loads_no_database_and_no_index() -> None:
    code = (
        "import sys, vsr_edge.store.base;"
        "sys.exit(bool({'sqlite3', 'sqlite_utils', 'usearch'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_opening_an_archive_that_is_up_to_date_does_not_load_sqlite_utils(tmp_path: Path) -> None:
    fill(tmp_path, "/v/a.mp4")
    code = (
        "import sys; from vsr_edge.store import open_store;"
        "open_store(sys.argv[1]).close(); sys.exit('sqlite_utils' in sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], check=True, cwd=Path(__file__).parents[2]
    )


@pytest.mark.parametrize(
    ("code", "kind", "word"),
    [
        (sqlite3.SQLITE_FULL, ArchiveError, "full"),
        (sqlite3.SQLITE_READONLY, ArchiveError, "permissions"),
        (sqlite3.SQLITE_BUSY, ArchiveLocked, "again in a moment"),
        (sqlite3.SQLITE_IOERR_FSYNC, ArchiveError, "local disk"),
        (sqlite3.SQLITE_PROTOCOL, ArchiveError, "local disk"),
        (sqlite3.SQLITE_CORRUPT_INDEX, ArchiveDamaged, "damaged"),
    ],
)
def test_errors_of_the_database_say_what_to_do(
    tmp_path: Path, code: int, kind: type[ArchiveError], word: str
) -> None:
    error = sqlite3.OperationalError("something")
    error.sqlite_errorcode = code
    with pytest.raises(kind, match=word), translate_errors(tmp_path):
        raise error
