"""Files that are gone are marked and forgotten, and nobody forgets much by mistake."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import COMMAND, TIMEOUT, Ended, run, succeed
from tests.ingest.archives import footage

NUMBER = 11


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos and their archive, at the place where each test finds them again."""
    root = tmp_path_factory.mktemp("template")
    for number in range(NUMBER):
        footage(root / "videos" / f"{number}.mp4", 1.0, first=100 * number)
    footage(root / "drive" / "far.mp4", 1.0, first=4000)
    succeed("index", root / "videos", root / "drive", "--archive", root / "archive")
    return root


@pytest.fixture
def place(template: Path, tmp_path: Path) -> Iterator[Path]:
    """The same videos and archive, freshly there for each test."""
    kept = shutil.copytree(template, tmp_path / "kept")
    yield template
    shutil.rmtree(template)
    shutil.move(kept, template)


def paths(ended: Ended) -> list[str]:
    return [Path(path).name for path in ended.document["removed"]]


def listed(place: Path) -> list[str]:
    videos = succeed("videos", "--archive", place / "archive", "--json").document["videos"]
    return [Path(video["video"]).name for video in videos]


def test_a_missing_file_is_marked_wherever_it_is_named(place: Path) -> None:
    (place / "videos" / "3.mp4").unlink()
    at = ("--archive", place / "archive")
    found = succeed("search", "blocks", "--one-shot", "--top-k", "20", "--json", *at).document
    marked = {Path(m["video"]).name: m["missing"] for m in found["moments"]}
    assert marked.pop("3.mp4") is True
    assert set(marked.values()) == {False}
    shown = succeed("search", "blocks", "--one-shot", "--top-k", "20", *at).out.splitlines()
    assert [line.split()[-1] for line in shown if " missing " in line] == [
        str(place / "videos" / "3.mp4")
    ]
    videos = succeed("videos", "--json", *at).document["videos"]
    assert [Path(v["video"]).name for v in videos if v["missing"]] == ["3.mp4"]
    rows = succeed("videos", *at).out.splitlines()
    assert [row.split()[0] for row in rows if row.endswith("missing")] == [
        str(place / "videos" / "3.mp4")
    ]
    assert "1 of the files are missing" in succeed("doctor", *at).out
    assert succeed("doctor", "--json", *at).document["missing"] == 1


def test_prune_forgets_what_was_deleted_and_holds_back_what_may_come_back(place: Path) -> None:
    at = ("--archive", place / "archive")
    assert succeed("prune", *at).err == "no file is missing\n"
    (place / "videos" / "3.mp4").unlink()
    shutil.rmtree(place / "drive")
    tried = succeed("prune", "--dry-run", "--json", *at)
    assert (paths(tried), tried.document["dry_run"]) == (["3.mp4"], True)
    assert f"would remove {place / 'videos' / '3.mp4'}" in tried.err
    assert len(listed(place)) == NUMBER + 1
    ended = succeed("prune", "--json", *at)
    assert paths(ended) == ["3.mp4"]
    assert ended.document["held_back"] == [
        {"folder": str(place / "drive"), "reason": "is not there", "videos": 1}
    ]
    assert f"held back: 1 videos, for {place / 'drive'} is not there" in ended.err
    assert "3.mp4" not in listed(place)
    assert "far.mp4" in listed(place)


def test_more_than_a_fifth_is_not_forgotten_unasked(place: Path) -> None:
    at = ("--archive", place / "archive")
    for number in range(3):
        (place / "videos" / f"{number}.mp4").unlink()
    refused = run("prune", *at)
    assert (refused.code, refused.out) == (2, "")
    assert "would forget 3 of the archive's 12 videos: say --yes" in refused.err
    assert len(listed(place)) == NUMBER + 1
    assert succeed("prune", "--dry-run", *at).err.count("would remove") == 3
    assert len(paths(succeed("prune", "--yes", "--json", *at))) == 3
    assert len(listed(place)) == NUMBER - 2


def test_removing_much_asks_too(place: Path) -> None:
    at = ("--archive", place / "archive")
    for names in (["*"], ["videos"], ["0.mp4", "1.mp4", "2.mp4"]):
        refused = run("remove", *names, *at)
        assert refused.code == 2
        assert "say --yes" in refused.err
    assert len(listed(place)) == NUMBER + 1
    succeed("remove", "0.mp4", "1.mp4", *at)
    succeed("remove", "drive", *at)
    assert len(listed(place)) == NUMBER - 2
    succeed("remove", "*", "--yes", *at)
    assert listed(place) == []


@pytest.mark.skipif(os.name == "nt", reason="a POSIX terminal")
@pytest.mark.parametrize(("answer", "code", "left"), [("y", 0, 0), ("n", 1, NUMBER + 1)])
def test_at_a_terminal_it_asks(answer: str, code: int, left: int, place: Path) -> None:
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            [*COMMAND, "remove", "*", "--archive", place / "archive"],
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            os.write(ours, f"{answer}\n".encode())
            out, err = process.communicate(timeout=TIMEOUT)
    finally:
        os.close(ours)
        os.close(theirs)
    assert process.returncode == code, err
    assert out == b""
    assert b"Forget 12 of the archive's 12 videos?" in err
    assert len(listed(place)) == left
