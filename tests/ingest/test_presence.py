"""Which videos may be forgotten: deleted ones, and none whose drive may come back."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.archives import footage, open_archive, store_footage
from vsr_edge.ingest.scan import HeldBack, is_gone, missing_videos, plan_prune
from vsr_edge.store.base import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_archive(tmp_path / "archive") as opened:
        yield opened


def put(store: Store, *paths: Path) -> None:
    with store.writer() as writer:
        for number, path in enumerate(paths):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
            store_footage(writer, footage(str(path), seed=number))


def pruned(store: Store) -> tuple[list[str], list[HeldBack]]:
    plan = plan_prune(missing_videos(store))
    return [stored.video.path.name for stored in plan.removed], list(plan.held_back)


def test_a_deleted_file_beside_others_may_be_forgotten(store: Store, tmp_path: Path) -> None:
    cam = tmp_path / "cam"
    put(store, cam / "a.mp4", cam / "b.mp4", cam / "sub" / "c.mp4")
    assert pruned(store) == ([], [])
    (cam / "a.mp4").unlink()
    assert is_gone(cam / "a.mp4")
    assert pruned(store) == (["a.mp4"], [])
    assert not is_gone(cam / "b.mp4#1")
    (cam / "b.mp4").unlink()
    assert is_gone(cam / "b.mp4#1")
    assert pruned(store) == (["a.mp4", "b.mp4"], [])


def test_what_lies_on_a_drive_that_is_not_mounted_is_held_back(
    store: Store, tmp_path: Path
) -> None:
    drive = tmp_path / "drive"
    put(store, drive / "a.mp4", drive / "cam" / "b.mp4", drive / "cam" / "deep" / "c.mp4")
    shutil.rmtree(drive)
    assert pruned(store) == ([], [HeldBack(drive, "is not there", 3)])
    # The empty folder that it is mounted on, perhaps with a hidden mark in it.
    drive.mkdir()
    for mark in (None, ".not-mounted", "lost+found"):
        if mark is not None:
            (drive / mark).mkdir()
        removed, held = pruned(store)
        assert removed == []
        assert sum(one.videos for one in held) == 3
        assert {one.folder for one in held} == {drive}
    (drive / "another-drive.txt").touch()
    removed, held = pruned(store)
    assert removed == ["a.mp4"]
    assert held == [HeldBack(drive / "cam", "is not there", 2)]


def test_a_folder_that_was_emptied_is_held_back_and_named(store: Store, tmp_path: Path) -> None:
    put(store, tmp_path / "cam1" / "a.mp4", tmp_path / "cam2" / "b.mp4", tmp_path / "cam2/c.mp4")
    for path in (tmp_path / "cam1/a.mp4", tmp_path / "cam2/b.mp4"):
        path.unlink()
    assert pruned(store) == (["b.mp4"], [HeldBack(tmp_path / "cam1", "is empty", 1)])


@pytest.mark.skipif(os.name == "nt", reason="links")
def test_a_link_to_what_is_out_of_sight_is_held_back(store: Store, tmp_path: Path) -> None:
    drive, here = tmp_path / "drive", tmp_path / "here"
    put(store, here / "a.mp4", here / "b.mp4", here / "c.mp4")
    drive.mkdir()
    for name in ("a.mp4", "b.mp4"):
        (here / name).rename(drive / name)
        (here / name).symlink_to(drive / name)
    assert pruned(store) == ([], [])
    (drive / "a.mp4").unlink()
    assert pruned(store) == (["a.mp4"], [])
    shutil.rmtree(drive)
    assert pruned(store) == ([], [HeldBack(drive, "is not there", 2)])


def test_a_file_in_the_place_of_a_folder_is_no_folder(store: Store, tmp_path: Path) -> None:
    put(store, tmp_path / "cam" / "a.mp4", tmp_path / "b.mp4")
    shutil.rmtree(tmp_path / "cam")
    (tmp_path / "cam").touch()
    assert pruned(store) == ([], [HeldBack(tmp_path / "cam", "is not there", 1)])
