"""Watched folders: each file is indexed once, when it is complete, whatever happens meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import jsonschema
import pytest

from tests.e2e.command import run, succeed, wait_until
from tests.e2e.test_documents import SCHEMAS
from tests.e2e.watching import Outcome, Watching, under_a_recorder
from tests.ingest.archives import footage, paths_in
from tests.media.subtitle_files import srt
from tests.recorder import FATES, FRAMES
from vsr_edge.store import open_store
from vsr_edge.store.lock import read_holder
from vsr_edge.types import Cue
from vsr_edge.watch.fired import last_fired, standing_alerts
from vsr_edge.watch.thresholds import LEAST_PAST

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


def check_outcome(outcome: Outcome) -> None:
    """Each file that is there was stored once and whole, and no other is there."""
    assert {one.fate for one in outcome.files} == set(FATES)
    sizes = {one.path: one.size for one in outcome.files if one.path is not None}
    assert {str(stored.video.path): stored.video.size_bytes for stored in outcome.videos} == sizes
    # Ten frames a second, of which one a second is read.
    assert {stored.frames for stored in outcome.videos} == {FRAMES // 10}
    assert [stored for stored in outcome.videos if stored.partial] == []
    # What was deleted after it was complete may have been stored before that.
    deleted = sum(one.fate == "deleted" for one in outcome.files)
    assert len(sizes) <= outcome.stored <= len(sizes) + deleted
    code, _ = outcome.ended
    assert code == 0
    assert "Traceback" not in outcome.said
    assert "failed:" not in outcome.said


@pytest.mark.slow
def test_each_file_of_a_recorder_is_indexed_once_when_complete_though_watching_is_killed(
    tmp_path: Path,
) -> None:
    check_outcome(under_a_recorder(tmp_path, files=8, every=1.5, settle=2.5, kills=2))


def test_subtitles_that_come_after_their_video_are_read(tmp_path: Path) -> None:
    videos, archive = tmp_path / "videos", tmp_path / "archive"
    clip = footage(videos / "door.mkv", 1.0)
    how = ("--archive", archive, "--settle", "0.5s", "--rescan", "1s", "--poll", "--json")
    with Watching(tmp_path, videos, *how) as watching:
        wait_until(lambda: len(watching.lines()) > 0, watching.process)
        clip.with_suffix(".en.srt").write_text(srt([Cue(0.1, 0.9, "Mind the fire door")]))
        wait_until(lambda: len(watching.lines()) > 1, watching.process)
        assert watching.ended()[0] == 0
    assert [line["cues"] for line in watching.lines()] == [0, 1]
    assert [line["indexed"] for line in watching.lines()] == [1, 0]
    assert "0:00.1" in succeed("search", "--text", "fire door", "--archive", archive).out


def test_a_service_manager_is_told_and_a_file_that_fails_is_named_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos, archive = tmp_path / "videos", tmp_path / "archive"
    good = footage(videos / "good.mkv", 1.0)
    (videos / "broken.mp4").write_bytes(b"no video")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(120)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        how = ("--archive", archive, "--settle", "0.5s", "--rescan", "1s", "--poll", "--json")
        with Watching(tmp_path, videos, *how) as watching:
            assert manager.recv(1000).startswith(b"READY=1")
            wait_until(lambda: "failed: " in watching.said(), watching.process)
            good.rename(videos / "renamed.mkv")
            wait_until(lambda: len(watching.lines()) > 1, watching.process)
            code, _ = watching.ended()
            heard = b""
            while b"STOPPING=1" not in heard:
                heard = manager.recv(1000)
    assert code == 0
    assert watching.said().count("failed: ") == 1
    assert paths_in(archive) == [videos / "renamed.mkv"]
    schema = json.loads((SCHEMAS / "index.json").read_text("utf-8"))
    for line in watching.lines():
        jsonschema.validate(line, schema)
    assert [line["indexed"] for line in watching.lines()] == [1, 0]
    assert [line["moved"] for line in watching.lines()] == [0, 1]


def test_told_to_end_amid_a_video_it_drops_it_and_the_next_run_takes_it_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos, archive = tmp_path / "videos", tmp_path / "archive"
    footage(videos / "long.mkv", 60.0)
    monkeypatch.setenv("VSR_EDGE_FPS", "5")
    how = ("--archive", archive, "--settle", "0.2s")
    with Watching(tmp_path, videos, *how) as watching:
        wait_until(lambda: read_holder(archive).get("purpose") == "writing", watching.process)
        assert watching.ended()[0] == 0
    assert paths_in(archive) == []
    monkeypatch.setenv("VSR_EDGE_FPS", "0.5")
    with Watching(tmp_path, videos, *how) as watching:
        wait_until(lambda: paths_in(archive) != [], watching.process)
        assert watching.ended()[0] == 0


def test_while_another_process_writes_it_waits_and_says_so_once(tmp_path: Path) -> None:
    videos, archive = tmp_path / "videos", tmp_path / "archive"
    first = footage(videos / "a.mkv", 1.0)
    succeed("index", videos, "--archive", archive)
    with open_store(archive) as store, ExitStack() as writing:
        writing.enter_context(store.writer())
        how = ("--archive", archive, "--settle", "0.2s", "--rescan", "0.5s")
        with Watching(tmp_path, videos, *how) as watching:
            wait_until(lambda: "being written" in watching.said(), watching.process)
            second = footage(videos / "b.mkv", 1.0, first=50)
            time.sleep(3)  # another try
            assert paths_in(archive) == [first]
            writing.close()
            wait_until(lambda: paths_in(archive) == [first, second], watching.process)
            assert watching.ended()[0] == 0
    assert watching.said().count("being written") == 1


def test_what_fires_is_a_line_and_goes_to_a_command_once(
    tmp_path: Path, demo_clips: list[Path]
) -> None:
    videos, archive = tmp_path / "videos", tmp_path / "archive"
    for number in range(LEAST_PAST):
        footage(videos / f"{number:02d}.mkv", 1.0, first=37 * number)
    succeed("index", videos, "--archive", archive)
    taken, script = tmp_path / "taken", tmp_path / "take.py"
    script.write_text(f"import sys; open({str(taken)!r}, 'a').write(sys.stdin.read())", "utf-8")
    how = ("--archive", archive, "--settle", "0.5s", "--rescan", "1s")
    alert = ("--alert", "bikes=a bicycle leaning against a wall", "--false-alarms", "1/hour")
    command = ("--exec", f"'{sys.executable}' '{script}'")
    with Watching(tmp_path, videos, *how, *alert, *command) as watching:
        wait_until(lambda: "alert bikes: above" in watching.said(), watching.process)
        for clip in demo_clips:  # under names that are no UTF-8
            shutil.copy(clip, videos / os.fsdecode(b"\xff-" + os.fsencode(clip.name)))
        wait_until(lambda: len(paths_in(archive)) == LEAST_PAST + len(demo_clips), watching.process)
        wait_until(taken.exists, watching.process)
        watching.killed()
        wait_until(lambda: watching.said().count("alert bikes: above") == 2, watching.process)
        assert watching.ended()[0] == 0
    schema = json.loads((SCHEMAS / "alert.json").read_text("utf-8"))
    fired = {str(line["id"]): line for line in watching.lines()}
    assert {Path(str(line["video"])).name for line in fired.values()} >= {"\udcff-bikes.mp4"}
    for line in fired.values():
        jsonschema.validate(line, schema)
        assert line["alert"] == "bikes"
    lines = [json.loads(line) for line in taken.read_text("utf-8").splitlines()]
    assert [one for one in lines if fired[one["id"]] != one] == []
    assert {str(one["id"]): one for one in last_fired(archive)} == fired
    assert [one["query"] for one in standing_alerts(archive)] == [
        "a bicycle leaning against a wall"
    ]


@pytest.mark.parametrize(
    ("arguments", "about"),
    [
        (("--settle", "soon"), "--settle"),
        (("--settle", "0s"), "--settle"),
        (("--alert", "dock"), "--alert"),
        (("--between", "22:00-06:00"), "--alert"),
        (("--alert", "a=b", "--false-alarms", "few"), "1/day"),
        (("--alert", "a=b", "--exec", "no-such-program-here"), "--exec"),
        (("--alert", "a=b", "--webhook", "ftp://x/"), "--webhook"),
        (("--alerts", "not-there.toml"), "not-there.toml"),
        (("--retain", "1m"), "--retain"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_once(
    tmp_path: Path, arguments: tuple[str, ...], about: str
) -> None:
    ended = run("watch", tmp_path, "--archive", tmp_path / "archive", *arguments)
    assert ended.code == 2
    assert about in ended.err


def test_index_forgets_what_was_recorded_long_ago(tmp_path: Path) -> None:
    videos, how = tmp_path / "videos", ("--archive", tmp_path / "archive", "--json")
    old, new = footage(videos / "old.mkv", 1.0), footage(videos / "new.mkv", 1.0, first=50)
    long_ago = time.time() - 31 * 86400
    os.utime(old, (long_ago, long_ago))
    assert succeed("index", videos, *how).document["forgotten"] == []
    assert succeed("index", videos, *how, "--retain", "32d").document["forgotten"] == []
    ended = succeed("index", videos, *how, "--retain", "30d")
    assert ended.document["forgotten"] == [str(old)]
    assert f"forgotten: {old}" in ended.err
    assert old.exists()
    assert paths_in(tmp_path / "archive") == [new]
