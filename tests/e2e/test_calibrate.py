"""`calibrate` as it is typed: with labels and without, on a real archive; and how it is undone."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.command import run, succeed
from tests.search.test_loop import bundle_with
from vsr_edge.evaluation.benchmarks import write_queries
from vsr_edge.evaluation.records import Query

QUERY = "a bicycle leaning against a wall"
PRESENT = {
    QUERY: "bikes.mp4",
    "bikes on a street": "bikes.mp4",
    "a rabbit standing on grass": "bigbuckbunny.mp4",
    "a cartoon rabbit": "bigbuckbunny.mp4",
    "a man sitting in a car": "carphone_pristine.mp4",
    "a man talking": "carphone_pristine.mp4",
}
ABSENT = (
    *("an elephant in a river", "a submarine under the ice", "a birthday cake with candles"),
    *("a surfer on a wave", "a piano in an empty hall", "people dancing at a wedding"),
)


@pytest.fixture
def archive(demo_archive: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(demo_archive, tmp_path / "archive"))


@pytest.fixture
def queries(tmp_path: Path) -> Path:
    asked = [Query(f"p{n}", text, PRESENT[text], ((0.0, 9.0),)) for n, text in enumerate(PRESENT)]
    asked += [Query(f"a{n}", text, None, ()) for n, text in enumerate(ABSENT)]
    write_queries(tmp_path / "queries.jsonl", asked, "jsonl")
    return tmp_path / "queries.jsonl"


def likely(archive: Path, *more: str | Path) -> float:
    found = run("search", QUERY, "--archive", archive, "--json", *more).document
    return float(found["moments"][0]["match_probability"])


def test_without_anything_known_it_is_told_how_sentences_are_answered(archive: Path) -> None:
    before = likely(archive)
    command = ("calibrate", "--archive", archive, "--sentences", "50")
    found = succeed(*command, "--json").document
    assert (found["correction"], found["stored"], found["absent"]) == (None, False, 0.5)
    shares = [row["before"] for row in found["said"]]
    assert shares == sorted(shares, reverse=True)
    assert all(row["after"] is None for row in found["said"])
    shown = succeed(*command)
    assert "50% of the questions have no answer" in shown.err
    assert "--absent" in shown.err
    assert likely(archive) == pytest.approx(before, abs=1e-3)


def test_the_share_of_what_is_absent_lowers_what_is_said_until_it_is_undone(archive: Path) -> None:
    before = likely(archive)
    command = ("calibrate", "--archive", archive, "--sentences", "50")
    dry = succeed(*command, "--absent", "0.75", "--dry-run", "--json").document
    assert not dry["stored"]
    assert likely(archive) == pytest.approx(before, abs=1e-3)
    found = succeed(*command, "--absent", "0.75", "--json").document
    assert (found["heads"], found["stored"], found["sentences"]) == ("dedicated", True, 50)
    assert found["correction"]["absent"] == 0.75
    assert all(row["after"] <= row["before"] for row in found["said"])
    (match,) = (row for row in found["said"] if row["threshold"])
    assert match["after"] == pytest.approx(match["before"], abs=0.021)  # of one sentence in fifty
    after = likely(archive)
    assert after < before
    # What is corrected already is taken back before it is measured anew, and told if it stays.
    again = succeed(*command, "--absent", "0.75", "--json").document
    assert again["said"] == found["said"]
    asked = succeed(*command, "--json").document
    assert (asked["said"], asked["correction"]) == (found["said"], again["correction"])
    explained = run("search", QUERY, "--archive", archive, "--explain")
    assert "corrected for this archive for 75% absent" in explained.err
    # That nothing is to be changed now does not mean that nothing counts.
    asked = succeed(*command, "--json", "--dry-run").document
    assert (asked["stored"], asked["correction"]) == (True, again["correction"])
    would = succeed("calibrate", "--archive", archive, "--reset", "--dry-run")
    assert "would say again" in would.err
    assert likely(archive) == pytest.approx(after, abs=1e-3)
    succeed("calibrate", "--archive", archive, "--reset")
    assert likely(archive) == pytest.approx(before, abs=1e-3)


def test_universal_heads_take_a_share_too(archive: Path) -> None:
    command = ("calibrate", "--archive", archive, "--sentences", "50", "--heads", "universal")
    before = likely(archive, "--heads", "universal")
    found = succeed(*command, "--absent", "0.5", "--json").document
    assert found["absent"] == pytest.approx(1 / 6, abs=1e-3)
    odds = found["correction"]["bias"]
    assert -1 < odds < -0.5
    after = likely(archive, "--heads", "universal")
    assert after == pytest.approx(1 / (1 + (1 / before - 1) * math.exp(-odds)), abs=5e-3)
    # The other heads have numbers of their own.
    explained = run("search", QUERY, "--archive", archive, "--explain")
    assert "corrected" not in explained.err


def test_a_share_is_refused_where_nobody_counted_and_beside_queries(
    archive: Path, queries: Path, tmp_path: Path
) -> None:
    uncounted = bundle_with(tmp_path / "bundle", without=(), absent=None)
    for arguments, said in (
        (("--bundle", uncounted, "--absent", "0.6"), "does not tell"),
        (("--absent", "0.5"), "for 50% absent already"),
        (("--absent", "0.6", "--reset"), "leave out --absent"),
        (("--queries", queries, "--absent", "0.6"), "leave out --absent"),
        (("--absent", "60"), "0.95"),
    ):
        refused = run("calibrate", "--archive", archive, *arguments)
        assert (refused.code, said in refused.err) == (2, True), refused


@pytest.mark.parametrize(
    "broken", [{"sentences": 200}, {"absent": "0.9"}, {"absent": 5}, {"slope": 0}, {"bias": None}]
)
def test_a_correction_that_is_none_counts_for_nothing(
    archive: Path, broken: dict[str, object]
) -> None:
    sound = {"slope": 0.7, "bias": 2.0, "made_at": "2026-11-27", "queries": 20, "absent": None}
    name = succeed("bundle", "show", "--json").document["id"] + " dedicated"
    kept = archive / "calibration.json"
    before = likely(archive)
    kept.write_text(json.dumps({name: sound}))
    assert likely(archive) > before
    kept.write_text(json.dumps({name: sound | broken}))
    assert likely(archive) == pytest.approx(before, abs=1e-3)


def test_with_labels_a_table_says_what_is_right(archive: Path, queries: Path) -> None:
    command = ("calibrate", "--archive", archive, "--sentences", "50", "--queries", queries)
    found = succeed(*command, "--json").document
    known = found["queries"]
    assert known["count"] == len(PRESENT) + len(ABSENT)
    for when in ("before", "after"):
        assert sum(one["count"] for one in known[when]) == known["count"]
        assert 0 <= known[f"error_{when}"] <= 1
    assert found["correction"]["queries"] == known["count"]
    shown = succeed(*command)
    assert "█" in shown.out
    assert "calibration error over 12 queries" in shown.err
    kept: dict[str, Any] = json.loads((archive / "calibration.json").read_text())
    assert all(name.endswith(" dedicated") for name in kept)


def test_the_plot_is_a_file(archive: Path, queries: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot = tmp_path / "plot.svg"
    command = ("calibrate", "--archive", archive, "--sentences", "50", "--plot", plot)
    succeed(*command, "--queries", queries)
    assert plot.read_text("utf-8").lstrip().startswith("<?xml")
    refused = run(*command)
    assert (refused.code, "--queries" in refused.err) == (2, True)


def test_where_no_plot_can_be_written_that_is_said_early_or_the_correction_is_kept(
    archive: Path, queries: Path, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    command = ("calibrate", "--archive", archive, "--sentences", "50", "--queries", queries)
    for plot in (tmp_path / "nowhere" / "plot.svg", tmp_path):
        refused = run(*command, "--plot", plot)
        assert (refused.code, "--plot" in refused.err) == (2, True), refused
        assert not (archive / "calibration.json").exists()
    # There is a folder for it, but no file can be called so.
    ended = run(*command, "--plot", tmp_path / f"{'a' * 300}.svg", "--json")
    assert ended.document["stored"]
    assert (archive / "calibration.json").exists()
    assert (ended.code, "could not be written" in ended.err) == (1, True)


def test_what_cannot_be_calibrated_says_why(
    archive: Path, tmp_path: Path, demo_clips: list[Path]
) -> None:
    few = tmp_path / "few.jsonl"
    write_queries(few, [Query("a", "a dog", None, ())], "jsonl")
    for arguments, code, said in (
        (("--queries", few), 2, "at least 10"),
        (("--queries", tmp_path / "none.jsonl"), 2, "none.jsonl"),
        (("--heads", "other"), 2, "heads must be"),
        (("--sentences", "3"), 2, "sentences"),
    ):
        refused = run("calibrate", "--archive", archive, *arguments)
        assert (refused.code, said in refused.err) == (code, True), refused
    succeed("index", demo_clips[0], "--archive", tmp_path / "bare", "--no-regions")
    refused = run("calibrate", "--archive", tmp_path / "bare", "--sentences", "50")
    assert (refused.code, "--regions" in refused.err) == (2, True)
    missing = run("calibrate", "--archive", tmp_path / "nowhere")
    assert missing.code == 1
