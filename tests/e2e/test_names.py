"""File names that shells, globs, terminals and databases trip over."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.e2e.command import run, succeed
from tests.ingest.archives import footage

NAMES = [
    "[red].mp4",
    "two  words, 100% 'sure'.mp4",
    "été 日本 🎬.mp4",
    "-dash.mp4",
    "*.mp4",
    "$HOME`ls`.mp4",
    "new\nline.mp4",
    "\x1b[31mred.mp4",
]
if sys.platform == "linux":
    NAMES.append(os.fsdecode(b"not-utf8-\xff\xfe.mp4"))

pytestmark = pytest.mark.skipif(os.name == "nt", reason="names that Windows does not allow")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("odd [names]")
    for number, name in enumerate(NAMES):
        # FFmpeg cannot write to all of these names; a file system can.
        footage(folder / "made.mp4", 1.0, first=100 * number).rename(folder / name)
    return folder


@pytest.fixture(scope="module")
def archive(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archives") / "an archive's [home] é"
    document = succeed("index", ".", "--archive", folder, "--json", cwd=videos).document
    assert (document["indexed"], document["failed"]) == (len(NAMES), [])
    return folder


def test_they_are_listed_and_known_the_next_time(archive: Path, videos: Path) -> None:
    listed = succeed("videos", "--archive", archive, "--json").document["videos"]
    # As bytes: what is not UTF-8 comes back from the JSON as it was.
    assert {os.fsencode(video["video"]) for video in listed} == {
        os.fsencode(videos / name) for name in NAMES
    }
    again = succeed("index", videos, "--archive", archive, "--json").document
    assert (again["skipped"], again["indexed"], again["failed"]) == (len(NAMES), 0, [])


def test_the_table_has_a_line_for_each_and_no_control_characters(archive: Path) -> None:
    out = succeed("videos", "--archive", archive).out
    assert len(out.splitlines()) == 1 + len(NAMES)
    assert "\x1b" not in out
    assert r"\x1b[31mred.mp4" in out
    assert r"new\nline.mp4" in out
    assert "[red].mp4" in out
    assert "été 日本 🎬.mp4" in out


def test_they_are_found_by_a_search(archive: Path) -> None:
    options = ("--archive", archive, "--top-k", "50", "--json")
    moments = succeed("search", "black and white blocks", "--one-shot", *options).document[
        "moments"
    ]
    assert {Path(moment["video"]).name for moment in moments} == set(NAMES)


@pytest.mark.parametrize("name", ["[red].mp4", "*.mp4", NAMES[-1]])
def test_a_search_may_be_narrowed_to_one_by_its_path(
    name: str, archive: Path, videos: Path
) -> None:
    options = ("--archive", archive, "--json", "--video")
    found = succeed(
        "search", "blocks", "--one-shot", *options, os.fsencode(videos / name)
    ).document["moments"]
    assert [os.fsencode(m["video"]) for m in found] == [os.fsencode(videos / name)]


def test_a_bracket_in_a_glob_that_matches_nothing_gets_a_hint(archive: Path) -> None:
    ended = run("search", "blocks", "--one-shot", "--archive", archive, "--video", "[red].mp4")
    assert ended.code == 2
    assert "[[] stands for the bracket [" in ended.err


def test_they_are_removed_by_name(archive: Path, videos: Path, tmp_path: Path) -> None:
    archive, left = shutil.copytree(archive, tmp_path / "archive"), NAMES[2]
    named = [os.fsencode(name) for name in NAMES if name != left]
    ended = succeed("remove", "--yes", "--archive", archive, "--json", "--", *named, cwd=videos)
    assert {os.fsencode(path) for path in ended.document["removed"]} == {
        os.fsencode(videos / name) for name in NAMES if name != left
    }
    listed = succeed("videos", "--archive", archive, "--json").document["videos"]
    assert [video["video"] for video in listed] == [str(videos / left)]
