"""Five hundred random filters let through what brute force does, and nothing else."""

from __future__ import annotations

import fnmatch
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.store.archives import DIM, a_query, a_video, open_archive, unit_vectors
from vsr_edge.query import Daily, Filter
from vsr_edge.store.base import Store
from vsr_edge.store.sqlite import LocalStore
from vsr_edge.types import ClipWindow, FrameFeatures, Recorded, Sampling

# All times are multiples of this, so that what two stretches share holds one of its ticks.
TICK = 30
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC")
# Days on which clocks of these zones change, and one on which none does.
DAYS = ("2026-03-29", "2026-03-08", "2026-10-25", "2026-11-01", "2026-04-05", "2026-07-01")
TAGS = ("door", "night", "test")


@dataclass(frozen=True)
class Truth:
    """A video as it was stored; ``clips``: id, start, end, first and last frame of each."""

    path: str
    recorded: int
    duration: int
    tags: frozenset[str]
    frames: int
    clips: tuple[tuple[int, int, int, int, int], ...]


@cache
def time_of_day(zone: str, ticks: tuple[int, int]) -> NDArray[np.int64]:
    """Seconds since midnight on clocks of a zone, at each tick from one up to another."""
    clocks = (datetime.fromtimestamp(TICK * tick, ZoneInfo(zone)) for tick in range(*ticks))
    return np.array([at.hour * 3600 + at.minute * 60 + at.second for at in clocks])


def in_time(where: Filter, video: Truth) -> NDArray[np.bool_]:
    """Which ticks of a video meet all conditions of time."""
    span = video.recorded // TICK, (video.recorded + video.duration) // TICK
    at = np.arange(*span) * TICK
    meets = np.ones(len(at), np.bool_)
    if where.after is not None:
        meets &= at >= where.after
    if where.before is not None:
        meets &= at < where.before
    if (daily := where.between) is not None:
        clock = time_of_day(daily.zone, span)
        since, until = clock >= daily.since, clock < daily.until
        meets &= (since & until) if daily.since < daily.until else (since | until)
    return meets


def lets(where: Filter, video: Truth) -> bool:
    """Whether a video meets all conditions but those of time."""
    named = (fnmatch.fnmatchcase(video.path, f"*/{pattern}") for pattern in where.videos)
    return (
        (not where.videos or any(named))
        and (where.min_duration is None or video.duration >= where.min_duration)
        and (where.max_duration is None or video.duration <= where.max_duration)
        and all((tag.lstrip("-") in video.tags) != tag.startswith("-") for tag in where.tags)
    )


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def archive(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Store, list[Truth]]]:
    chance, vectors = random.Random(1), np.random.default_rng(1)
    truth: list[Truth] = []
    place: Path | str = tmp_path_factory.mktemp("random") / "archive"
    if request.param == "postgres":
        place = request.getfixturevalue("server").url()
    with open_archive(place) as store:
        with store.writer() as writer:
            for number in range(40):
                midnight = datetime.fromisoformat(chance.choice(DAYS)).replace(tzinfo=UTC)
                recorded = int(midnight.timestamp()) + TICK * chance.randrange(-1500, 2880)
                ticks = chance.choice([1, 5, 40, 120, 400, 3000])
                cuts = sorted({0, ticks, *chance.choices(range(1, ticks + 1), k=8)})
                # One frame begins with each stretch; a clip shows one or two of them.
                reach = chance.choice([1, 2])
                windows = [
                    ClipWindow(
                        TICK * cuts[i],
                        TICK * cuts[min(i + reach, len(cuts) - 1)],
                        i,
                        min(i + reach - 1, len(cuts) - 2),
                    )
                    for i in range(len(cuts) - 1)
                ]
                made = replace(
                    a_video(f"/v/cam{number % 3}/{number:02}.mp4"), duration=float(TICK * ticks)
                )
                tags = frozenset(tag for tag in TAGS if chance.random() < 0.4)
                count = len(windows)
                with writer.begin(
                    made, Sampling(), recorded=Recorded(float(recorded), "name"), tags=tags
                ) as entry:
                    times = np.array(cuts[:-1], np.float64) * TICK
                    entry.add_frames(FrameFeatures(times, unit_vectors(vectors, count, DIM), None))
                    entry.finish(windows, unit_vectors(vectors, count, DIM))
                path, length = str(made.path), int(made.duration)
                truth.append(Truth(path, recorded, length, tags, count, ()))
                if number % 9 == 8:  # ids with gaps between them
                    gone = truth.pop()
                    stored = store.find(Path(gone.path))
                    assert stored is not None
                    writer.remove([stored.video_id])
        known = []
        for one in truth:
            stored = store.find(Path(one.path))
            assert stored is not None
            windows_of = [(clip.clip_id, clip.window) for clip in store.clips(stored.video_id)]
            clips = tuple(
                (clip_id, int(w.start), int(w.end), w.first, w.last) for clip_id, w in windows_of
            )
            known.append(replace(one, clips=clips))
        yield store, sorted(known, key=lambda one: one.path)


def a_filter(chance: random.Random, truth: list[Truth]) -> Filter:
    """Some of the conditions, near to what there is."""

    def sometimes(share: float) -> bool:
        return chance.random() < share

    def instant() -> float:
        one = chance.choice(truth)
        return float(one.recorded + TICK * chance.randint(-20, one.duration // TICK + 20))

    between = None
    if sometimes(0.5):
        since, until = chance.sample(range(0, 1441, 10), 2)
        between = Daily(since % 1440 * 60, until * 60, chance.choice(ZONES))
    after, before = instant(), instant()
    if after > before and sometimes(0.7):
        after, before = before, after
    return Filter(
        videos=("cam[01]/*", "cam2/1?.mp4")[: chance.randint(1, 2)] if sometimes(0.3) else (),
        after=after if sometimes(0.4) else None,
        before=before if sometimes(0.4) else None,
        between=between,
        min_duration=float(TICK * chance.choice([1, 40, 120])) if sometimes(0.2) else None,
        max_duration=float(TICK * chance.choice([40, 400])) if sometimes(0.2) else None,
        tags=tuple(
            chance.choice(["", "-"]) + tag for tag in chance.sample(TAGS, chance.randint(1, 2))
        )
        if sometimes(0.3)
        else (),
    )


def test_random_filters_are_exact(archive: tuple[Store, list[Truth]]) -> None:
    store, truth = archive
    chance, query = random.Random(2), a_query()
    every = {hit.clip.clip_id: hit for hit in store.search(query, 10_000)}
    assert len(every) == sum(len(one.clips) for one in truth)
    vectors = dict(zip(sorted(every), store.sample(10_000), strict=True))
    cut = empty = 0
    # Each asks six things, which a server answers one journey after the other.
    count = 500 if isinstance(store, LocalStore) else 100
    for _ in range(count):
        where = a_filter(chance, truth)
        ticks = {one.path: in_time(where, one) for one in truth if lets(where, one)}
        videos = [one for one in truth if one.path in ticks and ticks[one.path].any()]
        kept = [
            [c for c in one.clips if ticks[one.path][c[1] // TICK : c[2] // TICK].any()]
            for one in videos
        ]
        ids = sorted(clip[0] for clips in kept for clip in clips)
        wanted = set(ids)
        frames = sum(
            len({frame for clip in clips for frame in range(clip[3], clip[4] + 1)})
            for clips in kept
        )
        cut += any(0 < len(k) < len(one.clips) for k, one in zip(kept, videos, strict=True))
        empty += not ids
        assert [str(v.video.path) for v in store.videos(where)] == [v.path for v in videos], where
        hits = store.search(query, 10_000, where)
        assert hits == [hit for hit in every.values() if hit.clip.clip_id in wanted], where
        few = max(len(ids) // 3, 1)
        assert store.search(query, few, where) == hits[:few], where
        assert store.frame_count(where) == frames, where
        sample = store.sample(10_000, where)
        assert len(sample) == len(ids), where
        assert all((row == vectors[i]).all() for row, i in zip(sample, ids, strict=True)), where
    # The filters are of all kinds: some let nothing through, many only a part of some video.
    assert cut > count // 5
    assert count // 50 < empty < count * 3 // 5
