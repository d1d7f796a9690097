"""Searches of some time alone: every moment has a part in it, whatever a clip stands for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from vsr_edge import Archive, open_archive
from vsr_edge.answer import Moment
from vsr_edge.errors import UsageError
from vsr_edge.query import Filter
from vsr_edge.times import spans_within
from vsr_edge.types import Granularity

QUERY = "a bicycle leaning against a wall"


@pytest.fixture(scope="module", params=["frame", "scene", "video"])
def archive(
    request: pytest.FixtureRequest,
    demo_clips: list[Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Archive]:
    granularity: Granularity = request.param
    videos = tmp_path_factory.mktemp("videos")
    for number, clip in enumerate(demo_clips):
        (videos / f"cam{number}_20260304_21595{5 + number}{clip.suffix}").symlink_to(clip)
    folder = tmp_path_factory.mktemp("times") / granularity
    with open_archive(folder, granularity=granularity, time_zone="Europe/Berlin") as opened:
        assert opened.index([videos], tags=["demo"]).indexed == len(demo_clips)
        # By their names, also those whose containers say when they were made.
        stored = opened.store.videos()
        with opened.store.writer() as writer:
            site = opened._site()
            writer.record({one.video_id: site.recorded(one.video.path, 0, 0.0) for one in stored})
        yield opened


def inside(where: Filter, moment: Moment) -> bool:
    assert moment.recorded_at is not None
    end = moment.recorded_at + moment.end - moment.start
    spans = spans_within(where, moment.recorded_at, end)
    return any(start < end and stop > moment.recorded_at for start, stop in spans)


@pytest.mark.parametrize("one_shot", [False, True])
@pytest.mark.parametrize(
    ("condition", "value"),
    [
        ("after", "2026-03-04T22:00:03"),
        ("before", "2026-03-04T21:59:58"),
        ("between", "22:00-06:00"),
        ("between", "06:00-22:00"),
    ],
)
def test_every_moment_has_a_part_in_the_time(
    archive: Archive, condition: str, value: str, one_shot: bool
) -> None:
    where = archive.where(**{condition: value})
    assert where is not None
    found = archive.search(QUERY, where=where, one_shot=one_shot, top_k=20)
    assert found.moments
    assert all(inside(where, moment) for moment in found.moments)
    everything = archive.search(QUERY, one_shot=one_shot, top_k=20).moments
    assert not all(inside(where, moment) for moment in everything)
    assert {moment.recorded_from for moment in everything} == {"name"}
    videos = {stored.video.path for stored in archive.videos(where=where)}
    assert {moment.video for moment in found.moments} <= videos


def test_a_time_that_begins_between_two_frames_finds_what_is_shown_then(archive: Archive) -> None:
    first = archive.videos()[0]
    assert first.recorded_at is not None
    where = Filter(after=first.recorded_at + 1.1, before=first.recorded_at + 1.2)
    found = archive.search(QUERY, video=first.video.path, where=where)
    assert [moment.video for moment in found.moments] == [first.video.path]
    assert all(inside(where, moment) for moment in found.moments)


def test_nothing_in_it_is_an_answer_and_no_error(archive: Archive) -> None:
    found = archive.search(QUERY, where=archive.where(after="2026-03-05"))
    assert (found.moments, found.verdict.decision) == ((), "unverified")
    assert archive.videos(where=archive.where(tags=["-demo"])) == []
    assert archive.select() == []
    with pytest.raises(UsageError, match="no indexed video matches"):
        archive.search(QUERY, video="nowhere", where=archive.where(tags=["demo"]))


def test_conditions_on_videos_join_those_on_names(archive: Archive) -> None:
    where = archive.where(min_duration="5.2s")
    long = {stored.video.path for stored in archive.videos() if stored.video.duration >= 5.2}
    assert 0 < len(long) < len(archive.videos())
    assert {stored.video.path for stored in archive.videos(where=where)} == long
    (one,) = archive.videos("cam0*")
    both = archive.videos("cam0*", where)
    assert {stored.video.path for stored in both} == {one.video.path} & long
    tagged = archive.tag(["cam0*"], add=["Door"])
    assert [stored.tags for stored in tagged] == [("demo", "door")]
    assert archive.select(where=archive.where(tags="door")) == tagged
    assert [stored.tags for stored in archive.tag(["cam0*"], drop=["door"])] == [("demo",)]
    with pytest.raises(UsageError, match="cannot be a tag"):
        archive.tag(["cam0*"], add=["fine", "not fine"])
    assert [stored.tags for stored in archive.videos("cam0*")] == [("demo",)]
