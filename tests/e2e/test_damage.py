"""A damaged search cache repairs itself; a damaged database is named."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.command import run, succeed
from tests.media_files import flipped, truncated
from tests.store.archives import vector_file

QUERY = "a bicycle"


@pytest.fixture
def archive(demo_archive: Path, tmp_path: Path) -> Path:
    return shutil.copytree(demo_archive, tmp_path / "archive")


def moments(archive: Path) -> tuple[list[dict[str, Any]], str]:
    ended = succeed("search", QUERY, "--one-shot", "--archive", archive, "--json")
    return ended.document["moments"], ended.err


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda cache: flipped(cache, 0.3, 0.9, 20), id="bytes flipped"),
        pytest.param(lambda cache: truncated(cache, 0.5), id="truncated"),
        pytest.param(lambda cache: cache.write_bytes(b""), id="emptied"),
        pytest.param(Path.unlink, id="removed"),
    ],
)
def test_a_damaged_cache_is_rebuilt_and_answers_as_before(
    damage: Callable[[Path], object], archive: Path
) -> None:
    before, said = moments(archive)
    assert said == ""
    damage(vector_file(archive))
    after, said = moments(archive)
    assert after == before
    assert "rebuilt" in said
    assert moments(archive) == (before, "")


def test_doctor_finds_a_sound_archive_sound(demo_archive: Path) -> None:
    ended = succeed("doctor", "--archive", demo_archive, "--json")
    report = ended.document
    assert report.keys() == {
        "schema",
        "python",
        "platform",
        "packages",
        "providers",
        "auto_provider",
        "threads",
        "bundle",
        "bundle_name",
        "bundle_id",
        "golden",
        "archive",
        "archive_state",
        "missing",
        "problems",
    }
    assert report["missing"] == 0
    assert report["problems"] == []
    assert report["bundle"].endswith(": sound")
    assert report["archive_state"] == "3 videos, 21 clips"
    assert "cpu" in report["providers"]
    assert report["auto_provider"] in report["providers"]
    assert ended.err == ""


def test_doctor_is_content_where_nothing_was_indexed_yet(tmp_path: Path) -> None:
    ended = succeed("doctor", "--archive", tmp_path / "nope")
    assert "nothing indexed yet" in ended.out


def test_a_database_with_a_broken_head_is_named_with_what_to_do(archive: Path) -> None:
    (archive / "archive.db").write_bytes(b"This is no database. " * 500)
    for command in (["doctor"], ["search", QUERY], ["videos"], ["index", str(archive)]):
        ended = run(*command, "--archive", archive)
        assert ended.code == 1
        assert f"{archive / 'archive.db'} is damaged" in ended.err
        assert "index the videos again" in ended.err


def test_doctor_finds_broken_pages(archive: Path) -> None:
    flipped(archive / "archive.db", 0.2, 1.0, 4000)
    ended = run("doctor", "--archive", archive, "--json")
    assert ended.code == 1
    assert any("archive.db" in problem for problem in ended.document["problems"])
    assert "problem: " in ended.err


def test_doctor_names_a_damaged_bundle(demo_archive: Path, tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    environment = {"VSR_EDGE_BUNDLE": str(tmp_path / "bundle")}
    ended = run("doctor", "--archive", demo_archive, environment=environment)
    assert ended.code == 1
    assert "has no manifest.json" in ended.err
    assert "3 videos" in ended.out


@pytest.mark.skipif(sys.platform != "linux", reason="limits on memory are Linux's")
def test_want_of_memory_is_named_and_is_no_defect(demo_clips: list[Path], tmp_path: Path) -> None:
    codes = []
    for kilobytes in range(200_000, 1_000_000, 50_000):
        limited = ("bash", "-c", f'ulimit -v {kilobytes}; exec "$@"', "bash")
        command = ("index", demo_clips[0], "--archive", tmp_path / str(kilobytes))
        ended = run(*command, under=limited)
        # Native libraries of some versions crash where memory ends: what ends by itself says why.
        assert ended.code <= 0 or "not enough memory" in ended.err, ended.err
        codes.append(ended.code)
        if ended.code == 0:
            break
    assert codes[0] == 1
