"""Equal to the field's own evaluators in every number: on small files with figures worked out by
hand, and on the large ones that those evaluators were run on.

The large ones are not part of this repository; they lie beside it where it is developed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.evaluation.samples import (
    FOUR_ANNOTATORS,
    PREDICTIONS,
    QVHIGHLIGHTS,
    QVHIGHLIGHTS_PREDICTIONS,
    TVR,
    put,
)
from vsr_edge.evaluation.benchmarks import (
    read_predictions,
    read_queries,
    write_predictions,
    write_queries,
)
from vsr_edge.evaluation.metrics import MAP_THRESHOLDS
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
beside = pytest.mark.skipif(
    not (SHARED / "formats").is_dir(),
    reason=f"the benchmarks' files are not there: {SHARED / 'formats'}",
)


def recall(figures: dict[str, tuple[float, float]]) -> dict[str, Any]:
    """TVR's keys, from R@1 and what R@5, 10 and 100 have in common."""
    return {
        f"{label}r{k}": first if k == 1 else later
        for label, (first, later) in figures.items()
        for k in (1, 5, 10, 100)
    }


RATIO = {"desc_type_ratio": "v 50.0 t 25.0 vt 25.0"}
# Queries 1 (v), 2 (t), 3 (vt) and 4 (v). VCMR: 1 is right at rank 1 (IoU 0.95), 2 at rank 2, 3 at
# rank 1 with an IoU of 0.5, 4 nowhere. SVMR: ranks 2, 1 (another video is passed over), 1 with 0.5,
# nowhere. VR: ranks 1, 2, nowhere, 1.
TVR_FIGURES = {
    "VCMR": recall({"0.5-": (50.0, 75.0), "0.7-": (25.0, 50.0)}),
    "SVMR": recall({"0.5-": (50.0, 75.0), "0.7-": (25.0, 50.0)}),
    "VR": recall({"": (50.0, 75.0)}),
    "VCMR_by_type": RATIO
    | recall({"v-0.5-": (50.0, 50.0), "v-0.7-": (50.0, 50.0)})
    | recall({"t-0.5-": (0.0, 100.0), "t-0.7-": (0.0, 100.0)})
    | recall({"vt-0.5-": (100.0, 100.0), "vt-0.7-": (0.0, 0.0)}),
    "SVMR_by_type": RATIO
    | recall({"v-0.5-": (0.0, 50.0), "v-0.7-": (0.0, 50.0)})
    | recall({"t-0.5-": (100.0, 100.0), "t-0.7-": (100.0, 100.0)})
    | recall({"vt-0.5-": (100.0, 100.0), "vt-0.7-": (0.0, 0.0)}),
    "VR_by_type": RATIO | recall({"v-": (100.0, 100.0), "t-": (0.0, 100.0), "vt-": (0.0, 0.0)}),
}

# Two of four annotators must overlap: VCMR at rank 2 for both queries, for the second with an IoU
# of 0.5; SVMR at rank 1, another video's moment being passed over, again 0.5 for the second.
FOUR = {
    "video2idx": {"a": 0, "b": 1},
    "VCMR": [
        {"desc_id": 7, "desc": "", "predictions": [[0, 5, 10, 1], [0, 0, 5, 1]]},
        {"desc_id": 8, "desc": "", "predictions": [[1, 0, 5, 1], [1, 5, 15, 1]]},
    ],
    "SVMR": [
        {"desc_id": 7, "desc": "", "predictions": [[1, 0, 5, 1], [0, 0, 5, 1]]},
        {"desc_id": 8, "desc": "", "predictions": [[1, 0, 10, 1]]},
    ],
}
FOUR_FIGURES = {
    "VCMR": recall({"0.5-": (0.0, 100.0), "0.7-": (0.0, 50.0)}),
    "SVMR": recall({"0.5-": (100.0, 100.0), "0.7-": (50.0, 50.0)}),
}


def levels(at_half: float | None, above: float | None) -> dict[str, float | None]:
    return {str(level): at_half if level == 0.5 else above for level in MAP_THRESHOLDS}


def moments(
    precision: tuple[float | None, float | None, float | None],
    r1: tuple[float | None, float | None],
) -> dict[str, Any]:
    """A table from mAP at IoU 0.5, at all above and on average, and R1 at 0.5 and above."""
    return {"MR-mAP": levels(*precision[:2]) | {"average": precision[2]}, "MR-R1": levels(*r1)}


# Query 11 has true windows of 4 s and 2 s, found at ranks 1 and 3: AP (1 + 2/3) / 2. Query 12 has
# one of 32 s, of which half is found. Over annotators and queries, clips of 11 are ranked 0, 5, 6,
# 1 and those of 12 2, 3, 4: "Fair" ((3/4 + 11/12 + 1) / 3 + 2/3) / 2, "Good" ((1 + 11/12 + 1) / 3
# + 2/3) / 2, "VeryGood" ((1 + 1 + 1/2) / 3 + 1/3) / 2; the first of 12 is positive at no level.
QVHIGHLIGHTS_FIGURES = {
    "brief": {
        "MR-full-R1@0.5": 100.0,
        "MR-full-R1@0.7": 50.0,
        "MR-full-mAP": 46.67,
        "MR-full-mAP@0.5": 91.67,
        "MR-full-mAP@0.75": 41.67,
        "MR-long-mAP": 10.0,
        "MR-middle-mAP": None,
        "MR-short-mAP": 83.33,
        "HL-min-Fair-mAP": 77.78,
        "HL-min-Fair-Hit1": 50.0,
        "HL-min-Good-mAP": 81.94,
        "HL-min-Good-Hit1": 50.0,
        "HL-min-VeryGood-mAP": 58.33,
        "HL-min-VeryGood-Hit1": 50.0,
    },
    "HL-min-Fair": {"HL-mAP": 77.78, "HL-Hit1": 50.0},
    "HL-min-Good": {"HL-mAP": 81.94, "HL-Hit1": 50.0},
    "HL-min-VeryGood": {"HL-mAP": 58.33, "HL-Hit1": 50.0},
    "full": moments((91.67, 41.67, 46.67), (100.0, 50.0)),
    "long": moments((100.0, 0.0, 10.0), (100.0, 0.0)),
    "middle": moments((None, None, None), (None, None)),
    "short": moments((83.33, 83.33, 83.33), (100.0, 100.0)),
}

SMALL = {
    "tvr": ("tvr", PREDICTIONS["tvr"], TVR, TVR_FIGURES),
    "four annotators": ("tvr", json.dumps(FOUR), FOUR_ANNOTATORS, FOUR_FIGURES),
    "qvhighlights": (
        "qvhighlights",
        QVHIGHLIGHTS_PREDICTIONS,
        QVHIGHLIGHTS,
        QVHIGHLIGHTS_FIGURES,
    ),
}


def check(form: str, predictions: Path, truth: Path, expected: object, folder: Path) -> None:
    """The figures of two files are those expected, and once more when both are written again."""
    metrics = score_predictions(predictions, truth, form)["metrics"]
    assert metrics == expected
    write_queries(folder / "again.truth", read_queries(truth, form), form)
    write_predictions(folder / "again", read_predictions(predictions, form), form)
    assert score_predictions(folder / "again", folder / "again.truth", form)["metrics"] == metrics


@pytest.mark.parametrize("name", SMALL)
def test_every_number_of_small_files_is_the_one_worked_out_by_hand(
    name: str, tmp_path: Path
) -> None:
    form, predictions, truth, expected = SMALL[name]
    pair = put(tmp_path, "predictions", predictions), put(tmp_path, "truth", truth)
    check(form, *pair, expected, tmp_path)


@beside
@pytest.mark.parametrize("name", FILES)
def test_every_number_of_large_files_is_the_evaluators_own(name: str, tmp_path: Path) -> None:
    form, predictions, truth, expected = FILES[name]
    folder = SHARED / "formats" / name
    metrics = json.loads((folder / expected).read_text("utf-8"))
    check(form, folder / predictions, folder / truth, metrics, tmp_path)


@beside
def test_a_real_fine_grained_set_is_read() -> None:
    queries = read_queries(SHARED / "formats/verified/charades_fig_test_head.jsonl", "verified")
    assert len(queries) == 20
    assert queries[0].video == "TAQ25"


@beside
def test_this_projects_own_queries_are_read() -> None:
    queries = read_queries(SHARED / "archive/queries.jsonl", "jsonl")
    assert sum(query.present for query in queries) == 15
    assert len(queries) == 20
