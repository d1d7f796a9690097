"""Changing an archive over to another bundle by the command: killed, interrupted, incomplete."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import time
from functools import partial
from pathlib import Path

import pytest

import vsr_edge
from tests.e2e.command import finish, run, running, stopped_midway, succeed, wait_until
from tests.e2e.test_interruption import is_writing
from tests.ingest.archives import content, footage, paths_in
from tests.other_bundle import ENCODERS, other_bundle
from tests.store.archives import vector_file
from vsr_edge.errors import ArchiveError, BundleMismatch
from vsr_edge.store import open_store

QUERY = "a bicycle on the street"
VIDEOS, KILLS = 4, 4

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return other_bundle(tmp_path_factory.mktemp("other") / "bundle")


@pytest.fixture
def copied(demo_archive: Path, tmp_path: Path) -> Path:
    return shutil.copytree(demo_archive, tmp_path / "archive")


def bundle_of(archive: Path) -> str:
    with open_store(archive) as store:
        assert store.check() == []
        return store.bundle_id


def encoded(archive: Path) -> int:
    """How many videos the second generation has; it may not be there, yet."""
    try:
        return len(paths_in(archive / "archive.next"))
    except ArchiveError:
        return 0


def test_the_archive_is_changed_over_and_searched_with_the_new_bundle(
    copied: Path, other: Path, demo_clips: list[Path]
) -> None:
    former = bundle_of(copied)
    # Such as pictures that others looked at, and what could not be indexed.
    beside = {path.name for path in copied.iterdir()} - {vector_file(copied).name}
    ended = succeed("reindex", "--archive", copied, "--bundle", other, "--json")
    document = ended.document
    assert document.keys() == {
        "schema",
        "indexed",
        "skipped",
        "moved",
        "copied",
        "frames",
        "hours",
        "seconds",
        "interrupted",
        "partial",
        "failed",
        "bundle_id",
        "switched",
        "up_to_date",
        "waiting",
        "dropped",
        "left_out",
        "passed_over",
        "cues",
        "text_problems",
        "recoded",
    }
    assert (document["indexed"], document["switched"]) == (len(demo_clips), True)
    assert document["bundle_id"] == ENCODERS
    assert f"is encoded with the bundle '{ENCODERS}' now" in ended.err
    found = succeed("search", QUERY, "--archive", copied, "--bundle", other, "--json")
    assert found.err == ""
    assert {moment["video"] for moment in found.document["moments"]} == set(map(str, demo_clips))
    refused = run("search", QUERY, "--archive", copied)
    assert (refused.code, refused.out) == (1, "")
    assert f"was indexed with the bundle '{ENCODERS}'" in refused.err
    assert "`vsr-edge reindex --bundle BUNDLE`" in refused.err
    assert {path.name for path in copied.iterdir()} == {
        "archive.db",
        "archive.lock",
        vector_file(copied).name,
        "last-answer.json",
        *beside,
    }
    again = succeed("reindex", "--archive", copied, "--bundle", other, "--json")
    assert (again.document["up_to_date"], again.document["switched"]) == (True, False)
    assert "nothing to do" in again.err
    assert former != ENCODERS


def test_regions_become_coarser_from_what_is_stored(copied: Path, demo_clips: list[Path]) -> None:
    refused = run("reindex", "--archive", copied, "--regions", "pq")
    assert (refused.code, "float16, int8, int4, binary or none" in refused.err) == (2, True)
    both = ("--regions", "int4", "--no-regions")
    refused = run("index", demo_clips[0], "--archive", copied, *both)
    assert (refused.code, "exclude one another" in refused.err) == (2, True)
    ended = succeed("reindex", "--archive", copied, "--regions", "binary", "--json")
    assert (ended.document["recoded"], ended.document["indexed"]) == (len(demo_clips), 0)
    assert f"{len(demo_clips)} videos have their regions as binary now" in ended.err
    found = succeed("search", QUERY, "--archive", copied, "--json").document
    assert found["moments"][0]["match_probability"] > 0.5
    known = succeed("index", *demo_clips, "--archive", copied, "--json").document
    assert (known["skipped"], known["indexed"]) == (len(demo_clips), 0)


def test_where_nothing_was_indexed_there_is_nothing_to_change(tmp_path: Path) -> None:
    ended = run("reindex", "--archive", tmp_path / "none", "--bundle", "lite")
    assert (ended.code, ended.out) == (1, "")
    assert "holds no archive yet" in ended.err
    assert not (tmp_path / "none").exists()


def test_the_bundle_must_be_named(demo_archive: Path) -> None:
    ended = run("reindex", "--archive", demo_archive)
    assert ended.code == 2
    assert "--bundle" in ended.err


def test_a_missing_video_is_named_and_dropped_on_request(other: Path, tmp_path: Path) -> None:
    videos = [footage(tmp_path / f"{n}.mkv", first=100 * n) for n in range(2)]
    archive = tmp_path / "archive"
    with vsr_edge.open_archive(archive) as opened:
        opened.index(videos)
    videos[0].rename(tmp_path / "away")
    command = ("reindex", "--archive", archive, "--bundle", other)
    refused = run(*command)
    assert (refused.code, refused.out) == (1, "")
    assert f"failed: {videos[0]}: no such file or folder" in refused.err
    assert "what was encoded is kept: make the videos that failed readable" in refused.err
    assert "--drop-missing" in refused.err
    stats = succeed("stats", "--archive", archive).out
    assert f"1 of 2 videos are encoded with the bundle '{ENCODERS}'" in stats
    assert "unfinished" in succeed("doctor", "--archive", archive).out
    dropped = succeed(*command, "--drop-missing", "--json")
    assert [one["video"] for one in dropped.document["dropped"]] == [str(videos[0])]
    assert f"dropped: {videos[0]}: " in dropped.err
    assert f"now, without 1 videos: search and index it with --bundle {other}" in dropped.err
    assert paths_in(archive) == videos[1:]


def test_a_program_that_keeps_the_archive_open_is_told(copied: Path, other: Path) -> None:
    with vsr_edge.open_archive(copied) as reader:
        assert reader.search(QUERY).moments
        with vsr_edge.open_archive(copied, bundle=str(other)) as changing:
            with pytest.raises(BundleMismatch, match="reindex --bundle"):
                changing.search(QUERY)
            assert len(changing.videos()) == 3
            assert changing.reindex().switched
            assert len(changing.videos()) == 3
            assert changing.search(QUERY).moments
            assert changing.notices == []
        with pytest.raises(BundleMismatch, match=f"re-indexed with the bundle '{ENCODERS}'"):
            reader.search(QUERY)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos that take a moment to encode. Copy it before changing it."""
    folder = tmp_path_factory.mktemp("generated")
    for number in range(VIDEOS):
        footage(folder / "videos" / f"{number}.mkv", first=100 * number)
    with vsr_edge.open_archive(folder / "archive", fps=5) as opened:
        opened.index(folder / "videos")
    return folder / "archive"


class Undisturbed:
    """What a run that nobody disturbed makes of the archive, and the seconds that it took."""

    def __init__(self, archive: Path, other: Path, folder: Path) -> None:
        shutil.copytree(archive, folder)
        with vsr_edge.open_archive(folder, bundle=str(other)) as opened:
            self.seconds = opened.reindex().seconds
        self.content = content(folder)


@pytest.fixture(scope="module")
def undisturbed(
    archive: Path, other: Path, tmp_path_factory: pytest.TempPathFactory
) -> Undisturbed:
    return Undisturbed(archive, other, tmp_path_factory.mktemp("undisturbed") / "archive")


@posix
@pytest.mark.slow
def test_killing_it_at_any_moment_leaves_the_old_archive_or_the_new(
    archive: Path, other: Path, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    folder = shutil.copytree(archive, tmp_path / "archive")
    before, most, chance = content(folder), 0, random.Random(11)
    for _ in range(KILLS):
        with running("reindex", "--archive", folder, "--bundle", other) as process:
            wait_until(lambda: is_writing(process, folder), process)
            time.sleep(chance.uniform(0, undisturbed.seconds * 0.5))
            process.kill()
            ended = finish(process)
        assert ended.code in (-signal.SIGKILL, 0), ended
        if bundle_of(folder) == ENCODERS:
            break
        assert content(folder) == before
        assert encoded(folder) >= most
        most = encoded(folder)
    succeed("reindex", "--archive", folder, "--bundle", other)
    assert content(folder) == undisturbed.content
    assert len(list(folder.iterdir())) == 3


@posix
@pytest.mark.slow
def test_a_signal_ends_it_tidily_and_searching_goes_on_with_the_old_bundle(
    archive: Path, other: Path, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    before = content(archive)
    for attempt in itertools.count():
        folder = shutil.copytree(archive, tmp_path / f"archive-{attempt}")
        command = ("reindex", "--archive", folder, "--bundle", other, "--json")
        with running(*command) as process:
            if not stopped_midway(process, partial(encoded, folder), VIDEOS):
                continue
            refused = run("index", archive, "--archive", folder)
            assert refused.code == 1
            assert f"is being written by process {process.pid} on " in refused.err
            succeed("search", "blocks", "--one-shot", "--archive", folder)
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGTERM)
            ended = finish(process)
        break
    assert ended.code == 130, ended
    assert (ended.document["interrupted"], ended.document["switched"]) == (True, False)
    assert "nothing that was finished is lost; the same command goes on from here" in ended.err
    kept = encoded(folder)
    assert 0 < ended.document["indexed"] == kept < VIDEOS
    assert content(folder) == before
    stats = succeed("stats", "--archive", folder, "--json").document
    assert stats["reindex"] == {"bundle_id": ENCODERS, "videos": kept}
    rest = succeed(*command).document
    assert (rest["skipped"], rest["indexed"], rest["switched"]) == (kept, VIDEOS - kept, True)
    assert content(folder) == undisturbed.content
