"""Score tables of prediction files, worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.evaluation.samples import (
    DIDEMO,
    FOUR_ANNOTATORS,
    OWN,
    OWN_PREDICTIONS,
    PREDICTIONS,
    QUERIES,
    QVHIGHLIGHTS,
    QVHIGHLIGHTS_PREDICTIONS,
    TVR,
    put,
)
from vsr_edge.errors import UsageError
from vsr_edge.evaluation.archive_scores import archive_tables, score_queries
from vsr_edge.evaluation.benchmarks import read_predictions, read_queries
from vsr_edge.evaluation.predictions import paired, score_predictions
from vsr_edge.evaluation.records import Judgement, Prediction, Query


def score(folder: Path, predictions: str, truth: str, form: str, **more: Any) -> dict[str, Any]:
    pair = put(folder, "predictions", predictions), put(folder, "truth", truth)
    metrics: dict[str, Any] = score_predictions(*pair, form, **more)["metrics"]
    return metrics


def test_tvr_tables(tmp_path: Path) -> None:
    metrics = score(tmp_path, PREDICTIONS["tvr"], TVR, "tvr")
    json.dumps(metrics, allow_nan=False)
    assert metrics["VCMR"] == {
        "0.5-r1": 50.0,
        "0.5-r5": 75.0,
        "0.5-r10": 75.0,
        "0.5-r100": 75.0,
        "0.7-r1": 25.0,
        "0.7-r5": 50.0,
        "0.7-r10": 50.0,
        "0.7-r100": 50.0,
    }
    assert metrics["SVMR"]["0.5-r1"] == 50.0
    assert metrics["SVMR"]["0.7-r5"] == 50.0
    assert metrics["VR"] == {"r1": 50.0, "r5": 75.0, "r10": 75.0, "r100": 75.0}
    by_type = metrics["VCMR_by_type"]
    assert by_type["v-0.5-r1"] == 50.0
    assert (by_type["t-0.7-r1"], by_type["t-0.7-r5"]) == (0.0, 100.0)
    assert by_type["desc_type_ratio"] == "v 50.0 t 25.0 vt 25.0"


def test_tvr_looks_at_a_hundred_predictions_whatever_their_scores(tmp_path: Path) -> None:
    truth = '{"vid_name": "a", "ts": [0, 5], "desc": "", "desc_id": 1}'
    wrong = [[0, 50, 60, 0.0]] * 99
    for extra, expected in ((0, 100.0), (1, 0.0)):
        rows = [{"desc_id": 1, "predictions": wrong + wrong[:extra] + [[0, 0, 5, 9.0]]}]
        text = json.dumps({"video2idx": {"a": 0}, "VCMR": rows})
        metrics = score(tmp_path, text, truth, "tvr")
        assert metrics["VCMR"]["0.5-r100"] == expected
        assert "VCMR_by_type" not in metrics


def test_a_type_without_queries_has_no_rows(tmp_path: Path) -> None:
    truth = '{"vid_name": "a", "ts": [0, 5], "desc": "", "desc_id": 1, "type": "vt"}'
    text = '{"video2idx": {"a": 0}, "VR": [{"desc_id": 1, "predictions": [[0, 0, 0]]}]}'
    by_type = score(tmp_path, text, truth, "tvr")["VR_by_type"]
    assert set(by_type) == {"vt-r1", "vt-r5", "vt-r10", "vt-r100", "desc_type_ratio"}
    assert by_type["desc_type_ratio"] == "v 0.0 t 0.0 vt 100.0"


def test_two_of_four_annotators_must_overlap(tmp_path: Path) -> None:
    rows = [
        {"desc_id": 7, "predictions": [[0, 5, 10, 1], [0, 0, 5, 1]]},
        {"desc_id": 8, "predictions": [[1, 0, 5, 1], [1, 5, 15, 1]]},
    ]
    text = json.dumps({"video2idx": {"a": 0, "b": 1}, "VCMR": rows})
    vcmr = score(tmp_path, text, FOUR_ANNOTATORS, "tvr")["VCMR"]
    assert (vcmr["0.5-r1"], vcmr["0.5-r5"], vcmr["0.7-r5"]) == (0.0, 100.0, 50.0)


def test_a_submission_in_tvrs_form_for_another_sets_truth(tmp_path: Path) -> None:
    rows = [{"desc_id": 5, "predictions": [[0, 5, 10]]}, {"desc_id": 6, "predictions": []}]
    text = json.dumps({"video2idx": {"/data/9_cat.mov": 0}, "VCMR": rows})
    vcmr = score(tmp_path, text, DIDEMO, "tvr", truth_format="didemo")["VCMR"]
    assert vcmr["0.7-r1"] == 50.0


def test_qvhighlights_tables(tmp_path: Path) -> None:
    metrics = score(tmp_path, QVHIGHLIGHTS_PREDICTIONS, QVHIGHLIGHTS, "qvhighlights")
    json.dumps(metrics, allow_nan=False)
    assert list(metrics) == [
        *("brief", "HL-min-Fair", "HL-min-Good", "HL-min-VeryGood"),
        *("full", "long", "middle", "short"),
    ]
    # Query 11: hits at ranks 1 and 3 of 2; query 12: IoU 0.5.
    first = (1 + 2 / 3) / 2
    assert metrics["full"]["MR-mAP"]["0.5"] == round(50 * (first + 1), 2)
    assert metrics["full"]["MR-mAP"]["0.55"] == round(50 * first, 2)
    assert metrics["full"]["MR-R1"]["0.5"] == 100.0
    assert metrics["full"]["MR-R1"]["0.55"] == 50.0
    assert metrics["short"]["MR-mAP"]["average"] == round(100 * first, 2)
    assert metrics["long"]["MR-mAP"]["average"] == 10.0
    assert set(metrics["middle"]["MR-R1"].values()) == {None}
    # Clips 0, 5 are the best of query 11; clip 2 of query 12 is only "bad".
    assert metrics["HL-min-Fair"]["HL-Hit1"] == 50.0
    assert metrics["brief"]["HL-min-Fair-Hit1"] == 50.0
    assert list(metrics["brief"])[:3] == ["MR-full-R1@0.5", "MR-full-R1@0.7", "MR-full-mAP"]


def test_qvhighlights_counts_ten_windows(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in QVHIGHLIGHTS_PREDICTIONS.splitlines()]
    rows[1]["pred_relevant_windows"] = [[0, 1, 0.1]] * 10 + [[4, 36, 0.9]]
    text = "\n".join(json.dumps(row) for row in rows)
    metrics = score(tmp_path, text, QVHIGHLIGHTS, "qvhighlights")
    assert metrics["long"]["MR-mAP"]["average"] == 0.0


def test_qvhighlights_with_moments_or_highlights_alone(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in QVHIGHLIGHTS_PREDICTIONS.splitlines()]
    full = score(tmp_path, QVHIGHLIGHTS_PREDICTIONS, QVHIGHLIGHTS, "qvhighlights")
    for column, kept in (
        ("pred_saliency_scores", "full"),
        ("pred_relevant_windows", "HL-min-Good"),
    ):
        text = "\n".join(
            json.dumps({key: value for key, value in row.items() if key != column}) for row in rows
        )
        metrics = score(tmp_path, text, QVHIGHLIGHTS, "qvhighlights")
        assert metrics[kept] == full[kept]
        assert len(metrics) == (5 if kept == "full" else 4)


def test_moments_of_another_video_score_nothing(tmp_path: Path) -> None:
    text = QVHIGHLIGHTS_PREDICTIONS.replace("y_0.0_40.0", "z_0.0_40.0")
    metrics = score(tmp_path, text, QVHIGHLIGHTS, "qvhighlights")
    assert metrics["long"]["MR-R1"]["0.5"] == 0.0
    assert metrics["long"]["MR-mAP"]["average"] == 0.0
    assert metrics["HL-min-Good"]["HL-Hit1"] == 50.0


def test_saliency_needs_truth(tmp_path: Path) -> None:
    truth = QVHIGHLIGHTS.replace("saliency_scores", "other").replace("relevant_clip_ids", "more")
    with pytest.raises(UsageError, match="pred_saliency_scores"):
        score(tmp_path, QVHIGHLIGHTS_PREDICTIONS, truth, "qvhighlights")


def test_archive_tables(tmp_path: Path) -> None:
    metrics = score(tmp_path, OWN_PREDICTIONS, OWN, "jsonl")
    json.dumps(metrics, allow_nan=False)
    assert metrics["queries"] == {"all": 4, "present": 2, "absent": 2}
    # "b" is found third with IoU 0.6, in the second video, though the verdict is "not there".
    assert metrics["VCMR"]["0.5-r1"] == 50.0
    assert metrics["VCMR"]["0.5-r5"] == 100.0
    assert metrics["VCMR"]["0.7-r100"] == 50.0
    assert metrics["VCMR_answered"]["0.5-r5"] == 50.0
    assert metrics["VR"] == {"r1": 50.0, "r5": 100.0, "r10": 100.0, "r100": 100.0, "median_rank": 1}
    # "a" finds one of its two moments first; "b" one at rank 3 up to IoU 0.6.
    assert metrics["mAP"]["0.5"] == round(50 * (1 / 2 + 1 / 3), 2)
    assert metrics["mAP"]["0.65"] == 25.0
    assert metrics["VER"] == {"accuracy": 75.0, "judged": 4}
    assert metrics["not_there"] == {"precision": 66.67, "recall": 100.0, "claims": 3}
    # All verdicts are right: what "b" denies is its first moment, which lies in another video.
    # Those of "a", "b", "c" match with 0.9, 0.4, 0.2, as is said; only that of "a" really does.
    assert metrics["confidence"] == {
        "accuracy": 100.0,
        "risk_coverage_area": round(100 * (0 + 1 / 2 + 2 / 3) / 3, 2),
        "calibration_error": round(100 * (0.1 + 0.4 + 0.2) / 3, 2),
        "verdicts": 4,
    }


def test_the_match_probability_counts_whatever_the_verdict_and_its_confidence(
    tmp_path: Path,
) -> None:
    rows = [json.loads(line) for line in OWN_PREDICTIONS.splitlines()]
    for row, likely in zip(rows, (0.9, 0.4, 0.2, None), strict=True):
        row["match_probability"] = likely
        if row["decision"] == "no_match":
            del row["confidence"]
    new = score(tmp_path, "\n".join(map(json.dumps, rows)), OWN, "jsonl")
    assert new == score(tmp_path, OWN_PREDICTIONS, OWN, "jsonl")


def test_no_claim_of_absence_has_a_precision_where_nothing_is_absent(tmp_path: Path) -> None:
    rows, truth = ("\n".join(text.splitlines()[:2]) for text in (OWN_PREDICTIONS, OWN))
    metrics = score(tmp_path, rows, truth, "jsonl")
    assert metrics["not_there"] == {"precision": None, "recall": None, "claims": 1}


def test_an_archive_without_verdicts_or_without_what_is_asked(tmp_path: Path) -> None:
    truth = OWN.splitlines()[2]
    text = '{"qid": "c", "predictions": [["a.mp4", 0, 1, 0.5]]}'
    assert score(tmp_path, text, truth, "jsonl") == {
        "queries": {"all": 1, "present": 0, "absent": 1}
    }
    text = '{"qid": "c", "predictions": [], "decision": "match"}'
    metrics = score(tmp_path, text, truth, "jsonl")
    assert metrics["not_there"] == {"precision": None, "recall": 0.0, "claims": 0}


@pytest.mark.parametrize("form", PREDICTIONS)
def test_the_order_of_the_rows_is_no_matter(form: str, tmp_path: Path) -> None:
    truth = QUERIES[form]
    turned = "\n".join(reversed(truth.splitlines()))
    before = score(tmp_path, PREDICTIONS[form], truth, form)
    assert score(tmp_path, PREDICTIONS[form], turned, form) == before


def test_files_about_different_queries_are_refused(tmp_path: Path) -> None:
    lines = OWN_PREDICTIONS.splitlines()
    with pytest.raises(UsageError, match=r"answers 3 of the 4 queries of .*: 'd' is missing"):
        score(tmp_path, "\n".join(lines[:3]), OWN, "jsonl")
    with pytest.raises(UsageError, match=r"answers 1 queries .* such as 'd'"):
        score(tmp_path, OWN_PREDICTIONS, "\n".join(OWN.splitlines()[:3]), "jsonl")
    with pytest.raises(UsageError, match="No format"):
        score(tmp_path, OWN_PREDICTIONS, OWN, "verified")


def test_scores_by_query_are_what_the_table_averages(tmp_path: Path) -> None:
    truth, source = put(tmp_path, "truth", OWN), put(tmp_path, "p", OWN_PREDICTIONS)
    queries = read_queries(truth, "jsonl")
    rows = paired(read_predictions(source, "jsonl")["VCMR"], queries, source, truth)
    scores = score_queries(rows, queries)
    assert scores.present.tolist() == [True, True, False, False]
    assert scores.moments.tolist() == [[1, 1, 1], [3, 3, np.inf], [np.inf] * 3, [np.inf] * 3]
    assert scores.denied.tolist() == [False, True, True, True]
    assert scores.videos.tolist() == [1.0, 2.0, np.inf, np.inf]
    assert scores.average_precision.shape == (4, 10)


def test_verdicts_are_right_in_both_ways_or_wrong_in_both() -> None:
    queries = [Query(n, "x", "a" if n < 2 else None, ((0.0, 1.0),) * (n < 2)) for n in range(4)]
    rows = [
        Prediction(
            qid=n,
            query="x",
            videos=("a",),
            windows=np.array([[0.0, 1.0]]),
            scores=np.ones(1),
            decision="match" if n % 2 == 0 else "no_match",
            judged=(Judgement("a", n % 2 == 0),),
        )
        for n in range(4)
    ]
    tables = archive_tables(score_queries(rows, queries))
    assert tables["VER"] == {"accuracy": 50.0, "judged": 4}
    assert tables["not_there"] == {"precision": 50.0, "recall": 50.0, "claims": 2}
    assert tables["confidence"]["accuracy"] == 50.0
