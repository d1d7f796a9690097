"""Recordings that were joined, continued or reconnected: new parameters, and clocks that jump."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.media.reading import read_back
from tests.media_files import constant_rate, flv_joined, joined, picture, write_video
from vsr_edge.media.decode import FrameReader
from vsr_edge.media.plan import plan_video
from vsr_edge.media.timeline import UNKNOWN, one_timeline
from vsr_edge.types import Sampling

TENTHS = constant_rate(60)
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
QUIET = {"x265-params": "log-level=none:keyint=10:pools=1"}


def behind(number: int, width: int, height: int) -> np.ndarray:
    """The pictures of a second part: they count on from the first."""
    return picture(number + len(TENTHS), width, height)


def parts(folder: Path, ending: str, **how: Any) -> list[Path]:
    """Six seconds, then six more of another size."""
    return [
        write_video(folder / f"1.{ending}", TENTHS, **how),
        write_video(folder / f"2.{ending}", TENTHS, width=320, height=192, draw=behind, **how),
    ]


JOINED: dict[str, dict[str, Any]] = {
    "flv": {"ending": "flv"},
    "flv, b-frames": {"ending": "flv", "b_frames": 2},
    "fragments": {"ending": "mp4", "container_options": FRAGMENTS},
    "fragments, hevc": {
        "ending": "mp4",
        "codec": "libx265",
        "options": QUIET,
        "container_options": FRAGMENTS,
    },
    "matroska": {"ending": "mkv"},
    "matroska, hevc": {"ending": "mkv", "codec": "libx265", "options": QUIET},
    "transport stream": {"ending": "ts"},
    "transport stream, b-frames": {"ending": "ts", "b_frames": 2},
    "program stream": {"ending": "mpg", "codec": "mpeg2video", "rate": 10},
}


# FFmpeg's writers delay some streams by other amounts when they start later.
GOES_ON = ("flv", "flv, b-frames", "fragments", "matroska", "transport stream")


@pytest.mark.parametrize(
    ("kind", "clock"),
    [*((kind, "restarts") for kind in JOINED), *((kind, "goes on") for kind in GOES_ON)],
)
def test_both_parts_of_a_joined_recording_are_read(kind: str, clock: str, tmp_path: Path) -> None:
    how = dict(JOINED[kind])
    ending = str(how.pop("ending"))
    first, second = parts(tmp_path, ending, **how)
    if clock == "goes on" and ending != "flv":
        second = write_video(
            tmp_path / f"3.{ending}", TENTHS, width=320, height=192, draw=behind, start=6.0, **how
        )
    path = tmp_path / f"joined.{ending}"
    if ending == "flv":
        flv_joined(path, [first, second], restart=clock == "restarts")
    else:
        joined(path, [first, second])
    found = read_back(path, size=(160, 96))
    assert found.partial is None
    # Of a program stream, FFmpeg guesses the times of all frames but one in a packet.
    near = 0.11 if ending == "mpg" else 0.002
    assert found.times == pytest.approx([n / 10 for n in found.numbers], abs=near)
    assert len(found.times) in (12, 13)
    # The last frame takes 40 ms or 100, as the container says.
    assert found.plan.video.duration == pytest.approx(11.97, abs=0.032)


@pytest.mark.parametrize(("ending", "hours"), [("ts", 20), ("flv", 20), ("mkv", 20)])
def test_a_clock_that_jumps_ahead_adds_no_hours(ending: str, hours: int, tmp_path: Path) -> None:
    first = write_video(tmp_path / f"1.{ending}", TENTHS)
    second = write_video(tmp_path / f"2.{ending}", TENTHS, draw=behind, start=hours * 3600.0)
    path = tmp_path / f"joined.{ending}"
    join = flv_joined if ending == "flv" else joined
    found = read_back(join(path, [first, second]))
    assert found.partial is None
    assert found.times == pytest.approx([n / 10 for n in found.numbers], abs=0.002)
    # The last frame takes 40 ms or 100, as the container says.
    assert found.plan.video.duration == pytest.approx(11.97, abs=0.032)


def test_a_pause_in_a_file_with_one_timeline_stays(tmp_path: Path) -> None:
    times = [*TENTHS[:30], *(time + 90 for time in TENTHS[30:])]
    for name in ("a.mp4", "a.mkv"):
        found = read_back(write_video(tmp_path / name, times, b_frames=2))
        assert found.partial is None
        assert found.times == pytest.approx([times[n] for n in found.numbers], abs=0.002)
        assert 95 < found.plan.video.duration < 98


def test_pictures_before_the_first_keyframe_of_a_part_are_left_out(tmp_path: Path) -> None:
    first = write_video(tmp_path / "1.ts", TENTHS, keyframe_interval=30)
    second = write_video(tmp_path / "2.ts", TENTHS, keyframe_interval=30, draw=behind)
    # The second part begins amid a group of pictures, as where a recorder is switched on.
    content = second.read_bytes()
    second.write_bytes(content[len(content) // 4 // 188 * 188 :])
    found = read_back(joined(tmp_path / "joined.ts", [first, second]), fps=10)
    numbers = [number for number in found.numbers if number >= 60]
    assert numbers == list(range(90, 120))


CLOCKS = st.lists(
    st.tuples(st.integers(2, 40), st.integers(-(10**7), 10**7)), min_size=1, max_size=6
)


@given(CLOCKS)
def test_the_timeline_of_sound_stretches_only_runs_forward(
    stretches: list[tuple[int, int]],
) -> None:
    clock = np.concatenate([start + np.arange(count) * 40 for count, start in stretches])
    timeline = one_timeline(clock, np.full(len(clock), 40), second=1000, ahead=10_000)
    shifted = timeline.shift(clock)[~timeline.bad]
    assert (np.diff(shifted) > -1001).all()
    assert (np.diff(shifted) <= 10_040).all()
    assert not timeline.bad[0]


@given(st.integers(20, 60), st.integers(1, 9), st.integers(-(10**8), 10**8))
def test_a_few_damaged_timestamps_are_left_out_and_move_nothing(
    before: int, damaged: int, off: int
) -> None:
    if abs(off) < 3000:
        off = 3000
    clock = np.arange(before + damaged + 40) * 40
    clock[before : before + damaged] += off
    timeline = one_timeline(clock, np.full(len(clock), 40), second=1000, ahead=3_600_000)
    assert not len(timeline.shifts)
    assert np.flatnonzero(timeline.bad).tolist() == list(range(before, before + damaged))


@pytest.mark.parametrize("seconds", [15, 45])
def test_what_comes_behind_a_loss_of_reception_is_read(seconds: int, tmp_path: Path) -> None:
    times = [*TENTHS[:35], *(time + seconds for time in TENTHS[35:])]
    found = read_back(write_video(tmp_path / "a.ts", times, keyframe_interval=30), fps=10)
    assert found.partial is None
    assert found.numbers == list(range(60))
    assert found.times == pytest.approx(times, abs=0.002)


def test_recordings_that_ffmpeg_does_not_reach_are_told(tmp_path: Path) -> None:
    for ending, copies in (("mkv", 3), ("mp4", 2)):
        one = write_video(tmp_path / f"1.{ending}", TENTHS)
        found = read_back(joined(tmp_path / f"joined.{ending}", [one] * copies))
        assert found.partial is not None
        assert "recordings behind the first that cannot be read: 1" in found.partial


@given(st.lists(st.integers(1, 3000), min_size=30, max_size=60), st.integers(1, 4))
def test_reordered_presentation_times_are_no_jumps(gaps: list[int], reordered: int) -> None:
    shown = np.cumsum(gaps)
    # Each group is stored with its last frame first, as groups of b-frames are.
    groups = [shown[at : at + reordered + 1] for at in range(0, len(shown), reordered + 1)]
    stored = np.concatenate([np.roll(group, 1) for group in groups])
    lengths = np.zeros(len(stored), np.int64)
    timeline = one_timeline(stored, lengths, second=1000, ahead=3_600_000, reordered=reordered)
    assert not len(timeline.shifts)
    assert not timeline.bad.any()


PYRAMID = {"preset": "medium", "x264-params": "bframes=5:b-pyramid=normal:b-adapt=0:scenecut=0"}


@pytest.mark.parametrize("options", [{}, PYRAMID], ids=["plain", "pyramid"])
@pytest.mark.parametrize("name", ["a.ts", "a.mkv", "a.mp4"])
def test_frames_of_a_time_lapse_keep_their_times(
    name: str, options: dict[str, str], tmp_path: Path
) -> None:
    for gaps in ([30, 45, 20, 60], [2, 3, 2, 4]):
        times = np.cumsum([0, *gaps * 10]).astype(float).tolist()
        found = read_back(write_video(tmp_path / name, times, options=options), fps=0.5)
        assert found.partial is None
        assert found.times == pytest.approx([times[n] for n in found.numbers], abs=0.002)
        assert len(found.numbers) == len(times)


def test_unknown_timestamps_stay_unknown() -> None:
    clock = np.array([0, 40, UNKNOWN, 120, 5_000_000, UNKNOWN, 5_000_080])
    timeline = one_timeline(clock, np.full(7, 40), second=1000, ahead=10_000)
    assert timeline.shift(clock).tolist() == [0, 40, UNKNOWN, 120, 200, UNKNOWN, 280]


def test_a_damaged_clock_of_wild_values_does_not_overflow() -> None:
    clock = np.array([0, 2**60, -(2**60), 2**60, -(2**60), 2**60, -(2**60), 40, 80], np.int64)
    timeline = one_timeline(clock, np.full(9, 40), second=1000, ahead=10_000)
    assert np.isfinite(timeline.shift(clock).astype(float)).all()
    assert not timeline.bad.all()


def test_frames_of_a_second_size_are_a_batch_of_their_own(tmp_path: Path) -> None:
    path = flv_joined(tmp_path / "joined.flv", parts(tmp_path, "flv"), restart=False)
    with FrameReader(plan_video(path, Sampling()), threads=1) as reader:
        shapes = {batch.pixels.shape[1:] for batch in reader}
    assert shapes == {(96, 160, 3), (192, 320, 3)}
