"""Reading keyframes alone: which frames that leaves, and that nothing else is decoded for them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.media_files import constant_rate, number_of, write_video
from vsr_edge.media.decode import FrameReader
from vsr_edge.media.index import FrameIndex
from vsr_edge.media.plan import choose_frames, offered_frames, plan_video
from vsr_edge.types import Keyframes, Sampling


def written(folder: Path, *, apart: int, seconds: int = 20, **how: object) -> Path:
    """Ten frames a second, a keyframe every ``apart`` of them."""
    times = constant_rate(10 * seconds, 10)
    return write_video(folder / "a.mp4", times, keyframe_interval=apart, **how)  # type: ignore[arg-type]


def planned(path: Path, keyframes: Keyframes, **how: float) -> list[float]:
    plan = plan_video(path, Sampling(keyframes=keyframes, **how))  # type: ignore[arg-type]
    return [round(time, 6) for time in plan.times.tolist()]


def every(step: float, seconds: int = 20) -> list[float]:
    return [step * n for n in range(int(seconds / step))]


@pytest.mark.parametrize(
    ("apart", "off", "auto", "on"),
    [
        (1, 1, 1, 1),
        (5, 1, 1, 1),
        (10, 1, 1, 1),
        (20, 1, 2, 2),
        (21, 1, 1, 2.1),
        (50, 1, 1, 5),
    ],
)
def test_keyframes_are_read_where_they_are_dense_enough(
    tmp_path: Path, apart: int, off: float, auto: float, on: float
) -> None:
    path = written(tmp_path, apart=apart, seconds=21)
    for keyframes, step in (("off", off), ("auto", auto), ("on", on)):
        found = planned(path, keyframes)  # type: ignore[arg-type]
        wanted = [n * step for n in range(22) if n * step < 21]
        assert found == pytest.approx(wanted, abs=0.51 if apart == 21 and step == 1 else 1e-6)


def test_of_denser_keyframes_the_nearest_is_taken(tmp_path: Path) -> None:
    path = written(tmp_path, apart=3)
    times = planned(path, "on")
    assert len(times) == 20
    assert all(
        abs(time - wanted) <= 0.15 + 1e-6 for time, wanted in zip(times, every(1), strict=True)
    )
    assert all(round(time * 10) % 3 == 0 for time in times)


def test_no_packet_but_theirs_is_decoded(tmp_path: Path) -> None:
    path = written(tmp_path, apart=20, b_frames=2)
    plan = plan_video(path, Sampling(keyframes="on"))
    assert plan.runs[:, 0].tolist() == plan.runs[:, 1].tolist()
    assert len(plan.runs) == len(plan) == 10
    with FrameReader(plan, threads=1) as reader:
        numbers = [number_of(frame) for batch in reader for frame in batch.pixels]
    assert numbers == [20 * n for n in range(10)]
    assert reader.partial is None


def test_how_far_apart_they_may_be_is_said(tmp_path: Path) -> None:
    path = written(tmp_path, apart=50)
    assert planned(path, "auto") == every(1)
    assert planned(path, "auto", keyframe_seconds=5.0) == every(5)


def test_a_stretch_without_keyframes_is_read_as_usual() -> None:
    """One a second for ten seconds, none for ten, and one every two seconds again."""
    times = np.arange(300) / 10
    marks = np.isin(np.arange(300), [*range(0, 100, 10), *range(200, 300, 20)])
    index = FrameIndex(times, np.arange(300), np.arange(300), marks, 30.0, 30.0, Fraction(1, 10))
    offered = offered_frames(index, Sampling(keyframes="auto"))
    chosen = choose_frames(times[offered], 30.0, keyframes=marks[offered])
    found = times[offered[chosen]].tolist()
    assert found == [*range(20), *range(20, 30, 2)]


def test_too_few_keyframes_are_not_enough_for_auto(tmp_path: Path) -> None:
    path = written(tmp_path, apart=20, seconds=4)
    assert planned(path, "auto") == every(1, 4)
    assert planned(path, "on") == [0, 2]
    assert planned(path, "auto", min_frames=2) == [0, 2]


def test_where_no_keyframes_are_known_all_is_read_as_usual(tmp_path: Path) -> None:
    times = constant_rate(100, 10)
    path = write_video(tmp_path / "a.avi", times, codec="mpeg4", keyframe_interval=50, rate=10)
    usual = plan_video(path, Sampling())
    assert usual.index.counted
    assert planned(path, "on") == planned(path, "off")
