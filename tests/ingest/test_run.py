"""What a run does with new, known, touched, moved, copied, changed and bad files."""

from __future__ import annotations

import os
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from tests.ingest.archives import content, counts, footage, index, open_for, paths_in
from tests.media_files import truncated, write_sound
from vsr_edge.bundle.model import Bundle
from vsr_edge.ingest.summary import Progress
from vsr_edge.types import Sampling

# Of each video: its last frame, at 3.8 s, is shown for a 25th of a second.
LENGTH = 3.84


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    for number, name in enumerate(("a.mp4", "b.mkv", "sub/c.mp4")):
        footage(folder / name, first=100 * number)
    return folder


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "archive"


def test_new_videos_are_stored_with_their_frames_regions_and_clips(
    bundle: Bundle, archive: Path, videos: Path
) -> None:
    summary = index(bundle, archive, videos)
    assert counts(summary) == {"indexed": 3, "frames": 12}
    assert summary.hours == pytest.approx(3 * LENGTH / 3600, abs=1e-6)
    assert not summary.interrupted
    with open_for(bundle, archive) as store:
        assert [v.video.path.name for v in store.videos()] == ["a.mp4", "b.mkv", "c.mp4"]
        for stored in store.videos():
            frames = store.frames(stored.video_id, regions=True)
            assert frames.times == pytest.approx([0, 1, 2, 3], abs=0.002)
            assert frames.regions is not None
            assert frames.regions.shape == (4, bundle.manifest.dimensions.regions, bundle.dim)
            ends = [clip.window.end for clip in store.clips(stored.video_id)]
            assert ends == pytest.approx([0.5, 1.5, 2.5, LENGTH], abs=0.002)
        assert store.check() == []


def test_without_regions_none_are_stored(bundle: Bundle, archive: Path, videos: Path) -> None:
    index(bundle, archive, videos, Sampling(regions="none"))
    with open_for(bundle, archive) as store:
        assert not store.stats().regions
        for stored in store.videos():
            assert store.frames(stored.video_id, regions=True).regions is None


def test_the_same_footage_gives_the_same_bits_each_time(
    bundle: Bundle, tmp_path: Path, videos: Path
) -> None:
    for name in ("one", "two"):
        index(bundle, tmp_path / name, videos)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_what_is_known_by_size_and_time_stamp_is_skipped_unread(
    bundle: Bundle, archive: Path, videos: Path
) -> None:
    index(bundle, archive, videos)
    before = content(archive)
    # Other bytes of the same length and age: only who reads them can know.
    path = videos / "a.mp4"
    age = path.stat().st_mtime_ns
    path.write_bytes(bytes(path.stat().st_size))
    os.utime(path, ns=(age, age))
    assert counts(index(bundle, archive, videos)) == {"skipped": 3}
    assert content(archive) == before


def test_a_touched_file_is_not_encoded_again(bundle: Bundle, archive: Path, videos: Path) -> None:
    index(bundle, archive, videos)
    os.utime(videos / "a.mp4", ns=(10**18, 10**18))
    assert counts(index(bundle, archive, videos)) == {"skipped": 3}
    with open_for(bundle, archive) as store:
        stored = store.find(videos / "a.mp4")
        assert stored is not None
        assert stored.video.modified_ns == 10**18


def test_a_renamed_file_is_moved_and_not_encoded_again(
    bundle: Bundle, archive: Path, videos: Path
) -> None:
    index(bundle, archive, videos)
    before = content(archive)
    (videos / "a.mp4").rename(videos / "sub" / "z.mp4")
    assert counts(index(bundle, archive, videos)) == {"moved": 1, "skipped": 2}
    after = content(archive)
    assert after[videos / "sub" / "z.mp4"][1:] == before[videos / "a.mp4"][1:]
    assert paths_in(archive) == [videos / "b.mkv", videos / "sub" / "c.mp4", videos / "sub/z.mp4"]


def test_a_copy_of_an_indexed_file_gets_its_features_and_both_are_found(
    bundle: Bundle, archive: Path, videos: Path
) -> None:
    index(bundle, archive, videos)
    shutil.copy(videos / "a.mp4", videos / "copy.mp4")
    assert counts(index(bundle, archive, videos)) == {"copied": 1, "skipped": 3}
    stored = content(archive)
    assert stored[videos / "copy.mp4"][1:] == stored[videos / "a.mp4"][1:]
    with open_for(bundle, archive) as store:
        hits = store.search(bundle.encode_text(["blocks"])[0], 100)
        found = {
            stored.video.path.name
            for stored in store.videos_of(hit.clip.video_id for hit in hits).values()
        }
    assert found == {"a.mp4", "b.mkv", "c.mp4", "copy.mp4"}


def test_two_identical_new_files_are_encoded_once(bundle: Bundle, archive: Path) -> None:
    videos = archive.parent / "twins"
    footage(videos / "a.mp4")
    shutil.copy(videos / "a.mp4", videos / "b.mp4")
    assert counts(index(bundle, archive, videos)) == {"indexed": 1, "copied": 1, "frames": 4}
    assert paths_in(archive) == [videos / "a.mp4", videos / "b.mp4"]


def test_a_copy_keeps_that_it_is_partial(bundle: Bundle, archive: Path) -> None:
    videos = archive.parent / "twins"
    truncated(footage(videos / "a.mkv", 10.0), 0.7)
    shutil.copy(videos / "a.mkv", videos / "b.mkv")
    index(bundle, archive, videos)
    stored = content(archive)
    assert stored[videos / "a.mkv"][2] is not None
    assert stored[videos / "b.mkv"][1:] == stored[videos / "a.mkv"][1:]


def test_a_video_is_copied_in_parts_that_fit_into_memory(
    bundle: Bundle, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vsr_edge.ingest.run.COPIED_FRAMES", 8)
    videos = archive.parent / "long"
    footage(videos / "a.mkv", 21.0)
    assert index(bundle, archive, videos).frames == 21
    shutil.copy(videos / "a.mkv", videos / "b.mkv")
    assert counts(index(bundle, archive, videos)) == {"copied": 1, "skipped": 1}
    stored = content(archive)
    assert stored[videos / "b.mkv"][1:] == stored[videos / "a.mkv"][1:]


def test_changed_content_under_the_same_path_replaces_the_old(
    bundle: Bundle, archive: Path, videos: Path
) -> None:
    index(bundle, archive, videos)
    before = content(archive)
    footage(videos / "a.mp4", 6.0, first=1000)
    assert counts(index(bundle, archive, videos)) == {"indexed": 1, "skipped": 2, "frames": 6}
    after = content(archive)
    assert after.keys() == before.keys()
    assert after[videos / "a.mp4"][0].fingerprint != before[videos / "a.mp4"][0].fingerprint
    assert after[videos / "a.mp4"][3] == (6, 6)
    assert after[videos / "b.mkv"] == before[videos / "b.mkv"]


@pytest.mark.parametrize(
    "sampling",
    [
        *(Sampling(fps=2), Sampling(clip_seconds=2), Sampling(clip_stride=1)),
        *(Sampling(regions="none"), Sampling(granularity="clip"), Sampling(granularity="video")),
    ],
)
def test_changed_sampling_encodes_again(
    sampling: Sampling, bundle: Bundle, archive: Path, tmp_path: Path
) -> None:
    path = footage(tmp_path / "a.mp4")
    index(bundle, archive, path)
    assert counts(index(bundle, archive, path, sampling))["indexed"] == 1
    with open_for(bundle, archive) as store:
        assert [stored.sampling for stored in store.videos()] == [sampling]
    assert counts(index(bundle, archive, path, sampling)) == {"skipped": 1}


def test_what_is_stored_in_another_code_of_regions_is_known(
    bundle: Bundle, archive: Path, tmp_path: Path
) -> None:
    path = footage(tmp_path / "a.mp4")
    index(bundle, archive, path, Sampling(regions="float16"))
    before = content(archive)
    assert counts(index(bundle, archive, path, Sampling(regions="binary"))) == {"skipped": 1}
    assert content(archive) == before
    # Also by its content; the copy is as what it is a copy of.
    (tmp_path / "b.mp4").write_bytes(path.read_bytes())
    summary = index(bundle, archive, tmp_path / "b.mp4", Sampling(regions="binary"))
    assert counts(summary) == {"copied": 1}
    after = content(archive)
    assert after[tmp_path / "b.mp4"][1:] == before[path][1:]


def test_recordings_that_rotate_are_all_found_under_their_new_names(
    bundle: Bundle, tmp_path: Path
) -> None:
    videos = tmp_path / "videos"
    for number in range(1, 5):
        footage(videos / f"cam.{number}.mp4", first=100 * number)
    index(bundle, tmp_path / "archive", videos)
    for number in range(4, 0, -1):
        (videos / f"cam.{number}.mp4").rename(videos / f"cam.{number + 1}.mp4")
    footage(videos / "cam.1.mp4", first=900)
    summary = index(bundle, tmp_path / "archive", videos)
    assert not summary.failed
    index(bundle, tmp_path / "fresh", videos)
    assert content(tmp_path / "archive") == content(tmp_path / "fresh")


def test_files_that_swap_names_are_both_right(bundle: Bundle, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    one = footage(videos / "a.mp4", first=100)
    two = footage(videos / "b.mp4", 6.0, first=200)
    index(bundle, tmp_path / "archive", videos)
    one.rename(videos / "c")
    two.rename(one)
    (videos / "c").rename(two)
    assert not index(bundle, tmp_path / "archive", videos).failed
    index(bundle, tmp_path / "fresh", videos)
    assert content(tmp_path / "archive") == content(tmp_path / "fresh")


def test_bad_files_are_reported_with_reasons_and_the_rest_goes_on(
    bundle: Bundle, archive: Path
) -> None:
    videos = archive.parent / "videos"
    footage(videos / "a.mp4")
    (videos / "b-empty.mp4").touch()
    (videos / "c-empty.mp4").touch()
    (videos / "d-text.mp4").write_text("Shopping: milk, bread\n" * 100)
    write_sound(videos / "e-sound.mp4", "aac")
    truncated(footage(videos / "f-cut.mp4"), 0.6)
    truncated(footage(videos / "g-cut.mkv", 10.0), 0.7)
    footage(videos / "h.mp4", first=500)
    summary = index(bundle, archive, videos)
    assert {report.path.name: report.reason for report in summary.failed} == {
        "b-empty.mp4": "the file is empty",
        "c-empty.mp4": "the file is empty",
        "d-text.mp4": "not a media file, or too damaged to be opened",
        "e-sound.mp4": "there is no video in it, only sound, pictures or data",
        "f-cut.mp4": "not a media file, or too damaged to be opened",
    }
    ((partial, reason),) = [(report.path.name, report.reason) for report in summary.partial]
    assert partial == "g-cut.mkv"
    assert "cut short" in reason
    assert [path.name for path in paths_in(archive)] == ["a.mp4", "g-cut.mkv", "h.mp4"]
    with open_for(bundle, archive) as store:
        cut = store.find(videos / "g-cut.mkv")
        assert cut is not None
        assert cut.partial == reason
    again = index(bundle, archive, videos)
    assert counts(again) == {"skipped": 3, "failed": 5}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX pipes")
def test_a_pipe_is_reported_and_not_waited_for(bundle: Bundle, archive: Path) -> None:
    os.mkfifo(archive.parent / "camera.mp4")
    summary = index(bundle, archive, archive.parent / "camera.mp4")
    assert [report.reason for report in summary.failed] == [
        "a pipe, a socket or a device, not a file"
    ]


def test_a_missing_path_is_reported_and_the_others_indexed(
    bundle: Bundle, archive: Path, videos: Path
) -> None:
    summary = index(bundle, archive, [videos / "nope", videos / "a.mp4"])
    assert counts(summary) == {"indexed": 1, "frames": 4, "failed": 1}
    assert summary.failed[0].path == videos / "nope"


def test_a_video_deleted_between_scan_and_read_is_reported(bundle: Bundle, archive: Path) -> None:
    videos = archive.parent / "videos"
    for number in range(8):
        footage(videos / f"{number}.mp4", 1.0, first=100 * number)
    # The reader is a few events ahead, not seven videos.
    summary = index(
        bundle, archive, videos, on_progress=lambda _: (videos / "7.mp4").unlink(missing_ok=True)
    )
    assert counts(summary) == {"indexed": 7, "frames": 28, "failed": 1}
    assert summary.failed[0].path == videos / "7.mp4"
    assert summary.failed[0].reason == "No such file or directory"


def test_progress_only_grows_and_ends_complete(bundle: Bundle, archive: Path) -> None:
    videos = archive.parent / "videos"
    footage(videos / "a.mp4", 20.0)
    shutil.copy(videos / "a.mp4", videos / "b.mp4")
    (videos / "c.mp4").write_text("no video")
    footage(videos / "d.mkv", 5.0, first=500)
    seen: list[Progress] = []
    summary = index(bundle, archive, videos, on_progress=seen.append)
    for before, after in pairwise(seen):
        assert before.done_bytes <= after.done_bytes
        assert before.done_files <= after.done_files
        assert before.frames <= after.frames
        assert before.media_seconds <= after.media_seconds + 1e-9
        assert before.elapsed <= after.elapsed
    assert any(0 < now.done_bytes < (videos / "a.mp4").stat().st_size for now in seen)
    last = seen[-1]
    assert (last.done_files, last.done_bytes) == (last.total_files, last.total_bytes)
    assert last.total_files == 4
    assert last.frames == summary.frames == 25


def test_an_empty_folder_is_no_error(bundle: Bundle, archive: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert counts(index(bundle, archive, tmp_path / "empty")) == {}
