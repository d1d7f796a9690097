"""Folding: what looks alike is encoded once, what moves is not taken for still."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.ingest.archives import content, counts, footage, index, open_for
from tests.media_files import constant_rate, write_video
from tests.store.archives import rows
from vsr_edge.bundle.model import Bundle
from vsr_edge.ingest.fold import MOST_FRAMES, fold
from vsr_edge.media.decode import FrameReader
from vsr_edge.media.plan import plan_video
from vsr_edge.types import FrameBatch, Pixels, Sampling

SIDE = 256


def scene(seed: int = 0) -> NDArray[np.float32]:
    """A wall, a floor and some furniture, [H, W, 3]."""
    rng = np.random.default_rng(seed)
    image = np.full((SIDE, SIDE, 3), (120, 130, 140), np.float32)
    image[SIDE // 2 :] = (90, 80, 70)
    for _ in range(20):
        y, x = rng.integers(0, SIDE - 40, 2)
        image[y : y + rng.integers(8, 40), x : x + rng.integers(8, 40)] = rng.integers(20, 230, 3)
    return image


def camera(picture: NDArray[np.float32], noise: float, rng: np.random.Generator) -> Pixels:
    seen = picture + rng.normal(0, noise, picture.shape)
    return np.clip(seen, 0, 255).astype(np.uint8)


def with_someone(picture: NDArray[np.float32], x: int) -> NDArray[np.float32]:
    """As small as a person in the far half of a room: a twelfth of the height."""
    there = picture.copy()
    there[150:171, x : x + 6] = (40, 45, 60)
    return there


def batches(pictures: Iterable[Pixels], size: int = 4) -> list[FrameBatch]:
    every = np.stack(list(pictures))
    return [
        FrameBatch(np.arange(start, min(start + size, len(every)), dtype=float), part)
        for start in range(0, len(every), size)
        if len(part := every[start : start + size])
    ]


def shown(folded: Iterable[FrameBatch]) -> list[int]:
    """How many frames show each picture."""
    return [n for one in folded if one.repeats is not None for n in one.repeats.tolist()]


def test_a_still_camera_is_seen_once_though_it_is_noisy() -> None:
    rng = np.random.default_rng(0)
    pictures = [camera(scene(), 2.0, rng) for _ in range(10)]
    assert shown(fold(batches(pictures))) == [10]


def test_who_walks_through_is_seen_at_every_step() -> None:
    rng = np.random.default_rng(0)
    empty = scene()
    steps = [empty, empty, *(with_someone(empty, x) for x in (20, 60, 100)), empty, empty]
    pictures = [camera(step, 2.0, rng) for step in steps]
    assert shown(fold(batches(pictures))) == [2, 1, 1, 1, 2]


def test_what_changes_little_by_little_is_seen_again_in_the_end() -> None:
    pictures = [np.full((SIDE, SIDE, 3), 100 + level, np.uint8) for level in range(10)]
    folded = shown(fold(batches(pictures)))
    assert folded == [3, 3, 3, 1]


@pytest.mark.parametrize("size", [1, 3, 4, 16])
def test_nothing_is_lost_and_batches_are_full(size: int) -> None:
    pictures = [camera(scene(number // 3), 0, np.random.default_rng(0)) for number in range(30)]
    folded = list(fold(batches(pictures, size)))
    times = np.concatenate([one.times for one in folded])
    assert times.tolist() == list(range(30))
    assert all(len(one.pixels) == size for one in folded[:-1])
    for one in folded:
        assert one.repeats is not None
        assert one.repeats.sum() == len(one)
    spread = [
        picture
        for one in folded
        for picture, count in zip(one.pixels, one.repeats, strict=True)  # type: ignore[arg-type]
        for _ in range(count)
    ]
    assert (np.stack(spread) == np.stack(pictures)).all()


def test_a_picture_of_another_size_is_another() -> None:
    small, large = np.zeros((40, 40, 3), np.uint8), np.zeros((60, 60, 3), np.uint8)
    first = FrameBatch(np.arange(1.0), small[None])
    second = FrameBatch(np.arange(1.0, 2.0), large[None])
    assert shown(fold([first, second])) == [1, 1]


def test_however_still_it_goes_on() -> None:
    pictures = np.zeros((2 * MOST_FRAMES + 1, 20, 20, 3), np.uint8)
    folded = list(fold([FrameBatch(np.arange(float(len(pictures))), pictures)]))
    assert [len(one) for one in folded] == [MOST_FRAMES, MOST_FRAMES, 1]


@pytest.fixture
def watched(tmp_path: Path, demo_clips: list[Path]) -> Path:
    """Twenty seconds of a street that somebody walks through from 8 to 12 s, as h264."""
    rng = np.random.default_rng(0)
    with FrameReader(plan_video(demo_clips[0], Sampling()), size=(SIDE, SIDE)) as frames:
        street = next(iter(frames)).pixels[0].astype(np.float32)

    def draw(number: int, *_: int) -> Pixels:
        picture = with_someone(street, 8 * (number - 40)) if 40 <= number < 60 else street
        return camera(picture, 1.0, rng)

    path = tmp_path / "room.mp4"
    return write_video(path, constant_rate(100, 5), draw=draw, width=SIDE, height=SIDE)


def test_an_archive_of_still_footage_has_fewer_vectors_and_all_frames(
    bundle: Bundle, watched: Path, tmp_path: Path
) -> None:
    summary = index(bundle, tmp_path / "folded", watched)
    index(bundle, tmp_path / "plain", watched, Sampling(fold=False))
    assert counts(summary) == {"indexed": 1, "frames": 20}
    full = "SELECT number FROM frames WHERE vector <> x'' ORDER BY number"
    assert [n for (n,) in rows(tmp_path / "folded", full)] == [0, 8, 9, 10, 11, 12]
    assert len(rows(tmp_path / "plain", full)) == 20
    with open_for(bundle, tmp_path / "folded") as store:
        (video,) = store.videos()
        frames = store.frames(video.video_id, regions=True)
        spans = [(c.window.first, c.window.last) for c in store.clips(video.video_id)]
        assert store.check() == []
    assert spans == [(0, 7), (8, 8), (9, 9), (10, 10), (11, 11), (12, 19)]
    with open_for(bundle, tmp_path / "plain") as store:
        true = store.frames(store.videos()[0].video_id)
    assert frames.regions is not None
    assert len(frames.regions) == 20
    cosines = (frames.vectors.astype(np.float32) * true.vectors.astype(np.float32)).sum(axis=1)
    assert cosines.min() > 0.97


def test_a_copy_is_folded_alike(bundle: Bundle, watched: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    index(bundle, archive, watched)
    copy = watched.with_name("copy.mp4")
    copy.write_bytes(watched.read_bytes())
    assert counts(index(bundle, archive, [watched, copy])) == {"skipped": 1, "copied": 1}
    found = content(archive)
    assert found[watched][1:] == found[copy][1:]
    full = "SELECT count(*) FROM frames WHERE vector <> x'' GROUP BY video_id"
    assert rows(archive, full) == [(6,), (6,)]


def test_folding_is_sampling(bundle: Bundle, tmp_path: Path) -> None:
    path = footage(tmp_path / "a.mp4")
    index(bundle, tmp_path / "archive", path)
    assert counts(index(bundle, tmp_path / "archive", path, Sampling(fold=False)))["indexed"] == 1
