"""Queries through a real search: what is kept, what is saved, what the figures say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vsr_edge import Archive, open_archive
from vsr_edge.answer import SearchResult
from vsr_edge.errors import UsageError
from vsr_edge.evaluation.archive_scores import summarize
from vsr_edge.evaluation.benchmarks import read_predictions, write_queries
from vsr_edge.evaluation.evaluate import (
    Run,
    check_format,
    durations_by_name,
    path_document,
    run_queries,
    save_run,
)
from vsr_edge.evaluation.predictions import compare_files, score_predictions
from vsr_edge.evaluation.records import Query

QUERIES = (
    Query(1, "a bicycle leaning against a wall", "bikes.mp4", ((7.5, 9.7),)),
    Query(2, "a rabbit standing on grass", "data/bigbuckbunny.mp4", ((0.0, 99.0),)),
    Query(3, "a man with a bow tie", "carphone_pristine", ((0.0, 99.0),), extra={"kind": "man"}),
    Query(4, "an elephant in a river", None, (), extra={"kind": "absent"}),
    Query(5, "a ship", "elsewhere.mp4", ((0.0, 1.0),), extra={"kind": "man"}),
)


@pytest.fixture(scope="module")
def archive(demo_archive: Path) -> Iterator[Archive]:
    with open_archive(demo_archive) as opened:
        yield opened


@pytest.fixture(scope="module")
def run(archive: Archive) -> Run:
    # The demo's footage is short: few candidates a turn leave some for the next.
    return ask(archive, QUERIES, candidates=1)


def ask(archive: Archive, queries: tuple[Query, ...], **search: Any) -> Run:
    durations = {str(v.video.path): v.video.duration for v in archive.videos()}
    return run_queries(
        lambda query: archive.search(query, **search), queries, durations, lambda *_: None
    )


def truth_file(folder: Path, queries: tuple[Query, ...], form: str = "jsonl") -> Path:
    path = folder / f"truth.{form}"
    write_queries(path, queries, form)
    return path


def test_every_query_has_its_answer_and_its_path(run: Run) -> None:
    assert [p.qid for p in run.predictions] == [1, 2, 3, 4, 5]
    assert all(len(p) for p in run.predictions)
    assert run.missing == ("elsewhere.mp4",)
    assert not run.interrupted
    path: Any = path_document(run.paths)
    assert 1 <= path["turns"] <= 3
    assert path["encoder_calls"] == pytest.approx(1 + path["refinements"])
    assert path["soft_tokens"] == pytest.approx(8 * path["refinements"])
    assert path["refinements"] > 0
    for prediction in run.predictions:
        assert prediction.decision in {"match", "no_match"}
        assert prediction.judged
        likely = [j.probability for j in prediction.judged if j.probability is not None]
        assert prediction.match_probability == max(likely) == prediction.scores[0]
        assert any(j.matched for j in prediction.judged) == (prediction.decision == "match")
        assert (np.diff(prediction.scores) <= 0).all()
    latency = path["latency_ms"]
    assert {"encode", "retrieve", "ground", "total"} <= set(latency)
    assert latency["total"]["p50"] <= latency["total"]["p95"]
    spent = sum(path.timing_ms["total"] for path in run.paths) / 1000
    assert run.search_seconds == pytest.approx(spent)


def test_a_span_to_the_end_is_as_long_as_the_footage(run: Run, archive: Archive) -> None:
    durations = {v.video.path.name: v.video.duration for v in archive.videos()}
    assert run.queries[1].spans == ((0.0, durations["bigbuckbunny.mp4"]),)
    assert run.queries[2].spans == ((0.0, durations["carphone_pristine.mp4"]),)
    assert run.queries[0].spans == QUERIES[0].spans


def test_figures_have_intervals_that_hold_them_and_tables_by_kind(run: Run) -> None:
    document: Any = summarize(run.predictions, run.queries)
    metrics, intervals = document["metrics"], document["intervals"]
    assert metrics["queries"] == {"all": 5, "present": 4, "absent": 1}
    assert metrics["VR"]["r1"] == 75.0
    for table, figures in intervals.items():
        for name, (low, high) in figures.items():
            value = metrics[table][name]
            assert value is None or low <= value <= high
    assert set(document["by_kind"]) == {"man", "absent"}
    assert document["by_kind"]["man"]["queries"]["all"] == 2
    json.dumps(document, allow_nan=False)


def test_saved_answers_score_as_the_run_did(run: Run, tmp_path: Path) -> None:
    saved = tmp_path / "a.jsonl"
    save_run(run, saved, "jsonl")
    scored: Any = score_predictions(saved, truth_file(tmp_path, QUERIES), "jsonl")
    assert scored["metrics"] == summarize(run.predictions, run.queries)["metrics"]


@pytest.mark.parametrize("form", ["tvr", "qvhighlights"])
def test_answers_saved_for_others_evaluators_name_videos_as_the_truth_does(
    run: Run, tmp_path: Path, form: str
) -> None:
    present = tuple(replace(q, duration=60.0, extra={}) for q in QUERIES if q.present)
    saved = tmp_path / f"a.{form}"
    save_run(run, saved, form)
    tasks = read_predictions(saved, form)
    for rows in tasks.values():
        assert [row.qid for row in rows] == [1, 2, 3, 5]
    first = tasks["SVMR"][0]
    assert set(first.videos) == {"bikes.mp4"}
    truth = [replace(q, saliency={}) for q in present] if form == "qvhighlights" else present
    if form == "tvr":
        scored: Any = score_predictions(saved, truth_file(tmp_path, tuple(truth), form), form)
        assert scored["metrics"]["VR"]["r1"] == 75.0


def test_a_run_against_itself_differs_by_nothing_and_a_shorter_list_is_no_better(
    run: Run, archive: Archive, tmp_path: Path
) -> None:
    truth = truth_file(tmp_path, QUERIES)
    full, short = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    save_run(run, full, "jsonl")
    save_run(ask(archive, QUERIES, top_k=1), short, "jsonl")
    same: Any = compare_files(full, full, truth, "jsonl")
    assert all(v == [0, 0, 0] for table in same["difference"].values() for v in table.values())
    fewer: Any = compare_files(full, short, truth, "jsonl")
    assert fewer["difference"]["VR"]["r1"] == [0.0, 0.0, 0.0]
    assert fewer["difference"]["VCMR"]["0.3-r100"][0] >= 0
    assert fewer["a"]["VR"]["r1"] == fewer["b"]["VR"]["r1"]


def test_ctrl_c_keeps_what_was_answered(archive: Archive) -> None:
    answered = 0

    def search(query: str) -> SearchResult:
        nonlocal answered
        answered += 1
        if answered == 4:  # the first one warms up
            raise KeyboardInterrupt
        return archive.search(query)

    run = run_queries(search, QUERIES, {}, lambda *_: None)
    assert run.interrupted
    assert [q.qid for q in run.queries] == [1, 2]
    assert len(run.predictions) == len(run.paths) == 2


def test_names_that_mean_a_video() -> None:
    named = durations_by_name({"/srv/cam1/a.b.mp4": 5.0, "/srv/cam2/a.b.mp4": 7.0})
    assert named["cam1/a.b.mp4"] == 5.0
    assert named["cam1/a.b"] == 5.0
    assert named["a.b.mp4"] == 7.0
    assert "b.mp4" not in named


def test_unknown_formats_are_refused_before_the_search() -> None:
    with pytest.raises(UsageError, match="no format 'csv'"):
        check_format("csv")
