"""Which files have settled: sizes and time stamps that stay, on a clock that the test sets."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from vsr_edge.watch.follow import FIRST_RETRY, Changes, Follower, must_poll


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def follower(folder: Path, **how: object) -> Follower:
    return Follower([folder], 10.0, **how)  # type: ignore[arg-type]


def test_a_file_is_taken_once_it_has_not_changed_for_a_while(tmp_path: Path) -> None:
    path, follow = write(tmp_path / "a.mp4", "1"), follower(tmp_path)
    follow.look(0.0)
    assert follow.settled(9.0) == []
    write(path, "12")  # it grows: the time begins anew
    assert follow.settled(12.0) == []
    assert follow.settled(21.0) == []
    assert follow.settled(22.0) == [path]
    follow.taken([path], [], 22.0)
    follow.look(50.0)
    assert follow.settled(70.0) == []
    os.utime(path, ns=(0, 0))  # another content, for all that is known
    follow.look(80.0)
    assert follow.settled(95.0) == [path]


def test_what_is_no_video_or_is_left_out_is_not_followed(tmp_path: Path) -> None:
    for name in ("a.mp4.part", "b.txt", ".hidden.mp4", "@eaDir/c.mp4", "old/d.mp4", "e.mp4"):
        write(tmp_path / name, name)
    follow = follower(tmp_path, exclude=["old"])
    follow.look(0.0)
    assert follow.settled(10.0) == [tmp_path / "e.mp4"]
    (tmp_path / "a.mp4.part").rename(tmp_path / "a.mp4")
    follow.look(11.0)
    assert follow.settled(15.0) == [tmp_path / "e.mp4"]
    assert set(follow.settled(21.0)) == {tmp_path / "e.mp4", tmp_path / "a.mp4"}


def test_what_goes_before_it_has_settled_is_forgotten(tmp_path: Path) -> None:
    path, follow = write(tmp_path / "a.mp4", "1"), follower(tmp_path)
    follow.look(0.0)
    path.unlink()
    assert follow.settled(10.0) == []
    write(path, "1")
    follow.look(11.0)
    assert follow.settled(12.0) == []


@pytest.mark.parametrize("name", ["a.srt", "a.en.srt", "a.mp4.vtt", "a.en.forced.ASS"])
def test_a_video_is_taken_again_when_its_subtitles_come_change_or_go(
    name: str, tmp_path: Path
) -> None:
    path, follow = write(tmp_path / "a.mp4", "1"), follower(tmp_path)
    other = write(tmp_path / "b.mp4", "1")
    follow.look(0.0)
    assert follow.settled(10.0) == [path, other]
    follow.taken([path, other], [], 10.0)
    now, words = 20.0, tmp_path / name
    for act in (lambda: write(words, "1"), lambda: write(words, "12"), words.unlink):
        act()
        follow.look(now)
        assert follow.settled(now + 9) == []
        assert follow.settled(now + 10) == [path]
        follow.taken([path], [], now + 10)
        follow.look(now + 20)
        assert follow.settled(now + 40) == []
        now += 50


def test_subtitles_that_are_still_written_are_waited_for(tmp_path: Path) -> None:
    path, follow = write(tmp_path / "a.mp4", "1"), follower(tmp_path)
    follow.look(0.0)
    write(tmp_path / "a.srt", "1")
    assert follow.settled(10.0) == []
    write(tmp_path / "a.srt", "12")
    assert follow.settled(19.0) == []
    assert follow.settled(29.0) == [path]


def test_what_failed_is_told_of_once_and_tried_again_later_or_when_it_changes(
    tmp_path: Path,
) -> None:
    path, follow = write(tmp_path / "a.mp4", "1"), follower(tmp_path)
    follow.look(0.0)
    now = 10.0
    assert follow.settled(now) == [path]
    assert follow.taken([path], [path], now) == [path]
    follow.look(now + 20)
    assert follow.settled(now + 40) == []
    now += FIRST_RETRY
    follow.look(now)
    assert follow.settled(now + 10) == [path]
    assert follow.taken([path], [path], now + 10) == []  # nothing new about it
    follow.look(now + 10 + FIRST_RETRY)
    assert follow.settled(now + 40 + FIRST_RETRY) == []  # twice as long this time
    write(path, "other")
    now += 1000
    follow.look(now)
    assert follow.settled(now + 10) == [path]
    assert follow.taken([path], [path], now + 10) == [path]


def test_a_folder_that_is_away_is_named_once_and_what_it_held_is_still_known(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "drive" / "a.mp4", "1")
    follow = follower(tmp_path / "drive")
    follow.look(0.0)
    follow.taken(follow.settled(10.0), [], 10.0)
    (tmp_path / "drive").rename(tmp_path / "away")
    (said,) = follow.look(20.0)
    assert "drive" in said
    assert follow.look(30.0) == []
    (tmp_path / "away").rename(tmp_path / "drive")
    follow.look(40.0)
    assert follow.settled(60.0) == []
    assert follow.done.keys() == {path}


MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
nas:/videos /mnt/nas nfs4 rw 0 0
//nas/cams /mnt/my\\040cams cifs rw 0 0
/dev/sdb1 /mnt/nas/local ext4 rw 0 0
s3fs /mnt/s3 fuse.s3fs rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/srv", None),
        ("/mnt/nas/cam1", "nfs4"),
        ("/mnt/nasty", None),
        ("/mnt/nas/local/cam", None),
        ("/mnt/my cams", "cifs"),
        ("/mnt/s3/x", "fuse.s3fs"),
    ],
)
def test_network_drives_are_polled(
    folder: str, kind: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WATCHFILES_FORCE_POLLING", raising=False)
    reason = must_poll([Path("/srv"), Path(folder)], MOUNTS)
    assert reason is None if kind is None else reason is not None and f"({kind})" in reason
    monkeypatch.setenv("WATCHFILES_FORCE_POLLING", "1")
    assert must_poll([Path("/srv")], MOUNTS) == "WATCHFILES_FORCE_POLLING is set"


def test_the_system_tells_of_changes_below_a_folder(tmp_path: Path) -> None:
    pytest.importorskip("watchfiles")
    with Changes([tmp_path], None) as changes:
        for number in range(600):  # it may take a moment until it listens
            write(tmp_path / "sub" / "a.mp4", str(number))
            if changes.wait(0.1):
                break
        assert number < 599
        assert not changes.polls


def test_where_it_cannot_be_told_of_changes_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("watchfiles")
    with Changes([tmp_path / "not there"], None) as changes:
        assert changes.wait(60)
        assert changes.polls
        assert "not there" in (changes.notice or "")
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with Changes([tmp_path], None) as changes:
        assert changes.polls
        assert "vsr-edge[watch]" in (changes.notice or "")
    with Changes([tmp_path], "--poll is given") as changes:
        assert changes.polls
        assert not changes.wait(0.01)
