"""What other programs use: an archive is opened, indexed and searched without the command."""

from __future__ import annotations

from pathlib import Path

import pytest

import vsr_edge
from tests.ingest.archives import footage
from vsr_edge.config import load_settings
from vsr_edge.errors import ArchiveNotFound, MediaError, UsageError
from vsr_edge.ingest.summary import Progress


def test_index_search_list_remove(tmp_path: Path, demo_clips: list[Path]) -> None:
    seen: list[Progress] = []
    with vsr_edge.open_archive(tmp_path / "archive", threads=2) as archive:
        summary = archive.index(demo_clips[2], on_progress=seen.append)
        assert summary.indexed == 1
        assert seen[-1].done_files == 1
        result = archive.search("a man", top_k=2, one_shot=True)
        assert isinstance(result, vsr_edge.SearchResult)
        assert result.moments
        assert result.moments[0].video == demo_clips[2]
        assert result.verdict == vsr_edge.Verdict("unverified")
        (stored,) = archive.videos()
        assert stored.video.path == demo_clips[2]
        assert archive.videos("nope*") == []
        assert archive.stats().videos == 1
        assert archive.check() == []
        assert archive.remove([demo_clips[2]]) == [stored]
        assert archive.search("a man").moments == ()
        assert archive.notices == []


def test_an_archive_can_be_used_again_after_it_was_closed(demo_archive: Path) -> None:
    archive = vsr_edge.open_archive(demo_archive)
    with archive:
        before = archive.search("a bicycle").moments
    assert archive.search("a bicycle").moments == before
    archive.close()
    archive.close()


def test_settings_are_given_by_name(tmp_path: Path) -> None:
    path = footage(tmp_path / "a.mp4")
    with vsr_edge.open_archive(str(tmp_path / "archive"), fps=2, regions=False) as archive:
        assert archive.index([str(path)]).frames == 8
        assert not archive.stats().regions
        assert archive.videos()[0].sampling.fps == 2.0
    with pytest.raises(UsageError, match="no setting is called 'fsp'"):
        vsr_edge.open_archive(tmp_path / "archive", fsp=2)


def test_nothing_is_made_or_loaded_before_it_is_needed(tmp_path: Path) -> None:
    with vsr_edge.open_archive(tmp_path / "archive") as archive:
        with pytest.raises(ArchiveNotFound):
            archive.videos()
        with pytest.raises(ArchiveNotFound):
            archive.search("anything")
    assert not (tmp_path / "archive").exists()


def test_a_home_folder_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert vsr_edge.open_archive("~/archive").settings.archive == tmp_path / "archive"


def test_an_unknown_name_to_remove_removes_nothing(tmp_path: Path) -> None:
    path = footage(tmp_path / "a.mp4")
    with vsr_edge.open_archive(tmp_path / "archive") as archive:
        archive.index(path)
        with pytest.raises(UsageError, match=r"no indexed video matches 'nope'"):
            archive.remove(["a.mp4", "nope"])
        assert len(archive.videos()) == 1


def test_a_bundle_encodes_sentences_on_its_own() -> None:
    with vsr_edge.load_bundle(load_settings().bundle) as bundle:
        vectors = bundle.encode_text(["a red car", "a cat"])
    assert vectors.shape == (2, bundle.dim)


def test_a_frame_of_a_video_is_a_picture_of_its_full_size(demo_clips: list[Path]) -> None:
    with vsr_edge.open_archive("none") as archive:
        picture = archive.frame(demo_clips[0], 8.0)
        assert picture.shape == (272, 640, 3)
        assert picture.dtype == "uint8"
        assert archive.frame(str(demo_clips[0]), 2.0).tobytes() != picture.tobytes()
        with pytest.raises(MediaError, match="gone"):
            archive.frame("gone.mp4", 1.0)
        with pytest.raises(UsageError, match="a number of seconds, not nan"):
            archive.frame(demo_clips[0], float("nan"))


def test_any_of_several_videos_is_searched(demo_archive: Path, demo_clips: list[Path]) -> None:
    with vsr_edge.open_archive(demo_archive) as archive:
        found = archive.search("a man", video=["bikes.mp4", demo_clips[1]], one_shot=True)
        assert {moment.video for moment in found.moments} == set(demo_clips[:2])
        with pytest.raises(UsageError, match=r"no indexed video matches 'nope'"):
            archive.search("a man", video=["bikes.mp4", "nope"])


def test_options_are_given_as_one_value_or_by_name(demo_archive: Path) -> None:
    with vsr_edge.open_archive(demo_archive) as archive:
        options = vsr_edge.SearchOptions(top_k=2, one_shot=True)
        found = archive.search("a man", options)
        assert len(found.moments) == 2
        assert found.moments == archive.search("a man", top_k=2, one_shot=True).moments
        # What is given by name goes before; None says nothing.
        assert len(archive.search("a man", options, top_k=1, one_shot=None).moments) == 1
        assert archive.search("a man", options, max_turns=None).turns[0].action == "retrieve"
        for value in (None, 3):
            with pytest.raises(TypeError, match="topk"):
                archive.search("a man", topk=value)  # type: ignore[call-arg]
