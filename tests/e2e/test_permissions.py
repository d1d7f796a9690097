"""Folders and files that may not be read or written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import Argument, Ended, run
from tests.ingest.archives import footage

QUERY = "a bicycle"


def as_anybody(*arguments: Argument) -> Ended:
    """Run the command without the right of the superuser to read and write everything."""
    if os.geteuid() != 0:
        return run(*arguments)
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("the superuser may read everything, and there is no setpriv to renounce it")
    rights = "-dac_override,-dac_read_search"
    return run(*arguments, under=(setpriv, "--bounding-set", rights, "--"))


pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")


@pytest.fixture
def archive(demo_archive: Path, tmp_path: Path) -> Iterator[Path]:
    folder = shutil.copytree(demo_archive, tmp_path / "archive")
    yield folder
    folder.chmod(0o755)


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A folder without any permission, until it is tidied away."""
    folder = tmp_path / "closed"
    folder.mkdir(0)
    yield folder
    folder.chmod(0o755)


def test_an_archive_that_may_only_be_read_is_searched_and_not_changed(archive: Path) -> None:
    for path in archive.iterdir():
        path.chmod(0o444)
    archive.chmod(0o555)
    ended = as_anybody("search", QUERY, "--one-shot", "--archive", archive, "--json")
    assert ended.code == 0
    assert ended.document["moments"]
    for command in (["index", archive], ["remove", "*", "--yes"]):
        ended = as_anybody(*command, "--archive", archive)
        assert (ended.code, ended.out) == (1, "")
        assert "cannot be written" in ended.err
        assert "change its permissions" in ended.err


def test_an_archive_that_may_not_be_looked_into_is_named(archive: Path) -> None:
    archive.chmod(0)
    below = archive / "below"
    places = [(archive, ["search", QUERY]), (below, ["videos"]), (archive, ["index", "."])]
    for folder, command in [*places, (below, ["index", "."]), (below, ["doctor"])]:
        ended = as_anybody(*command, "--archive", folder)
        assert ended.code == 1
        assert f"{folder} cannot be looked into (Permission denied)" in ended.err


def test_a_place_where_no_archive_can_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(0o555)
    ended = as_anybody("index", ".", "--archive", tmp_path / "locked" / "archive")
    assert (ended.code, ended.out) == (1, "")
    assert "cannot be made (Permission denied): choose another folder" in ended.err


def test_videos_that_may_not_be_read_are_named_and_the_rest_indexed(
    closed: Path, tmp_path: Path
) -> None:
    footage(tmp_path / "a.mp4")
    footage(tmp_path / "b.mp4", first=100).chmod(0)
    assert closed.parent == tmp_path
    named = sorted(tmp_path.iterdir())
    for number, paths in enumerate(([tmp_path], named)):
        ended = as_anybody("index", *paths, "--archive", tmp_path / f"archive{number}", "--json")
        assert ended.code == 1
        assert ended.document["indexed"] == 1
        failed = {Path(one["video"]).name: one["reason"] for one in ended.document["failed"]}
        assert failed == {
            "b.mp4": "the file cannot be opened (Permission denied)",
            "closed": "Permission denied",
        }


def test_a_bundle_that_may_not_be_read_is_named(archive: Path, closed: Path) -> None:
    bundle = closed / "bundle"
    ended = as_anybody("search", QUERY, "--one-shot", "--archive", archive, "--bundle", bundle)
    assert (ended.code, ended.out) == (1, "")
    assert str(bundle) in ended.err
    assert "Permission denied" in ended.err
