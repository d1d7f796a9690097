"""Thumbnails are of the right moments, are kept by content, and are never those of before."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.hits.pictures import number_at, opened
from tests.ingest.archives import footage
from tests.media_files import is_upright, number_of, write_turned
from vsr_edge import open_archive
from vsr_edge.answer import SearchResult
from vsr_edge.archive import Archive
from vsr_edge.hits.thumbnails import (
    CHANGED,
    FOLDER,
    GONE,
    WITHIN,
    Thumbnails,
    put,
    thumbnails_of,
)
from vsr_edge.media.picture import jpeg
from vsr_edge.media.probe import probe
from vsr_edge.types import Video

TIMES = (0.2, 5.4, 2.0, 2.04)


@pytest.fixture
def video(tmp_path: Path) -> Video:
    return probe(footage(tmp_path / "videos" / "a.mp4", 6.0))[0]


def kept(archive: Path) -> set[str]:
    folder = archive / FOLDER
    return {file.name for file in folder.iterdir()} if folder.exists() else set()


def numbers(archive: Path, video: Video, *times: float) -> list[int]:
    return [number_of(opened(one.jpeg)) for one in Thumbnails(archive).of(video, times)]


def test_each_moment_is_shown_by_its_best_frame(archive: Archive, answer: SearchResult) -> None:
    pictures = thumbnails_of(archive, answer.moments)
    for moment, picture in zip(answer.moments, pictures, strict=True):
        assert moment.best is not None
        assert moment.start <= moment.best <= moment.end
        assert number_of(opened(picture.jpeg)) == number_at(moment.video, moment.best)
        assert is_upright(opened(picture.jpeg))


def test_where_no_frame_is_the_best_the_middle_is_shown(
    archive: Archive, answer: SearchResult
) -> None:
    moment = replace(answer.moments[0], start=1.0, end=3.0, best=None)
    (picture,) = thumbnails_of(archive, [moment])
    assert number_of(opened(picture.jpeg)) == number_at(moment.video, 2.0)


def test_what_was_forgotten_meanwhile_has_no_picture(
    archive: Archive, answer: SearchResult
) -> None:
    archive.remove(["a.mp4"])
    for moment, picture in zip(answer.moments, thumbnails_of(archive, answer.moments), strict=True):
        assert (picture.jpeg is None) == (moment.video.name == "a.mp4")


def test_any_times_in_any_order(video: Video, tmp_path: Path) -> None:
    for _ in range(2):  # cut, and kept
        assert numbers(tmp_path, video, *TIMES) == [1, 27, 10, 10]
        assert len(kept(tmp_path)) == len(TIMES)


@pytest.mark.parametrize("degrees", [0, 90])
def test_it_keeps_its_shape_within_the_frame(degrees: int, tmp_path: Path) -> None:
    video, _ = probe(write_turned(tmp_path / "t.mp4", [0.0, 0.2, 0.4], degrees))
    large, _ = probe(footage(tmp_path / "large.mp4", 1.0, width=960, height=720))
    (one,) = Thumbnails(tmp_path).of(video, [0.2])
    assert opened(one.jpeg).shape == ((160, 96, 3) if degrees else (96, 160, 3))
    assert number_of(opened(one.jpeg)) == 1
    (one,) = Thumbnails(tmp_path).of(large, [0.2])
    assert opened(one.jpeg).shape == (WITHIN[1], WITHIN[0], 3)


def test_what_is_kept_is_not_cut_again(video: Video, tmp_path: Path) -> None:
    Thumbnails(tmp_path).of(video, [1.0, 2.0])
    files = sorted((tmp_path / FOLDER).iterdir())
    files[0].write_bytes(files[1].read_bytes())
    assert numbers(tmp_path, video, 1.0) == [10]


def test_a_renamed_video_has_its_pictures_already(video: Video, tmp_path: Path) -> None:
    Thumbnails(tmp_path).of(video, [1.0])
    before = kept(tmp_path)
    video.path.rename(tmp_path / "b.mp4")
    assert numbers(tmp_path, replace(video, path=tmp_path / "b.mp4"), 1.0) == [5]
    assert kept(tmp_path) == before


def test_a_changed_video_never_shows_a_picture_of_before(video: Video, tmp_path: Path) -> None:
    Thumbnails(tmp_path).of(video, [1.0])
    before = kept(tmp_path)
    footage(video.path, 6.0, first=500)
    (picture,) = Thumbnails(tmp_path).of(video, [1.0])
    assert (number_of(opened(picture.jpeg)), picture.remark) == (505, CHANGED)
    assert kept(tmp_path) == before
    assert numbers(tmp_path, probe(video.path)[0], 1.0) == [505]


def test_a_video_that_is_gone_has_none(video: Video, tmp_path: Path) -> None:
    Thumbnails(tmp_path).of(video, [1.0])
    video.path.unlink()
    assert [(one.jpeg, one.remark) for one in Thumbnails(tmp_path).of(video, [1.0, 2.0])] == [
        (None, GONE)
    ] * 2


def test_a_video_that_cannot_be_read_says_why_and_shows_what_is_kept(
    video: Video, tmp_path: Path
) -> None:
    Thumbnails(tmp_path).of(video, [1.0])
    video.path.write_bytes(b"no video" * (video.size_bytes // 8) + bytes(video.size_bytes % 8))
    os.utime(video.path, ns=(video.modified_ns, video.modified_ns))
    known, unknown = Thumbnails(tmp_path).of(video, [1.0, 3.0])
    assert number_of(opened(known.jpeg)) == 5
    assert unknown.jpeg is None
    assert unknown.remark


def test_half_a_picture_is_cut_again(video: Video, tmp_path: Path) -> None:
    Thumbnails(tmp_path).of(video, [1.0])
    (file,) = (tmp_path / FOLDER).iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert numbers(tmp_path, video, 1.0) == [5]
    assert file.read_bytes() == whole


def test_above_the_cap_what_was_used_longest_ago_goes(video: Video, tmp_path: Path) -> None:
    def names(time: float) -> set[str]:
        return {name for name in kept(tmp_path) if f"-{round(time * 1000)}-" in name}

    Thumbnails(tmp_path).of(video, [1.0, 2.0, 3.0])
    for age, time in ((300, 1.0), (200, 2.0), (100, 3.0)):
        (name,) = names(time)
        file = tmp_path / FOLDER / name
        os.utime(file, (file.stat().st_atime, file.stat().st_mtime - age))
    room = sum(file.stat().st_size for file in (tmp_path / FOLDER).iterdir())
    Thumbnails(tmp_path).of(video, [1.0])  # used, so it is the youngest now
    Thumbnails(tmp_path, room).of(video, [4.0])
    assert names(1.0)
    assert names(4.0)
    assert not names(2.0)
    assert sum(file.stat().st_size for file in (tmp_path / FOLDER).iterdir()) <= room


@pytest.mark.parametrize("what", ["nothing", "a file"])
def test_where_nothing_can_be_kept_pictures_are_cut_all_the_same(
    what: str, video: Video, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    if what == "a file":
        archive.mkdir()
        (archive / FOLDER).touch()
    assert numbers(archive, video, 1.0) == [5]
    assert archive.exists() == (what == "a file")


def test_what_is_forgotten_leaves_no_picture(video: Video, tmp_path: Path) -> None:
    other, _ = probe(footage(tmp_path / "b.mp4", 2.0, first=300))
    for one in (video, other):
        Thumbnails(tmp_path).of(one, [1.0])
    Thumbnails(tmp_path).forget([video.fingerprint])
    assert {name.partition("-")[0] for name in kept(tmp_path)} == {other.fingerprint}
    Thumbnails(tmp_path / "none").forget([video.fingerprint])


def _in_a_process(archive: Path, video: Video, seed: int) -> list[int]:
    times = [(seed + step) % 25 / 5 for step in range(12)]
    seen = []
    for time in times:
        (picture,) = Thumbnails(archive, 12_000).of(video, [time])
        seen.append(number_of(opened(picture.jpeg)) - round(time * 5))
    return seen


def test_processes_share_it(video: Video, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        tasks = [pool.submit(_in_a_process, tmp_path, video, seed) for seed in (0, 4)]
        assert [set(task.result()) for task in tasks] == [{0}] * 2
    assert all(name.endswith(".jpg") for name in kept(tmp_path))


def test_a_file_is_put_in_place_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    put(file, b"before")
    with pytest.raises(TypeError):
        put(file, "no bytes")  # type: ignore[arg-type]
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("a.jpg", b"before")]


def test_a_stream_of_a_file_has_its_own(tmp_path: Path, video: Video) -> None:
    """`a.mp4#0` is content of its own, though the file is the same."""
    stream, _ = probe(video.path.with_name("a.mp4#0"))
    Thumbnails(tmp_path).of(video, [1.0])
    assert numbers(tmp_path, stream, 1.0) == [5]
    assert len(kept(tmp_path)) == 2
    Thumbnails(tmp_path).forget([video.fingerprint])
    assert len(kept(tmp_path)) == 1


def test_an_archive_that_moved_shows_its_pictures(archive: Archive, tmp_path: Path) -> None:
    (stored, *_) = archive.videos("a.mp4")
    folder = archive.settings.archive
    file = Thumbnails(folder)._file(stored.video, 1.0)
    file.parent.mkdir()
    file.write_bytes(jpeg(opened(Thumbnails(tmp_path / "x").of(stored.video, [2.0])[0].jpeg)))
    shutil.copytree(folder, tmp_path / "moved")
    with open_archive(tmp_path / "moved") as moved:
        (again, *_) = moved.videos("a.mp4")
        assert numbers(tmp_path / "moved", again.video, 1.0) == [10]
