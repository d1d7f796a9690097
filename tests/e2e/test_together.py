"""Options and commands that meet: nothing that was said is passed over in silence."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.e2e.command import run, succeed

QUERY = "a bicycle leaning against a wall"


@pytest.fixture
def work(tmp_path: Path, demo_archive: Path) -> Path:
    shutil.copytree(demo_archive, tmp_path / "archive")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a street, then a bicycle", "--not", "a dog"], "several parts takes no picture"),
        ([QUERY, "--then", "a dog", "--like", "bikes.mp4@1"], "several parts takes no picture"),
        ([QUERY, "--and", "a dog", "--max-turns", "2"], "not refined, which --max-turns would"),
        ([QUERY, "--then", "a dog", "--rocchio"], "not refined, which --rocchio would"),
        (["--text", "fire door", "--then", "a street"], "--text looks for words alone"),
        (["--text", "fire door", "--without", "a dog"], "--text looks for words alone"),
        (["--text", "fire door", "--min-score", "0.5"], "words have no score"),
        ([QUERY, "--then", "a dog", "--remember", "both"], "--remember keeps one sentence"),
        (["--text", "door", "--remember", "both"], "--remember keeps one sentence"),
        (["--queries", "-", "--html", "h.html"], "--queries answers in JSON alone"),
        (["--queries", "-", "--format", "csv"], "--queries answers in JSON alone"),
        (["--queries", "-", "--weight", "0.3"], "--queries brings its own"),
        ([QUERY, "--html", "x.out", "--receipt", "x.out"], "two outputs have one name"),
    ],
)
def test_what_does_not_go_together_is_refused(
    arguments: list[str], message: str, work: Path
) -> None:
    ended = run("search", *arguments, "-a", work / "archive", cwd=work)
    assert (ended.code, ended.out) == (2, ""), ended
    assert message in ended.err
    assert {path.name for path in work.iterdir()} == {"archive"}


def test_limits_of_turns_are_said_to_mean_nothing_for_a_sentence_with_parts(work: Path) -> None:
    limits = ("--rocchio", "--max-turns", "2", "-a", work / "archive")
    ended = run("search", "a street, then a bicycle", *limits)
    assert "not refined, which --max-turns and --rocchio would be about; --literal" in ended.err
    for query in (("a street, then a bicycle", "--literal"), ("a street",)):
        assert "not refined" not in run("search", *query, *limits).err


def test_cuts_of_what_is_named_take_no_filters(work: Path, demo_clips: list[Path]) -> None:
    ended = run(
        "cut", demo_clips[0], "--from", "1", "--to", "2", "--tag", "x", "-a", work / "archive"
    )
    assert ended.code == 2
    assert "filters narrow a search" in ended.err


def test_a_saved_search_stays_if_the_new_one_fails(work: Path) -> None:
    at = ("-a", work / "archive")
    succeed("search", "a street", "--remember", "keep", *at)
    assert run("search", "a dog", "--video", "nowhere", "--remember", "keep", *at).code == 2
    (saved,) = succeed("saved", "list", "--json", *at).document["saved"]
    assert saved["query"] == "a street"


def test_feedback_on_parts_wants_a_sentence(work: Path) -> None:
    at = ("-a", work / "archive")
    run("search", "a street", "--then", QUERY, *at)
    ended = run("search", "--good", "1", *at)
    assert ended.code == 2
    assert "had several parts" in ended.err


def test_feedback_on_words_alone_wants_a_sentence(tmp_path: Path, demo_clips: list[Path]) -> None:
    clip, at = tmp_path / "a.mp4", ("-a", tmp_path / "archive")
    shutil.copy(demo_clips[0], clip)
    clip.with_suffix(".srt").write_text("1\n00:00:01,000 --> 00:00:03,000\nfire door\n", "utf-8")
    succeed("index", clip, *at)
    succeed("search", "--text", "fire door", *at)
    ended = run("search", "--good", "1", *at)
    assert (ended.code, ended.out) == (2, "")
    assert "by words alone" in ended.err
    # What is seen there may be liked for all that.
    assert run("search", QUERY, "--good", "1", *at).code != 2
    succeed("search", "the fire door", *at)
    assert run("search", "--good", "1", *at).code != 2


def test_a_line_of_queries_that_cannot_be_read_is_one_of_them(work: Path) -> None:
    lines = ['{"query": "a", "video": "\\ud800"}', "[" * 200_000, json.dumps({"query": QUERY})]
    (work / "lines").write_text("\n".join(lines), "utf-8")
    ended = run("search", "--queries", work / "lines", "-a", work / "archive")
    assert ended.code == 1
    told = [json.loads(line)["schema"] for line in ended.out.splitlines()]
    assert told == ["vsr-edge/error/1", "vsr-edge/error/1", "vsr-edge/search/1"]


def test_pages_say_of_words_that_they_are_there(tmp_path: Path, demo_clips: list[Path]) -> None:
    clip = tmp_path / "cam_20260304_101500.mp4"
    shutil.copy(demo_clips[2], clip)
    clip.with_suffix(".srt").write_text(
        "1\n00:00:01,000 --> 00:00:03,000\nthe quarterly zanzibar invoice\n", "utf-8"
    )
    at, zone = ("-a", tmp_path / "archive"), {"VSR_EDGE_TIME_ZONE": "Asia/Tokyo"}
    succeed("index", clip, *at, environment=zone)
    page = tmp_path / "w.html"
    succeed("search", "the quarterly zanzibar invoice", "--html", page, *at, environment=zone)
    text = page.read_text("utf-8")
    assert "the words are there" in text
    assert "“the quarterly zanzibar invoice”" in text
    assert "a guess" not in text
    assert "2026-03-04 10:15:01" in text


def test_a_receipt_counts_the_hours_that_were_searched(
    tmp_path: Path, demo_clips: list[Path]
) -> None:
    clip = tmp_path / "cam_20260304_101500.mp4"
    shutil.copy(demo_clips[0], clip)
    at, zone = ("-a", tmp_path / "archive"), {"VSR_EDGE_TIME_ZONE": "UTC"}
    succeed("index", clip, *at, environment=zone)
    late = ("--after", "2026-03-04T10:15:08")
    run("search", QUERY, *late, "--receipt", tmp_path / "r.json", *at, environment=zone)
    searched = json.loads((tmp_path / "r.json").read_text("utf-8"))["searched"]
    assert searched["hours"] == pytest.approx(2 / 3600, abs=1e-4)
    assert searched["from"] == "2026-03-04T10:15:08+00:00"
    run("search", "elephant", "--text", "--receipt", tmp_path / "t.json", *at, environment=zone)
    words = json.loads((tmp_path / "t.json").read_text("utf-8"))
    assert words["bundle"] is None
    assert words["calibration"]["found"] is None


def test_what_is_forgotten_for_its_age_leaves_no_picture(
    tmp_path: Path, demo_clips: list[Path]
) -> None:
    old = datetime.now(UTC) - timedelta(days=9)
    clip = tmp_path / f"cam_{old:%Y%m%d_%H%M%S}.mp4"
    shutil.copy(demo_clips[0], clip)
    at = ("-a", tmp_path / "archive")
    succeed("index", clip, *at)
    succeed("search", QUERY, "--html", tmp_path / "h.html", *at)
    assert list((tmp_path / "archive" / "thumbnails").iterdir())
    assert "forgotten" in succeed("index", clip, "--retain", "7d", *at).err
    assert not list((tmp_path / "archive" / "thumbnails").iterdir())


def test_a_moved_file_keeps_its_tags_though_it_is_read_anew(
    tmp_path: Path, demo_clips: list[Path]
) -> None:
    first, second = tmp_path / "a.mp4", tmp_path / "b.mp4"
    shutil.copy(demo_clips[0], first)
    at = ("-a", tmp_path / "archive")
    succeed("index", first, "--tag", "evidence", *at)
    os.replace(first, second)  # noqa: PTH105 — its name is all that changes
    succeed("index", second, "--fps", "2", *at)
    videos = succeed("videos", "--json", *at).document["videos"]
    assert {os.path.basename(one["video"]): one["tags"] for one in videos}["b.mp4"] == ["evidence"]  # noqa: PTH119
