"""What any store must do, whatever it is made of."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vsr_edge.query import Filter
from vsr_edge.store.base import Store
from vsr_edge.types import Sampling

from .archives import (
    BUNDLE,
    DIM,
    REGIONS,
    a_query,
    footage,
    index,
    store_footage,
)


def test_a_video_comes_back_as_it_went_in(store: Store) -> None:
    made = footage("/archive/a.mp4")
    sampling = Sampling(fps=0.5, min_frames=8, clip_seconds=6.0, clip_stride=3.0, regions="int4")
    with store.writer() as writer:
        video_id = store_footage(writer, replace(made, sampling=sampling))
    stored = store.videos_of([video_id]).get(video_id)
    assert stored is not None
    assert stored.video == made.video
    assert stored.sampling == sampling
    assert (stored.frames, stored.clips, stored.partial) == (12, 4, None)
    assert stored == store.find(made.video.path)
    assert [stored] == store.find_fingerprint(made.video.fingerprint) == store.videos()


def test_an_unknown_frame_rate_and_a_partial_reason_come_back(store: Store) -> None:
    made = footage("/archive/a.mkv")
    with store.writer() as writer:
        video = replace(made.video, frame_rate=None, duration=0.0)
        with writer.begin(video, made.sampling) as entry:
            entry.add_frames(made.batches[0])
            entry.finish(made.windows[:2], made.vectors[:2], duration=7.5, partial="cut at 7.5 s")
    stored = store.videos()[0]
    assert stored.video == replace(video, duration=7.5)
    assert stored.partial == "cut at 7.5 s"


def test_vectors_come_back_bit_for_bit(store: Store) -> None:
    made = footage("/archive/a.mp4")
    with store.writer() as writer:
        video_id = store_footage(writer, replace(made, sampling=Sampling(regions="float16")))
    frames = store.frames(video_id, regions=True)
    assert frames.vectors.dtype == np.float16
    assert frames.times.dtype == np.float64
    assert frames.regions is not None
    assert frames.times.tobytes() == b"".join(b.times.tobytes() for b in made.batches)
    assert frames.vectors.tobytes() == b"".join(b.vectors.tobytes() for b in made.batches)
    regions = [b.regions for b in made.batches if b.regions is not None]
    assert frames.regions.shape == (12, REGIONS, DIM)
    assert frames.regions.tobytes() == b"".join(part.tobytes() for part in regions)


def test_a_span_of_frames_includes_both_ends(store: Store) -> None:
    (video_id,) = index(store, "/archive/a.mp4")
    whole, part = store.frames(video_id), store.frames(video_id, 3, 7, regions=True)
    assert whole.regions is None
    assert part.regions is not None
    assert len(part) == len(part.regions) == 5
    assert part.vectors.tobytes() == whole.vectors[3:8].tobytes()
    assert len(store.frames(video_id, 10, 99)) == 2


def test_many_spans_and_videos_are_read_at_once_as_one_by_one(store: Store) -> None:
    first, second = index(store, "/archive/a.mp4", "/archive/b.mp4")
    with store.writer() as writer:
        bare = store_footage(writer, footage("/archive/c.mp4", regions=False))
    spans = [(second, 2, 5), (first, 0, 99), (bare, 1, 1), (77, 0, 3), (second, 4, 4)]
    for regions in (False, True):
        for span, found in zip(spans, store.frames_of(spans, regions=regions), strict=True):
            alone = store.frames(*span, regions=regions)
            assert found.times.tolist() == alone.times.tolist()
            assert found.vectors.tobytes() == alone.vectors.tobytes()
            assert (found.regions is None) == (alone.regions is None)
            if found.regions is not None and alone.regions is not None:
                assert found.regions.tobytes() == alone.regions.tobytes()
    assert store.frames_of([]) == []
    assert store.videos_of([second, 77, first, first]) == {
        stored.video_id: stored for stored in store.videos() if stored.video_id in (first, second)
    }


def test_a_block_of_reading_sees_one_state(store: Store) -> None:
    index(store, "/archive/a.mp4")
    with store.reading():
        before = store.search(a_query(), 100)
        index(store, "/archive/b.mp4")
        with store.reading():
            assert store.search(a_query(), 100) == before
            assert len(store.videos()) == store.stats().videos == 1
    assert len(store.search(a_query(), 100)) == 8
    with pytest.raises(KeyError), store.reading():
        raise KeyError
    assert len(store.videos()) == 2


def test_each_thread_reads_a_state_of_its_own(store: Store) -> None:
    index(store, "/archive/a.mp4")
    with ThreadPoolExecutor(1) as another, store.reading():
        before = store.search(a_query(), 100)
        index(store, "/archive/b.mp4")
        assert len(another.submit(store.search, a_query(), 100).result()) == 8
        assert store.search(a_query(), 100) == before
        assert len(another.submit(store.videos).result()) == 2
        assert len(store.videos()) == 1
    assert store.notices == []


def test_frames_without_regions_have_none(store: Store) -> None:
    with store.writer() as writer:
        video_id = store_footage(writer, footage("/archive/a.mp4", regions=False))
    assert store.frames(video_id, regions=True).regions is None
    assert not store.stats().regions


def test_clips_come_back_in_time_order(store: Store) -> None:
    made = footage("/archive/a.mp4")
    (video_id,) = index(store, "/archive/a.mp4")
    clips = store.clips(video_id)
    assert [clip.window for clip in clips] == made.windows
    assert {clip.video_id for clip in clips} == {video_id}


def test_what_is_not_there_is_none_or_empty(store: Store) -> None:
    assert store.videos_of([7]).get(7) is None
    assert store.find(Path("/archive/a.mp4")) is None
    assert store.find_fingerprint("none") == []
    assert store.videos() == []
    assert store.clips(7) == []
    assert store.frames(7, regions=True).vectors.shape == (0, DIM)
    assert store.search(a_query(), 3) == []


def test_the_nearest_clip_comes_first(store: Store) -> None:
    index(store, "/archive/a.mp4", "/archive/b.mp4")
    made = footage("/archive/b.mp4")
    hits = store.search(made.vectors[2].astype(np.float32), 3)
    stored = store.videos_of([hits[0].clip.video_id]).get(hits[0].clip.video_id)
    assert stored is not None
    assert stored.video.path == made.video.path
    assert hits[0].clip.window == made.windows[2]
    assert hits[0].score == pytest.approx(1.0, abs=2e-3)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_equal_clips_are_ordered_by_id_even_at_the_cut(store: Store) -> None:
    made = footage("/archive/still.mp4", clips=200)
    with store.writer() as writer:
        store_footage(writer, footage("/archive/a.mp4"))
        same = np.repeat(made.vectors[:1], 200, axis=0)
        store_footage(writer, replace(made, vectors=same))
    hits = store.search(made.vectors[0].astype(np.float32), 7)
    first = min(clip.clip_id for clip in store.clips(hits[0].clip.video_id))
    assert [hit.clip.clip_id for hit in hits] == list(range(first, first + 7))
    assert len({hit.score for hit in hits}) == 1


@pytest.mark.skipif(os.name == "nt", reason="file names are Unicode there")
def test_a_file_name_that_is_not_utf8_is_stored_and_found(store: Store) -> None:
    odd = os.fsdecode(b"/v/caf\xe9 \xff\n.mp4")
    twin = "/v/caf\\xe9 \\xff\n.mp4"
    index(store, odd, twin, "/v/café.mp4")
    stored = store.find(Path(odd))
    assert stored is not None
    assert os.fsencode(stored.video.path) == b"/v/caf\xe9 \xff\n.mp4"
    assert [found.video.path for found in store.videos(Filter((os.fsdecode(b"caf\xe9*"),)))] == [
        Path(odd)
    ]
    assert len(store.videos(Filter(("*.mp4",)))) == 3
    with store.writer() as writer:
        writer.rename(stored.video_id, Path(odd + "2"), size_bytes=1, modified_ns=2)
    assert store.find(Path(odd)) is None
    assert store.find(Path(odd + "2")) is not None


def test_a_video_at_the_same_path_is_replaced(store: Store) -> None:
    index(store, "/archive/a.mp4", "/archive/b.mp4")
    before = {hit.clip.clip_id for hit in store.search(a_query(), 100)}
    again = footage("/archive/a.mp4", seed=99, clips=6)
    with store.writer() as writer:
        video_id = store_footage(writer, again)
    assert len(store.videos()) == 2
    assert [clip.window for clip in store.clips(video_id)] == again.windows
    hits = store.search(a_query(), 100)
    assert len(hits) == 4 + 6
    assert len(before & {hit.clip.clip_id for hit in hits}) == 4
    assert store.check() == []


def test_a_video_that_is_given_up_leaves_the_former_one(store: Store) -> None:
    (video_id,) = index(store, "/archive/a.mp4")
    before = store.frames(video_id).vectors.tobytes()
    with store.writer() as writer:
        other = footage("/archive/a.mp4", seed=99)
        with writer.begin(other.video, other.sampling) as entry:
            entry.add_frames(other.batches[0])
        with pytest.raises(RuntimeError, match="given up"):
            entry.finish(other.windows, other.vectors)
        store_footage(writer, footage("/archive/b.mp4"))
    assert store.frames(video_id).vectors.tobytes() == before
    assert len(store.videos()) == 2


def test_an_error_amid_a_video_keeps_those_before_it(store: Store) -> None:
    made = footage("/archive/b.mp4")

    def fails() -> None:
        with store.writer() as writer:
            store_footage(writer, footage("/archive/a.mp4"))
            with writer.begin(made.video, made.sampling) as entry:
                entry.add_frames(made.batches[0])
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fails()
    assert [str(stored.video.path) for stored in store.videos()] == ["/archive/a.mp4"]
    assert len(store.search(a_query(), 100)) == 4
    index(store, "/archive/b.mp4")
    assert len(store.search(a_query(), 100)) == 8


def test_a_moved_file_keeps_its_vectors(store: Store) -> None:
    (video_id,) = index(store, "/archive/a.mp4")
    hits = store.search(a_query(), 10)
    with store.writer() as writer:
        writer.rename(video_id, Path("/archive/new/a.mp4"), size_bytes=5, modified_ns=6)
    stored = store.find(Path("/archive/new/a.mp4"))
    assert stored is not None
    assert (stored.video_id, stored.video.size_bytes, stored.video.modified_ns) == (video_id, 5, 6)
    assert store.find(Path("/archive/a.mp4")) is None
    assert store.search(a_query(), 10) == hits
    assert len(store.search(a_query(), 10, Filter(("new/*",)))) == 4


def test_moving_over_another_video_removes_that_one(store: Store) -> None:
    first, second = index(store, "/archive/a.mp4", "/archive/b.mp4")
    assert len(store.search(a_query(), 100)) == 8
    with store.writer() as writer:
        writer.rename(first, Path("/archive/b.mp4"), size_bytes=5, modified_ns=6)
    assert [stored.video_id for stored in store.videos()] == [first]
    assert second not in {hit.clip.video_id for hit in store.search(a_query(), 100)}
    assert len(store.search(a_query(), 4)) == 4


def test_touching_changes_only_size_and_time(store: Store) -> None:
    (video_id,) = index(store, "/archive/a.mp4")
    before = store.videos_of([video_id]).get(video_id)
    with store.writer() as writer:
        writer.touch(video_id, size_bytes=1, modified_ns=2)
    after = store.videos_of([video_id]).get(video_id)
    assert before is not None
    video = replace(before.video, size_bytes=1, modified_ns=2)
    # Until the container was asked, the file's time is all that is known of the recording's.
    assert after == replace(before, video=video, recorded_at=2e-9 - video.duration)


def test_removed_videos_never_return(store: Store) -> None:
    ids = index(store, *(f"/archive/{i}.mp4" for i in range(6)))
    store.search(a_query(), 5)
    with store.writer() as writer:
        assert writer.remove([ids[1], ids[4], 12345]) == 2
    for k in (1, 5, 100):
        assert not {ids[1], ids[4]} & {hit.clip.video_id for hit in store.search(a_query(), k)}
    assert len(store.search(a_query(), 100)) == 16
    assert len(store.frames(ids[1], regions=True)) == 0
    assert store.check() == []
    with store.writer() as writer:
        assert writer.remove(ids) == 4
    assert store.search(a_query(), 5) == []


def test_stats_count_what_is_there(store: Store) -> None:
    index(store, "/archive/a.mp4", "/archive/b.mp4")
    stats = store.stats()
    assert (stats.videos, stats.frames, stats.clips) == (2, 24, 8)
    assert store.frame_count() == 24
    assert store.frame_count(Filter(("a.mp4",))) == 12
    assert store.frame_count(Filter(("c.mp4",))) == 0
    assert stats.hours == pytest.approx(2 * 10.04 / 3600)
    assert (stats.bundle_id, stats.dim, stats.regions) == (BUNDLE, DIM, True)
    assert stats.partial_videos == 0
    assert stats.database_bytes > 0
    assert stats.cache_bytes > 0


@pytest.mark.parametrize("scale", [0.0, 1e-38, 1e-6, 1e6, 1e38])
def test_the_length_of_a_query_changes_no_order(store: Store, scale: float) -> None:
    index(store, "/archive/a.mp4", "/archive/b.mp4")
    ids = [hit.clip.clip_id for hit in store.search(a_query() * np.float32(scale), 5)]
    expected = [hit.clip.clip_id for hit in store.search(a_query(), 5)]
    assert ids == (sorted(range(1, 6)) if scale == 0 else expected)


def test_closing_twice_is_harmless(store: Store) -> None:
    store.close()
    store.close()
