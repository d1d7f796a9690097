"""One file, whatever is wrong with it, does not end a run; a lost archive does."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.ingest.archives import counts, footage, index, open_for, paths_in
from vsr_edge.bundle.model import Bundle
from vsr_edge.errors import ArchiveError, ProviderError
from vsr_edge.ingest import read
from vsr_edge.ingest.read import Known, Reader, Stored
from vsr_edge.ingest.scan import FoundFile
from vsr_edge.ingest.summary import Progress
from vsr_edge.media.decode import FrameReader
from vsr_edge.media.plan import plan_video
from vsr_edge.media.source import SourceFile

YEAR = 31_556_952 * 10**9


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    for number, name in enumerate(("a.mp4", "b.mp4", "c.mp4")):
        footage(tmp_path / "videos" / name, first=100 * number)
    return tmp_path / "videos"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "archive"


@pytest.mark.parametrize("years", [330, 250, -30, -69])
def test_a_time_stamp_of_any_year_is_stored_and_known_again(
    years: int, bundle: Bundle, archive: Path, videos: Path
) -> None:
    stamp = years * YEAR
    try:
        os.utime(videos / "a.mp4", ns=(stamp, stamp))
    except OSError:
        pytest.skip("this file system has no such year")
    kept = (videos / "a.mp4").stat().st_mtime_ns
    assert counts(index(bundle, archive, videos))["indexed"] == 3
    assert counts(index(bundle, archive, videos)) == {"skipped": 3}
    with open_for(bundle, archive) as store:
        stored = store.find(videos / "a.mp4")
        assert stored is not None
        assert stored.video.modified_ns == min(kept, 2**63 - 1)
        # Known without being read.
        found = FoundFile(videos / "a.mp4", 1)
        assert list(Reader([found], Stored(store), stored.sampling, FrameReader)) == [
            Known(found, stored)
        ]


def failing(how: Exception) -> Any:
    """In the place of planning: fails for ``b.mp4`` alone."""

    def planning(source: SourceFile, *given: Any, **options: Any) -> Any:
        if source.path.name == "b.mp4":
            raise how
        return plan_video(source, *given, **options)

    return planning


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (IndexError("list index out of range"), "unexpected IndexError: list index out of range"),
        (MemoryError(), "there is not enough memory for it"),
    ],
)
def test_an_unexpected_error_while_reading_is_that_file_s_alone(
    error: Exception,
    reason: str,
    bundle: Bundle,
    archive: Path,
    videos: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(read, "plan_video", failing(error))
    summary = index(bundle, archive, videos)
    assert counts(summary) == {"indexed": 2, "frames": 8, "failed": 1}
    assert (summary.failed[0].path.name, summary.failed[0].reason) == ("b.mp4", reason)
    monkeypatch.undo()
    assert counts(index(bundle, archive, videos)) == {"indexed": 1, "frames": 4, "skipped": 2}


class Failing:
    """In the place of a bundle's encoder: the n-th batch fails."""

    def __init__(self, bundle: Bundle, number: int, error: BaseException) -> None:
        self._real = bundle.encode_frames
        self._number, self._error, self._calls = number, error, 0

    def __call__(self, *given: Any, **options: Any) -> Any:
        self._calls += 1
        if self._calls == self._number:
            raise self._error
        return self._real(*given, **options)


def test_an_unexpected_error_while_encoding_is_that_video_s_alone(
    bundle: Bundle, archive: Path, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Amid its frames: those that follow are passed over.
    footage(videos / "b.mp4", 40.0, first=100)
    monkeypatch.setattr(bundle, "encode_frames", Failing(bundle, 3, RuntimeError("no kernel")))
    summary = index(bundle, archive, videos)
    assert counts(summary) == {"indexed": 2, "frames": 8, "failed": 1}
    assert summary.failed[0].reason == "unexpected RuntimeError: no kernel"
    assert [path.name for path in paths_in(archive)] == ["a.mp4", "c.mp4"]
    with open_for(bundle, archive) as store:
        assert store.check() == []


def test_what_is_wrong_with_the_provider_ends_the_run(
    bundle: Bundle, archive: Path, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "encode_frames", Failing(bundle, 2, ProviderError("it is gone")))
    with pytest.raises(ProviderError, match="it is gone"):
        index(bundle, archive, videos)
    assert [path.name for path in paths_in(archive)] == ["a.mp4"]


def test_an_error_of_who_is_told_of_the_progress_is_no_video_s(
    bundle: Bundle, archive: Path, videos: Path
) -> None:
    def tell(_: Progress) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        index(bundle, archive, videos, on_progress=tell)


@pytest.mark.skipif(os.name == "nt", reason="open files cannot be removed there")
@pytest.mark.parametrize("instead", ["nothing", "another"])
def test_an_archive_that_is_taken_away_while_it_is_written_is_an_error(
    instead: str, bundle: Bundle, archive: Path, videos: Path
) -> None:
    index(bundle, archive.parent / "other", [])

    def take_away(now: Progress) -> None:
        if now.done_files == 1 and archive.exists():
            shutil.rmtree(archive)
            if instead == "another":
                shutil.copytree(archive.parent / "other", archive)

    with pytest.raises(ArchiveError, match="was removed or replaced while it was written"):
        index(bundle, archive, videos, on_progress=take_away)
    assert archive.exists() == (instead == "another")


@pytest.mark.skipif(os.name == "nt", reason="open files cannot be removed there")
def test_videos_that_are_removed_from_a_lost_archive_are_no_success(
    bundle: Bundle, archive: Path, videos: Path
) -> None:
    index(bundle, archive, videos)

    def remove() -> None:
        with open_for(bundle, archive) as store, store.writer() as writer:
            writer.remove([store.videos()[0].video_id])
            archive.rename(archive.parent / "elsewhere")

    with pytest.raises(ArchiveError, match="was removed or replaced"):
        remove()
