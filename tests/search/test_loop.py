"""The loop on real footage: what is verified, when it goes on, why it ends, what it says of it."""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.manifests import edit_manifest
from vsr_edge import Archive, SearchResult, open_archive
from vsr_edge.bundle.locate import find_bundle
from vsr_edge.bundle.manifest import CONCEPTS, GROUNDING, REFINER
from vsr_edge.config import load_settings
from vsr_edge.errors import UsageError
from vsr_edge.search.candidates import Asked
from vsr_edge.search.one_shot import fed_back, only_new
from vsr_edge.store.sqlite import LocalStore

QUERY = "a bicycle leaning against a wall"
# As the demo's footage is short, few candidates a turn leave some for the next.
FEW: dict[str, Any] = {"candidates": 1}


def bundle_with(
    folder: Path, *, without: tuple[str, ...] = (), **calibration: float | None
) -> Path:
    """A copy of the built-in bundle, calibrated otherwise or lacking some roles."""
    shutil.copytree(find_bundle("lite"), folder)

    def change(manifest: dict[str, Any]) -> None:
        manifest["calibration"] |= calibration
        for role in without:
            del manifest["files"][role]

    edit_manifest(folder, change)
    return folder


Searching = Callable[..., SearchResult]


@pytest.fixture(scope="module")
def opened(
    demo_archive: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Archive]]:
    """Archives of the demo's clips, with the built-in bundle changed as asked."""
    archives: list[Archive] = []

    def make(**changes: Any) -> Archive:
        folder = tmp_path_factory.mktemp("bundle") / "changed"
        archives.append(open_archive(demo_archive, bundle=str(bundle_with(folder, **changes))))
        return archives[-1]

    yield make
    for archive in archives:
        archive.close()


@pytest.fixture(scope="module")
def never(opened: Callable[..., Archive]) -> Archive:
    """Nothing is ever sure enough."""
    return opened(threshold=1.0, sure=1.0)


@pytest.fixture(scope="module")
def always(opened: Callable[..., Archive]) -> Archive:
    """Anything is sure enough."""
    return opened(threshold=1e-12, sure=1e-12)


def test_a_match_ends_the_loop_in_the_first_turn(always: Archive) -> None:
    result = always.search(QUERY)
    (turn,) = result.turns
    assert result.verdict.decision == "match"
    assert (turn.action, turn.then) == ("retrieve and verify", "match: sure enough")
    assert (turn.encoder_calls, turn.soft_tokens, turn.refinement) == (1, 0, None)
    assert result.moments[0].match_probability == result.verdict.confidence


def test_a_match_that_is_not_sure_is_tried_to_be_bettered(opened: Callable[..., Archive]) -> None:
    result = opened(threshold=1e-12, sure=1.0).search(QUERY, max_turns=2, **FEW)
    assert [turn.then for turn in result.turns] == [
        "not sure: the query is refined",
        "match: the turns are spent",
    ]
    assert result.verdict.decision == "match"


def test_the_more_is_searched_the_less_sure_it_is(opened: Callable[..., Archive]) -> None:
    archive = opened(size_weight=1.0, fewest_frames=1.0, sure=1.0)
    everywhere = archive.search(QUERY).moments[0]
    in_one = archive.search(QUERY, video=everywhere.video.name).moments[0]
    frames = {video.video.path: video.frames for video in archive.videos()}
    odds = [
        moment.match_probability / (1 - moment.match_probability)  # type: ignore[operator]
        for moment in (in_one, everywhere)
    ]
    share = sum(frames.values()) / frames[everywhere.video]
    assert odds[0] / odds[1] == pytest.approx(share, rel=1e-2)


def test_without_a_match_the_query_is_refined_and_new_footage_is_judged(never: Archive) -> None:
    result = never.search(QUERY, max_turns=3, **FEW)
    assert result.verdict.decision == "no_match"
    assert len(result.turns) == 3
    first, second, third = result.turns
    assert first.then == "not sure: the query is refined"
    assert third.then == "no match: the turns are spent"
    tokens = never.bundle.manifest.dimensions.soft_tokens
    for turn in (second, third):
        assert (turn.encoder_calls, turn.soft_tokens) == (1, tokens)
        assert turn.refinement is not None
        assert turn.refinement.method == "soft tokens"
        assert -1 <= turn.refinement.cosine < 1
        assert turn.refinement.gained
        assert turn.refinement.lost
        assert not set(turn.refinement.gained) & set(turn.refinement.lost)
    seen = [(c.video, c.start, c.end) for turn in result.turns for c in turn.candidates]
    assert len(seen) == len(set(seen)) == 3
    # Guesses are still shown, the likeliest first.
    chances = [m.match_probability for m in result.moments if m.match_probability is not None]
    assert chances == sorted(chances, reverse=True)
    # That the best guess is likely wrong is no probability that nothing is there.
    assert result.verdict.confidence is None
    assert result.verdict.threshold == 1.0
    stages = {"encode", "retrieve", "verify", "refine", "ground", "total"}
    assert result.timing_ms.keys() == stages
    assert sum(turn.latency_ms for turn in result.turns) <= result.timing_ms["total"]


def test_the_loop_ends_when_all_is_judged(never: Archive) -> None:
    result = never.search(QUERY, max_turns=50, **FEW)
    assert 3 < len(result.turns) < 10
    assert result.turns[-1].then == "no match: all there is was judged"
    assert result.turns[-1].candidates == ()
    (turn,) = never.search(QUERY, max_turns=50).turns
    assert turn.then == "no match: all there is was judged"


def test_the_loop_ends_when_nothing_new_scores_enough(never: Archive) -> None:
    result = never.search(QUERY, max_turns=50, min_score=0.0, **FEW)
    assert result.turns[-1].then == "no match: nothing new was found"


def test_no_turn_begins_when_the_time_is_spent(never: Archive) -> None:
    result = never.search(QUERY, max_turns=3, max_ms=1e-3, **FEW)
    (turn,) = result.turns
    assert turn.then == "no match: the time is spent"


def test_rocchio_refines_without_soft_tokens(never: Archive) -> None:
    result = never.search(QUERY, max_turns=2, rocchio=True, **FEW)
    change = result.turns[1].refinement
    assert change is not None
    assert change.method == "rocchio"
    assert 0.5 < change.cosine < 1
    assert (result.turns[1].soft_tokens, result.turns[1].encoder_calls) == (0, 0)


def test_one_shot_verifies_nothing(never: Archive) -> None:
    result = never.search(QUERY, one_shot=True)
    assert result.verdict.decision == "unverified"
    assert result.verdict.confidence is None
    assert all(moment.match_probability is None for moment in result.moments)
    (turn,) = result.turns
    assert turn.action == "retrieve"
    assert {c.match_probability for c in turn.candidates} == {None}


def test_more_moments_than_were_judged_follow_unjudged(never: Archive) -> None:
    result = never.search(QUERY, max_turns=1, top_k=10, **FEW)
    chances = [moment.match_probability for moment in result.moments]
    assert chances[0] is not None
    assert set(chances[1:]) == {None}
    assert len(chances) > 2
    assert [moment.rank for moment in result.moments] == list(range(1, len(chances) + 1))


def test_a_filter_holds_in_every_turn(never: Archive, demo_clips: list[Path]) -> None:
    result = never.search(QUERY, video=demo_clips[1].name)
    videos = {c.video for turn in result.turns for c in turn.candidates}
    assert videos == {moment.video for moment in result.moments} == {demo_clips[1]}


def test_a_bundle_without_a_refiner_is_guided_by_the_archive_itself(
    opened: Callable[..., Archive],
) -> None:
    archive = opened(without=(REFINER, CONCEPTS), threshold=1.0, sure=1.0)
    result = archive.search(QUERY, max_turns=2, **FEW)
    change = result.turns[1].refinement
    assert change is not None
    assert (change.method, change.gained, change.lost) == ("guide", (), ())
    assert (result.turns[1].soft_tokens, result.turns[1].encoder_calls) == (0, 0)


@pytest.fixture(scope="module")
def unverified(
    tmp_path_factory: pytest.TempPathFactory, demo_clips: list[Path]
) -> Iterator[Archive]:
    """An archive without regions, and a bundle without heads."""
    folder = tmp_path_factory.mktemp("unverified")
    bundle = bundle_with(folder / "bundle", without=(GROUNDING, REFINER))
    with open_archive(folder / "archive", bundle=str(bundle), regions=False) as archive:
        archive.index(demo_clips)
        yield archive


def test_without_heads_and_regions_feedback_adds_to_what_was_found(unverified: Archive) -> None:
    archive = unverified
    result = archive.search(QUERY)
    assert result.verdict.decision == "unverified"
    assert all(moment.match_probability is None for moment in result.moments)
    first, second = result.turns
    assert "no region vectors" in first.then
    assert (second.action, second.encoder_calls) == ("feedback and retrieve", 0)
    change = second.refinement
    assert change is not None
    assert 0.9 < change.cosine < 1
    assert change.gained
    # What the plain query found stays before what feedback adds.
    once = archive.search(QUERY, one_shot=True)
    assert len(once.turns) == 1
    assert result.moments[: len(once.moments)] == once.moments


def test_limits_hold_for_feedback_too(unverified: Archive) -> None:
    archive = unverified
    assert len(archive.search(QUERY, max_turns=1).turns) == 1
    assert len(archive.search(QUERY, max_ms=1e-6).turns) == 1
    for score in (-1.0, 0.0, 0.1, 0.3):
        found = archive.search(QUERY, min_score=score)
        scores = [one.score for one in found.moments]
        scores += [one.score for turn in found.turns for one in turn.candidates]
        assert all(one >= score for one in scores)


def test_feedback_adds_what_the_plain_query_did_not_reach(unverified: Archive) -> None:
    archive = unverified
    asked = Asked(archive.store, archive.bundle, QUERY)
    query = asked.vector
    hits = asked.retrieve(query, 1)[:2]
    moved = fed_back(archive.store, query, hits)
    assert np.linalg.norm(moved) == pytest.approx(1, abs=1e-5)
    assert moved @ query < 1
    found = only_new(archive.store, query, hits, asked.retrieve(moved, 1)[:6])
    assert found
    assert not {hit.clip_id for hit in found} & {hit.clip_id for hit in hits}
    plain = {hit.clip_id: hit.score for hit in asked.retrieve(query, 100)}
    assert [hit.score for hit in found] == pytest.approx(
        [plain[hit.clip_id] for hit in found], abs=2e-3
    )
    assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)
    assert fed_back(archive.store, query, []) is query


def test_an_archive_without_regions_is_searched_in_one_shot(
    tmp_path: Path, demo_clips: list[Path]
) -> None:
    with open_archive(tmp_path / "archive", regions=False) as archive:
        archive.index(demo_clips[:1])
        result = archive.search(QUERY)
    assert result.verdict.decision == "unverified"
    assert "no region vectors" in result.turns[0].then
    assert result.moments


def test_one_vector_a_video_is_enough_to_find_the_moment_in_it(
    tmp_path: Path, demo_clips: list[Path]
) -> None:
    with open_archive(tmp_path / "archive", granularity="video") as archive:
        archive.index(demo_clips)
        assert archive.stats().clips == len(demo_clips)
        best = archive.search(QUERY).moments[0]
    assert best.video == demo_clips[0]
    # The wall is in view from 7.5 to 9.7 s.
    assert best.start < 7.5 < 9.5 < best.end <= 10


def test_an_empty_archive_is_answered_without_a_verdict(tmp_path: Path) -> None:
    with open_archive(tmp_path / "archive") as archive:
        (tmp_path / "nothing").mkdir()
        archive.index(tmp_path / "nothing")
        result = archive.search(QUERY)
    assert result.moments == ()
    assert result.verdict.decision == "unverified"


@pytest.mark.parametrize(
    "options", [{"max_turns": 1}, {"max_turns": 3, "candidates": 1}, {"one_shot": True}]
)
def test_a_search_reads_in_batches_from_one_state(
    never: Archive, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    """Not a clip, a window, a moment or a video at a time."""
    calls: Counter[str] = Counter()
    statements: list[str] = []
    sqlite3_connect = sqlite3.connect

    def counting(name: str) -> Callable[..., Any]:
        real = getattr(LocalStore, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            calls[" ".join([name, *kwargs])] += 1
            return real(*args, **kwargs)

        return counted

    def traced(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = sqlite3_connect(*args, **kwargs)
        connection.set_trace_callback(statements.append)
        return connection

    monkeypatch.setattr(sqlite3, "connect", traced)
    for name in ("frames", "frames_of", "videos", "videos_of", "frame_count", "search"):
        monkeypatch.setattr(LocalStore, name, counting(name))
    with open_archive(never.settings.archive, bundle=never.settings.bundle) as archive:
        archive.search(QUERY)
        calls.clear()
        statements.clear()
        result = archive.search(QUERY, **options)
    assert len(result.moments) >= 4
    turns = 0 if options.get("one_shot") else options["max_turns"]
    assert len(result.turns) == max(turns, 1)
    # In a turn, those of the clips that were found, and what the windows in them show.
    assert calls.pop("frames_of regions", 0) == turns
    # Then those around the moments: the next of a video's is read when the first is fitted.
    assert calls.pop("frames_of") <= turns + 4
    assert calls.pop("videos_of") <= max(turns, 1)
    assert calls == {"search": max(turns, 1), **({"frame_count": 1} if turns else {})}
    assert sum("SELECT bundle_id" in statement for statement in statements) == 1


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("max_turns", 0), ("candidates", 0), ("top_k", 0), ("max_ms", 0.0)),
        *((option, float(odd)) for option in ("max_ms", "min_score") for odd in ("nan", "inf")),
        *(("min_score", -1.1), ("min_score", 2.0)),
    ],
)
def test_a_limit_that_cannot_be_is_refused(never: Archive, option: str, value: float) -> None:
    with pytest.raises(UsageError, match=option):
        never.search(QUERY, **{option: value})  # type: ignore[arg-type]


def test_the_built_in_loop_finds_what_the_demo_asks_for(
    demo_archive: Path, demo_clips: list[Path]
) -> None:
    with open_archive(demo_archive, bundle=load_settings().bundle) as archive:
        found = archive.search(QUERY)
    assert found.moments[0].video == demo_clips[0]
    assert np.isfinite(found.verdict.confidence or np.nan)
