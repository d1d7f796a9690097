"""Whoever verifies, a search behaves alike: one suite for the heads that were trained with a
bundle's encoders, and for those that know none, with a bundle that has no heads.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.headless_bundle import headless_bundle, regionless_bundle
from tests.search.test_loop import bundle_with
from vsr_edge import Archive, open_archive
from vsr_edge.bundle.manifest import BANK
from vsr_edge.bundle.model import load_bundle
from vsr_edge.bundle.universal_head import sentences
from vsr_edge.config import cache_folder
from vsr_edge.errors import BundleDamaged, UsageError
from vsr_edge.evaluation.calibrate import ask_sentences
from vsr_edge.hits.receipt import with_receipt
from vsr_edge.ingest.failures import failed_files
from vsr_edge.query import Query, SearchOptions
from vsr_edge.search.verifier import correction_name
from vsr_edge.types import Correction, Heads
from vsr_edge.watch.alerts import Alert, ask

QUERY, OTHER = "bikes on a street", "a man sitting in a car"
FEW: dict[str, Any] = {"candidates": 1}
Opened = Callable[..., Archive]


@pytest.fixture(scope="module", params=["dedicated", "universal"])
def heads(request: pytest.FixtureRequest) -> Heads:
    chosen: Heads = request.param
    return chosen


@pytest.fixture(scope="module")
def opened(
    heads: Heads, demo_archive: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Opened]:
    """The demo's clips, with a bundle that has such heads, calibrated as asked."""
    archives: list[Archive] = []

    def make(**calibration: float) -> Archive:
        folder = tmp_path_factory.mktemp("bundle") / "changed"
        if heads == "dedicated":
            bundle_with(folder, without=(), **calibration)
        else:
            headless_bundle(folder, **calibration)
        archives.append(open_archive(demo_archive, bundle=str(folder)))
        return archives[-1]

    yield make
    for archive in archives:
        archive.close()


@pytest.fixture(scope="module")
def archive(opened: Opened) -> Archive:
    return opened()


@pytest.fixture(scope="module")
def never(opened: Opened) -> Archive:
    """Nothing is ever sure enough."""
    return opened(threshold=1.0, sure=1.0)


def test_what_is_there_is_found_verified_and_grounded(
    archive: Archive, heads: Heads, demo_clips: list[Path]
) -> None:
    found = archive.search(QUERY)
    best = found.moments[0]
    assert best.video == demo_clips[0]
    assert 0 < (best.match_probability or 0) < 1
    assert 0 <= best.start < best.end <= 10.1
    assert found.verified_by == f"{heads} heads"
    assert found.verdict.threshold is not None


def test_what_is_there_is_likelier_than_what_is_not(archive: Archive) -> None:
    there = archive.search(QUERY).moments[0].match_probability or 0
    absent = archive.search("a submarine under the ice").moments[0].match_probability or 0
    assert there > absent


def test_the_order_is_by_what_the_verifier_says(archive: Archive) -> None:
    found = archive.search(OTHER)
    chances = [m.match_probability for m in found.moments if m.match_probability is not None]
    assert len(chances) > 1
    assert chances == sorted(chances, reverse=True)


def test_each_turn_says_how_the_query_was_refined(never: Archive, heads: Heads) -> None:
    found = never.search(QUERY, max_turns=2, **FEW)
    first, second = found.turns
    assert second.refinement is not None
    assert second.refinement.method == {"dedicated": "soft tokens", "universal": "guide"}[heads]
    assert -1 < second.refinement.cosine < 1
    assert second.soft_tokens == {"dedicated": 8, "universal": 0}[heads]
    # The sentence; and its phrases: bikes, street.
    assert first.encoder_calls == {"dedicated": 1, "universal": 3}[heads]


def test_feedback_by_rocchio_is_told_apart(never: Archive) -> None:
    change = never.search(QUERY, max_turns=2, rocchio=True, **FEW).turns[1].refinement
    assert change is not None
    assert change.method == "rocchio"


def test_no_turn_begins_when_the_time_is_spent(never: Archive) -> None:
    (turn,) = never.search(QUERY, max_turns=3, max_ms=1e-3, **FEW).turns
    assert turn.then == "no match: the time is spent"


def test_one_shot_is_unverified(archive: Archive) -> None:
    found = archive.search(QUERY, one_shot=True)
    assert found.verdict.decision == "unverified"
    assert found.verified_by is None


def test_what_is_not_to_be_seen_counts_against(archive: Archive) -> None:
    plain = archive.search(QUERY).moments[0].match_probability or 0
    against = archive.search(Query(QUERY, against="a bicycle")).moments
    assert not against or (against[0].match_probability or 0) < plain


def test_parts_are_verified_one_by_one_and_together(archive: Archive) -> None:
    found = archive.search("bikes on a street", then=["a street with parked bicycles"])
    assert found.moments
    assert all(part.match_probability is not None for part in found.moments[0].parts)
    assert found.moments[0].match_probability is not None
    assert found.verified_by is not None


def test_what_must_not_be_seen_is_looked_for(archive: Archive) -> None:
    found = archive.search(QUERY, without=["a bicycle"])
    assert found.turns[-1].action.startswith("look for")


def test_an_alert_is_scored_by_the_verifier(archive: Archive, demo_clips: list[Path]) -> None:
    alert = Alert("bikes", QUERY, 1.0, None, ())
    text = archive.bundle.encode_queries([QUERY])
    store = archive.encoded_store()
    answers = {
        stored.video.path: ask(store, archive.bundle, alert, text, stored)
        for stored in archive.videos()
    }
    scores = {path: found.score for path, found in answers.items() if found is not None}
    assert len(scores) == len(demo_clips)
    assert max(scores, key=lambda path: scores[path]) == demo_clips[0]


def test_an_archive_without_regions_is_unverified(
    heads: Heads, tmp_path: Path, demo_clips: list[Path]
) -> None:
    bundle = "lite" if heads == "dedicated" else str(headless_bundle(tmp_path / "bundle"))
    with open_archive(tmp_path / "archive", regions=False, bundle=bundle) as archive:
        archive.index(demo_clips[:1])
        found = archive.search(QUERY)
    assert found.verdict.decision == "unverified"
    assert "no region vectors" in found.turns[0].then


def test_where_the_image_graph_gives_no_regions_that_is_said_and_nothing_is_made_for_a_verifier(
    tmp_path: Path, demo_clips: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    bundle = str(regionless_bundle(tmp_path / "bundle"))
    with open_archive(tmp_path / "archive", bundle=bundle) as archive:
        assert archive.index(demo_clips[:1]).indexed == 1
        assert not list(tmp_path.glob("cache/**/*.npy"))
        found = archive.search(QUERY)
        assert found.verdict.decision == "unverified"
        with pytest.raises(UsageError, match="gives no regions") as refused:
            archive.search(QUERY, without=["a dog"])
        with pytest.raises(UsageError, match="gives no regions") as told:
            ask_sentences(archive.search, [QUERY], lambda *_: None)
    said = (str(found.turns[0].then), str(refused.value), str(told.value))
    assert all("gives no regions" in one and "--regions" not in one for one in said)


def test_what_the_archive_says_of_probabilities_is_counted(opened: Opened) -> None:
    archive = opened()
    before = archive.search(QUERY, max_turns=1).moments[0].match_probability or 0
    store, heads = archive.encoded_store(), archive.search(QUERY).verified_by or ""
    name = correction_name(archive.bundle, "universal" if "universal" in heads else "dedicated")
    correction = Correction(2.0, -1.0, "2026-11-26T12:00:00+00:00", 0, 0.6)
    try:
        with store.writer() as writer:
            writer.correct(name, correction)
        found = archive.search(QUERY, max_turns=1)
        _, receipt = with_receipt(archive, QUERY, SearchOptions())
    finally:
        with store.writer() as writer:
            writer.correct(name, None)
    odds = np.log(before / (1 - before)) * 2 - 1
    after = found.moments[0].match_probability or 0
    assert np.log(after / (1 - after)) == pytest.approx(odds, abs=1e-3)
    assert "corrected for this archive for 60% absent (2026-11-26)" in (found.verified_by or "")
    assert "corrected" in receipt["calibration"]["note"]
    # What was measured was so without that.
    assert receipt["calibration"]["found"] is None
    again = archive.search(QUERY, max_turns=1).moments[0].match_probability
    assert again == pytest.approx(before)


def test_universal_heads_can_be_asked_for_where_there_are_others(demo_archive: Path) -> None:
    with open_archive(demo_archive) as archive:
        assert archive.search(QUERY, heads="universal").verified_by == "universal heads"
        assert archive.search(QUERY).verified_by == "dedicated heads"


def test_dedicated_heads_that_are_not_there_are_refused(demo_archive: Path, tmp_path: Path) -> None:
    with (
        open_archive(demo_archive, bundle=str(headless_bundle(tmp_path / "bundle"))) as archive,
        pytest.raises(UsageError, match="no dedicated heads"),
    ):
        archive.search(QUERY, heads="dedicated")


def test_the_sentences_are_encoded_once_and_that_is_said(
    demo_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = sentences()[::64]
    monkeypatch.setattr("vsr_edge.bundle.universal_head.sentences", lambda: few)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    bundle = str(headless_bundle(tmp_path / "bundle"))
    with open_archive(demo_archive, bundle=bundle) as archive:
        archive.search(QUERY)
        assert any("16 sentences were encoded" in notice for notice in archive.notices)
    (kept,) = (tmp_path / "cache" / "vsr-edge" / "banks").iterdir()
    with open_archive(demo_archive, bundle=bundle) as archive:
        first = archive.search(QUERY).moments[0].match_probability
        assert not any("sentences" in notice for notice in archive.notices)
    kept.write_bytes(b"no vectors")
    with open_archive(demo_archive, bundle=bundle) as archive:
        assert archive.search(QUERY).moments[0].match_probability == pytest.approx(first)
    folder = cache_folder()
    assert folder is not None
    assert np.load(kept).shape == (16, archive.bundle.dim)


def test_a_bundle_may_bring_the_vectors_of_the_sentences(tmp_path: Path) -> None:
    folder = headless_bundle(tmp_path / "bundle")
    with load_bundle(folder) as plain:
        vectors = plain.encode_text(sentences()[:8]).astype(np.float16)
        np.save(tmp_path / "bank.npy", vectors)
        files = plain.manifest.files
        entry = files["tokenizer"].model_copy(update={"file": "../bank.npy"})
        manifest = plain.manifest.model_copy(update={"files": files | {BANK: entry}})
    with type(plain)(manifest) as loaded:
        np.testing.assert_array_equal(loaded.universal.bank, vectors.astype(np.float32))
    np.save(tmp_path / "bank.npy", vectors[:, 1:])
    with type(plain)(manifest) as loaded, pytest.raises(BundleDamaged, match="bank"):
        _ = loaded.universal.bank


def test_ctrl_c_while_the_sentences_are_encoded_keeps_what_the_run_has_to_tell(
    tmp_path: Path, demo_clips: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    videos = tmp_path / "videos"
    videos.mkdir()
    shutil.copy(demo_clips[0], videos)
    (videos / "broken.mp4").write_bytes(b"no video")

    def pressed(*_: object) -> None:
        raise KeyboardInterrupt

    bundle = str(headless_bundle(tmp_path / "bundle"))
    with open_archive(tmp_path / "archive", bundle=bundle) as archive:
        with monkeypatch.context() as patch:
            patch.setattr(type(archive.bundle), "encode_text", pressed)
            summary = archive.index(videos)
        assert (summary.indexed, len(summary.failed), summary.interrupted) == (1, 1, True)
        (failed,) = failed_files(archive.settings.archive, archive.store)
        assert failed.path.name == "broken.mp4"
