"""`eval` and `eval-predictions` as commands."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.command import INTERRUPTIBLE, finish, run, running, succeed
from vsr_edge.evaluation.benchmarks import write_queries
from vsr_edge.evaluation.records import Query

FORMATS = Path(__file__).parents[3] / "shared" / "data" / "formats"
QUERIES = (
    Query("b", "a bicycle leaning against a wall", "bikes.mp4", ((7.5, 9.7),)),
    Query("r", "a rabbit standing on grass", "bigbuckbunny.mp4", ((0.0, 99.0),)),
    Query("e", "an elephant in a river", None, ()),
)


@pytest.fixture
def queries(tmp_path: Path) -> Path:
    path = tmp_path / "queries.jsonl"
    write_queries(path, QUERIES, "jsonl")
    return path


def test_the_same_command_gives_the_same_table_and_says_what_a_search_took(
    queries: Path, demo_archive: Path
) -> None:
    command = ("eval", queries, "--archive", demo_archive, "--json")
    first, second = succeed(*command).document, succeed(*command).document
    assert first["metrics"] == second["metrics"]
    assert first["intervals"] == second["intervals"]
    assert first["metrics"]["VR"]["r1"] == 100.0
    assert first["path"]["latency_ms"]["total"]["p50"] > 0
    assert first["run"]["videos"] == 3
    table = succeed("eval", queries, "--archive", demo_archive, "--one-shot").out
    assert "moment, IoU 0.5" in table
    assert "p95" in table


def test_save_score_and_compare(queries: Path, demo_archive: Path, tmp_path: Path) -> None:
    saved = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for path, top_k in zip(saved, ("100", "1"), strict=True):
        succeed("eval", queries, "--archive", demo_archive, "--save", path, "--top-k", top_k)
    scored = succeed("eval-predictions", saved[0], queries, "--format", "jsonl", "--json").document
    assert scored["metrics"]["VR"]["r1"] == 100.0
    table = succeed("eval-predictions", saved[0], queries, "--format", "jsonl").out
    assert "moment, IoU 0.5" in table
    compared = succeed("eval", queries, "--compare", *saved, "--json").document
    assert compared["difference"]["VR"]["r1"] == [0.0, 0.0, 0.0]
    assert compared["files"] == {"a": str(saved[0]), "b": str(saved[1])}
    ended = succeed("eval", queries, "--compare", *saved)
    assert "a.jsonl − b.jsonl" in ended.err
    header, first, *rows = ended.out.splitlines()
    assert header.split() == ["per", "cent", "a.jsonl", "b.jsonl", "difference"]
    assert first.startswith("moment, IoU 0.3, R@1 ")
    # The second run lists one moment: nothing can be said of more.
    assert not [row for row in rows if "R@5" in row]
    assert "mean IoU in the right video" in ended.out
    tvr = tmp_path / "a.json"
    succeed("eval", queries, "--archive", demo_archive, "--save", tvr, "--format", "tvr")
    assert set(json.loads(tvr.read_text())) == {"video2idx", "VCMR", "SVMR", "VR"}


def test_recall_is_told_of_as_many_moments_as_were_asked_for(
    queries: Path, demo_archive: Path
) -> None:
    options = ("--archive", demo_archive, "--top-k", "10")
    document = succeed("eval", queries, *options, "--json").document
    assert document["metrics"]["VR"]["r10"] == 100.0
    assert document["metrics"]["VR"]["r100"] is None
    assert document["intervals"]["VCMR"]["0.5-r100"] == [None, None]
    assert (document["run"]["max_turns"], document["run"]["candidates"]) == (3, 16)
    table = succeed("eval", queries, *options).out
    assert "R@10 " in table.replace("\n", " ")
    assert "R@100" not in table
    assert "at most 3 turns of 16 candidates" in table


def test_a_malformed_row_is_named_and_nothing_is_searched(
    queries: Path, demo_archive: Path
) -> None:
    queries.write_text(
        queries.read_text() + '{"qid": "x", "query": 3, "video": null, "spans": []}\n'
    )
    done = run("eval", queries, "--archive", demo_archive)
    assert done.code == 1
    assert f'{queries}, line 4: "query" must be text' in done.err
    write_queries(queries, QUERIES, "jsonl")
    done = run("eval-predictions", queries, queries, "--format", "jsonl")
    assert done.code == 1
    assert 'line 1: "predictions" is missing' in done.err


def test_wrong_usage(queries: Path, demo_archive: Path, tmp_path: Path) -> None:
    at = ("--archive", demo_archive)
    assert run("eval", tmp_path / "gone.jsonl", *at).code == 2
    done = run("eval", queries, *at, "--save", tmp_path / "x", "--format", "csv")
    assert done.code == 2
    assert "no format 'csv'" in done.err
    assert run("eval", queries, *at, "--max-turns", "0").code == 2
    assert run("eval", queries, "--archive", tmp_path / "none").code == 1
    assert run("eval-predictions", queries, queries, "--format", "csv").code == 2
    assert run("eval-predictions", queries, queries).code == 2


def test_a_video_that_is_not_in_the_archive_is_named(queries: Path, demo_archive: Path) -> None:
    write_queries(queries, [Query(1, "a ship", "elsewhere.mp4", ((0.0, 1.0),))], "jsonl")
    done = succeed("eval", queries, "--archive", demo_archive, "--json")
    assert "elsewhere.mp4" in done.err
    assert done.document["metrics"]["VR"]["r100"] == 0.0


def test_ctrl_c_shows_what_was_measured(
    queries: Path, demo_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # shows the progress, which says when it has begun
    many = [Query(n, f"a bicycle number {n}", "bikes.mp4", ((7.5, 9.7),)) for n in range(20_000)]
    write_queries(queries, many, "jsonl")
    saved = tmp_path / "a.jsonl"
    arguments = ("eval", queries, "--archive", demo_archive, "--json", "--save", saved)
    with running(*arguments, command=INTERRUPTIBLE) as process:
        assert process.stderr is not None
        said = b""
        while not re.search(rb"queries [1-9]\d*/20000", said):
            said += (more := os.read(process.stderr.fileno(), 4096))
            assert more, said
        process.send_signal(signal.SIGINT)
        ended = finish(process)
    assert ended.code == 130
    assert "of 20000 queries" in ended.err
    answered = ended.document["metrics"]["queries"]["all"]
    assert 0 < answered < 20_000
    assert len(saved.read_text().splitlines()) == answered


@pytest.mark.skipif(not FORMATS.is_dir(), reason="../shared/data/formats is not here")
def test_the_fields_own_figures_as_a_command() -> None:
    folder = FORMATS / "tvr"
    expected = json.loads((folder / "expected_metrics.json").read_text())
    files = folder / "predictions.json", folder / "ground_truth.jsonl"
    done = succeed("eval-predictions", *files, "--format", "tvr", "--json")
    schema = "vsr-edge/eval-predictions/1"
    assert done.document == {"schema": schema, "metrics": expected}


def test_listing_videos_before_the_first_search_does_not_crash(demo_archive: Path) -> None:
    code = (
        "import sys, vsr_edge\n"
        "with vsr_edge.open_archive(sys.argv[1]) as archive:\n"
        "    print(len(archive.videos()), len(archive.search('a bicycle').moments) > 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, demo_archive], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "3 True\n"), done.stderr
