"""Index, search, list, count and remove: documents on stdout, messages on stderr, exit codes."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.command import COMMAND, TIMEOUT, Ended, run, succeed
from tests.ingest.archives import footage
from tests.media_files import truncated

QUERY = "a man with a bow tie in a car"


@pytest.fixture(scope="module")
def found(demo_archive: Path) -> Ended:
    return succeed("search", QUERY, "--archive", demo_archive, "--json")


@pytest.fixture
def copied_archive(demo_archive: Path, tmp_path: Path) -> Path:
    return shutil.copytree(demo_archive, tmp_path / "archive")


def test_an_index_run_reports_each_file_and_ends_well(tmp_path: Path) -> None:
    footage(tmp_path / "videos" / "a.mp4")
    truncated(footage(tmp_path / "videos" / "b.mkv", 10.0, first=100), 0.7)
    (tmp_path / "videos" / "c.mp4").write_text("no video")
    archive = tmp_path / "archive"
    ended = run("index", tmp_path / "videos", "--archive", archive, "--json")
    assert ended.code == 1  # one file failed
    document = ended.document
    assert document.keys() == {
        "schema",
        "indexed",
        "skipped",
        "moved",
        "copied",
        "frames",
        "hours",
        "seconds",
        "interrupted",
        "partial",
        "failed",
        "left_out",
        "passed_over",
        "cues",
        "text_problems",
        "forgotten",
    }
    assert (document["indexed"], document["interrupted"]) == (2, False)
    (partial,), (failed,) = document["partial"], document["failed"]
    assert partial.keys() == failed.keys() == {"video", "reason"}
    assert partial["video"] == str(tmp_path / "videos" / "b.mkv")
    assert failed["video"] == str(tmp_path / "videos" / "c.mp4")
    assert f"partial: {partial['video']}: {partial['reason']}" in ended.err
    assert f"failed: {failed['video']}: {failed['reason']}" in ended.err
    assert "2 indexed (1 of them partial)" in ended.err

    (tmp_path / "videos" / "c.mp4").unlink()
    again = succeed("index", tmp_path / "videos", "--archive", archive)
    assert again.out == ""
    assert "0 indexed" in again.err
    assert "2 unchanged" in again.err


def test_a_search_answers_with_the_documented_keys(found: Ended, demo_clips: list[Path]) -> None:
    document = found.document
    assert document.keys() == {
        "schema",
        "query",
        "verdict",
        "confidence",
        "threshold",
        "moments",
        "turns",
        "timing_ms",
        "bundle",
        "bundle_name",
        "verified_by",
        "notices",
        "id",
        "read_as",
    }
    assert document["query"] == QUERY
    assert document["verdict"] == "match"
    assert 0 < document["confidence"] <= 1
    assert {moment["video"] for moment in document["moments"]} == set(map(str, demo_clips))
    for rank, moment in enumerate(document["moments"], 1):
        span = {"video", "start", "end", "score", "match_probability"}
        when = {"best", "recorded_at", "recorded_from"}
        words = {"source", "text", "text_source"}
        assert moment.keys() == {"rank", *span, *when, *words, "parts", "missing"}
        assert moment["rank"] == rank
        assert 0 <= moment["start"] < moment["end"] < 11
        assert -1 <= moment["score"] <= 1
    chances = [m["match_probability"] for m in document["moments"]]
    verified = [chance for chance in chances if chance is not None]
    assert verified == sorted(verified, reverse=True)
    assert chances[: len(verified)] == verified
    assert verified[0] == document["confidence"]
    (turn,) = document["turns"]
    measured = {"latency_ms", "encoder_calls", "soft_tokens"}
    assert turn.keys() == {"turn", "action", "refinement", "then", *measured}
    assert (turn["turn"], turn["refinement"]) == (1, None)
    assert turn["then"] == "match: sure enough"
    assert all(isinstance(ms, float) for ms in document["timing_ms"].values())
    assert found.err == ""


def test_turns_asks_for_the_trace_of_candidates(found: Ended, demo_archive: Path) -> None:
    traced = succeed("search", QUERY, "--archive", demo_archive, "--json", "--turns").document
    (turn,) = traced["turns"]
    assert len(turn["candidates"]) == 3
    assert turn["candidates"][0].keys() == {"video", "start", "end", "score", "match_probability"}
    (without,) = found.document["turns"]
    assert turn.keys() - without.keys() == {"candidates"}
    shown = succeed("search", QUERY, "--archive", demo_archive, "--turns").err
    assert shown.count("  score ") == len(turn["candidates"])


def test_a_search_for_people_shows_the_same_as_a_table(found: Ended, demo_archive: Path) -> None:
    ended = succeed("search", QUERY, "--archive", demo_archive, "--explain")
    header, *rows = ended.out.splitlines()
    assert header.split() == ["#", "match", "score", "from", "to", "video"]
    moments = found.document["moments"]
    marks = [
        "" if (m["match_probability"] or 0) >= found.document["threshold"] else "?" for m in moments
    ]
    ranks = [f"{m['rank']}{mark}" for m, mark in zip(moments, marks, strict=True)]
    assert [row.split()[0] for row in rows] == ranks
    # A pipe has no width: one line each, and no name is folded.
    assert [row.split()[-1] for row in rows] == [moment["video"] for moment in moments]
    assert "turn 1: retrieve and verify" in ended.err
    assert "verdict: match" in ended.err


def test_what_is_not_there_exits_with_3_and_shows_guesses(demo_archive: Path) -> None:
    ended = run("search", "an elephant in a river", "--archive", demo_archive)
    assert ended.code == 3
    assert ended.err == "nothing found that is likely enough; the nearest guesses:\n"
    _, *rows = ended.out.splitlines()
    assert [row.split()[0] for row in rows] == [f"{rank}?" for rank in range(1, len(rows) + 1)]
    options = ("--archive", demo_archive, "--candidates", "1", "--json")
    as_json = run("search", "an elephant in a river", *options)
    assert as_json.code == 3
    assert as_json.document["verdict"] == "no_match"
    # That a guess is likely wrong is no probability that nothing is there.
    assert as_json.document["confidence"] is None
    assert all(0 < m["match_probability"] < 1 for m in as_json.document["moments"][:1])
    assert as_json.document["turns"][1]["soft_tokens"] == 8
    assert as_json.document["turns"][1]["refinement"]["gained"]


def test_one_shot_and_a_budget_are_options(demo_archive: Path) -> None:
    once = succeed("search", QUERY, "--archive", demo_archive, "--one-shot", "--json").document
    assert (once["verdict"], once["confidence"], len(once["turns"])) == ("unverified", None, 1)
    options = ("--archive", demo_archive, "--max-turns", "2", "--candidates", "1", "--rocchio")
    ended = run("search", "an elephant in a river", *options, "--max-ms", "60000", "--explain")
    assert ended.code == 3
    assert "turn 2" in ended.err
    assert "rocchio" in ended.err


def test_top_k_keeps_the_best(found: Ended, demo_archive: Path) -> None:
    ended = succeed("search", QUERY, "--archive", demo_archive, "--top-k", "1", "--json")
    assert ended.document["moments"] == found.document["moments"][:1]


def test_video_narrows_the_search_by_glob_or_path(
    demo_archive: Path, demo_clips: list[Path]
) -> None:
    for named in ("bike*", str(demo_clips[0])):
        ended = succeed("search", QUERY, "--archive", demo_archive, "--video", named, "--json")
        names = {Path(moment["video"]).name for moment in ended.document["moments"]}
        assert names == {"bikes.mp4"}


def test_videos_and_stats_tell_what_is_indexed(demo_archive: Path, demo_clips: list[Path]) -> None:
    listed = succeed("videos", "--archive", demo_archive, "--json").document["videos"]
    assert {video["video"] for video in listed} == set(map(str, demo_clips))
    for video in listed:
        assert video.keys() == {
            "missing",
            "id",
            "video",
            "duration",
            "width",
            "height",
            "codec",
            "container",
            "frames",
            "clips",
            "partial",
            "indexed_at",
            "fingerprint",
            "recorded_at",
            "recorded_from",
            "tags",
        }
    shown = succeed("videos", "bike*", "--archive", demo_archive).out.splitlines()
    assert len(shown) == 2
    assert "bikes.mp4" in shown[1]
    assert "0:10.0" in shown[1]
    assert "640×272" in shown[1]
    stats = succeed("stats", "--archive", demo_archive, "--json").document
    assert stats["archive"] == str(demo_archive)
    assert stats["videos"] == 3
    assert stats["frames"] == sum(video["frames"] for video in listed)
    assert stats["clips"] == sum(video["clips"] for video in listed)
    assert str(stats["clips"]) in succeed("stats", "--archive", demo_archive).out


def test_what_is_removed_is_not_found_any_more(
    copied_archive: Path, demo_clips: list[Path]
) -> None:
    ended = succeed("remove", "bike*", "--archive", copied_archive, "--json")
    removed = {"schema": "vsr-edge/remove/1", "removed": [str(demo_clips[0])]}
    assert ended.document == removed
    assert f"removed {demo_clips[0]}" in ended.err
    assert demo_clips[0].exists()
    left = succeed("search", QUERY, "--archive", copied_archive, "--json").document["moments"]
    assert {moment["video"] for moment in left} == set(map(str, demo_clips[1:]))
    again = run("remove", "bike*", "--archive", copied_archive)
    assert again.code == 2
    assert "no indexed video matches 'bike*'; `vsr-edge videos` lists them" in again.err


def test_a_path_removes_its_video_and_not_its_namesakes(tmp_path: Path) -> None:
    for number, folder in enumerate(("cam1", "cam2")):
        footage(tmp_path / folder / "door.mp4", first=100 * number)
    archive = tmp_path / "archive"
    succeed("index", tmp_path, "--archive", archive)
    ended = succeed("remove", "door.mp4", "--archive", archive, cwd=tmp_path / "cam2")
    assert ended.err == f"removed {tmp_path / 'cam2' / 'door.mp4'}\n"
    assert "cam1" in succeed("videos", "--archive", archive).out


def test_the_archive_may_be_named_by_the_environment(demo_archive: Path, tmp_path: Path) -> None:
    environment = {"VSR_EDGE_ARCHIVE": str(demo_archive)}
    assert succeed("stats", "--json", environment=environment).document["videos"] == 3
    ended = run("stats", "--archive", tmp_path / "nope", environment=environment)
    assert ended.code == 1


def test_bad_settings_of_the_environment_are_named(demo_archive: Path) -> None:
    ended = run("stats", "--archive", demo_archive, environment={"VSR_EDGE_FPS": "often"})
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "error: the environment: fps = 'often' is not a number\n"


def test_searching_where_nothing_was_indexed_says_what_to_do(tmp_path: Path) -> None:
    ended = run("search", QUERY, "--archive", tmp_path / "nope", "--json")
    assert (ended.code, ended.document["kind"]) == (1, "ArchiveNotFound")
    assert "holds no archive yet: index some videos into it first" in ended.err
    assert not (tmp_path / "nope").exists()


def test_an_archive_that_is_a_file_is_told_from_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for command in (["search", QUERY], ["index", str(tmp_path)], ["doctor"]):
        ended = run(*command, "--archive", tmp_path / "file")
        assert ended.code == 1
        assert "is a file, not an archive's folder: name another" in ended.err


def test_an_empty_query_is_a_usage_error(demo_archive: Path) -> None:
    ended = run("search", "  ", "--archive", demo_archive, "--json")
    assert (ended.code, ended.document["kind"]) == (2, "UsageError")
    assert "the query is empty: say in a few words" in ended.err


@pytest.mark.skipif(os.name == "nt", reason="arguments are text there")
def test_a_query_that_is_no_text_is_a_usage_error(demo_archive: Path) -> None:
    ended = run("search", b"\xff\xfe bicycle", "--archive", demo_archive)
    assert (ended.code, ended.out) == (2, "")
    assert "the query is not valid UTF-8" in ended.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fps", "-1"], "fps must be a positive number, not -1.0"),
        (["--fps", "nan"], "fps must be a positive number, not nan"),
        (["--fps", "1e308"], "fps must lie between 1e-06 and 1e+06, not at 1e+308"),
        (["--clip-seconds", "1e308"], "clip_seconds must be at most 1e+09, not 1e+308"),
        (["--fps", "often"], "--fps"),
        (["--clip-stride", "9"], "clip_stride (9.0) must not exceed clip_seconds (4.0)"),
        (["--threads", "99999"], "threads must be at most"),
        (["--nope"], "--nope"),
    ],
)
def test_options_that_cannot_be_right_are_usage_errors(
    options: list[str], message: str, tmp_path: Path
) -> None:
    ended = run("index", tmp_path, "--archive", tmp_path / "archive", *options)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert not (tmp_path / "archive").exists()


def test_exit_code_3_says_why_nothing_was_found(demo_archive: Path, tmp_path: Path) -> None:
    ended = run("search", QUERY, "--archive", demo_archive, "--min-score", "0.99", "--json")
    assert ended.code == 3
    assert ended.document["moments"] == []
    assert "nothing scored 0.99 or more" in ended.err
    (tmp_path / "empty").mkdir()
    ended = run("index", tmp_path / "empty", "--archive", tmp_path / "archive")
    assert ended.code == 3
    assert "no video was found there" in ended.err
    ended = run("search", QUERY, "--archive", tmp_path / "archive")
    assert (ended.code, ended.out) == (3, "")
    assert "nothing is indexed" in ended.err


def test_indexing_what_does_not_exist_fails_and_names_it(tmp_path: Path) -> None:
    ended = run("index", tmp_path / "nope", "--archive", tmp_path / "archive")
    assert (ended.code, ended.out) == (1, "")
    assert f"failed: {tmp_path / 'nope'}: no such file or folder" in ended.err


def test_another_bundle_or_provider_that_is_not_there_is_named(demo_archive: Path) -> None:
    ended = run("search", QUERY, "--archive", demo_archive, "--bundle", "huge")
    assert ended.code == 1
    assert "no bundle is called 'huge'" in ended.err
    ended = run("search", QUERY, "--archive", demo_archive, "--provider", "abacus")
    assert ended.code == 2
    assert "abacus" in ended.err
    assert "cpu" in ended.err


@pytest.mark.parametrize(
    "arguments", [["videos"], ["videos", "--json"], ["stats"], ["search", QUERY, "--json"]]
)
def test_a_reader_that_leaves_early_is_no_error_worth_a_traceback(
    arguments: list[str], demo_archive: Path
) -> None:
    with subprocess.Popen(
        [*COMMAND, *arguments, "--archive", demo_archive],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read().decode()
        process.wait(TIMEOUT)
    assert said == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
@pytest.mark.parametrize("arguments", [["videos", "--json"], ["stats"], ["search", QUERY]])
def test_an_answer_that_cannot_be_written_is_an_error(
    arguments: list[str], demo_archive: Path
) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [*COMMAND, *arguments, "--archive", demo_archive],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    assert ended.returncode == 1
    assert ended.stderr == "error: [Errno 28] No space left on device\n"


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell")
def test_it_runs_with_closed_streams(demo_archive: Path) -> None:
    script = '"$@" >&- 2>&-'
    command = ["sh", "-c", script, "sh", *COMMAND, "videos", "--json"]
    command += ["--archive", str(demo_archive)]
    assert subprocess.run(command, timeout=TIMEOUT, check=False).returncode == 0


def test_a_terminal_without_unicode_shows_escapes(demo_archive: Path) -> None:
    ended = succeed("videos", "--archive", demo_archive, environment={"PYTHONIOENCODING": "ascii"})
    assert r"640\xd7272" in ended.out


def test_times_are_those_of_the_footage(found: Ended) -> None:
    ends = {Path(moment["video"]).name: moment["end"] for moment in found.document["moments"]}
    assert ends["bikes.mp4"] <= 10.01
    assert ends["bigbuckbunny.mp4"] <= 5.32
    assert not any(math.isnan(end) for end in ends.values())
