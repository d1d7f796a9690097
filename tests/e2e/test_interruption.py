"""Indexing that is killed, interrupted, or not alone."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.command import (
    INTERRUPTIBLE,
    finish,
    run,
    running,
    stopped_midway,
    succeed,
    wait_until,
)
from tests.ingest.archives import content, footage, paths_in
from vsr_edge.errors import ArchiveError
from vsr_edge.store import open_store
from vsr_edge.store.lock import read_holder

VIDEOS, SECONDS = 5, 8.0
OPTIONS = ("--fps", "5")
KILLS = 10

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="POSIX signals"),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for number in range(VIDEOS):
        footage(folder / f"{number}.mkv", SECONDS, first=100 * number)
    return folder


class Undisturbed:
    """An archive of a run that nobody disturbed, and the seconds that it took."""

    def __init__(self, folder: Path, videos: Path) -> None:
        document = succeed("index", videos, "--archive", folder, *OPTIONS, "--json").document
        self.seconds: float = document["seconds"]
        self.content = content(folder)


@pytest.fixture(scope="module")
def undisturbed(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return Undisturbed(tmp_path_factory.mktemp("undisturbed") / "archive", videos)


def stored(archive: Path) -> int:
    """How many videos are there; the archive itself may not be, yet."""
    try:
        return len(paths_in(archive))
    except ArchiveError:
        return 0


def is_writing(process: subprocess.Popen[bytes], archive: Path) -> bool:
    holder = read_holder(archive)
    return (holder.get("pid"), holder.get("purpose")) == (process.pid, "writing")


def test_killing_it_at_any_moment_loses_nothing_that_was_finished(
    videos: Path, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    archive, chance, kills, most = tmp_path / "archive", random.Random(7), 0, 0
    while kills < KILLS:
        with running("index", videos, "--archive", archive, *OPTIONS) as process:
            if kills % 5:
                wait_until(lambda: is_writing(process, archive), process)
                time.sleep(chance.uniform(0, undisturbed.seconds * 0.4))
            else:  # Also before and while the archive is made.
                time.sleep(chance.uniform(0, undisturbed.seconds * 0.4))
            process.kill()
            ended = finish(process)
        assert ended.code in (-signal.SIGKILL, 0), ended
        kills += ended.code == -signal.SIGKILL
        now = stored(archive)
        assert now >= most
        most = now
        if most == VIDEOS:  # The later kills shall find something to interrupt.
            succeed("remove", "*", "--yes", "--archive", archive)
            most = 0
    succeed("index", videos, "--archive", archive, *OPTIONS)
    assert content(archive) == undisturbed.content
    with open_store(archive) as store:
        assert store.check() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_ends_it_tidily_and_the_next_run_completes_it(
    number: signal.Signals, videos: Path, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    for attempt in itertools.count():
        archive = tmp_path / f"archive-{attempt}"
        command = ("index", videos, "--archive", archive, *OPTIONS, "--json")
        with running(*command, command=INTERRUPTIBLE) as process:
            if not stopped_midway(process, partial(stored, archive), VIDEOS):
                continue
            process.send_signal(number)
            process.send_signal(signal.SIGCONT)
            ended = finish(process)
        break
    assert ended.code == 130, ended
    assert ended.document["interrupted"] is True
    assert "the same command goes on from here" in ended.err
    kept = stored(archive)
    assert 0 < ended.document["indexed"] == kept < VIDEOS
    rest = succeed(*command).document
    assert (rest["skipped"], rest["indexed"]) == (kept, VIDEOS - kept)
    assert content(archive) == undisturbed.content


def test_a_second_run_is_told_of_the_first_and_searching_works_meanwhile(
    videos: Path, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    for attempt in itertools.count():
        archive = tmp_path / f"archive-{attempt}"
        with running("index", videos, "--archive", archive, *OPTIONS) as first:
            if not stopped_midway(first, partial(stored, archive), VIDEOS):
                continue
            before = stored(archive)
            for command in (("index", videos), ("remove", "*", "--yes")):
                refused = run(*command, "--archive", archive)
                assert (refused.code, refused.out) == (1, "")
                assert f"is being written by process {first.pid} on " in refused.err
                assert "Wait for it to finish or stop it" in refused.err
            found = succeed("search", "blocks", "--one-shot", "--archive", archive, "--json")
            videos_found = {moment["video"] for moment in found.document["moments"]}
            assert 0 < len(videos_found) <= before
            assert succeed("stats", "--archive", archive, "--json").document["videos"] == before
            first.send_signal(signal.SIGCONT)
            assert finish(first).code == 0
        break
    assert content(archive) == undisturbed.content


def test_ctrl_c_amid_imports_leaves_no_traceback(demo_archive: Path) -> None:
    """From the first line of ours on."""
    started = (
        *(sys.executable, "-c"),
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from vsr_edge.__main__ import main; print('started', flush=True); main()",
    )
    chance, codes = random.Random(3), []
    for _ in range(25):
        command = ("search", "a man", "--archive", demo_archive, "--one-shot")
        with running(*command, command=started) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"started\n"
            time.sleep(chance.uniform(0, 1.2))
            process.send_signal(signal.SIGINT)
            ended = finish(process)
        # When all is said and Python is about to end, the signal does what it does by default.
        assert ended.code in (130, 0, -signal.SIGINT), ended
        if ended.code == 130:
            last = ended.err.strip().rpartition("\n")[2]
            assert last in ("", "interrupted", "error: interrupted"), ended
        codes.append(ended.code)
    assert 130 in codes


def test_an_ignored_ctrl_c_stays_ignored(demo_archive: Path) -> None:
    started = (
        *(sys.executable, "-c"),
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN);"
        "from vsr_edge.__main__ import main; print('started', flush=True); main()",
    )
    with running("stats", "--archive", demo_archive, command=started) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        process.send_signal(signal.SIGINT)
        assert finish(process).code == 0
