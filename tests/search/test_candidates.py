"""Candidates: windows around the frames that hits point at, read from a real store."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.store.archives import a_video
from vsr_edge import Archive, open_archive
from vsr_edge.bundle.manifest import REACH
from vsr_edge.bundle.model import Bundle
from vsr_edge.ingest.clips import clip_vectors, cut
from vsr_edge.query import SearchOptions
from vsr_edge.search.candidates import Asked, footage
from vsr_edge.search.spans import Window
from vsr_edge.store import open_store
from vsr_edge.store.base import Store
from vsr_edge.types import FrameFeatures, Sampling


@pytest.fixture(scope="module")
def archive(demo_archive: Path) -> Iterator[Archive]:
    with open_archive(demo_archive) as opened:
        yield opened


def asked(archive: Archive, candidates: int = 100) -> Asked:
    options = SearchOptions(candidates=candidates)
    return Asked(archive.store, archive.bundle, "a bicycle", options)


@pytest.fixture(scope="module")
def hits(archive: Archive) -> list[Window]:
    query = asked(archive)
    return query.retrieve(query.vector, 100)


def test_windows_surround_the_best_frame_and_keep_their_distance(
    archive: Archive, hits: list[Window]
) -> None:
    query = asked(archive)
    found = query.candidates(hits)
    assert found[0].video == hits[0].video
    centres: dict[int, list[int]] = {}
    for window in found:
        assert 0 <= window.first <= window.best <= window.last < window.video.frames
        assert window.last - window.first <= 2 * REACH
        assert len(window.frames) == window.last - window.first + 1
        frames = archive.store.frames(window.video.video_id, window.best, window.best)
        score = float(frames.vectors[0].astype(np.float32) @ query.vector)
        assert window.score == pytest.approx(score)
        others = centres.setdefault(window.video.video_id, [])
        assert all(abs(window.best - other) > REACH for other in others)
        others.append(window.best)


def test_what_was_found_is_not_found_again(archive: Archive, hits: list[Window]) -> None:
    everything = asked(archive).candidates(hits)
    query = asked(archive, candidates=2)
    few = [query.candidates(hits) for _ in range(len(everything))]
    assert {len(found) for found in few} <= {0, 1, 2}
    assert [one.place for found in few for one in found] == [one.place for one in everything]


def test_a_clip_of_many_frames_yields_several_windows(
    tmp_path: Path, demo_clips: list[Path]
) -> None:
    with open_archive(tmp_path / "a", fps=25, granularity="video") as archive:
        archive.index(demo_clips[0])
        query = asked(archive)
        (hit,) = query.retrieve(query.vector, 1)
        found = query.candidates([hit])
    frames = found[0].unit_frames
    assert frames > 200
    assert len(found) == 1 + frames // 128
    scores = [window.score for window in found]
    assert scores == sorted(scores, reverse=True)


def test_windows_of_different_lengths_become_one_masked_batch(
    archive: Archive, hits: list[Window]
) -> None:
    query = asked(archive)
    shown = query.candidates(hits)
    batch = footage([one.frames for one in shown])
    lengths = [len(one.frames) for one in shown]
    assert batch.mask.sum(axis=1).tolist() == lengths
    assert batch.frames.shape[:2] == (len(shown), max(lengths))
    for row, one in enumerate(shown):
        assert not batch.frames[row, lengths[row] :].any()
        assert np.array_equal(batch.frames[row, : lengths[row]], one.frames.vectors)
    best = footage([one.best_frame for one in shown])
    scores = best.frames[:, 0] @ query.vector
    assert scores.tolist() == pytest.approx([one.score for one in shown], abs=1e-3)


def test_a_search_sees_one_state_of_the_archive(demo_archive: Path, tmp_path: Path) -> None:
    """What another process removes meanwhile is still there until the search ends."""
    folder = shutil.copytree(demo_archive, tmp_path / "archive")
    with open_archive(folder) as archive, open_archive(folder) as other:
        with archive.store.reading():
            query = asked(archive)
            hits = query.retrieve(query.vector, 100)
            assert other.remove([hits[0].video.video.path])
            found = query.candidates(hits)
        assert found[0].video == hits[0].video
        assert hits[0].video.video.path not in {m.video for m in archive.search("it").moments}


def watched(bundle: Bundle, folder: Path, shown: np.ndarray) -> Store:
    """One video whose frames are the less like the query the higher their number in ``shown``."""
    query = bundle.encode_text(["a bicycle"])[0]
    other = np.roll(query, 1) - (np.roll(query, 1) @ query) * query
    turned = shown[:, None] / (2 * shown.max())
    vectors = np.cos(turned) * query + np.sin(turned) * other / np.linalg.norm(other)
    frames = FrameFeatures(
        np.arange(float(len(shown))),
        vectors.astype(np.float16),
        np.zeros((len(shown), 9, bundle.dim), np.float16),
    )
    store = open_store(folder, bundle_id=bundle.encoders_id, dim=bundle.dim, create=True)
    video = a_video("/v/still.mp4", duration=float(len(shown)))
    with store.writer() as writer, writer.begin(video, Sampling()) as entry:
        entry.add_frames(frames)
        windows = cut(frames, video.duration, Sampling())
        entry.finish(windows, clip_vectors(frames.vectors, windows))
    return store


def test_frames_that_are_all_much_alike_still_give_enough_candidates(
    bundle: Bundle, tmp_path: Path
) -> None:
    """The nearest ones lie close together, and one stands for those within its reach."""
    with watched(bundle, tmp_path, np.abs(np.arange(1000) - 500)) as store:
        query = Asked(store, bundle, "a bicycle", SearchOptions())
        found = query.candidates(query.retrieve(query.vector, 16))
        assert not query.exhausted
    best = sorted(window.best for window in found)
    assert len(best) == SearchOptions().candidates
    assert (np.diff(best) > REACH).all()
    assert 500 - 25 * 16 < best[0] <= 500 <= best[-1] < 500 + 25 * 16


def test_frames_that_share_a_vector_are_one_candidate_around_their_middle(
    bundle: Bundle, tmp_path: Path
) -> None:
    shown = np.repeat([2, 0, 1], [100, 300, 5])
    with watched(bundle, tmp_path, shown) as store:
        query = Asked(store, bundle, "a bicycle", SearchOptions())
        found = query.candidates(query.retrieve(query.vector, 16))
        assert query.exhausted
    assert [window.best for window in found] == [(100 + 399) // 2, 402, (0 + 99) // 2]
    assert [window.unit_frames for window in found] == [1, 1, 1]
    assert len(found[0].frames) == 2 * REACH + 1
