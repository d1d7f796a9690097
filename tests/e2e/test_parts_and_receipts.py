"""Queries of several parts and receipts, as they are typed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.e2e.command import run, succeed
from tests.e2e.test_documents import described

QUERY = "a bicycle leaning against a wall"


@pytest.fixture
def work(tmp_path: Path, demo_archive: Path) -> Path:
    shutil.copytree(demo_archive, tmp_path / "archive")
    return tmp_path


def test_parts_are_asked_for_and_shown(work: Path) -> None:
    at = ("--archive", work / "archive")
    chain = run("search", "a wall", "--then", "a bicycle", "--and", "a street", *at, "-e")
    assert chain.code in (0, 3)
    assert 'read as: "a wall" and "a street", then within 30 s "a bicycle"' in chain.err
    for part in ("a wall", "a bicycle", "a street"):
        assert f"  {part}\n" in chain.out
    found = described(run("search", "a wall, then a bicycle", *at, "--json"), "search")
    assert found["read_as"] == '"a wall", then within 30 s "a bicycle"'
    first = found["moments"][0]
    assert [part["sentence"] for part in first["parts"]] == ["a wall", "a bicycle"]
    assert first["start"] == first["parts"][0]["start"] < first["parts"][1]["start"]
    as_it_is = run("search", "a wall, then a bicycle", "--literal", *at, "--json").document
    assert as_it_is["read_as"] is None
    assert as_it_is["moments"][0]["parts"] == []
    nearer = run("search", "a wall, then a bicycle", "--within", "1.5m", *at, "-e")
    assert "then within 90 s" in nearer.err
    wrong = run("search", "a wall, then a bicycle", "--within", "soon", *at)
    assert (wrong.code, wrong.out) == (2, "")
    assert "say 90, 1m30s, 2h or 3d" in wrong.err


def test_what_must_not_be_seen_is_no_match(work: Path) -> None:
    at = ("--archive", work / "archive", "--video", "bikes.mp4")
    assert run("search", QUERY, *at).code == 0
    refused = run("search", QUERY, "--without", "a street", *at)
    assert refused.code == 3
    assert '"a street" is seen there' in refused.err
    assert run("search", QUERY, "--without", "an elephant in a river", *at).code == 0


def test_a_receipt_is_written_checked_and_defended(work: Path, demo_clips: list[Path]) -> None:
    at, file = ("--archive", work / "archive"), work / "receipt.json"
    absent = run("search", "an elephant in a river", *at, "--receipt", file)
    assert absent.code == 3
    assert json.loads(file.read_text("utf-8"))["sha256"] in absent.err
    assert run("search", QUERY, *at, "--receipt", file).code == 2
    same = succeed("receipt", "check", file)
    assert "nothing has changed" in same.err
    assert described(succeed("receipt", "check", file, "--json"), "receipt-check")["holds"] is True
    succeed("remove", demo_clips[1], "--yes", *at)
    changed = run("receipt", "check", file, "--json")
    assert changed.code == 3
    found = described(changed, "receipt-check")
    assert f"searched.listed.first.{demo_clips[1]}" in {one["what"] for one in found["changes"]}
    assert str(demo_clips[1]) in run("receipt", "check", file).out
    text = file.read_text("utf-8").replace("elephant", "unicorn")
    file.write_text(text, "utf-8")
    altered = run("receipt", "check", file, "--json")
    assert (altered.code, altered.document["kind"]) == (1, "ReceiptError")
    assert file.read_text("utf-8") == text
    succeed("search", QUERY, *at, "--receipt", file, "--force")
    succeed("receipt", "check", file)


def test_a_receipt_is_of_words_and_their_parts(work: Path) -> None:
    at, file = ("--archive", work / "archive"), work / "chain.json"
    run("search", "a wall", "--then", "a bicycle", "--receipt", file, *at)
    assert json.loads(file.read_text("utf-8"))["options"]["then"] == ["a bicycle"]
    assert "nothing has changed" in succeed("receipt", "check", file).err
    for options in (["--like", "bikes.mp4@0:07"], ["--not", "a dog"], ["--good", "1"]):
        refused = run("search", QUERY, *options, "--receipt", work / "none.json", *at)
        assert refused.code == 2
        assert "a receipt is of words alone" in refused.err
    assert not (work / "none.json").exists()
