"""Times, filters and tags as they are typed and shown."""

from __future__ import annotations

import io
import os
import shutil
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.command import Ended, run, succeed
from tests.store.archives import change
from vsr_edge.cli.app import app

QUERY = "a bicycle leaning against a wall"
BERLIN = {"VSR_EDGE_TIME_ZONE": "Europe/Berlin"}
NAMES = (
    "street/cam1_20260304_215955.mp4",
    "cartoon/2026-07-01/10-15-00.mp4",
    "holiday.mp4",
)


@pytest.fixture(scope="module")
def videos(demo_clips: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for name, clip in zip(NAMES, demo_clips, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, folder / name)
    os.utime(folder / NAMES[2], (1_750_000_000, 1_750_000_000))
    return folder


@pytest.fixture(scope="module")
def indexed(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archives") / "a"
    succeed("index", videos, "-a", folder, "--tag", "Demo", environment=BERLIN)
    # One of the clips says when it was made; names are what this is about.
    change(folder, "UPDATE videos SET recorded_from = 'name' WHERE recorded_from = 'container'")
    succeed("index", videos, "-a", folder, environment=BERLIN)
    return folder


@pytest.fixture
def archive(indexed: Path, tmp_path: Path) -> Path:
    return shutil.copytree(indexed, tmp_path / "a")


def asked(archive: Path, *arguments: Any, code: int = 0) -> Ended:
    """As ``run``, within this process, which takes a tenth of the time."""
    given = [str(one) for one in (*arguments, "-a", archive)]
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setenv("VSR_EDGE_TIME_ZONE", "Europe/Berlin")
        patch.setattr("vsr_edge.cli.console._answered", False)
        patch.setattr(sys, "argv", ["vsr-edge", *given])
        ended = app(given, prog_name="vsr-edge", standalone_mode=False)
    found = Ended(ended or 0, out.getvalue(), err.getvalue())
    assert found.code == code, found
    return found


def named(document: Any) -> set[str]:
    return {Path(one["video"]).name for one in document["videos"]}


def test_videos_say_when_they_were_recorded_and_how_that_is_known(archive: Path) -> None:
    found = {
        Path(one["video"]).name: (one["recorded_at"], one["recorded_from"], one["tags"])
        for one in asked(archive, "videos", "--json").document["videos"]
    }
    assert found["cam1_20260304_215955.mp4"] == ("2026-03-04T21:59:55+01:00", "name", ["demo"])
    assert found["10-15-00.mp4"] == ("2026-07-01T10:15:00+02:00", "name", ["demo"])
    when, source, _ = found["holiday.mp4"]
    assert (when[:16], source) == ("2025-06-15T17:06", "file")
    shown = asked(archive, "videos").out
    assert "2026-03-04 21:59:55" in shown
    assert "~2025-06-15 17:06" in shown


def test_a_search_tells_when_a_moment_was_recorded(archive: Path) -> None:
    ended = asked(archive, "search", QUERY, "--after", "2026-03-04T22:00", "--before", "2026-04-01")
    assert "recorded" in ended.out.splitlines()[0]
    assert "2026-03-04 " in ended.out.splitlines()[1]
    document = asked(archive, "search", QUERY, "--video", "street", "--json").document
    first = document["moments"][0]
    assert first["recorded_from"] == "name"
    assert first["recorded_at"].startswith("2026-03-04T21:59:5") or first["recorded_at"].startswith(
        "2026-03-04T22:00:0"
    )
    assert first["recorded_at"].endswith("+01:00")
    # Of a file whose age is all that is known, no column is shown.
    weak = asked(archive, "search", QUERY, "--video", "holiday.mp4", code=3)
    assert "recorded" not in weak.out


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (("--after", "2026-01-01"), NAMES[:2]),
        (("--between", "22:00-06:00"), NAMES[:1]),
        (("--between", "22:00-06:00", "--after", "2026-03-05"), ()),
        (("--before", "2025-06-15T17:06:40"), NAMES[2:]),
        (("--before", "2025-06-15T17:06"), ()),
        (("--min-duration", "6s"), NAMES[:1]),
        (("--max-duration", "6", "--after", "2026-01-01"), NAMES[1:2]),
        (("--tag", "demo", "--video", "holiday*", "--video", "street/"), (NAMES[0], NAMES[2])),
        (("--tag=-demo",), ()),
        (("--tag", "-demo"), ()),
    ],
)
def test_filters_choose_videos(
    filters: tuple[str, ...], expected: tuple[str, ...], indexed: Path
) -> None:
    ended = asked(indexed, "videos", *filters, "--json", code=0 if expected else 3)
    assert named(ended.document) == {Path(name).name for name in expected}


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        (
            ("--after", "2030-01-01"),
            "nothing was recorded after 2030-01-01 00:00:00; the archive's",
        ),
        (("--before", "1999-01-01"), "nothing was recorded before 1999-01-01 00:00:00"),
        (("--between", "03:00-04:00"), "nothing was recorded between 03:00 and 04:00"),
        (("--min-duration", "2h"), "no video is as long as 7200 s"),
        (("--tag", "nigth"), "no video is tagged nigth; the tags are: demo"),
        (("--tag", "-demo"), "every video is tagged demo"),
        (
            ("--after", "2026-06-01", "--between", "22:00-06:00"),
            "no footage meets all of these: after 2026-06-01 00:00:00, between 22:00 and 06:00",
        ),
    ],
)
@pytest.mark.parametrize("command", [("videos",), ("search", QUERY), ("remove",), ("tag",)])
def test_a_filter_that_lets_nothing_through_says_why(
    command: tuple[str, ...], filters: tuple[str, ...], said: str, indexed: Path
) -> None:
    assert said in asked(indexed, *command, *filters, code=3).err


def test_what_cannot_be_is_wrong_usage(archive: Path) -> None:
    for filters in (("--after", "soon"), ("--between", "night"), ("--max-duration", "long")):
        ended = asked(archive, "videos", *filters, "--json", code=2)
        assert ended.document["kind"] == "UsageError"
        assert filters[0][2:] in ended.document["message"]
    assert "say which videos" in asked(archive, "remove", code=2).err
    assert "say which videos" in asked(archive, "tag", "+new", code=2).err
    unknown = run("videos", "-a", archive, environment={"VSR_EDGE_TIME_ZONE": "Mars/Olympus"})
    assert unknown.code == 2
    assert "no time zone is called 'Mars/Olympus'" in unknown.err


def test_tags_are_given_taken_off_and_listed(archive: Path) -> None:
    document = asked(archive, "tag", "street", "+Night", "+a.b-c", "-demo", "--json").document
    assert [one["tags"] for one in document["videos"]] == [["a.b-c", "night"]]
    assert document["tags"] == {"a.b-c": 1, "demo": 2, "night": 1}
    # Letters that stand for options elsewhere.
    assert "night" in asked(archive, "tag", "--tag", "night", "+hav").out
    gone = asked(archive, "tag", "--after", "2026-01-01", "-hav", "--drop", "a.b-c", "--json")
    assert sorted(tuple(one["tags"]) for one in gone.document["videos"]) == [("demo",), ("night",)]
    listed = asked(archive, "tag").out.split()
    assert listed == ["tag", "videos", "demo", "2", "night", "1"]
    assert named(asked(archive, "videos", "--tag=night", "--json").document) == {
        "cam1_20260304_215955.mp4"
    }
    assert "cannot be a tag" in asked(archive, "tag", "street", "+a,b", code=2).err


def test_what_filters_choose_is_removed(archive: Path) -> None:
    many = asked(archive, "remove", "--after", "2026-01-01", code=2)
    assert "say --yes" in many.err
    document = asked(archive, "remove", "--after", "2026-01-01", "--yes", "--json").document
    assert sorted(Path(path).name for path in document["removed"]) == sorted(
        Path(name).name for name in NAMES[:2]
    )
    assert len(asked(archive, "videos", "--json").document["videos"]) == 1


def completed(archive: Path | str, line: str) -> list[str]:
    words = line.split(" ")
    ended = run(
        environment={
            "_VSR_EDGE_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
            "VSR_EDGE_ARCHIVE": str(archive),
        }
    )
    assert ended.err == ""
    return ended.out.split()


def test_a_shell_completes_tags_and_names(archive: Path, tmp_path: Path) -> None:
    assert completed(archive, "vsr-edge videos --tag d") == ["demo"]
    assert completed(archive, "vsr-edge search --video ca") == ["cam1_20260304_215955.mp4"]
    assert completed(archive, "vsr-edge remove str") == ["street"]
    # Nothing is there to complete, and nobody is told so.
    assert completed(tmp_path / "nowhere", "vsr-edge videos --tag d") == []
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "archive.db").write_bytes(b"no database" * 100)
    assert completed(tmp_path / "broken", "vsr-edge videos --video s") == []
