"""What was recorded long ago is forgotten, stays where it lies, and is not indexed again."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.ingest.archives import footage
from vsr_edge import open_archive
from vsr_edge.archive import Archive
from vsr_edge.errors import UsageError
from vsr_edge.types import StoredVideo
from vsr_edge.watch import retain
from vsr_edge.watch.retain import Retention

DAY = 86400.0


def aged(path: Path, days: float) -> Path:
    moment = time.time() - days * DAY
    os.utime(path, (moment, moment))
    return path


def run(archive: Archive, folder: Path, days: float) -> tuple[int, list[str]]:
    """An indexing run that keeps so many days: what it indexed, and forgot."""
    retention = Retention(archive.settings.archive, days * DAY)
    indexed = archive.index(folder, wanted=retention.wants).indexed
    return indexed, [stored.video.path.name for stored in retention.forget(archive, [folder])]


def test_old_recordings_below_the_paths_are_forgotten_and_not_read_again(tmp_path: Path) -> None:
    cam, other = tmp_path / "cam", tmp_path / "other"
    old, new = footage(cam / "old.mkv", 1.0), footage(cam / "new.mkv", 1.0, first=50)
    elsewhere = aged(footage(other / "old.mkv", 1.0, first=90), 40)
    with open_archive(tmp_path / "archive", threads=1) as archive:
        archive.index([cam, other])
        aged(old, 40)
        assert run(archive, cam, 50) == (0, [])
        assert run(archive, cam, 30) == (0, ["old.mkv"])
        assert run(archive, cam, 30) == (0, [])
        assert {stored.video.path for stored in archive.videos()} == {new, elsewhere}
        assert old.exists()
        # Whoever wants them back, says so.
        assert run(archive, cam, 50) == (1, [])


def test_a_copy_of_an_old_recording_is_learned_to_be_one_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = footage(tmp_path / "cam" / "copy.mkv", 1.0)  # its time stamp is new

    def known(stored: StoredVideo) -> float:
        assert stored.video.path == copy
        return retain_ended(replace(stored, recorded_at=time.time() - 40 * DAY))

    retain_ended = retain.recording_ended
    monkeypatch.setattr(retain, "recording_ended", known)
    with open_archive(tmp_path / "archive", threads=1) as archive:
        assert run(archive, tmp_path / "cam", 30) == (1, ["copy.mkv"])
        assert run(archive, tmp_path / "cam", 30) == (0, [])
        footage(copy, 1.0, first=50)  # another one
        assert run(archive, tmp_path / "cam", 30) == (1, ["copy.mkv"])


def test_less_than_an_hour_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="an hour"):
        Retention(tmp_path, 60)
