"""Files with several video streams in an archive: the main one, one by number, or all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.media.test_streams import write_streams
from vsr_edge import open_archive
from vsr_edge.bundle.model import Bundle


@pytest.fixture(scope="module")
def cameras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A front and a rear camera in one file."""
    path = tmp_path_factory.mktemp("cars") / "drive.mp4"
    return write_streams(path, [(160, 96, 60, 0), (160, 96, 60, 1000)])


def test_the_main_stream_is_indexed_and_the_others_are_named(
    cameras: Path, bundle: Bundle, tmp_path: Path
) -> None:
    with open_archive(tmp_path / "archive", bundle=bundle.manifest.folder) as archive:
        summary = archive.index(cameras)
        assert [stored.video.path for stored in archive.videos()] == [cameras]
    assert summary.indexed == 1
    (report,) = summary.left_out
    assert report.path == cameras
    assert report.reason == "video stream 1 (160×96, h264)"


def test_all_streams_are_videos_of_their_own_that_outlive_a_second_run(
    cameras: Path, bundle: Bundle, tmp_path: Path
) -> None:
    rear = cameras.with_name("drive.mp4#1")
    with open_archive(tmp_path / "archive", bundle=bundle.manifest.folder) as archive:
        summary = archive.index(cameras, stream="all")
        assert (summary.indexed, summary.left_out, summary.failed) == (2, [], [])
        assert [stored.video.path for stored in archive.videos()] == [cameras, rear]
        assert not any(moment.missing for moment in archive.search("blocks").moments)
        assert archive.index(cameras, stream="all").skipped == 2
        assert archive.index([cameras, rear]).skipped == 2
        assert archive.prune(dry_run=True).removed == ()
        pictures = [archive.frame(path, 3.0) for path in (cameras, rear)]
    assert (pictures[0] != pictures[1]).any()


def test_one_stream_by_its_number(cameras: Path, bundle: Bundle, tmp_path: Path) -> None:
    with open_archive(tmp_path / "archive", bundle=bundle.manifest.folder) as archive:
        archive.index(cameras, stream=1)
        assert [stored.video.path.name for stored in archive.videos()] == ["drive.mp4#1"]
        archive.index(cameras, stream=0)
        assert [stored.video.path.name for stored in archive.videos()] == [
            "drive.mp4",
            "drive.mp4#1",
        ]
        summary = archive.index(cameras, stream=7)
    (report,) = summary.failed
    assert "no video stream 7" in report.reason
