"""A second generation replaces the first at a stroke, whoever reads and whatever dies meanwhile."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vsr_edge.errors import ArchiveDamaged, ArchiveError, ArchiveLocked, BundleMismatch
from vsr_edge.store import open_store
from vsr_edge.store.base import Store, UnfinishedReindex
from vsr_edge.store.migrations import APPLICATION_ID, SCHEMA_VERSION
from vsr_edge.types import ClipHit

from .archives import (
    BUNDLE,
    Another,
    a_query,
    change,
    content,
    fill,
    fill_up,
    footage,
    found_places,
    open_archive,
    rows,
    store_footage,
    vector_file,
)
from .processes import another_process, change_over

PATHS = [f"/v/{i}.mp4" for i in range(6)]
OTHER = Another("other-test")
WIDER = Another("wider-test", dim=24, clips=5)
BACK = Another(BUNDLE)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    fill(tmp_path / "archive", *PATHS)
    return tmp_path / "archive"


def next_of(archive: Path) -> Path:
    return archive / "archive.next"


def begin(archive: Path | str, other: Another, paths: list[str] = PATHS) -> list[str]:
    """Fill a second generation and leave it; returns the notices."""
    with (
        open_store(archive) as store,
        store.shadow_archive() as shadow,
        shadow.open(other.bundle_id, other.dim) as successor,
    ):
        fill_up(successor, paths, other)
        return store.notices


def switch(archive: Path | str, other: Another, paths: list[str] = PATHS) -> None:
    with open_store(archive) as store, store.shadow_archive() as shadow:
        with shadow.open(other.bundle_id, other.dim) as successor:
            fill_up(successor, paths, other)
        assert shadow.bundle_id != other.bundle_id
        shadow.switch()
        assert shadow.bundle_id == other.bundle_id
        assert store.notices == []


def tidy(archive: Path | str) -> UnfinishedReindex | None:
    with open_store(archive) as store, store.shadow_archive() as shadow:
        return shadow.tidy()


def made_by(other: Another, folder: Path, paths: list[str] = PATHS) -> Path:
    """An archive that this bundle made from the beginning."""
    with open_archive(folder, bundle_id=other.bundle_id, dim=other.dim) as store:
        fill_up(store, paths, other)
    return folder


def assert_is(archive: Path | str, other: Another, calm: Path) -> None:
    """The archive holds what one of this bundle holds, answers alike, and nothing alarms."""
    assert content(archive) == content(calm)
    with (
        open_store(archive, bundle_id=other.bundle_id, dim=other.dim) as store,
        open_store(calm) as expected,
    ):
        assert store.check() == []
        for seed in range(3):
            query = a_query(seed, other.dim)
            assert found_places(store, store.search(query, 7)) == found_places(
                expected, expected.search(query, 7)
            )
        assert store.notices == []


@pytest.mark.parametrize("other", [OTHER, WIDER], ids=["same dimension", "another dimension"])
def test_a_switch_replaces_everything_and_leaves_nothing_else(
    other: Another, archive: Path, tmp_path: Path
) -> None:
    switch(archive, other)
    assert_is(archive, other, made_by(other, tmp_path / "calm"))
    assert {path.name for path in archive.iterdir()} == {
        "archive.db",
        "archive.lock",
        vector_file(archive).name,
    }
    assert rows(archive, "PRAGMA application_id") == [(APPLICATION_ID,)]
    assert rows(archive, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert rows(archive, "PRAGMA page_size") == [(8192,)]
    assert rows(archive, "PRAGMA journal_mode") == [("wal",)]
    fresh = "/v/fresh.mp4"
    with open_archive(archive, bundle_id=other.bundle_id, dim=other.dim) as store:
        fill_up(store, [fresh], other)
    assert_is(archive, other, made_by(other, tmp_path / "calm", [*PATHS, fresh]))


def test_the_cache_comes_with_it_and_need_not_be_written_again(archive: Path) -> None:
    switch(archive, WIDER)
    before = vector_file(archive).stat()
    with open_store(archive) as store:
        assert len(store.search(a_query(0, WIDER.dim), 100)) == 30
    after = vector_file(archive).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("copies", [True, False], ids=["no links", "no links and no room"])
def test_where_files_cannot_be_linked_the_cache_is_copied_or_made_anew(
    copies: bool, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    if not copies:
        monkeypatch.setattr(shutil, "copyfile", refuse)
    begin(archive, WIDER)
    with open_store(archive) as store, store.shadow_archive() as shadow:
        shadow.switch()
    assert_is(archive, WIDER, made_by(WIDER, tmp_path / "calm"))


def test_an_archive_with_other_pages_is_switched_too(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "archive.db")
    connection.execute("PRAGMA page_size = 4096")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("VACUUM")
    connection.close()
    fill(tmp_path, *PATHS)
    assert rows(tmp_path, "PRAGMA page_size") == [(4096,)]
    switch(tmp_path, OTHER)
    assert rows(tmp_path, "PRAGMA page_size") == [(4096,)]
    assert_is(tmp_path, OTHER, made_by(OTHER, tmp_path / "calm"))


def test_an_empty_archive_is_switched(tmp_path: Path) -> None:
    fill(tmp_path)
    switch(tmp_path, WIDER, [])
    assert_is(tmp_path, WIDER, made_by(WIDER, tmp_path / "calm", []))


USES: dict[str, Callable[[Store], object]] = {
    "search": lambda store: store.search(a_query(), 3),
    "frames": lambda store: store.frames(1),
    "clips": lambda store: store.clips(1),
    "videos_of": lambda store: store.videos_of([1]),
    "frames_of": lambda store: store.frames_of([(1, 0, 3)]),
    "reading": lambda store: store.reading().__enter__(),
    "videos": lambda store: store.videos(),
    "frame_count": lambda store: store.frame_count(),
    "stats": lambda store: store.stats(),
    "check": lambda store: store.check(),
    "writer": lambda store: store.writer().__enter__(),
    "shadow": lambda store: store.shadow_archive().__enter__(),
}


@pytest.mark.parametrize("searched", [True, False], ids=["after a search", "before the first"])
@pytest.mark.parametrize("other", [OTHER, WIDER], ids=["same dimension", "another dimension"])
def test_a_store_that_was_open_says_that_the_archive_was_changed_over(
    other: Another, searched: bool, either: Path | str, tmp_path: Path
) -> None:
    with open_archive(either) as store:
        if searched:
            assert len(store.search(a_query(), 100)) == 24
        switch(either, other)
        for use in USES.values():
            with pytest.raises(BundleMismatch) as caught:
                use(store)
            assert f"was re-indexed with the bundle '{other.bundle_id}'" in str(caught.value)
            assert "open it again with that bundle" in str(caught.value)
        assert store.notices == []
    with pytest.raises(BundleMismatch, match=f"was indexed with the bundle '{other.bundle_id}'"):
        open_archive(either)
    assert_is(either, other, made_by(other, tmp_path / "calm"))


def test_who_reads_during_the_switch_keeps_the_state_that_he_began_with(archive: Path) -> None:
    reader = sqlite3.connect(archive / "archive.db", isolation_level=None)
    what = "SELECT bundle_id, (SELECT count(*) FROM clips), (SELECT max(id) FROM clips) FROM meta"
    reader.execute("BEGIN")
    before = reader.execute(what).fetchone()
    # Waiting for this reader to be done, so that the log can be cut, is given up soon.
    changing = threading.Thread(target=switch, args=(archive, WIDER))
    changing.start()
    while rows(archive, what) == [before]:
        time.sleep(0.01)
    assert reader.execute(what).fetchone() == before
    assert reader.execute("SELECT count(*) FROM frames").fetchone() == (72,)
    reader.execute("COMMIT")
    changing.join()
    assert reader.execute(what).fetchone()[:2] == (WIDER.bundle_id, 30)
    reader.close()


def test_searches_amid_the_switch_answer_from_the_old_archive_or_are_refused(
    either: Path | str,
) -> None:
    with open_archive(either) as store:
        expected = store.search(a_query(), 9)
    begun, found, refused = threading.Barrier(4), [], []

    def search_until_refused() -> None:
        with open_archive(either) as store:
            begun.wait()
            try:
                while True:
                    found.append(store.search(a_query(), 9) == expected)
            except BundleMismatch as error:
                refused.append(str(error))
            assert store.notices == []

    readers = [threading.Thread(target=search_until_refused) for _ in range(3)]
    for reader in readers:
        reader.start()
    begun.wait()
    with another_process(change_over, either, PATHS, OTHER) as (_, pipe):
        while pipe.recv() != "closed":
            pass
    for reader in readers:
        reader.join()
    assert found
    assert all(found)
    assert len(refused) == 3


def test_nobody_else_writes_meanwhile_and_everybody_reads(either: Path | str) -> None:
    with open_archive(either) as reader, open_archive(either) as changing:
        expected = reader.search(a_query(), 5)
        with changing.shadow_archive() as shadow:
            with shadow.open(OTHER.bundle_id, OTHER.dim) as successor:
                fill_up(successor, PATHS[:2], OTHER)
                assert reader.search(a_query(), 5) == expected
                with pytest.raises(ArchiveLocked, match="is being written"):
                    reader.writer().__enter__()
            assert reader.stats().reindex == UnfinishedReindex(OTHER.bundle_id, 2)
            assert reader.check() == []
    with open_archive(either) as later:
        assert later.search(a_query(), 5) == expected
        assert later.stats().reindex == UnfinishedReindex(OTHER.bundle_id, 2)
        assert later.check() == []


def ids_in(archive: Path | str, table: str = "clips") -> set[int]:
    return {row[0] for row in rows(archive, f"SELECT id FROM {table}")}


def test_no_id_ever_comes_back_even_if_the_old_archive_grows_meanwhile(
    either: Path | str, tmp_path: Path
) -> None:
    seen, seen_videos = ids_in(either), ids_in(either, "videos")
    begin(either, OTHER, PATHS[:3])
    grown = [*PATHS, "/v/late.mp4"]
    fill(either, grown[-1])
    seen |= ids_in(either)
    seen_videos |= ids_in(either, "videos")
    for other in (OTHER, BACK, WIDER):
        switch(either, other, grown)
        assert not seen & ids_in(either)
        assert not seen_videos & ids_in(either, "videos")
        seen |= ids_in(either)
        seen_videos |= ids_in(either, "videos")
        assert_is(either, other, made_by(other, tmp_path / f"calm-{other}", grown))


def test_a_store_that_stayed_open_while_it_was_changed_over_and_back_answers_rightly(
    archive: Path,
) -> None:
    with open_archive(archive) as staying:
        staying.search(a_query(), 5)
        switch(archive, OTHER)
        switch(archive, BACK)
        made = BACK.footage(PATHS[3])
        hits: list[ClipHit] = staying.search(made.vectors[2].astype(np.float32), 1)
        assert found_places(staying, hits)[0][:2] == (Path(PATHS[3]), made.windows[2])
        assert len(staying.search(a_query(), 100)) == 24
        with staying.writer() as writer:
            store_footage(writer, footage("/v/more.mp4"))
        assert len(staying.search(a_query(), 100)) == 28
        assert staying.notices == []


def test_what_an_earlier_run_filled_is_taken_up(archive: Path) -> None:
    begin(archive, OTHER, PATHS[:4])
    first = ids_in(next_of(archive))
    assert begin(archive, OTHER) == []
    assert first < ids_in(next_of(archive))


def test_one_of_another_bundle_is_thrown_away_with_a_notice(archive: Path) -> None:
    begin(archive, OTHER, PATHS[:4])
    (notice,) = begin(archive, WIDER, PATHS[:1])
    assert notice == "the unfinished re-index (by another bundle) was thrown away and begun anew"
    assert len(content(next_of(archive))) == 1
    assert tidy(archive) == UnfinishedReindex(WIDER.bundle_id, 1)


def spoil_header(database: Path) -> None:
    database.write_bytes(b"nonsense" * 1000)


def test_a_damaged_one_is_thrown_away_with_a_notice(archive: Path, tmp_path: Path) -> None:
    begin(archive, OTHER)
    spoil_header(next_of(archive) / "archive.db")
    with open_store(archive) as store:
        assert store.stats().reindex is None
    assert begin(archive, OTHER) == [
        "the unfinished re-index (it was damaged) was thrown away and begun anew"
    ]
    switch(archive, OTHER)
    assert_is(archive, OTHER, made_by(OTHER, tmp_path / "calm"))


def test_damage_inside_is_found_before_the_switch(archive: Path, tmp_path: Path) -> None:
    expected = content(archive)
    begin(archive, OTHER)
    change(next_of(archive), "DELETE FROM frames WHERE number = 2")
    with (
        open_store(archive) as store,
        store.shadow_archive() as shadow,
        pytest.raises(ArchiveDamaged, match=r"damaged \(rows of.*as it was; run the same command"),
    ):
        shadow.switch()
    assert content(archive) == expected
    assert not next_of(archive).exists()
    switch(archive, OTHER)
    assert_is(archive, OTHER, made_by(OTHER, tmp_path / "calm"))


def test_files_of_others_are_never_deleted(archive: Path) -> None:
    next_of(archive).mkdir()
    mine = next_of(archive) / "holiday.mp4"
    mine.write_text("precious")
    for _ in range(2):
        with pytest.raises(ArchiveError, match=r"holiday\.mp4 is none of the archive's files"):
            begin(archive, OTHER)
    assert mine.read_text() == "precious"


def test_a_crash_after_the_switch_leaves_only_what_the_next_run_tidies(
    archive: Path, tmp_path: Path
) -> None:
    begin(archive, WIDER)
    shutil.copytree(next_of(archive), tmp_path / "next")
    old_vectors = shutil.copy(vector_file(archive), tmp_path)
    switch(archive, WIDER)
    calm = made_by(WIDER, tmp_path / "calm")
    # Neither the shadow nor the old vector file removed yet.
    shutil.copytree(tmp_path / "next", next_of(archive))
    shutil.copy(old_vectors, archive)
    with open_store(archive) as store:
        assert store.stats().reindex is None
        assert store.check() == []
        assert len(store.search(a_query(0, WIDER.dim), 100)) == 30
        assert store.notices == []
    assert tidy(archive) is None
    assert not next_of(archive).exists()
    assert_is(archive, WIDER, calm)
    with open_store(archive) as store:
        fill_up(store, ["/v/more.mp4"], WIDER)
    assert_is(archive, WIDER, made_by(WIDER, tmp_path / "calm", [*PATHS, "/v/more.mp4"]))
    assert vector_file(archive).name != Path(old_vectors).name


def test_a_crash_amid_throwing_away_is_tidied(archive: Path, tmp_path: Path) -> None:
    begin(archive, OTHER)
    next_of(archive).rename(archive / "archive.next.discarded")
    (archive / "archive.next.discarded" / "archive.db").unlink()
    assert begin(archive, WIDER) == []
    switch(archive, WIDER)
    assert_is(archive, WIDER, made_by(WIDER, tmp_path / "calm"))
    assert len(list(archive.iterdir())) == 3
