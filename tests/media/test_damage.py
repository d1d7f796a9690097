"""Damaged files give what can be read of them, and say that it is not all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.media.reading import read_back
from tests.media_files import constant_rate, flipped, joined, truncated, write_video
from vsr_edge.errors import UnreadableMedia
from vsr_edge.media.decode import FrameReader
from vsr_edge.media.plan import plan_video
from vsr_edge.types import Sampling

TENTHS = constant_rate(100)
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("a.mkv", {}),
        ("a.webm", {"codec": "libvpx", "options": {"deadline": "realtime", "cpu-used": "8"}}),
        ("a.avi", {"codec": "mjpeg", "pixel_format": "yuvj420p", "rate": 10}),
        ("faststart.mp4", {"container_options": {"movflags": "faststart"}}),
        ("fragmented.mp4", {"container_options": {"movflags": "frag_keyframe+empty_moov"}}),
    ],
)
def test_a_truncated_file_is_read_as_partial(
    name: str, how: dict[str, Any], tmp_path: Path
) -> None:
    whole = write_video(tmp_path / name, TENTHS, **how)
    assert read_back(whole).partial is None
    found = read_back(truncated(whole, 0.6))
    assert found.partial is not None
    assert "cut short" in found.partial
    assert found.times == pytest.approx([TENTHS[n] for n in found.numbers], abs=0.002)
    assert 3 < found.plan.video.duration < 9


def test_an_mp4_truncated_before_its_table_of_contents_is_unreadable(tmp_path: Path) -> None:
    path = truncated(write_video(tmp_path / "a.mp4", TENTHS), 0.6)
    with pytest.raises(UnreadableMedia, match="damaged"):
        plan_video(path, Sampling())


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_flipped_bytes_leave_the_frames_before_and_after(name: str, tmp_path: Path) -> None:
    path = flipped(write_video(tmp_path / name, TENTHS), 0.4, 0.5, 40)
    found = read_back(path)
    assert found.partial is not None
    right = {
        number
        for time, number in zip(found.times, found.numbers, strict=True)
        if number < 100 and time == pytest.approx(TENTHS[number], abs=0.002)
    }
    assert {0, 10, 20, 30, 70, 80, 90} <= right


def test_a_damaged_clock_costs_only_the_frames_it_dates(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", TENTHS, container_options={"cluster_time_limit": "1000"})
    content = bytearray(path.read_bytes())
    cluster = content.index(bytes.fromhex("1f43b675"), len(content) // 2)
    # The cluster's own time, in milliseconds: id E7, length 2, as the first of its elements.
    clock = content.index(bytes.fromhex("e782"), cluster, cluster + 40)
    content[clock + 2] ^= 0x7F
    path.write_bytes(content)
    found = read_back(path, fps=10)
    assert found.partial is not None
    assert "time is damaged" in found.partial
    assert found.times == pytest.approx([TENTHS[n] for n in found.numbers], abs=0.002)
    assert found.numbers[0] == 0
    assert found.numbers[-1] == 99
    assert 80 <= len(found.numbers) < 100


def test_a_fragment_missing_at_the_end_is_told_from_the_declared_duration(tmp_path: Path) -> None:
    # Cut at a Matroska cluster and with the segment's size adjusted, so only the duration tells.
    path = write_video(tmp_path / "a.mkv", TENTHS, container_options={"cluster_time_limit": "1000"})
    content = path.read_bytes()
    cut = content.rindex(bytes.fromhex("1f43b675"), 0, len(content) * 3 // 4)
    segment = content.index(bytes.fromhex("18538067")) + 4
    size = (cut - segment - 8) | 1 << 56
    path.write_bytes(content[:segment] + size.to_bytes(8, "big") + content[segment + 8 : cut])
    found = read_back(path)
    assert found.partial is not None
    assert "declares" in found.partial


def test_a_stream_whose_packets_are_all_damaged_is_unreadable(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", TENTHS)
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat") + 4
    end = content.index(b"moov") - 4
    content[start:end] = bytes([0x55]) * (end - start)
    path.write_bytes(content)
    plan = plan_video(path, Sampling())
    with pytest.raises(UnreadableMedia, match="not one frame"):
        list(FrameReader(plan))


def test_a_file_that_vanishes_after_planning_is_unreadable(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", TENTHS)
    plan = plan_video(path, Sampling())
    path.unlink()
    with pytest.raises(UnreadableMedia, match="no such file"):
        list(FrameReader(plan))


def test_a_change_of_picture_size_ends_a_batch(tmp_path: Path) -> None:
    parts = [
        write_video(tmp_path / "a.ts", TENTHS[:30]),
        write_video(tmp_path / "b.ts", TENTHS[:30], width=96, height=160),
    ]
    plan = plan_video(joined(tmp_path / "joined.ts", parts), Sampling(fps=2))
    shapes = [batch.pixels.shape for batch in FrameReader(plan)]
    assert [shape[1:] for shape in shapes] == [(96, 160, 3), (160, 96, 3)]
    resized = list(FrameReader(plan, size=(64, 64)))
    assert [batch.pixels.shape[1:] for batch in resized] == [(64, 64, 3)]
    assert len(resized[0]) == sum(shape[0] for shape in shapes)


def test_two_hundred_mutated_files_end_in_frames_or_in_a_reason(tmp_path: Path) -> None:
    # In a process of its own: FFmpeg is C, and a crash of it must fail this test, not end the run.
    result = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.media.fuzz", str(tmp_path), "200"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-4000:]
    outcomes = json.loads(result.stdout)
    assert sum(outcomes.values()) == 200
    assert set(outcomes) <= {"ok", "partial", "UnreadableMedia", "NoVideoStream"}
    assert min(outcomes[name] for name in ("ok", "partial", "UnreadableMedia")) > 10
