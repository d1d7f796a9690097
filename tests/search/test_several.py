"""Queries of several parts on real pictures in a known order: what follows, is near, is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.media_files import constant_rate, write_video
from vsr_edge import Archive, SearchResult, open_archive
from vsr_edge.errors import UsageError
from vsr_edge.search.joint import THRESHOLD

BIKES, BUNNY, MAN = "bikes on a street", "a cartoon rabbit", "a man sitting in a car"
SECONDS, RATE = 6, 5


def composed(path: Path, shown: list[tuple[Path, float]]) -> Path:
    """A video of stills of others, each for some seconds."""
    with open_archive(path.parent / "nothing") as archive:
        stills = [archive.frame(video, second) for video, second in shown]

    def draw(index: int, width: int, height: int) -> NDArray[np.uint8]:
        still = stills[index // (SECONDS * RATE)]
        rows = np.linspace(0, len(still) - 1, height).astype(int)
        columns = np.linspace(0, still.shape[1] - 1, width).astype(int)
        small: NDArray[np.uint8] = still[rows][:, columns]
        return small

    times = constant_rate(len(shown) * SECONDS * RATE, RATE)
    return write_video(path, times, draw=draw, width=320, height=240)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, demo_clips: list[Path]) -> Iterator[Archive]:
    """One video: bikes, the rabbit, the man; and one of bikes alone."""
    folder = tmp_path_factory.mktemp("several")
    bikes, bunny, man = demo_clips
    order = [(bikes, 8.5), (bunny, 3.0), (man, 1.0)]
    (folder / "videos").mkdir()
    composed(folder / "videos" / "order.mp4", order)
    composed(folder / "videos" / "bikes.mp4", [(bikes, 8.5), (bikes, 8.5)])
    with open_archive(folder / "archive", threads=1) as opened:
        opened.index(folder / "videos")
        yield opened


def spans(found: SearchResult) -> list[tuple[float, float]]:
    return [(part.start, part.end) for part in found.moments[0].parts]


def test_a_chain_is_found_in_its_order(archive: Archive) -> None:
    found = archive.search(BIKES, then=[MAN])
    best = found.moments[0]
    assert best.video.name == "order.mp4"
    assert [part.sentence for part in best.parts] == [BIKES, MAN]
    (start, end), (begins, ends) = spans(found)
    assert start < 2 < 5 < end < 8
    assert 10 < begins < 13 < 17 < ends
    assert (best.start, best.end) == (start, ends)
    assert best.match_probability is not None
    assert all(part.match_probability is not None for part in best.parts)
    assert best.score == pytest.approx(np.mean([part.score for part in best.parts]))
    assert found.read_as == f'"{BIKES}", then within 30 s "{MAN}"'
    assert found.query == BIKES


def test_a_sentence_says_the_same_as_the_options(archive: Archive) -> None:
    by_option = archive.search(BIKES, then=[BUNNY, MAN])
    said = archive.search(f"{BIKES}, then {BUNNY}, then {MAN}")
    assert said.moments == by_option.moments
    assert len(said.moments[0].parts) == 3
    plain = archive.search(f"{BIKES}, then {MAN}", literal=True)
    assert plain.read_as is None
    assert plain.moments[0].parts == ()


def test_the_wrong_order_is_refused_with_the_reason(archive: Archive) -> None:
    right, wrong = archive.search(BIKES, then=[MAN]), archive.search(MAN, then=[BIKES])
    assert right.moments[0].match_probability is not None
    assert right.moments[0].match_probability > THRESHOLD
    assert right.verdict.decision == "match"
    assert wrong.verdict.decision == "no_match"
    likely = [one.match_probability or 0 for one in wrong.moments]
    assert all(one < THRESHOLD for one in likely)
    assert wrong.notices[-1].startswith("no match: ")
    assert "after it within 30 s" in wrong.notices[-1] or "before it" in wrong.notices[-1]
    for moment in wrong.moments:
        first, second = moment.parts
        assert first.start < second.start


def test_what_follows_too_late_is_no_chain(archive: Archive) -> None:
    for within, there in ((3.0, False), (10.0, True)):
        found = archive.search(BIKES, then=[MAN], within=within, video="order.mp4")
        gaps = [b.start - a.end for a, b in (one.parts for one in found.moments)]
        assert all(gap <= within for gap in gaps)
        assert (found.verdict.decision == "match") == there


def test_and_takes_any_order(archive: Archive) -> None:
    for one, other in ((BIKES, MAN), (MAN, BIKES)):
        found = archive.search(one, also=[other])
        assert found.moments[0].video.name == "order.mp4"
        assert found.verdict.decision == "match"
        assert [part.sentence for part in found.moments[0].parts] == [one, other]
    assert archive.search(BIKES, also=[MAN], within=1).verdict.decision == "no_match"
    both = archive.search(MAN, also=[BUNNY], then=[BIKES])
    assert both.read_as == f'"{MAN}" and "{BUNNY}", then within 30 s "{BIKES}"'
    assert both.verdict.decision == "no_match"


def test_what_must_not_be_seen_refuses_a_moment(archive: Archive) -> None:
    plain = archive.search(BIKES)
    assert {one.video.name for one in plain.moments[:2]} == {"order.mp4", "bikes.mp4"}
    without = archive.search(BIKES, then=[MAN], without=[BUNNY])
    assert not [
        one
        for one in without.moments
        if one.video.name == "order.mp4" and one.start < 6 and one.end > 12
    ]
    assert without.verdict.decision == "no_match"
    assert BUNNY in without.turns[-1].then
    assert "refused" in without.notices[-1]
    kept = archive.search(BIKES, without=["an elephant in a river"])
    assert [one.video for one in kept.moments] == [one.video for one in plain.moments]
    assert kept.verdict == plain.verdict
    assert [one.rank for one in kept.moments] == list(range(1, len(kept.moments) + 1))


def test_one_shot_orders_the_likest_frames(archive: Archive) -> None:
    found = archive.search(BIKES, then=[MAN], one_shot=True)
    assert found.verdict.decision == "unverified"
    assert found.moments[0].video.name == "order.mp4"
    assert found.moments[0].match_probability is None
    assert spans(found)[0][0] < spans(found)[1][0]
    with pytest.raises(UsageError, match="one-shot"):
        archive.search(BIKES, without=[MAN], one_shot=True)


@pytest.mark.parametrize(
    "said",
    [
        {"then": [" "]},
        {"then": ["a"] * 6},
        {"within": 0.0},
        {"within": float("nan")},
        {"without": [""]},
        {"then": [MAN], "video": "nope.mp4"},
    ],
)
def test_what_cannot_be_asked_is_refused(archive: Archive, said: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        archive.search(BIKES, **said)
    with pytest.raises(UsageError, match="empty"):
        archive.search("", then=[MAN])


def test_limits_hold_for_chains(archive: Archive) -> None:
    assert len(archive.search(BIKES, then=[MAN], top_k=1).moments) == 1
    found = archive.search(BIKES, then=[MAN], min_score=0.99)
    assert found.moments == ()
    only = archive.search(BIKES, then=[MAN], video="bikes.mp4")
    assert {one.video.name for one in only.moments} <= {"bikes.mp4"}
    assert only.verdict.decision == "no_match"


def test_when_the_time_is_spent_no_further_part_is_verified(archive: Archive) -> None:
    found = archive.search(BIKES, then=[MAN], max_ms=1e-3)
    assert found.verdict.decision == "unverified"
    assert found.turns[-1].then == found.notices[-1]
    assert "the time was spent" in found.notices[-1]
    first, second = found.moments[0].parts
    assert (first.match_probability is None, second.match_probability is None) == (False, True)
    enough = archive.search(BIKES, then=[MAN], max_ms=1e6)
    assert enough.moments == archive.search(BIKES, then=[MAN]).moments


def test_when_the_time_is_spent_what_nobody_looked_at_is_left_out(archive: Archive) -> None:
    whole = archive.search(BIKES, without=["an elephant in a river"])
    found = archive.search(BIKES, without=["an elephant in a river"], max_ms=1e-3)
    assert len(whole.moments) > 1
    assert [one.video for one in found.moments] == [whole.moments[0].video]
    assert "are left out" in found.notices[-1]
    # The first is refused, and nobody knows of the others.
    refused = archive.search(BIKES, without=[BIKES], max_ms=1e-3)
    assert (refused.moments, refused.verdict.decision) == ((), "unverified")
