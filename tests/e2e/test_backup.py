"""`backup` and `restore` beside a real `index`; what the restored archive answers."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.command import finish, run, running, succeed, wait_until
from tests.e2e.test_documents import described
from tests.media_files import constant_rate, write_video
from vsr_edge import open_archive
from vsr_edge.backup.back_up import back_up
from vsr_edge.errors import ArchiveError

QUERIES = (
    "a bicycle leaning against a wall",
    "a rabbit in the grass",
    "a man who speaks",
    "street",
)


def answers(folder: Path) -> list[list[tuple[Any, ...]]]:
    with open_archive(folder) as archive:
        assert archive.check() == []
        found = [archive.search(query, top_k=20) for query in QUERIES]
        assert archive.notices == []
    return [
        [(m.video, m.start, m.end, m.score, m.match_probability) for m in one.moments]
        for one in found
    ]


def indexed(folder: Path) -> int:
    try:
        with open_archive(folder) as archive:
            return archive.stats().videos
    except ArchiveError:
        return 0


def listed(folder: Path) -> Sequence[Path]:
    with open_archive(folder) as archive:
        return [one.video.path for one in archive.videos()]


def test_a_backup_amid_indexing_answers_as_an_archive_of_its_videos(
    tmp_path: Path, demo_clips: list[Path]
) -> None:
    videos, archive = tmp_path / "videos", tmp_path / "archive"
    videos.mkdir()
    for clip in demo_clips:
        shutil.copy(clip, videos / f"a-{clip.name}")
    for number in range(10):
        write_video(videos / f"b-{number:02}.mp4", constant_rate(20 + number))
    total = len(list(videos.iterdir()))
    with running("index", videos, "--archive", archive) as process:
        wait_until(lambda: indexed(archive) > len(demo_clips), process)
        made = back_up(archive, tmp_path / "backup")
        ended = finish(process)
    assert ended.code == 0, ended
    assert len(demo_clips) < made.videos < total
    assert indexed(archive) == total

    restored, fresh = tmp_path / "elsewhere" / "restored", tmp_path / "fresh"
    succeed("restore", tmp_path / "backup", "--archive", restored)
    assert indexed(restored) == made.videos
    succeed("index", *listed(restored), "--archive", fresh)
    found = answers(restored)
    assert found == answers(fresh)
    assert any(found)
    # And it goes on from there: the rest is indexed, and nothing of before is read again.
    report = succeed("index", videos, "--archive", restored, "--json").document
    assert (report["skipped"], report["indexed"]) == (made.videos, total - made.videos)


@pytest.fixture
def work(tmp_path: Path, demo_archive: Path, demo_clips: list[Path]) -> Path:
    """A folder with an archive of videos that lie in it."""
    (tmp_path / "videos").mkdir()
    for clip in demo_clips:
        shutil.copy(clip, tmp_path / "videos")
    shutil.copytree(demo_archive, tmp_path / "archive")
    succeed("index", tmp_path / "videos", "--archive", tmp_path / "archive")
    return tmp_path


def test_the_documents_are_as_described(work: Path) -> None:
    archive = ("--archive", work / "archive")
    made = described(run("backup", work / "b", *archive, "--json"), "backup")
    assert made["backup"]["folder"] == str(work / "b")
    checked = described(run("restore", work / "b", *archive, "--dry-run", "--json"), "restore")
    assert not checked["restored"]
    assert checked["backup"] == made["backup"]
    refused = run("restore", work / "b", *archive, "--json")
    assert (refused.code, described(refused, "error")["kind"]) == (2, "UsageError")
    done = described(run("restore", work / "b", *archive, "--force", "--json"), "restore")
    assert (done["restored"], done["replaced"], done["missing"]) == (True, True, 0)
    (work / "b" / "archive.db").write_bytes(b"")
    damaged = run("restore", work / "b", "--archive", work / "new", "--json")
    assert (damaged.code, described(damaged, "error")["kind"]) == (1, "BackupError")
    assert "archive.db is damaged" in damaged.err
    none = run("backup", work / "c", "--archive", work / "new", "--json")
    assert (none.code, described(none, "error")["kind"]) == (1, "ArchiveNotFound")


def test_videos_that_lie_elsewhere_now_are_found_again_by_their_content(work: Path) -> None:
    with open_archive(work / "archive") as archive:
        archive.remove(
            [
                str(one.video.path)
                for one in archive.videos()
                if one.video.path.parent != work / "videos"
            ]
        )
        count = archive.stats().videos
        frames = archive.stats().frames
    succeed("backup", work / "b", "--archive", work / "archive")
    (work / "videos").rename(work / "media")
    done = succeed("restore", work / "b", "--archive", work / "new")
    assert f"{count} of {count} videos do not lie where they did" in done.err
    report = succeed("index", work / "media", "--archive", work / "new", "--json").document
    assert (report["moved"], report["indexed"]) == (count, 0)
    with open_archive(work / "new") as archive:
        assert archive.stats().frames == frames
        assert {one.video.path.parent for one in archive.videos()} == {work / "media"}


def test_a_backup_of_another_encoder_says_what_to_bring(work: Path) -> None:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(work / "archive" / "archive.db")) as database:
        database.execute("UPDATE meta SET bundle_id = 'other-1'")
        database.commit()
    succeed("backup", work / "b", "--archive", work / "archive")
    said = succeed("restore", work / "b", "--archive", work / "new").err
    assert "encoded with other-1" in said
    assert "bundle pull" in said
