"""Candidates: windows around the frames that hits point at, read from a real store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from vsr_edge import Archive, open_archive
from vsr_edge.bundle.manifest import REACH
from vsr_edge.search.footage import Candidates, best_frames, footage, show
from vsr_edge.types import ClipHit


@pytest.fixture(scope="module")
def archive(demo_archive: Path) -> Iterator[Archive]:
    with open_archive(demo_archive) as opened:
        yield opened


@pytest.fixture(scope="module")
def hits(archive: Archive) -> list[ClipHit]:
    return archive.store.search(archive.bundle.encode_text(["a bicycle"])[0], 100)


def test_windows_surround_the_best_frame_and_keep_their_distance(
    archive: Archive, hits: list[ClipHit]
) -> None:
    query = archive.bundle.encode_text(["a bicycle"])[0]
    found = Candidates(archive.store, query).new(hits, 100)
    assert found[0].video.video_id == hits[0].clip.video_id
    centres: dict[int, list[int]] = {}
    for window in found:
        assert 0 <= window.first <= window.best <= window.last < window.video.frames
        assert window.last - window.first <= 2 * REACH
        frames = archive.store.frames(window.video.video_id, window.best, window.best)
        assert window.score == pytest.approx(float(frames.vectors[0].astype(np.float32) @ query))
        others = centres.setdefault(window.video.video_id, [])
        assert all(abs(window.best - other) > REACH for other in others)
        others.append(window.best)


def test_what_was_found_is_not_found_again(archive: Archive, hits: list[ClipHit]) -> None:
    query = archive.bundle.encode_text(["a bicycle"])[0]
    everything = Candidates(archive.store, query).new(hits, 100)
    candidates = Candidates(archive.store, query)
    first, others = candidates.new(hits, 1), candidates.new(hits, 100)
    assert [*first, *others] == everything
    assert candidates.new(hits, 100) == []


def test_a_clip_of_many_frames_yields_several_windows(
    tmp_path: Path, demo_clips: list[Path]
) -> None:
    with open_archive(tmp_path / "a", fps=25, clip_seconds=1e6, clip_stride=1e6) as archive:
        archive.index(demo_clips[0])
        query = archive.bundle.encode_text(["a bicycle"])[0]
        (hit,) = archive.store.search(query, 1)
        found = Candidates(archive.store, query).new([hit], 100)
    frames = found[0].unit_frames
    assert frames > 200
    assert len(found) == 1 + frames // 128
    scores = [window.score for window in found]
    assert scores == sorted(scores, reverse=True)


def test_windows_of_different_lengths_become_one_masked_batch(
    archive: Archive, hits: list[ClipHit]
) -> None:
    query = archive.bundle.encode_text(["a bicycle"])[0]
    shown = show(archive.store, Candidates(archive.store, query).new(hits, 100))
    batch = footage(shown)
    lengths = [len(one.frames) for one in shown]
    assert batch.mask.sum(axis=1).tolist() == lengths
    assert batch.frames.shape[:2] == (len(shown), max(lengths))
    for row, one in enumerate(shown):
        assert not batch.frames[row, lengths[row] :].any()
        assert np.array_equal(batch.frames[row, : lengths[row]], one.frames.vectors)
    best = best_frames(shown)
    scores = best.frames[:, 0] @ query
    assert scores.tolist() == pytest.approx([one.window.score for one in shown], abs=1e-3)


def test_footage_of_a_removed_video_is_left_out(archive: Archive, hits: list[ClipHit]) -> None:
    gone = [ClipHit(hit.clip, hit.score) for hit in hits[:1]]
    clip = gone[0].clip
    stranger = type(clip)(clip.clip_id, 10_000, clip.window)
    query = archive.bundle.encode_text(["a bicycle"])[0]
    assert Candidates(archive.store, query).new([ClipHit(stranger, 1.0)], 1) == []
