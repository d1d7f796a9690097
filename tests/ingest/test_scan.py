"""Which files a run looks at."""

from __future__ import annotations

import os
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from tests.store.processes import another_process
from vsr_edge.ingest.scan import FoundFile, scan

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX permissions and links")


def tree(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 7)
    return root


def found(*roots: Path, **globs: Any) -> list[str]:
    """The names below the first root of what is found, in order."""
    names = []
    for item in scan(roots, **globs):
        assert item.problem is None, item
        names.append(item.path.relative_to(roots[0]).as_posix())
    return names


def test_folders_are_searched_recursively_and_in_order(tmp_path: Path) -> None:
    tree(tmp_path, "b.mp4", "a.mkv", "cam2/x.mov", "cam1/deep/er/y.WEBM", "cam1/z.avi")
    expected = ["a.mkv", "b.mp4", "cam1/z.avi", "cam1/deep/er/y.WEBM", "cam2/x.mov"]
    assert found(tmp_path) == expected


def test_a_folder_is_searched_for_videos_only_but_a_named_file_is_tried(tmp_path: Path) -> None:
    tree(tmp_path, "a.mp4", "notes.txt", "cover.jpg", "sound.mp3", "noending")
    assert found(tmp_path) == ["a.mp4"]
    assert list(scan([tmp_path / "noending"])) == [FoundFile(tmp_path / "noending", 7)]


def test_roots_that_overlap_give_every_file_once(tmp_path: Path) -> None:
    tree(tmp_path, "a.mp4", "cam/b.mp4")
    roots = [
        tmp_path,
        tmp_path / "cam",
        tmp_path / "cam" / "b.mp4",
        tmp_path / "cam" / ".." / "cam",
    ]
    assert found(*roots) == ["a.mp4", "cam/b.mp4"]


def test_a_relative_root_gives_absolute_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path, "cam/a.mp4")
    monkeypatch.chdir(tmp_path / "cam")
    assert list(scan([Path()])) == [FoundFile(tmp_path / "cam" / "a.mp4", 7)]


def test_hidden_files_and_folders_are_left_out_unless_named(tmp_path: Path) -> None:
    tree(tmp_path, "a.mp4", ".b.mp4", ".trash/c.mp4")
    assert found(tmp_path) == ["a.mp4"]
    assert found(tmp_path / ".trash") == ["c.mp4"]
    assert found(tmp_path, tmp_path / ".b.mp4") == ["a.mp4", ".b.mp4"]


@pytest.mark.parametrize(
    ("include", "expected"),
    [
        (["*.mkv"], ["b.mkv", "cam1/c.mkv"]),
        (["cam1/*"], ["cam1/c.mkv", "cam1/d.odd", "cam1/old/e.mp4"]),
        (["*/old/*"], ["cam1/old/e.mp4"]),
        (["a.*", "*.odd"], ["a.mp4", "cam1/d.odd"]),
    ],
)
def test_include_is_held_against_name_path_below_root_and_whole_path(
    include: list[str], expected: list[str], tmp_path: Path
) -> None:
    tree(tmp_path, "a.mp4", "b.mkv", "cam1/c.mkv", "cam1/d.odd", "cam1/old/e.mp4")
    assert found(tmp_path, include=include) == expected


@pytest.mark.parametrize(
    ("exclude", "expected"),
    [
        (["*.mkv"], ["a.mp4", "cam1/old/e.mp4"]),
        (["old"], ["a.mp4", "cam1/c.mkv"]),
        (["cam1"], ["a.mp4"]),
        (["*/cam1/*"], ["a.mp4"]),
        (["a.mp4", "c.mkv"], ["cam1/old/e.mp4"]),
    ],
)
def test_exclude_leaves_out_files_and_whole_folders(
    exclude: list[str], expected: list[str], tmp_path: Path
) -> None:
    tree(tmp_path, "a.mp4", "cam1/c.mkv", "cam1/old/e.mp4")
    assert found(tmp_path, exclude=exclude) == expected


def test_exclude_is_stronger_than_include_and_than_a_name(tmp_path: Path) -> None:
    tree(tmp_path, "a.mp4", "b.mp4")
    assert found(tmp_path, include=["*.mp4"], exclude=["b*"]) == ["a.mp4"]
    assert found(tmp_path, tmp_path / "b.mp4", exclude=["b*"]) == ["a.mp4"]


def test_a_name_with_brackets_means_itself(tmp_path: Path) -> None:
    tree(tmp_path, "[red].mp4", "[red]/a.mp4", "x.mp4")
    assert found(tmp_path, exclude=["[red].mp4"]) == ["x.mp4", "[red]/a.mp4"]
    assert found(tmp_path, exclude=["[red]"]) == ["[red].mp4", "x.mp4"]
    assert found(tmp_path, exclude=[str(tmp_path / "[red].mp4")]) == ["x.mp4", "[red]/a.mp4"]


@posix
def test_links_that_lead_in_circles_end(tmp_path: Path) -> None:
    tree(tmp_path, "cam/a.mp4")
    (tmp_path / "cam" / "loop").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "alias.mp4").symlink_to("cam/a.mp4")
    assert found(tmp_path) == ["alias.mp4", "cam/a.mp4"]
    assert found(tmp_path / "cam" / "loop") == ["alias.mp4", "cam/a.mp4"]


@posix
def test_a_link_to_nothing_is_found_so_that_reading_can_say_why(tmp_path: Path) -> None:
    (tmp_path / "gone.mp4").symlink_to("elsewhere.mp4")
    assert list(scan([tmp_path])) == [FoundFile(tmp_path / "gone.mp4", 0)]


def test_a_missing_root_is_reported_and_the_others_searched(tmp_path: Path) -> None:
    tree(tmp_path, "a.mp4")
    below_a_file = tmp_path / "a.mp4" / "b.mp4"
    assert list(scan([tmp_path / "nope", below_a_file, tmp_path])) == [
        FoundFile(tmp_path / "nope", problem="no such file or folder"),
        FoundFile(below_a_file, problem="no such file or folder"),
        FoundFile(tmp_path / "a.mp4", 7),
    ]


def test_a_root_whose_name_is_too_long_is_reported(tmp_path: Path) -> None:
    (problem,) = scan([tmp_path / ("x" * 5000)])
    assert problem.problem


@posix
def test_folders_without_permission_are_reported_and_the_rest_is_found() -> None:
    with tempfile.TemporaryDirectory() as name:
        root = tree(Path(name), "a.mp4", "closed/b.mp4", "open/c.mp4")
        root.chmod(0o755)
        (root / "closed").chmod(0)
        roots = [root, root / "closed" / "b.mp4"]
        try:
            with another_process(scan_without_rights, roots) as (_, pipe):
                items = pipe.recv()
        finally:
            (root / "closed").chmod(0o755)
    assert items == [
        FoundFile(root / "a.mp4", 7),
        FoundFile(root / "open" / "c.mp4", 7),
        FoundFile(root / "closed", problem="Permission denied"),
        FoundFile(root / "closed" / "b.mp4", problem="Permission denied"),
    ]


def scan_without_rights(pipe: Connection, roots: list[Path]) -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    pipe.send(list(scan(roots)))
