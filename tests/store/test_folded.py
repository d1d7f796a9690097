"""Frames that share vectors are stored once, and read as if they were stored each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vsr_edge.errors import ArchiveDamaged
from vsr_edge.store.base import Store
from vsr_edge.store.entry import MOST_FOLDED
from vsr_edge.types import ClipWindow, FrameFeatures, HalfVectors, Regions, Sampling, Vectors

from .archives import DIM, REGIONS, a_video, change, footage, open_archive, rows, unit_vectors

# Which of some pictures each frame shows: runs at the start, in the middle, and at the end.
SHOWN = np.array([0, 0, 0, 1, 2, 2, 3, 3, 3, 3, 0, 0])
RUNS = 5


def still(shown: np.ndarray = SHOWN, *, regions: bool = True) -> FrameFeatures:
    rng = np.random.default_rng(0)
    count = int(shown.max()) + 1
    cells = unit_vectors(rng, count, REGIONS, DIM)[shown] if regions else None
    return FrameFeatures(np.arange(float(len(shown))), unit_vectors(rng, count, DIM)[shown], cells)


def store_it(
    store: Store, features: FrameFeatures, *, batch: int = 100, code: Regions = "float16"
) -> int:
    sampling = Sampling(regions=code)
    last = len(features) - 1
    with store.writer() as writer, writer.begin(a_video("/a.mp4"), sampling) as entry:
        for start in range(0, len(features), batch):
            entry.add_frames(features[start : start + batch])
        return entry.finish([ClipWindow(0.0, last + 1.0, 0, last)], np.eye(1, DIM, dtype="f2"))


@pytest.fixture
def opened(place: Path | str) -> Iterator[Store]:
    with open_archive(place) as store:
        yield store


def stored(folder: Path | str, table: str, column: str) -> list[int]:
    """The frames that have a vector of their own, or regions."""
    found = rows(folder, f"SELECT number, {column} FROM {table} ORDER BY number")
    return [number for number, blob in found if blob]


def in_words_of(place: Path | str, statement: str) -> str:
    """PostgreSQL has another way to write bytes."""
    return statement.replace("x'", "'\\x") if isinstance(place, str) else statement


def same(one: HalfVectors | Vectors | None, other: HalfVectors | Vectors | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.shape == other.shape and one.tobytes() == other.tobytes()


@pytest.mark.parametrize("batch", [1, 2, 5, 100])
def test_what_is_alike_is_stored_once_wherever_batches_end(
    opened: Store, place: Path | str, batch: int
) -> None:
    store_it(opened, still(), batch=batch)
    assert stored(place, "frames", "vector") == [0, 3, 4, 6, 10]
    assert stored(place, "regions", "vectors") == [0, 3, 4, 6, 10]
    assert opened.stats().frames == len(SHOWN)
    assert opened.check() == []


@pytest.mark.parametrize("regions", [True, False])
def test_any_span_reads_as_if_each_were_stored(opened: Store, regions: bool) -> None:
    made = still(regions=regions)
    video_id = store_it(opened, made)
    spans = [(i, j) for i in range(len(made)) for j in range(i, len(made))]
    for first, last in spans:
        found = opened.frames(video_id, first, last, regions=True)
        assert same(found.vectors, made.vectors[first : last + 1])
        assert same(found.regions, None if made.regions is None else made.regions[first : last + 1])
        assert found.times.tolist() == list(range(first, last + 1))
        assert opened.frames(video_id, first, last).regions is None
    several = [(video_id, *span) for span in ((1, 1), (2, 4), (5, 5), (8, 11))]
    for (_, first, last), found in zip(several, opened.frames_of(several), strict=True):
        assert same(found.vectors, made.vectors[first : last + 1])


def test_regions_that_differ_are_kept_apart(opened: Store, place: Path | str) -> None:
    made = still(np.zeros(3, np.int64))
    assert made.regions is not None
    made.regions[1, 0] = made.regions[1, 1]
    video_id = store_it(opened, made)
    assert stored(place, "frames", "vector") == [0, 1, 2]
    assert same(opened.frames(video_id, regions=True).regions, made.regions)


def test_nobody_need_look_far_back(opened: Store, place: Path | str) -> None:
    made = still(np.zeros(2 * MOST_FOLDED + 2, np.int64))
    video_id = store_it(opened, made)
    assert stored(place, "frames", "vector") == [0, MOST_FOLDED, 2 * MOST_FOLDED]
    assert same(opened.frames(video_id).vectors, made.vectors)
    assert opened.check() == []


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ("UPDATE frames SET vector = x'' WHERE number = 0", "unfit"),
        ("UPDATE frames SET vector = x'' WHERE number = 4", "lacks frames"),
        ("UPDATE frames SET vector = x'00' WHERE number = 1", "unfit"),
        ("DELETE FROM regions WHERE number = 3", "lacks frames"),
    ],
)
def test_damage_among_them_is_named(
    opened: Store, place: Path | str, damage: str, named: str
) -> None:
    store_it(opened, still())
    change(place, in_words_of(place, damage))
    assert any(named in problem for problem in opened.check())


def test_a_frame_with_none_before_it_to_share_with_is_damage(
    opened: Store, place: Path | str
) -> None:
    video_id = store_it(opened, still())
    change(place, in_words_of(place, "UPDATE frames SET vector = x'' WHERE number = 0"))
    with pytest.raises(ArchiveDamaged, match="vectors are missing"):
        opened.frames(video_id, 1, 2)


def test_another_video_has_none_of_it(opened: Store) -> None:
    first = store_it(opened, still())
    made = replace(footage("/b.mp4"), video=a_video("/b.mp4"))
    with opened.writer() as writer, writer.begin(made.video, made.sampling) as entry:
        entry.add_frames(still()[:2])
        second = entry.finish([ClipWindow(0.0, 2.0, 0, 1)], np.eye(1, DIM, dtype="f2"))
    assert same(opened.frames(second).vectors, opened.frames(first, 0, 1).vectors)
