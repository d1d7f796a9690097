"""Decoding on a device: asked for by name, refused aloud, and never at the cost of a frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from av import VideoFrame

from tests.e2e.command import run
from tests.media_files import picture
from vsr_edge.errors import UnreadableMedia, UsageError
from vsr_edge.media.decode import FrameReader
from vsr_edge.media.hwaccel import Device, known_devices
from vsr_edge.media.opening import open_video
from vsr_edge.media.picture import Converter
from vsr_edge.media.plan import plan_video
from vsr_edge.types import Sampling

ABSENT = [name for name in known_devices() if Device(name).name is None]
NO_DEVICE = pytest.mark.skipif(not ABSENT, reason="every device that PyAV knows is here")


class Starting(Device):
    """A device that is taken for one that starts, as one does until it is out of memory."""

    def __init__(self) -> None:
        super().__init__()
        self.name = ABSENT[0]


def frames(path: Path, device: Device | None = None) -> np.ndarray:
    plan = plan_video(path, Sampling())
    with FrameReader(plan, size=(64, 48), device=device) as reader:
        return np.concatenate([batch.pixels for batch in reader])


def test_the_processor_decodes_unless_it_is_told_otherwise(demo_clips: list[Path]) -> None:
    device = Device()
    assert (device.name, device.notices, device.options()) == (None, [], {})
    np.testing.assert_array_equal(frames(demo_clips[0], device), frames(demo_clips[0]))


def test_an_unknown_name_lists_those_that_this_pyav_knows() -> None:
    with pytest.raises(UsageError, match="this PyAV knows: none, auto") as caught:
        Device("abacus")
    assert all(name in str(caught.value) for name in known_devices())


@pytest.mark.parametrize("name", ABSENT)
def test_a_device_that_does_not_start_leaves_the_work_to_the_processor(
    name: str, demo_clips: list[Path]
) -> None:
    device = Device(name)
    (notice,) = device.notices
    assert f"({name}: " in notice
    assert notice.endswith("the processor decodes")
    np.testing.assert_array_equal(frames(demo_clips[0], device), frames(demo_clips[0]))


def test_auto_takes_the_first_that_starts_and_says_what_it_decodes_on() -> None:
    device = Device("auto")
    (notice,) = device.notices
    there = [name for name in known_devices() if name not in ABSENT]
    assert device.name == (there[0] if there else None)
    assert notice == f"decoding on {there[0]}" if there else notice.endswith("processor decodes")


@NO_DEVICE
def test_a_device_that_gives_up_amid_a_run_says_so_once(demo_clips: list[Path]) -> None:
    device = Starting()
    for clip in demo_clips:
        np.testing.assert_array_equal(frames(clip, device), frames(clip))
    if device.notices:  # PyAV itself passes over devices that no decoder of its uses
        (notice,) = device.notices
        assert notice.startswith(f"{ABSENT[0]} refuses to decode any more (")
        assert device.name is None


@NO_DEVICE
def test_a_broken_file_is_not_the_devices_fault(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video at all")
    device = Starting()
    with pytest.raises(UnreadableMedia), open_video(tmp_path / "broken.mp4", device):
        pass
    assert device.name == ABSENT[0]
    assert device.notices == []


@pytest.mark.parametrize("form", ["nv12", "nv21", "p010le", "yuv420p10le"])
def test_pictures_as_devices_hand_them_over_become_the_same_pixels(form: str) -> None:
    plain = VideoFrame.from_ndarray(picture(5, 320, 240), format="rgb24")
    expected = Converter((96, 72))(plain.reformat(format="yuv420p")).astype(int)
    found = Converter((96, 72))(plain.reformat(format=form)).astype(int)
    assert np.abs(found - expected).mean() < 1.5


def test_index_says_on_what_it_decodes(tmp_path: Path, demo_clips: list[Path]) -> None:
    command = ("index", demo_clips[0], "--archive", tmp_path / "archive", "--hwaccel")
    ended = run(*command, "auto")
    assert ended.code == 0, ended.err
    said = ("no device to decode on starts on this machine", "decoding on ")
    assert sum(map(ended.err.count, said)) == 1
    ended = run(*command, "abacus")
    assert ended.code == 2
    assert "no device to decode on is called 'abacus'" in ended.err
