"""What is asked and of which videos: several words, several filters, and what is no query."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.e2e.command import run, succeed
from tests.ingest.archives import footage

QUERY = "a man with a bow tie in a car"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cameras in a folder, and their archive beside them."""
    root = tmp_path_factory.mktemp("folders")
    for number, name in enumerate(("cam1/a.mp4", "cam1/deep/b.mkv", "cam2/a.mp4")):
        footage(root / name, 2.0, first=100 * number)
    succeed("index", root / "cam1", root / "cam2", "--archive", root / "archive")
    return root


def test_a_query_needs_no_quotes(demo_archive: Path) -> None:
    at = ("--archive", demo_archive, "--json")
    quoted = succeed("search", QUERY, *at).document
    bare = succeed("search", *QUERY.split(), *at).document
    assert bare["query"] == QUERY
    assert bare["moments"] == quoted["moments"]
    assert succeed("search", *at, "a", "man").document["query"] == "a man"


def test_what_the_model_cannot_read_is_said(demo_archive: Path) -> None:
    ended = run("search", "un coche rojo", "--archive", demo_archive, "--json")
    (notice,) = ended.document["notices"]
    assert "reads English, and does not know: coche, rojo" in notice
    assert notice in ended.err
    ended = run("search", "dog " * 100 + "zebra", "--archive", demo_archive)
    assert "the query is longer than" in ended.err


def test_only_a_match_says_how_sure_it_is(demo_archive: Path) -> None:
    at = ("--archive", demo_archive, "--explain")
    match = succeed("search", QUERY, *at)
    first = match.out.splitlines()[1].split()[1]
    assert f"verdict: match; the first moment is right with a probability of {first}" in match.err
    guess = run("search", "an elephant in a river", *at)
    assert "verdict: no match; the likeliest guess is right with a probability of" in guess.err
    assert "sure\n" not in guess.err


@pytest.mark.parametrize("name", ["photo.jpg", "PHOTO.PNG", "a photo.webp"])
def test_a_picture_is_no_sentence(name: str, demo_archive: Path, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    ended = run("search", name, "--archive", demo_archive, cwd=tmp_path)
    assert (ended.code, ended.out) == (2, "")
    assert f"{name} names a picture: to find what looks like it, " in ended.err
    assert f"vsr-edge search --like {name}" in ended.err


def test_a_sentence_may_speak_of_a_file(demo_archive: Path) -> None:
    ended = run("search", "a screen that shows photo.jpg", "--archive", demo_archive)
    assert ended.code in (0, 3)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["cam1"], {"cam1/a.mp4", "cam1/deep/b.mkv"}),
        (["cam1/"], {"cam1/a.mp4", "cam1/deep/b.mkv"}),
        (["./cam1"], {"cam1/a.mp4", "cam1/deep/b.mkv"}),
        (["{root}/cam1"], {"cam1/a.mp4", "cam1/deep/b.mkv"}),
        (["{root}/cam1/"], {"cam1/a.mp4", "cam1/deep/b.mkv"}),
        (["deep"], {"cam1/deep/b.mkv"}),
        (["."], {"cam1/a.mp4", "cam1/deep/b.mkv", "cam2/a.mp4"}),
        (["cam2/a.mp4"], {"cam2/a.mp4"}),
        (["*.mkv", "cam2"], {"cam1/deep/b.mkv", "cam2/a.mp4"}),
        (["cam2", "a.mp4"], {"cam1/a.mp4", "cam2/a.mp4"}),
    ],
)
def test_a_filter_is_a_path_a_folder_or_a_glob_and_any_may_match(
    names: list[str], expected: set[str], folders: Path
) -> None:
    given = [name.format(root=folders) for name in names]
    at = ("--archive", folders / "archive", "--json")
    options = [part for name in given for part in ("--video", name)]
    ended = succeed("search", "blocks", "--one-shot", *options, *at, cwd=folders)
    found = {Path(m["video"]).relative_to(folders).as_posix() for m in ended.document["moments"]}
    assert found == expected
    ended = succeed("videos", *given, *at, cwd=folders)
    found = {Path(v["video"]).relative_to(folders).as_posix() for v in ended.document["videos"]}
    assert found == expected


def test_a_name_from_here_means_that_and_not_its_namesakes(folders: Path) -> None:
    at = ("--archive", folders / "archive", "--json")
    ended = succeed("videos", "a.mp4", *at, cwd=folders / "cam2")
    assert [v["video"] for v in ended.document["videos"]] == [str(folders / "cam2" / "a.mp4")]


@pytest.mark.parametrize(
    ("name", "near"),
    [("cam7", "cam1"), ("cam7/*", "cam1"), ("depe", "deep"), ("aa.mp4", "a.mp4"), ("xyz", "")],
)
def test_a_filter_that_matches_nothing_is_a_usage_error_that_names_what_is_near(
    name: str, near: str, folders: Path
) -> None:
    at = ("--archive", folders / "archive")
    for command in (
        ["search", "blocks", "--video", name],
        ["search", "blocks", "--video", "cam1", "--video", name],
        ["videos", name],
        ["remove", name],
    ):
        ended = run(*command, *at)
        assert (ended.code, ended.out) == (2, ""), command
        assert f"no indexed video matches {name!r}" in ended.err
        assert ("nearly so are called: " in ended.err) == bool(near)
        assert near in ended.err
        assert "`vsr-edge videos` lists them" in ended.err


def test_searching_before_indexing_says_both_ways_on(tmp_path: Path) -> None:
    ended = run("search", "a man", "--archive", tmp_path / "nope")
    assert ended.code == 1
    assert "`vsr-edge index FOLDER`" in ended.err
    assert "--archive" in ended.err


def test_an_address_is_no_file(tmp_path: Path) -> None:
    ended = run("index", "rtsp://10.0.0.5:554/live", "--archive", tmp_path / "archive")
    assert (ended.code, ended.out) == (2, "")
    assert "rtsp://10.0.0.5:554/live is an address, and only files are indexed" in ended.err
    assert not (tmp_path / "archive").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--min-score", "nan"], "min_score must lie between -1 and 1, not at nan"),
        (["--min-score", "7"], "min_score must lie between -1 and 1, not at 7.0"),
        (["--max-ms", "nan"], "max_ms must be a number above 0, not nan"),
        (["--max-ms", "inf"], "max_ms must be a number above 0, not inf"),
    ],
)
def test_numbers_that_cannot_be_are_usage_errors(
    options: list[str], message: str, demo_archive: Path
) -> None:
    ended = run("search", "a man", "--archive", demo_archive, *options)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err


@pytest.mark.parametrize("many", [10**15, 3 * 10**18, 10**30])
def test_a_top_k_beyond_all_bounds_finds_all_there_is(many: int, demo_archive: Path) -> None:
    options = ("--top-k", str(many), "--candidates", str(many), "--archive", demo_archive)
    ended = succeed("search", "a man", "--json", *options)
    assert len(ended.document["moments"]) >= 3


def test_system_folders_are_passed_over_and_counted(tmp_path: Path) -> None:
    footage(tmp_path / "nas" / "a.mp4", 1.0)
    footage(tmp_path / "nas" / "#recycle" / "b.mp4", 1.0, first=100)
    (tmp_path / "nas" / "c.jpg").touch()
    at = ("--archive", tmp_path / "archive")
    ended = succeed("index", tmp_path / "nas", *at, "--json")
    assert ended.document["indexed"] == 1
    assert ended.document["passed_over"] == {".jpg": 1, "#recycle/": 1}
    assert "passed over: " in ended.err
    ended = succeed("index", tmp_path / "nas", *at, "--include-system", "--json")
    assert ended.document["indexed"] == 1
    setting = {"VSR_EDGE_INCLUDE_SYSTEM": "yes"}
    assert succeed("index", tmp_path / "nas", *at, environment=setting).err.count("#recycle") == 0


@pytest.mark.skipif(
    os.name == "nt" or os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="only the superuser can be somebody else",
)
def test_a_user_without_a_home_can_work_with_an_archive_that_is_named() -> None:
    rights = "+dac_override,+dac_read_search"  # the interpreter may lie in a home of somebody's
    nobody: tuple[str, ...] = ("env", "-u", "HOME", "-u", "XDG_CONFIG_HOME", "-u", "XDG_DATA_HOME")
    nobody += ("setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups")
    nobody += ("--inh-caps", rights, "--ambient-caps", rights)
    with tempfile.TemporaryDirectory() as name:
        footage(Path(name) / "videos" / "a.mp4", 1.0)
        Path(name).chmod(0o777)
        at = ("--archive", Path(name) / "archive")
        for command in (["index", Path(name) / "videos"], ["stats"], ["search", "blocks"]):
            ended = run(*command, *at, under=nobody)
            assert ended.code in (0, 3), ended
    ended = run("stats", under=nobody)
    assert ended.code == 2
    assert "there is no home folder to keep an archive in: name one with --archive" in ended.err
    assert run("bundle", "list", under=nobody).code == 0
