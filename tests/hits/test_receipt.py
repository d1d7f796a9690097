"""A receipt says what was looked through; another run of it says what is not as it was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ingest.archives import footage
from vsr_edge import Archive, SearchOptions, open_archive
from vsr_edge.bundle.manifest import digest_of
from vsr_edge.document_receipts import ReceiptDocument
from vsr_edge.errors import ReceiptError, UsageError
from vsr_edge.hits import receipt as receipts
from vsr_edge.hits.receipt import (
    NAMED,
    changes,
    read_receipt,
    run_again,
    with_receipt,
    write_receipt,
)

QUERY = "an elephant in a river"


@pytest.fixture
def work(tmp_path: Path, demo_archive: Path) -> Path:
    shutil.copytree(demo_archive, tmp_path / "archive")
    return tmp_path


def made(archive: Archive, query: str = QUERY, **said: Any) -> dict[str, Any]:
    return with_receipt(archive, query, SearchOptions().changed(**said))[1]


def what(found: list[dict[str, Any]]) -> set[str]:
    return {one["what"] for one in found}


def test_it_says_what_was_searched_and_how(work: Path, demo_clips: list[Path]) -> None:
    folder = demo_clips[0].parent
    with open_archive(work / "archive") as archive:
        found, receipt = with_receipt(archive, QUERY, SearchOptions(top_k=2))
        stats, manifest = archive.stats(), archive.bundle.manifest
    assert ReceiptDocument.model_validate(receipt).model_dump(by_alias=True) == receipt
    assert receipt["query"] == QUERY
    assert receipt["options"]["top_k"] == 2
    assert receipt["bundle"]["id"] == manifest.bundle_id
    assert receipt["bundle"]["manifest_sha256"] == digest_of(manifest.raw)
    assert receipt["archive"]["generation"] == stats.generation > 0
    searched = receipt["searched"]
    assert (searched["videos"], searched["frames"]) == (stats.videos, stats.frames)
    assert searched["hours"] == pytest.approx(stats.hours, abs=1e-3)
    assert {one["folder"] for one in searched["cameras"]} == {str(c.parent) for c in demo_clips}
    assert str(folder) in {one["folder"] for one in searched["cameras"]}
    assert [one["video"] for one in searched["listed"]["first"]] == sorted(map(str, demo_clips))
    assert receipt["answer"]["verdict"] == found.verdict.decision
    assert len(receipt["answer"]["moments"]) == len(found.moments) <= 2
    shares = manifest.raw["calibration"]
    assert receipt["calibration"]["denied"] == shares["denied"]
    assert 0 < receipt["calibration"]["found"] < shares["accepted"]


def test_shares_that_nobody_measured_are_left_open(work: Path) -> None:
    with open_archive(work / "archive") as archive:
        receipt = made(archive, max_turns=1, one_shot=True)
        chain = made(archive, "a bicycle, then a car")
    calibration = receipt["calibration"]
    assert (calibration["found"], calibration["denied"]) == (None, None)
    assert "max_turns, one_shot" in calibration["note"]
    assert chain["calibration"]["found"] is None
    assert "several parts" in chain["calibration"]["note"]


def test_only_what_was_searched_counts(work: Path, demo_clips: list[Path]) -> None:
    with open_archive(work / "archive") as archive:
        receipt = made(archive, video=[demo_clips[0].name])
        assert receipt["searched"]["videos"] == 1
        assert receipt["archive"]["videos"] == len(demo_clips)
        assert receipt["filter"]["videos"] == [demo_clips[0].name]
        assert not changes(receipt, run_again(archive, receipt))


def test_a_name_means_the_same_wherever_it_is_checked_from(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    footage(work / "cams" / "one [1].mp4")
    with open_archive(work / "archive") as archive:
        archive.index(work / "cams")
        monkeypatch.chdir(work / "cams")
        receipt = made(archive, video=["one [1].mp4"])
        monkeypatch.chdir("/")
        assert not changes(receipt, run_again(archive, receipt))


def test_nothing_changes_by_itself(work: Path) -> None:
    with open_archive(work / "archive") as archive:
        receipt = made(archive, "a bicycle leaning against a wall")
    write_receipt(work / "r.json", receipt)
    with open_archive(work / "archive", threads=2) as archive:
        again = run_again(archive, read_receipt(work / "r.json"))
    assert changes(receipt, again) == []
    assert again["sha256"] == digest_of(again)


def test_new_and_gone_and_unreadable_videos_are_named(work: Path) -> None:
    one, other = footage(work / "cams" / "a.mp4"), footage(work / "cams" / "b.mp4", first=40)
    (work / "cams" / "broken.mp4").write_text("no video")
    with open_archive(work / "archive") as archive:
        archive.index(one)
        before = made(archive)
        archive.index(work / "cams")
        one.unlink()
        after = run_again(archive, before)
        assert after["searched"]["missing"]["first"] == [{"video": str(one), "about": ""}]
        (failed,) = after["searched"]["failed"]["first"]
        assert failed["video"] == str(work / "cams" / "broken.mp4")
        found = {one["what"]: (one["before"], one["after"]) for one in changes(before, after)}
        assert found["searched.videos"] == (4, 5)
        assert found[f"searched.listed.first.{other}"][0] is None
        assert "archive.generation" in found
        # What was mended is no failure any more.
        footage(work / "cams" / "broken.mp4", first=80)
        archive.index(work / "cams")
        assert made(archive)["searched"]["failed"]["count"] == 0


def test_a_change_behind_the_first_names_is_seen(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipts, "NAMED", 0)
    with open_archive(work / "archive") as archive:
        before = made(archive)
        after = json.loads(json.dumps(before))
    assert NAMED > 0
    assert before["searched"]["listed"]["first"] == []
    after["searched"]["listed"]["sha256"] = "0"
    assert what(changes(before, after)) == {"searched.listed"}


def test_what_was_altered_is_refused(work: Path) -> None:
    with open_archive(work / "archive") as archive:
        receipt = made(archive)
    path = work / "r.json"
    write_receipt(path, receipt)
    assert read_receipt(path) == receipt
    path.write_text(path.read_text("utf-8").replace("no_match", "match"), "utf-8")
    with pytest.raises(ReceiptError, match="altered"):
        read_receipt(path)
    for text in ("", "[]", "{}", '{"schema": "vsr-edge/receipt/2"}'):
        path.write_text(text, "utf-8")
        with pytest.raises(ReceiptError, match=r"r\.json"):
            read_receipt(path)
    with pytest.raises(ReceiptError):
        read_receipt(work / "nowhere.json")


def test_a_file_that_is_there_is_not_overwritten(work: Path) -> None:
    path = work / "r.json"
    path.write_text("mine", "utf-8")
    with pytest.raises(UsageError, match="--force"):
        write_receipt(path, {})
    assert path.read_text("utf-8") == "mine"
    write_receipt(path, {}, force=True)
    assert json.loads(path.read_text("utf-8")) == {}
    with pytest.raises(UsageError, match="folder"):
        write_receipt(work, {}, force=True)
    assert sorted(one.name for one in work.iterdir()) == ["archive", "r.json"]


def test_options_of_another_version_are_named(work: Path) -> None:
    with open_archive(work / "archive") as archive:
        receipt = made(archive)
        receipt["options"]["telepathy"] = True
        with pytest.raises(ReceiptError, match="telepathy"):
            run_again(archive, receipt)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
)


@given(JSON, JSON)
def test_there_is_a_change_where_values_differ_and_only_there(one: Any, other: Any) -> None:
    assert changes({"answer": one}, {"answer": one}) == []
    found = changes({"answer": one}, {"answer": other})
    empty: tuple[Any, ...] = ([], {}, None)
    if one != other and not (one in empty and other in empty):
        assert found or nothing(one, other)


def nothing(one: Any, other: Any) -> bool:
    """Both hold nothing but nulls and what is empty, in one way or another."""

    def bare(value: Any) -> Any:
        if isinstance(value, list):
            value = {str(n): x for n, x in enumerate(value, 1)}
        if isinstance(value, dict):
            kept = {k: bare(v) for k, v in value.items()}
            return {k: v for k, v in kept.items() if v not in (None, {})}
        return value

    return bool(bare(one) == bare(other))
