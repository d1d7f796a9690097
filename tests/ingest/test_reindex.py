"""Encoding an archive anew: every video with its own sampling, whatever has happened to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.ingest.archives import content, counts, footage, index, open_for, paths_in
from tests.ingest.test_interruption import InterruptAt
from tests.media_files import truncated
from tests.other_bundle import ENCODERS, other_bundle
from vsr_edge.bundle.model import Bundle, load_bundle
from vsr_edge.ingest.reindex import ReindexSummary, recode, reindex
from vsr_edge.ingest.summary import Progress
from vsr_edge.store import open_store
from vsr_edge.store.base import Texts, UnfinishedReindex
from vsr_edge.store.shadow import LocalShadowArchive
from vsr_edge.types import Cue, Sampling

OFTEN, SELDOM = Sampling(fps=2), Sampling(fps=1, clip_seconds=2, clip_stride=1, regions="none")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundle]:
    with load_bundle(str(other_bundle(tmp_path_factory.mktemp("other") / "bundle"))) as loaded:
        assert loaded.encoders_id == ENCODERS
        yield loaded


@pytest.fixture
def videos(tmp_path: Path) -> list[Path]:
    return [
        footage(tmp_path / "videos" / f"{number}.mkv", first=100 * number) for number in range(4)
    ]


@pytest.fixture
def archive(bundle: Bundle, videos: list[Path], tmp_path: Path) -> Path:
    """The first two videos are sampled in another way than the rest."""
    return indexed(bundle, videos, tmp_path / "archive")


def indexed(bundle: Bundle, videos: list[Path], folder: Path) -> Path:
    index(bundle, folder, videos[:2], OFTEN)
    index(bundle, folder, videos[2:], SELDOM)
    return folder


def change_over(bundle: Bundle, folder: Path, **options: Any) -> ReindexSummary:
    """One run, as of a command of its own."""
    with open_store(folder) as store:
        return reindex(store, bundle, threads=1, **options)


def made_by(folder: Path) -> str:
    with open_store(folder) as store:
        assert store.check() == []
        return store.bundle_id


def test_each_video_keeps_its_sampling_and_gets_the_vectors_of_the_new_bundle(
    bundle: Bundle, other: Bundle, videos: list[Path], archive: Path, tmp_path: Path
) -> None:
    before = content(archive)
    summary = change_over(other, archive)
    assert counts(summary) == {"indexed": 4, "frames": 24}
    assert (summary.switched, summary.bundle_id) == (True, ENCODERS)
    assert made_by(archive) == ENCODERS
    expected = content(indexed(other, videos, tmp_path / "expected"))
    assert content(archive) == expected
    for path, values in before.items():
        # The same footage at the same times, and other vectors.
        assert values[:5] == expected[path][:5]
        assert values[5] != expected[path][5]
    assert change_over(bundle, archive).switched
    assert content(archive) == before


def test_with_the_bundle_that_it_has_there_is_nothing_to_do(bundle: Bundle, archive: Path) -> None:
    before = content(archive)
    summary = change_over(bundle, archive)
    assert (summary.up_to_date, summary.switched, counts(summary)) == (True, False, {})
    assert summary.bundle_id == bundle.encoders_id
    assert content(archive) == before


def test_the_code_of_all_regions_can_be_another_one(
    other: Bundle, videos: list[Path], archive: Path, tmp_path: Path
) -> None:
    interrupted = change_over(other, archive, regions="int8", on_progress=InterruptAt("2.mkv", 2))
    assert interrupted.interrupted
    assert change_over(other, archive, regions="int4").switched
    assert {values[1].regions for values in content(archive).values()} == {"int4"}
    fresh = tmp_path / "fresh"
    # The others were recoded from what is coarser than what was encoded.
    index(other, fresh, videos[3:], replace(SELDOM, regions="int4"))
    assert {path: content(archive)[path] for path in videos[3:]} == content(fresh)
    assert made_by(archive) == ENCODERS


def test_stored_regions_become_coarser_and_no_file_is_read(
    bundle: Bundle, videos: list[Path], tmp_path: Path
) -> None:
    index(bundle, tmp_path / "archive", videos, Sampling(regions="float16"))
    index(bundle, tmp_path / "expected", videos, Sampling(regions="int4"))
    for path in videos:
        path.rename(path.with_suffix(".away"))
    with open_store(tmp_path / "archive") as store:
        summary = recode(store, "int4", InterruptAt("1.mkv", 1))
        assert (summary.interrupted, summary.recoded) == (True, 2)
        before = store.stats().database_bytes
        assert recode(store, "int4").recoded == 2
        assert store.stats().database_bytes < before
        # Nothing is made of what is coarser already.
        assert recode(store, "int8").recoded == 0
        assert store.check() == []
    assert content(tmp_path / "archive") == content(tmp_path / "expected")
    again = change_over(bundle, tmp_path / "archive", regions="none")
    assert (again.up_to_date, again.recoded) == (True, 4)
    with open_store(tmp_path / "archive") as store:
        assert not store.stats().regions
        assert store.check() == []


@pytest.mark.parametrize(("name", "times", "kept"), [("0.mkv", 1, 0), ("2.mkv", 2, 3)])
def test_an_interrupted_run_is_taken_up_and_the_old_archive_is_used_meanwhile(
    name: str,
    times: int,
    kept: int,
    bundle: Bundle,
    other: Bundle,
    videos: list[Path],
    archive: Path,
    tmp_path: Path,
) -> None:
    before = content(archive)
    summary = change_over(other, archive, on_progress=InterruptAt(name, times))
    assert (summary.interrupted, summary.switched) == (True, False)
    assert (summary.indexed, summary.bundle_id) == (kept, bundle.encoders_id)
    assert content(archive) == before
    assert made_by(archive) == bundle.encoders_id
    rest = change_over(other, archive)
    assert (rest.skipped, rest.indexed, rest.switched) == (kept, 4 - kept, True)
    assert content(archive) == content(indexed(other, videos, tmp_path / "expected"))


def test_an_interrupt_amid_the_switch_is_heard_when_it_is_done(
    other: Bundle, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tidy, interrupts = LocalShadowArchive.tidy, [KeyboardInterrupt]

    def interrupted(self: LocalShadowArchive) -> UnfinishedReindex | None:
        # As where SQLite, which does not listen to signals, has just done its part.
        if self.bundle_id == ENCODERS and interrupts:
            raise interrupts.pop()
        return tidy(self)

    monkeypatch.setattr(LocalShadowArchive, "tidy", interrupted)
    summary = change_over(other, archive)
    assert interrupts == []
    assert (summary.switched, summary.interrupted) == (True, False)
    assert made_by(archive) == ENCODERS
    assert not (archive / "archive.next").exists()


def test_a_video_that_moved_is_indexed_with_the_former_bundle_and_taken_along(
    bundle: Bundle, other: Bundle, videos: list[Path], archive: Path
) -> None:
    change_over(other, archive, on_progress=InterruptAt("1.mkv", 1))
    moved = [path.rename(path.with_name(f"moved-{path.name}")) for path in videos[:2]]
    index(bundle, archive, moved, OFTEN)
    summary = change_over(other, archive)
    assert (summary.switched, summary.moved, summary.indexed) == (True, 1, 3)
    assert paths_in(archive) == sorted([*moved, *videos[2:]])


def test_what_an_unfinished_run_encoded_is_kept_for_its_bundle(
    bundle: Bundle, other: Bundle, archive: Path
) -> None:
    change_over(other, archive, on_progress=InterruptAt("2.mkv", 2))
    summary = change_over(bundle, archive)
    assert (summary.up_to_date, summary.waiting) == (True, ENCODERS)
    assert change_over(other, archive).skipped == 3


def test_what_was_indexed_removed_or_changed_in_between_counts(
    bundle: Bundle, other: Bundle, videos: list[Path], archive: Path, tmp_path: Path
) -> None:
    change_over(other, archive, on_progress=InterruptAt("3.mkv", 1))
    with open_store(archive) as store:
        gone = store.find(videos[0])
        assert gone is not None
        with store.writer() as writer:
            writer.remove([gone.video_id])
    footage(videos[1], first=777)
    late = footage(tmp_path / "videos" / "late.mkv", first=555)
    index(bundle, archive, late, OFTEN)
    index(bundle, archive, videos[2], OFTEN)
    summary = change_over(other, archive)
    assert (summary.switched, summary.failed) == (True, [])
    index(other, tmp_path / "expected", [videos[1], videos[2], late], OFTEN)
    index(other, tmp_path / "expected", videos[3], SELDOM)
    assert content(archive) == content(tmp_path / "expected")


def replace_by_text(path: Path) -> None:
    path.write_text("no video")


def replace_by_a_folder(path: Path) -> None:
    path.unlink()
    footage(path / "another.mkv", first=900)


@pytest.mark.parametrize(
    ("lose", "reason"),
    [
        (Path.unlink, "no such file"),
        (replace_by_text, ""),
        (replace_by_a_folder, "a folder lies there now"),
    ],
    ids=["gone", "damaged", "a folder"],
)
def test_a_missing_video_keeps_the_archive_from_switching_unless_it_is_dropped(
    lose: Callable[[Path], None],
    reason: str,
    bundle: Bundle,
    other: Bundle,
    videos: list[Path],
    archive: Path,
) -> None:
    before = content(archive)
    lose(videos[1])
    for encoded, skipped in ((3, 0), (0, 3)):
        summary = change_over(other, archive)
        assert (summary.indexed, summary.skipped) == (encoded, skipped)
        assert (summary.switched, summary.bundle_id) == (False, bundle.encoders_id)
        (report,) = summary.failed
        assert report.path == videos[1]
        assert reason in report.reason
        assert content(archive) == before
    summary = change_over(other, archive, drop_missing=True)
    assert (summary.switched, summary.failed) == (True, [])
    assert [report.path for report in summary.dropped] == [videos[1]]
    assert paths_in(archive) == [videos[0], *videos[2:]]


def test_a_video_that_was_encoded_before_it_went_missing_is_kept(
    other: Bundle, videos: list[Path], archive: Path
) -> None:
    change_over(other, archive, on_progress=InterruptAt("3.mkv", 1))
    videos[0].unlink()
    summary = change_over(other, archive)
    assert (summary.switched, summary.failed, summary.dropped) == (True, [], [])
    assert paths_in(archive) == videos


def test_if_no_video_can_be_read_it_never_switches(
    bundle: Bundle, other: Bundle, videos: list[Path], archive: Path
) -> None:
    before = content(archive)
    videos[0].parent.rename(videos[0].parent.with_name("unmounted"))
    for drop_missing in (False, True):
        summary = change_over(other, archive, drop_missing=drop_missing)
        assert not summary.switched
        assert [report.path for report in summary.failed] == videos
    assert content(archive) == before
    assert made_by(archive) == bundle.encoders_id


def test_a_partial_video_and_a_copy_are_taken_along(
    bundle: Bundle, other: Bundle, tmp_path: Path
) -> None:
    cut = truncated(footage(tmp_path / "videos" / "cut.mkv", 10.0), 0.7)
    whole = footage(tmp_path / "videos" / "whole.mkv", first=300)
    twin = tmp_path / "videos" / "twin.mkv"
    os.link(whole, twin)
    archive = tmp_path / "archive"
    index(bundle, archive, cut.parent)
    summary = change_over(other, archive)
    assert (summary.indexed, summary.copied, len(summary.partial)) == (2, 1, 1)
    assert paths_in(archive) == sorted([cut, twin, whole])


def test_an_archive_without_videos_is_changed_over(
    bundle: Bundle, other: Bundle, tmp_path: Path
) -> None:
    open_for(bundle, tmp_path).close()
    assert change_over(other, tmp_path).switched
    assert made_by(tmp_path) == ENCODERS


def test_progress_runs_over_all_samplings_at_once(other: Bundle, archive: Path) -> None:
    seen: list[Progress] = []
    change_over(other, archive, on_progress=seen.append)
    assert [now.done_files for now in seen] == sorted(now.done_files for now in seen)
    assert [now.done_bytes for now in seen] == sorted(now.done_bytes for now in seen)
    assert {now.total_files for now in seen} == {4}
    last = seen[-1]
    assert (last.done_files, last.done_bytes, last.frames) == (4, last.total_bytes, 24)


def test_words_are_taken_along(other: Bundle, archive: Path, videos: list[Path]) -> None:
    heard = Texts("a model", (Cue(0.5, 1.5, "mind the fire door"),))
    with open_store(archive) as store:
        stored = store.find(videos[1])
        assert stored is not None
        with store.writer() as writer:
            writer.set_texts(stored.video_id, "speech", heard)
    assert change_over(other, archive).switched
    with open_store(archive) as store:
        (hit,) = store.find_text("fire doors", 5)
        assert store.videos_of([hit.video_id])[hit.video_id].video.path == videos[1]
        assert store.texts(hit.video_id)["speech"] == heard
        assert store.check() == []


def test_a_file_that_changed_has_no_words_and_tags_of_what_it_was(
    other: Bundle, archive: Path, videos: list[Path]
) -> None:
    heard = Texts("a model", (Cue(0.5, 1.5, "mind the fire door"),))
    with open_store(archive) as store:
        ids = [one.video_id for one in store.videos()]
        with store.writer() as writer:
            for one in ids:
                writer.set_texts(one, "speech", heard)
            writer.tag(ids, ["seen"])
    footage(videos[1], first=777)
    assert change_over(other, archive).switched
    with open_store(archive) as store:
        found = {one.video.path: one for one in store.videos()}
        assert found[videos[1]].tags == ()
        assert store.texts(found[videos[1]].video_id) == {}
        assert found[videos[0]].tags == ("seen",)
        assert store.texts(found[videos[0]].video_id)["speech"] == heard


def test_tags_taken_off_amid_a_reindex_stay_off(
    other: Bundle, archive: Path, videos: list[Path]
) -> None:
    with open_store(archive) as store, store.writer() as writer:
        writer.tag([one.video_id for one in store.videos()], ["secret"])
    gone = videos[3].rename(videos[3].with_suffix(".away"))
    assert not change_over(other, archive).switched
    with open_store(archive) as store, store.writer() as writer:
        writer.tag([one.video_id for one in store.videos()], drop=["secret"])
    gone.rename(videos[3])
    assert change_over(other, archive).switched
    with open_store(archive) as store:
        assert {one.tags for one in store.videos()} == {()}
