"""Asking with pictures, with moments, by feedback, by name, and many at once."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.e2e.command import COMMAND, TIMEOUT, Ended, run, succeed
from tests.e2e.test_documents import described, model
from vsr_edge import open_archive

MAN, BIKE = "a man with a bow tie in a car", "a bicycle leaning against a wall"


@pytest.fixture
def archive(demo_archive: Path, tmp_path: Path) -> Path:
    """A copy, for answers and saved searches are kept in it."""
    return Path(shutil.copytree(demo_archive, tmp_path / "archive"))


@pytest.fixture
def photo(demo_archive: Path, demo_clips: list[Path], tmp_path: Path) -> Path:
    """A photo of the bicycle, lying on its side and marked so, as phones write it."""
    with open_archive(demo_archive) as opened:
        pixels = opened.frame(next(one for one in demo_clips if one.stem == "bikes"), 8.0)
    lying = Image.fromarray(pixels).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    lying.save(tmp_path / "photo.jpg", exif=exif)
    return tmp_path / "photo.jpg"


def lines(ended: Ended) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ended.out.splitlines()]


def test_a_photo_is_a_query(archive: Path, photo: Path) -> None:
    ended = succeed("search", "--like", photo.name, "-a", archive, "--json", cwd=photo.parent)
    found = described(ended, "search")
    assert (found["query"], found["verdict"]) == ("like photo.jpg", "unverified")
    best = found["moments"][0]
    assert Path(best["video"]).name == "bikes.mp4"
    assert best["start"] <= 8.0 <= best["end"]
    assert best["score"] > 0.9
    told = succeed("search", "--like", photo, "-a", archive)
    assert "unverified: only what is said in words is verified" in told.err
    ended = run("search", "photo.jpg", "-a", archive, cwd=photo.parent)
    assert (ended.code, ended.out) == (2, "")
    assert (
        "photo.jpg names a picture: to find what looks like it, vsr-edge search --like" in ended.err
    )


def test_a_photo_and_a_sentence_are_one_query(archive: Path, photo: Path) -> None:
    at = ("-a", archive, "--json")
    ended = run("search", "a", "bicycle", "--like", photo, "--weight", "0.3", *at)
    found = described(ended, "search")
    assert found["query"] == "a bicycle like photo.jpg"
    assert found["verdict"] != "unverified"
    assert Path(found["moments"][0]["video"]).name == "bikes.mp4"


def test_similar_is_the_same_as_like(archive: Path) -> None:
    at = ("-a", archive, "--json")
    one = described(succeed("similar", "bikes.mp4@0:08", *at), "search")
    other = succeed("search", "--like", "bikes.mp4@8", *at).document
    assert one["moments"] == other["moments"]
    assert any("left out is the moment itself" in notice for notice in one["notices"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing is asked for"),
        (["--not", "a cat"], "nothing is asked for"),
        (["a man", "--weight", "0.5"], "--weight is that of --like beside a sentence"),
        (["a man", "--like", "x.jpg", "--weight", "1"], "weight must lie between 0 and 1"),
        (["--good", "1"], "no answer is kept"),
        (["a man", "--queries", "-"], "--queries brings its own"),
        (["--queries", "gone.jsonl"], "gone.jsonl cannot be read"),
        (["a man", "--remember", "../x"], "cannot be saved as '../x'"),
    ],
)
def test_what_does_not_go_together_is_a_usage_error(
    arguments: list[str], message: str, archive: Path
) -> None:
    (archive / "last-answer.json").unlink(missing_ok=True)  # of another test
    ended = run("search", *arguments, "-a", archive)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err


def test_feedback_lasts(archive: Path) -> None:
    at = ("-a", archive, "--json")
    first = succeed("search", MAN, *at).document["moments"]
    assert len(first) > 2
    ended = run("search", "--good", "1", "--bad", "2-3", "--remember", "bow-tie", *at)
    found = described(ended, "search")
    assert found["query"] == f"{MAN} (1 liked, 2 rejected)"
    assert "saved as bow-tie: vsr-edge saved run bow-tie" in ended.err
    assert found["moments"][0]["video"] == first[0]["video"]
    spans = [(one["video"], one["start"], one["end"]) for one in found["moments"]]
    assert not {(one["video"], one["start"], one["end"]) for one in first[1:3]} & set(spans)
    # What is judged next adds to it, and counts as it is judged now; the saved one stays as it was.
    again = run("search", "--bad", "1", *at).document
    assert again["query"] == f"{MAN} (0 liked, 3 rejected)"
    listed = described(succeed("saved", "list", *at), "saved")["saved"]
    assert [(one["name"], one["good"], one["bad"]) for one in listed] == [("bow-tie", 1, 2)]
    asked = described(run("saved", "run", "bow-tie", *at), "search")
    assert asked["moments"] == found["moments"]
    assert "bow-tie" in succeed("saved", "list", "-a", archive).out
    ended = run("search", "--good", "40", "-a", archive)
    assert ended.code == 2
    assert "the last answer has no moment 40" in ended.err
    forgotten = described(succeed("saved", "forget", "bow-tie", *at), "saved-forget")
    assert forgotten["forgotten"] == ["bow-tie"]
    ended = run("saved", "run", "bow-tie", "-a", archive)
    assert ended.code == 2
    assert "no search is saved as 'bow-tie'" in ended.err
    assert run("saved", "forget", "bow-tie", "-a", archive).code == 1


def test_a_saved_search_has_its_filters(archive: Path, demo_clips: list[Path]) -> None:
    at = ("-a", archive, "--json")
    folder, bikes = demo_clips[0].parent, next(one for one in demo_clips if one.stem == "bikes")
    others = next(one.name for one in demo_clips if one != bikes)
    # A path from where it was saved means the same from elsewhere.
    options = ("--video", bikes.name, "--max-duration", "1h", "--remember", "street")
    first = run("search", MAN, *options, *at, cwd=folder).document
    again = run("saved", "run", "street", *at).document
    assert again["moments"] == first["moments"]
    assert {one["video"] for one in again["moments"]} == {str(bikes)}
    (listed,) = described(succeed("saved", "list", *at), "saved")["saved"]
    assert listed["filters"]["video"] == [str(bikes)]
    assert listed["filters"]["max_duration"] == "1h"
    assert "max-duration 1h" in succeed("saved", "list", "-a", archive).out
    # What is given anew counts in place of what was kept, and that alone.
    other = run("saved", "run", "street", "--video", others, *at).document
    assert {Path(one["video"]).name for one in other["moments"]} == {others}
    longer = run("saved", "run", "street", "--min-duration", "30m", *at)
    assert (longer.code, longer.document["moments"]) == (3, [])
    receipt = archive / "receipt.json"
    run("saved", "run", "street", "--receipt", receipt, *at)
    assert json.loads(receipt.read_text())["searched"]["videos"] == 1


def test_a_saved_search_outlives_reindexing(archive: Path, photo: Path) -> None:
    at = ("-a", archive, "--json")
    options = ("--like", photo.name, "--remember", "bike")
    found = succeed("search", *options, *at, cwd=photo.parent).document
    succeed("reindex", "--bundle", "lite", "-a", archive)
    asked = succeed("saved", "run", "bike", *at, cwd=archive).document
    assert asked["moments"] == found["moments"]


def test_many_queries_are_answered_line_by_line(archive: Path, photo: Path) -> None:
    asked = [
        {"id": "a", "query": MAN, "top_k": 1},
        {"id": 2, "like": "bikes.mp4@0:08", "video": ["bikes.mp4"]},
        {"query": BIKE, "like": str(photo), "weight": 0.4, "not": "a man"},
    ]
    text = "\n".join(map(json.dumps, asked))
    wrong = '\n{"id": "w", "qeury": 1}\n\n{"query": 5}\nno json\n[]\n{"like": "gone.jpg"}\n'
    file = photo.parent / "queries.jsonl"
    file.write_text(text + wrong, "utf-8")
    ended = run("search", "--queries", file, "-a", archive)
    assert ended.code == 1
    found = lines(ended)
    assert [one["schema"] for one in found] == [
        *["vsr-edge/search/1"] * 3,
        *["vsr-edge/error/1"] * 5,
    ]
    for one in found:
        name = one["schema"].split("/")[1]
        assert model(name).model_validate(one).model_dump(by_alias=True) == one
    assert [one["id"] for one in found] == ["a", 2, None, "w", *[None] * 4]
    assert len(found[0]["moments"]) == 1
    assert {Path(one["video"]).name for one in found[1]["moments"]} <= {"bikes.mp4"}
    assert "line 4: 'qeury' is not known; a line may say query, id, like" in ended.err
    assert "line 7: this is no JSON" in ended.err
    assert "8 queries: something was found for " in ended.err
    assert ", 5 wrong" in ended.err
    alone = succeed("search", MAN, "--top-k", "1", "-a", archive, "--json").document
    assert found[0]["moments"] == alone["moments"]


def test_many_queries_come_from_a_pipe(archive: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "search", "--queries", "-", "-a", archive, "-k", "2"],
        input=b'{"query": "' + MAN.encode() + b'"}\n{"query": "\xff"}\n',
        capture_output=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 1
    first, second = map(json.loads, done.stdout.decode().splitlines())
    assert (first["verdict"], len(first["moments"])) == ("match", 2)
    assert "not valid UTF-8" in second["message"]


def test_many_queries_without_an_answer_say_so(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text('{"query": "an elephant in a river"}\n')
    assert run("search", "--queries", tmp_path / "q.jsonl", "-a", archive).code == 3
    ended = run("search", "--queries", tmp_path / "q.jsonl", "-a", tmp_path / "nowhere")
    assert (ended.code, ended.out) == (1, "")
