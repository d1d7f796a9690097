"""Prediction files: read, written again the same, and refused with their line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.samples import OWN_PREDICTIONS, PREDICTIONS, QVHIGHLIGHTS_PREDICTIONS, put
from vsr_edge.errors import UsageError
from vsr_edge.evaluation.benchmarks import (
    FormatError,
    read_predictions,
    write_predictions,
)
from vsr_edge.evaluation.evaluate import video_ranking
from vsr_edge.evaluation.records import Judgement, Prediction


def plain(prediction: Prediction) -> tuple[object, ...]:
    saliency = None if prediction.saliency is None else prediction.saliency.tolist()
    sure = prediction.confidence, prediction.match_probability
    fields = (prediction.qid, prediction.query, prediction.decision, *sure)
    return (*fields, prediction.judged, dict(prediction.extra), saliency, [*prediction.listed(999)])


@pytest.mark.parametrize("form", PREDICTIONS)
def test_what_is_written_reads_as_it_was(form: str, tmp_path: Path) -> None:
    tasks = read_predictions(put(tmp_path, "first", PREDICTIONS[form]), form)
    write_predictions(tmp_path / "second", tasks, form)
    again = read_predictions(tmp_path / "second", form)
    assert list(again) == list(tasks)
    for task, predictions in tasks.items():
        assert [plain(row) for row in again[task]] == [plain(row) for row in predictions]


def test_tvr(tmp_path: Path) -> None:
    tasks = read_predictions(put(tmp_path, "p", PREDICTIONS["tvr"]), "tvr")
    assert list(tasks) == ["VCMR", "SVMR", "VR"]
    first = tasks["VCMR"][0]
    assert first.videos == ("house_s01e01_seg02_clip_00", "house_s01e01_seg02_clip_01")
    assert first.windows.tolist() == [[10, 20], [0, 5]]
    assert first.scores.tolist() == [0.9, 0.8]
    assert tasks["VR"][2].videos == ("#99",)
    assert len(tasks["SVMR"][3]) == 0


def test_tvr_with_the_other_name_of_its_map_and_without_scores(tmp_path: Path) -> None:
    text = '{"VCMR": [{"desc_id": 1, "predictions": [[0, 1, 2]]}], "vid2idx": {"a": 0}}'
    (row,) = read_predictions(put(tmp_path, "p", text), "tvr")["VCMR"]
    assert (row.videos, row.scores.tolist()) == (("a",), [0.0])


def test_qvhighlights(tmp_path: Path) -> None:
    tasks = read_predictions(put(tmp_path, "p", QVHIGHLIGHTS_PREDICTIONS), "qvhighlights")
    first = tasks["SVMR"][0]
    assert first.videos == ("x_0.0_20.0",) * 3
    assert first.saliency is not None
    assert len(first.saliency) == 10


def test_own(tmp_path: Path) -> None:
    tasks = read_predictions(put(tmp_path, "p", OWN_PREDICTIONS), "jsonl")
    first, *_, last = tasks["VCMR"]
    assert first.judged == (Judgement("/data/samples/cars.mp4", True, 0.9),)
    assert (last.decision, last.confidence, len(last)) == ("no_match", 0.7, 0)
    assert last.extra == {"turns": 3}


def test_what_first_moments_match_with_is_known_of_older_files_too(tmp_path: Path) -> None:
    rows = read_predictions(put(tmp_path, "p", OWN_PREDICTIONS), "jsonl")["VCMR"]
    assert [row.match_probability for row in rows] == pytest.approx([0.9, 0.4, 0.2, 0.3])
    new = (
        '{"qid": 1, "predictions": [], "decision": "no_match", "match_probability": 0.1}\n'
        '{"qid": 2, "predictions": [], "confidence": 0.8}\n'
    )
    rows = read_predictions(put(tmp_path, "new", new), "jsonl")["VCMR"]
    assert [row.match_probability for row in rows] == [0.1, None]
    wrong = put(tmp_path, "wrong", new.replace("0.1", "1.1"))
    with pytest.raises(FormatError, match="match_probability"):
        read_predictions(wrong, "jsonl")


OWN_LINE = OWN_PREDICTIONS.splitlines()[0]
QV_LINE = QVHIGHLIGHTS_PREDICTIONS.splitlines()[0]


@pytest.mark.parametrize(
    ("form", "line", "text", "message"),
    [
        ("tvr", 1, '{"VCMR": []}', "video2idx"),
        ("tvr", 1, '{"video2idx": {}}', "none of VCMR, SVMR, VR"),
        (
            "tvr",
            3,
            '{"video2idx": {"a": 0},\n"VR": [\n{"desc_id": 1}]}',
            '"predictions" is missing',
        ),
        (
            "tvr",
            2,
            '{"video2idx": {"a": 0}, "VR": [\n{"predictions": []}]}',
            '"desc_id" is missing',
        ),
        ("tvr", 1, '{"video2idx": {"a": "0"}, "VR": []}', "must be a number"),
        ("tvr", 1, '{"video2idx": {}, "VR": [{"desc_id": 1, "predictions": [[0, 1]]}]}', "score"),
        ("tvr", 1, '{"video2idx": {}, "VR": [{"desc_id": 1, "predictions": [1]}]}', "rows"),
        (
            "tvr",
            1,
            '{"video2idx": {}, "VR": [{"desc_id": 1, "predictions": [[0, 1, null]]}]}',
            "fin",
        ),
        ("qvhighlights", 1, QV_LINE.replace("[0, 4, 0.9]", "[0, 4]"), "one length"),
        ("qvhighlights", 2, QV_LINE + '\n{"qid": 12, "vid": "y"}', "in some rows"),
        ("qvhighlights", 2, QV_LINE + "\n" + QV_LINE, "came before"),
        ("jsonl", 1, OWN_LINE.replace('"match"', '"maybe"'), "must be one of match"),
        ("jsonl", 1, OWN_LINE.replace('"confidence": 0.9', '"confidence": 9'), "between 0 and 1"),
        ("jsonl", 1, OWN_LINE.replace("20, 22, 0.9", "20, 22"), r"\[video, start, end, score\]"),
        ("jsonl", 1, OWN_LINE.replace('"matched": true', '"matched": 1'), "true or false"),
        ("jsonl", 1, OWN_LINE.replace("20, 22", '20, "22"'), "must be a number"),
    ],
)
def test_a_malformed_row_is_refused_with_its_file_and_line(
    form: str, line: int, text: str, message: str, tmp_path: Path
) -> None:
    path = put(tmp_path, "predictions", text)
    with pytest.raises(FormatError, match=message) as caught:
        read_predictions(path, form)
    assert (caught.value.path, caught.value.line) == (path, line)


def prediction(count: int) -> Prediction:
    return Prediction(
        qid="q",
        query="x",
        videos=tuple(f"v{number % 3}" for number in range(count)),
        windows=np.column_stack([np.arange(count), np.arange(count) + 1.0]),
        scores=-np.arange(count, dtype=float),
    )


def test_at_most_a_hundred_moments_are_written(tmp_path: Path) -> None:
    for form in PREDICTIONS:
        write_predictions(tmp_path / form, {"VCMR": [prediction(300)]}, form)
        ((row,),) = read_predictions(tmp_path / form, form).values()
        assert len(row) == (34 if form == "qvhighlights" else 100)


def test_a_ranking_of_videos_holds_each_once(tmp_path: Path) -> None:
    ranking = video_ranking(prediction(10))
    assert ranking.videos == ("v0", "v1", "v2")
    assert ranking.scores.tolist() == [0.0, -1.0, -2.0]
    write_predictions(tmp_path / "p", {"VCMR": [prediction(4)], "VR": [ranking]}, "tvr")
    written = json.loads((tmp_path / "p").read_text())
    assert written["video2idx"] == {"v0": 0, "v1": 1, "v2": 2}
    assert written["VR"][0]["predictions"][1] == [1, 0.0, 0.0, -1.0]


def test_tasks_that_a_format_cannot_hold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds one task"):
        write_predictions(tmp_path / "p", {"VCMR": [], "VR": []}, "jsonl")
    with pytest.raises(UsageError, match="not QA"):
        write_predictions(tmp_path / "p", {"QA": []}, "tvr")
    with pytest.raises(UsageError, match="No format"):
        read_predictions(tmp_path / "p", "didemo")
