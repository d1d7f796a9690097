"""Equal to the field's own evaluators in every number, on files that they were run on.

The files are not part of this repository; they lie beside it where it is developed.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vsr_edge.evaluation.benchmarks import (
    read_predictions,
    read_queries,
    write_predictions,
    write_queries,
)
from vsr_edge.evaluation.predictions import score_predictions

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
FILES = {
    "moment_detr": (
        "qvhighlights",
        "sample_val_preds.jsonl",
        "highlight_val_release.jsonl",
        "sample_val_preds_metrics_raw.json",
    ),
    "tvr": ("tvr", "predictions.json", "ground_truth.jsonl", "expected_metrics.json"),
    "tvr_four_annotators": (
        "tvr",
        "predictions.json",
        "ground_truth.jsonl",
        "expected_metrics.json",
    ),
}

pytestmark = pytest.mark.skipif(
    not (SHARED / "formats").is_dir(),
    reason=f"the benchmarks' files are not there: {SHARED / 'formats'}",
)


@pytest.mark.parametrize("name", FILES)
def test_every_number_is_the_evaluators_own(name: str) -> None:
    form, predictions, truth, expected = FILES[name]
    folder = SHARED / "formats" / name
    metrics = score_predictions(folder / predictions, folder / truth, form)["metrics"]
    assert metrics == json.loads((folder / expected).read_text("utf-8"))


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_written_again_score_the_same(name: str, tmp_path: Path) -> None:
    form, predictions, truth, expected = FILES[name]
    folder = SHARED / "formats" / name
    write_queries(tmp_path / "truth", read_queries(folder / truth, form), form)
    write_predictions(tmp_path / "predictions", read_predictions(folder / predictions, form), form)
    metrics = score_predictions(tmp_path / "predictions", tmp_path / "truth", form)["metrics"]
    assert metrics == json.loads((folder / expected).read_text("utf-8"))


def test_a_real_fine_grained_set_is_read() -> None:
    queries = read_queries(SHARED / "formats/verified/charades_fig_test_head.jsonl", "verified")
    assert len(queries) == 20
    assert queries[0].video == "TAQ25"


def test_this_projects_own_queries_are_read() -> None:
    queries = read_queries(SHARED / "archive/queries.jsonl", "jsonl")
    assert sum(query.present for query in queries) == 15
    assert len(queries) == 20
