"""Every frame's time against the truth that its own picture shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.media.reading import read_back
from tests.media_files import (
    constant_rate,
    joined,
    with_edit_list,
    write_turned,
    write_unseekable,
    write_video,
)
from vsr_edge.media.probe import probe

TENTHS = constant_rate(60)
VARIABLE = np.cumsum([0, *[0.04, 0.04, 0.3, 0.1, 1.7] * 6]).tolist()
QUICK_VPX = {"deadline": "realtime", "cpu-used": "8"}
OPEN_GOP = {
    "preset": "medium",
    "x264-params": "open-gop=1:keyint=15:min-keyint=15:bframes=3:b-adapt=0:ref=3:scenecut=0",
}


File = tuple[str, list[float], Callable[[Path], Path]]


def file(name: str, times: list[float] = TENTHS, **how: Any) -> File:
    def write(path: Path) -> Path:
        return write_video(path, times, **how)

    return name, times, write


def stream(name: str, container: str, **how: Any) -> File:
    def write(path: Path) -> Path:
        return write_unseekable(path, TENTHS, container, **how)

    return name, TENTHS, write


FILES = {
    "constant rate": file("a.mp4"),
    "b-frames": file("a.mp4", b_frames=2, keyframe_interval=25),
    "variable rate mp4": file("a.mp4", VARIABLE),
    "variable rate mkv, b-frames": file("a.mkv", VARIABLE, b_frames=2),
    "late start mkv": file("a.mkv", start=7.3),
    "late start ts, b-frames": file("a.ts", start=7.3, b_frames=2),
    "mov": file("a.mov"),
    "webm vp8": file("a.webm", codec="libvpx", options=QUICK_VPX),
    "webm vp9": file("a.webm", codec="libvpx-vp9", options=QUICK_VPX),
    "gif": file("a.gif", codec="gif", pixel_format="rgb8", rate=10),
    "avi mpeg4": file("a.avi", codec="mpeg4", rate=10),
    "avi mpeg4, b-frames": file("a.avi", codec="mpeg4", rate=10, b_frames=2),
    "avi mjpeg": file("a.avi", codec="mjpeg", pixel_format="yuvj420p", rate=10),
    "avi h264, b-frames": file("a.avi", b_frames=2, rate=10),
    "ts mpeg2, open gop": file(
        "a.ts",
        constant_rate(100, 25),
        codec="mpeg2video",
        rate=25,
        b_frames=2,
        keyframe_interval=12,
    ),
    "mp4 h264, open gop": file("a.mp4", options=OPEN_GOP),
    "ts h264, open gop": file("a.ts", options=OPEN_GOP),
    "raw h264": file("a.h264", constant_rate(75, 25), container="h264", b_frames=2, rate=25),
    "fragmented": file("a.mp4", container_options={"movflags": "frag_keyframe+empty_moov"}),
    "longer sound mp4": file("a.mp4", audio_seconds=12.0),
    "longer sound mkv": file("a.mkv", audio_seconds=12.0),
    "mkv without duration": stream("a.mkv", "matroska"),
    "webm without duration": stream("a.webm", "webm", codec="libvpx", options=QUICK_VPX),
}


@pytest.mark.parametrize("kind", FILES)
def test_times_are_those_of_the_pictures(kind: str, tmp_path: Path) -> None:
    name, truth, write = FILES[kind]
    path = write(tmp_path / name)
    for fps in (0.4, 1.0, 3.0):
        found = read_back(path, fps)
        assert found.times == pytest.approx([truth[n] for n in found.numbers], abs=0.002)
        assert len(found.times) == len(found.plan)
        assert found.partial is None
        assert truth[-1] < found.plan.video.duration <= truth[-1] + 0.2
        # Every wanted time has a frame near it, unless the video itself has none.
        for wanted in np.arange(0, found.plan.video.duration - 0.01, 1 / fps):
            nearest = min(abs(time - wanted) for time in truth)
            assert min(abs(time - wanted) for time in found.times) <= max(nearest, 0.5 / fps) + 0.01


@pytest.mark.parametrize("kind", ["constant rate", "b-frames", "mp4 h264, open gop", "gif"])
def test_a_second_thread_changes_nothing(kind: str, tmp_path: Path) -> None:
    name, _, write = FILES[kind]
    path = write(tmp_path / name)
    one, two = read_back(path, 3.0), read_back(path, 3.0, threads=2)
    assert (one.times, one.numbers) == (two.times, two.numbers)


def test_the_scan_finds_every_frame_in_presentation_order(tmp_path: Path) -> None:
    _, index = probe(write_video(tmp_path / "a.mkv", VARIABLE, b_frames=2, start=3.0))
    assert index.times == pytest.approx(np.array(VARIABLE), abs=0.002)
    assert index.times[0] == 0.0
    assert index.keyframes[0]
    assert sorted(index.positions.tolist()) == list(range(len(VARIABLE)))


def test_an_edit_list_hides_frames_and_starts_the_clock(tmp_path: Path) -> None:
    path = with_edit_list(write_video(tmp_path / "a.mp4", TENTHS), start=2.0, duration=3.0)
    found = read_back(path, 2.0)
    first = found.numbers[0]
    assert first == 20
    assert found.times == pytest.approx([TENTHS[n] - TENTHS[first] for n in found.numbers])
    assert found.plan.video.duration == pytest.approx(3.0, abs=0.002)
    assert found.partial is None


def test_a_restarted_clock_continues_the_timeline(tmp_path: Path) -> None:
    parts = [write_video(tmp_path / f"{part}.ts", TENTHS) for part in "ab"]
    found = read_back(joined(tmp_path / "joined.ts", parts))
    expected = [TENTHS[n] for n in found.numbers]
    half = found.numbers.index(0, 1)
    assert found.times[:half] == pytest.approx(expected[:half])
    assert found.times[half:] == pytest.approx([6.0 + time for time in expected[half:]])
    assert found.partial is None


@pytest.mark.parametrize("mirrored", [False, True], ids=["plain", "mirrored"])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("size", [None, (120, 64)], ids=["own size", "resized"])
def test_turned_pictures_come_out_upright(
    degrees: int, mirrored: bool, size: tuple[int, int] | None, tmp_path: Path
) -> None:
    path = write_turned(tmp_path / "a.mp4", TENTHS[:20], degrees, mirrored=mirrored)
    found = read_back(path, size=size)
    assert found.plan.video.rotation == degrees
    width, height = size or (found.plan.video.width, found.plan.video.height)
    assert found.shape == (height, width, 3)
    assert size or (width < height) == (degrees in (90, 270))
    assert found.upright
    assert found.times == pytest.approx([TENTHS[n] for n in found.numbers])
