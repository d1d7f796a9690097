"""Batches, memory, and what of a file is decoded at all."""

from __future__ import annotations

import io
import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.media.reading import read_back
from tests.media_files import constant_rate, number_of, picture, write_video
from vsr_edge.media.decode import FrameReader
from vsr_edge.media.plan import plan_video
from vsr_edge.types import Sampling


def test_batches_are_full_but_for_the_last(tmp_path: Path) -> None:
    plan = plan_video(write_video(tmp_path / "a.mp4", constant_rate(50)), Sampling(fps=10))
    batches = list(FrameReader(plan, batch_frames=16))
    assert [len(batch) for batch in batches] == [16, 16, 16, 2]
    for batch in batches:
        assert batch.pixels.shape == (len(batch), 96, 160, 3)
        assert batch.pixels.dtype == np.uint8
        assert batch.times.dtype == np.float64


def test_memory_stays_at_a_batch_however_long_the_video(tmp_path: Path) -> None:
    times = constant_rate(3000, 25)
    path = write_video(tmp_path / "a.mp4", times, draw=lambda n, w, h: picture(n % 4096, w, h))
    plan = plan_video(path, Sampling(fps=25))
    batch_bytes = 8 * 96 * 160 * 3
    tracemalloc.start()
    try:
        reader = FrameReader(plan, batch_frames=8, threads=1)
        count = 0
        for batch in reader:
            count += len(batch)
            del batch
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 3000
    # One batch in the making, one handed out, and the plan's own lists of numbers.
    assert peak < 4 * batch_bytes + 1_000_000


def test_frames_come_before_the_file_was_read_to_its_end(tmp_path: Path) -> None:
    plan = plan_video(write_video(tmp_path / "a.mp4", constant_rate(200)), Sampling(fps=10))
    with FrameReader(plan, batch_frames=4, threads=1) as reader:
        first = next(iter(reader))
    assert [number_of(frame) for frame in first.pixels] == [0, 1, 2, 3]
    assert list(reader) == []


def test_only_packets_that_wanted_frames_need_are_decoded(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", constant_rate(100), keyframe_interval=20)
    plan = plan_video(path, Sampling(fps=1.0))
    # Keyframes every 2 s, frames wanted every second: the second half of each stretch is skipped.
    assert plan.runs[:, :2].tolist() == [[20 * n, 20 * n + 10] for n in range(5)]
    sparse = plan_video(path, Sampling(fps=0.5))
    assert sparse.runs[:, :2].tolist() == [[20 * n, 20 * n] for n in range(5)]


def test_pictures_are_resized_as_asked(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", constant_rate(40))
    found = read_back(path, size=(260, 130))
    assert found.shape == (130, 260, 3)
    assert found.numbers == [0, 10, 20, 30]
    assert found.upright


def test_a_single_frame_is_a_video(tmp_path: Path) -> None:
    found = read_back(write_video(tmp_path / "a.mp4", [0.0]))
    assert found.times == [0.0]
    assert found.plan.video.duration > 0
    assert found.partial is None


def test_colours_keep_their_channels(tmp_path: Path) -> None:
    def red(_: int, width: int, height: int) -> np.ndarray:
        image = np.zeros((height, width, 3), np.uint8)
        image[..., 0] = 220
        return image

    path = write_video(tmp_path / "a.mp4", constant_rate(10), draw=red)
    (batch,) = FrameReader(plan_video(path, Sampling()), size=(64, 64))
    assert batch.pixels[0].mean(axis=(0, 1)) == pytest.approx([220, 0, 0], abs=4)


def halves(_: int, width: int, height: int) -> np.ndarray:
    """Red, a green middle third, blue."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width // 3, 0] = 220
    image[:, width // 3 : -(width // 3), 1] = 220
    image[:, -(width // 3) :, 2] = 220
    return image


def test_a_cropped_picture_shows_the_middle_in_its_shape(tmp_path: Path) -> None:
    path = write_video(tmp_path / "wide.mp4", constant_rate(10), width=288, height=96, draw=halves)
    plan = plan_video(path, Sampling())
    (stretched,) = FrameReader(plan, size=(64, 64))
    (cropped,) = FrameReader(plan, size=(64, 64), crop=True)
    assert cropped.pixels.shape == stretched.pixels.shape
    assert cropped.pixels[0, :, 4:-4].mean(axis=(0, 1)) == pytest.approx([0, 220, 0], abs=4)
    assert stretched.pixels[0].mean(axis=(0, 1)) == pytest.approx([73, 73, 73], abs=4)


def test_a_ribbon_takes_no_more_memory_than_others(tmp_path: Path) -> None:
    path = write_video(tmp_path / "ribbon.mp4", constant_rate(10), width=2048, height=16)
    (batch,) = FrameReader(plan_video(path, Sampling()), size=(64, 64), crop=True)
    assert batch.pixels.shape[1:] == (64, 64, 3)


def test_frames_that_carry_exif_are_read(tmp_path: Path) -> None:
    """As cameras' motion JPEG does; some versions of PyAV have no name for it."""
    path = tmp_path / "camera.avi"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mjpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for number in range(5):
            exif = Image.Exif()
            exif[0x010F] = "a camera's maker"
            jpeg = io.BytesIO()
            Image.new("RGB", (64, 48), (40 * number, 0, 0)).save(jpeg, "JPEG", exif=exif)
            packet = av.Packet(jpeg.getvalue())
            packet.stream, packet.pts, packet.dts = stream, number, number
            packet.time_base = Fraction(1, 1)
            output.mux(packet)
    plan = plan_video(path, Sampling())
    with FrameReader(plan) as reader:
        assert sum(len(batch.times) for batch in reader) == 5
        assert reader.partial is None
