"""The jobs of the README, as they are written there, on files as recorders leave them."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import av
import pytest

from tests.e2e.command import Ended, run, succeed

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
SUBTITLES = "1\n00:00:01,000 --> 00:00:03,000\nKeep the <i>fire door</i> closed!\n"
NOTHING_FOUND = 3


def jobs() -> list[list[list[str]]]:
    """The commands of each job, as words."""
    chapter = README.split("## Ten jobs, as people say them\n")[1].split("\n## ")[0]
    found = re.search(r"^```sh\n(.*?)^```$", chapter, re.MULTILINE | re.DOTALL)
    assert found is not None
    said = re.split(r"^# \".*$\n", found[1], flags=re.MULTILINE)[1:]
    return [[shlex.split(one) for one in job.strip().split(" && ")] for job in said]


@pytest.fixture
def site(tmp_path: Path, demo_clips: list[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of footage, and two cameras whose recorder names files by the time."""
    bikes, bunny, carphone = demo_clips
    for place in ("videos", "cameras/dock", "cameras/gate", "cameras/yard"):
        (tmp_path / place).mkdir(parents=True)
    # Whenever this runs, nothing but the gate is of a morning.
    recent = (datetime.now(UTC) - timedelta(days=2)).replace(hour=15)
    for clip in demo_clips:
        copied = shutil.copy(clip, tmp_path / "videos")
        os.utime(copied, (recent.timestamp(), recent.timestamp()))
    shutil.copy(bikes, tmp_path / "cameras/dock/dock_20260303_221500.mp4")
    shutil.copy(bunny, tmp_path / "cameras/dock/dock_20260305_221500.mp4")
    gate = tmp_path / "cameras/gate/gate_20260304_101500.mp4"
    shutil.copy(carphone, gate)
    gate.with_suffix(".srt").write_text(SUBTITLES, "utf-8")
    shutil.copy(carphone, tmp_path / f"cameras/yard/yard_{recent:%Y%m%d_%H%M%S}.mp4")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VSR_EDGE_ARCHIVE", str(tmp_path / "archive"))
    monkeypatch.setenv("VSR_EDGE_TIME_ZONE", "UTC")
    succeed("index", "videos", "cameras")
    return tmp_path


def first(found: Ended) -> str:
    """The file of the first hit of a table."""
    (line,) = re.findall(r"^\s*1 .*$", found.out, re.MULTILINE)
    return Path(str(line).split()[-1]).name


@pytest.mark.timeout(600)
def test_ten_jobs_are_done_by_a_command_each(site: Path) -> None:
    written = jobs()
    assert len(written) == 10
    done: list[Ended] = []
    for job in written:
        for words in job:
            assert words[0] == "vsr-edge"
            one = run(*words[1:])
            assert one.code in ({NOTHING_FOUND} if "--receipt" in words else {0}), (words, one)
        done.append(one)
    dock, mornings, cut, listed, similar, judged, chain, spoken, written_down, retained = done

    assert first(dock) == "dock_20260303_221500.mp4"
    assert "dock_20260305" not in dock.out
    assert "bikes.mp4" not in dock.out

    assert first(mornings) == "gate_20260304_101500.mp4"
    page = (site / "mornings.html").read_text("utf-8")
    assert page.count("data:image/jpeg") >= 1

    (clip,) = (site / "clips").iterdir()
    with av.open(str(clip)) as opened:
        seconds = float(
            opened.streams.video[0].frames / (opened.streams.video[0].average_rate or 1)
        )
    assert 4 < seconds <= 10, cut
    assert "FROM CLIP NAME: bikes.mp4" in (site / "bicycle.edl").read_text("utf-8"), listed

    assert first(similar) == "dock_20260303_221500.mp4"

    assert "saved as bicycle" in judged.err
    assert json.loads(run("saved", "list", "--json").out)["saved"][0]["good"] == 1

    assert "a street" in chain.out
    assert first(chain) in {"bikes.mp4", "dock_20260303_221500.mp4"}

    assert first(spoken) == "gate_20260304_101500.mp4"
    assert "fire door" in spoken.out

    assert "receipt: elephant.json" in written_down.err
    said = json.loads((site / "elephant.json").read_text("utf-8"))
    assert said["answer"]["verdict"] == "no_match"
    assert said["searched"]["videos"] == 7

    assert "forgotten" in retained.err
    assert run("receipt", "check", "elephant.json").code == NOTHING_FOUND  # less is searched now
    left = json.loads(run("videos", "--json").out)["videos"]
    assert {os.path.dirname(one["video"]).rpartition("/")[2] for one in left} == {"videos", "yard"}  # noqa: PTH120
    assert [one["tags"] for one in left if "yard" in one["video"]] == [["recorder"]]
