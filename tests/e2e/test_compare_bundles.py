"""Two bundles on the same footage and questions, by the command."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import vsr_edge
from tests.e2e.command import finish, run, running, stopped_midway, succeed
from tests.e2e.test_interruption import stored
from tests.ingest.archives import content, footage, paths_in
from tests.other_bundle import ENCODERS, other_bundle
from vsr_edge.evaluation.benchmarks import write_queries
from vsr_edge.evaluation.records import Query
from vsr_edge.search.verifier import correction_name
from vsr_edge.store.base import Texts
from vsr_edge.types import Correction, Cue

VIDEOS = 4
posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return other_bundle(tmp_path_factory.mktemp("other") / "bundle")


@pytest.fixture
def work(tmp_path: Path, demo_archive: Path) -> Path:
    """A folder with an archive and queries, one of them about what is not there."""
    shutil.copytree(demo_archive, tmp_path / "archive")
    asked = (
        Query("b", "a bicycle leaning against a wall", "bikes.mp4", ((7.5, 9.7),)),
        Query("m", "a man in a car", "driver.mp4", ((0.0, 3.0),)),
        Query("e", "an elephant in a river", None, ()),
    )
    write_queries(tmp_path / "queries.jsonl", asked, "jsonl")
    return tmp_path


def beside(kept: Path, encoders: str = ENCODERS) -> Path:
    """The archive that is made in a folder for such encoders."""
    return kept / hashlib.sha256(encoders.encode()).hexdigest()[:16]


def command(work: Path, other: Path, *more: Any) -> tuple[Any, ...]:
    at = ("--archive", work / "archive", "--queries", work / "queries.jsonl")
    return ("bundle", "compare", "lite", other, *at, *more)


def test_it_finds_what_two_evaluations_find_and_leaves_the_archive_alone(
    work: Path, other: Path
) -> None:
    before = content(work / "archive")
    files = {path.name for path in (work / "archive").iterdir()}
    ended = succeed(*command(work, other, "--work", work / "kept", "--json"))
    assert "3 of 3 videos are to be encoded with" in ended.err
    assert "frames, about " in ended.err
    document = ended.document
    assert content(work / "archive") == before
    assert {path.name for path in (work / "archive").iterdir()} == files
    # As one would do it by hand, from the vectors that it kept.
    queries, saved = work / "queries.jsonl", [work / "a.jsonl", work / "b.jsonl"]
    for archive, bundle, file in (
        (work / "archive", "lite", saved[0]),
        (beside(work / "kept"), other, saved[1]),
    ):
        succeed("eval", queries, "-a", archive, "-b", bundle, "--save", file)
    by_hand = succeed("eval", queries, "--compare", *saved, "--json").document
    for part in ("a", "b", "difference", "moments"):
        assert document[part] == by_hand[part]
    sides = document["bundles"]
    assert [sides[side]["cost"]["bundle_name"] for side in "ab"] == ["lite", str(other)]
    assert all(sides[side]["path"]["latency_ms"]["total"]["p50"] > 0 for side in "ab")
    # Two queries about what is there, and one about what is not.
    assert document["resolution"] == {"present": 100, "absent": 100}
    assert sum("too few queries" in one for one in document["notices"]) == 2
    assert "too few queries" in ended.err
    # What was kept is not made again.
    again = succeed(*command(work, other, "--work", work / "kept"))
    assert "are to be encoded" not in again.err
    for shown in ("video, R@1", "“not there”, recall", "measured here", "a search, ms"):
        assert shown in again.out


def test_what_it_made_is_gone_afterwards_unless_it_is_to_be_kept(work: Path, other: Path) -> None:
    files = {path.name for path in (work / "archive").iterdir()}
    succeed(*command(work, other, "--one-shot"))
    assert {path.name for path in (work / "archive").iterdir()} == files


@pytest.mark.parametrize("encoders", ["../..", "/", "a" * 300])
def test_whatever_a_bundle_calls_its_encoders_it_stays_in_its_folder(
    encoders: str, work: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = other_bundle(tmp_path_factory.mktemp("odd") / "bundle", encoders)
    before, others = content(work / "archive"), {path.name for path in work.iterdir()}
    succeed(*command(work, other, "--work", work / "kept", "--one-shot"))
    assert content(work / "archive") == before
    assert {path.name for path in work.iterdir()} == {*others, "kept"}
    assert list((work / "kept").iterdir()) == [beside(work / "kept", encoders)]


def test_what_one_side_knows_beside_its_vectors_counts_for_neither_or_is_said(
    work: Path, other: Path
) -> None:
    plain = succeed(*command(work, other, "--work", work / "kept", "--json")).document
    with vsr_edge.open_archive(work / "archive") as opened:
        store, name = opened.encoded_store(), correction_name(opened.bundle, "dedicated")
        wrong = next(one for one in opened.videos() if one.video.path.name == "bigbuckbunny.mp4")
        spoken = Texts("said", (Cue(0.0, 3.0, "a bicycle leaning against a wall"),))
        with store.writer() as writer:
            writer.set_texts(wrong.video_id, "sidecar", spoken)
            # As it was, so that only what is said of it can change.
            writer.correct(name, Correction(1.0, 0.0, "2026-11-26T12:00:00+00:00", 200))
        found_in = opened.search("a bicycle leaning against a wall").moments
        assert any(moment.source != "seen" for moment in found_in)
    found = succeed(*command(work, other, "--work", work / "kept", "--json"))
    for part in ("a", "b", "difference"):
        assert found.document[part] == plain[part]
    more = set(found.document["notices"]) - set(plain["notices"])
    assert len(more) == 2
    for said in ("pictures alone were asked", "probabilities of lite are corrected"):
        assert any(one.startswith(said) for one in more)
        assert said in found.err


def test_one_bundle_is_not_compared_with_itself(work: Path, tmp_path: Path) -> None:
    from vsr_edge.bundle.locate import find_bundle

    same = shutil.copytree(find_bundle("lite"), tmp_path / "same")
    ended = run(*command(work, same, "--json"))
    assert ended.code == 2
    assert "are the same bundle" in ended.document["message"]


def test_queries_that_cannot_be_read_are_named_before_anything_is_encoded(
    work: Path, other: Path
) -> None:
    (work / "queries.jsonl").write_text("{}\n")
    ended = run(*command(work, other))
    assert ended.code != 0
    assert "queries.jsonl" in ended.err
    assert "are to be encoded" not in ended.err


@pytest.fixture
def generated(tmp_path: Path) -> Path:
    """Videos that take a moment to encode."""
    for number in range(VIDEOS):
        footage(tmp_path / "videos" / f"{number}.mkv", first=100 * number)
    with vsr_edge.open_archive(tmp_path / "archive", fps=5) as opened:
        opened.index(tmp_path / "videos")
    write_queries(
        tmp_path / "queries.jsonl", (Query("q", "blocks", "0.mkv", ((0.0, 4.0),)),), "jsonl"
    )
    return tmp_path


def test_a_video_that_is_gone_makes_it_unfair_and_is_named(generated: Path, other: Path) -> None:
    (generated / "videos" / "1.mkv").unlink()
    ended = run(*command(generated, other))
    assert ended.code == 1
    assert "1.mkv" in ended.err
    assert "would not search the same footage" in ended.err
    # Forgotten, it counts for neither, whatever was encoded before.
    succeed("prune", "--archive", generated / "archive", "--yes")
    kept = succeed(*command(generated, other, "--work", generated / "kept"))
    assert "no query is about what is absent" in kept.err
    sampled = vsr_edge.open_archive(beside(generated / "kept"), bundle=str(other))
    with sampled:
        assert {one.sampling.fps for one in sampled.videos()} == {5.0}
        assert len(sampled.videos()) == VIDEOS - 1


@posix
@pytest.mark.slow
def test_an_interruption_loses_nothing(generated: Path, other: Path) -> None:
    for attempt in itertools.count():
        kept = generated / f"kept-{attempt}"
        with running(*command(generated, other, "--work", kept, "--json")) as process:
            if not stopped_midway(process, partial(stored, beside(kept)), VIDEOS):
                continue
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGTERM)
            ended = finish(process)
        break
    assert ended.code == 130, ended
    assert "the same command goes on from here" in ended.err
    assert ended.document["kind"] == "KeyboardInterrupt"
    done = len(paths_in(beside(kept)))
    assert 0 < done < VIDEOS
    again = succeed(*command(generated, other, "--work", kept, "--json"))
    assert f"{VIDEOS - done} of {VIDEOS} videos are to be encoded" in again.err
    assert len(paths_in(beside(kept))) == VIDEOS
