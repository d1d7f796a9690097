"""Thumbnails show the frame that was asked for, upright, also of damaged files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.media_files import constant_rate, is_upright, number_of, write_turned, write_video
from vsr_edge.errors import UnreadableMedia
from vsr_edge.media.cut import picture_at
from vsr_edge.media.picture import jpeg


def opened(picture: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))


def test_each_picture_is_the_nearest_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", constant_rate(60), keyframe_interval=25, b_frames=2)
    for time, number in ((3.02, 30), (0.0, 0), (5.88, 59), (99.0, 59), (3.0, 30)):
        picture = opened(jpeg(picture_at(path, time, 120)))
        assert number_of(picture) == number
        assert is_upright(picture)
        assert picture.shape == (72, 120, 3)


@pytest.mark.parametrize("degrees", [0, 90, 180])
def test_a_single_picture_is_upright_and_of_full_size(degrees: int, tmp_path: Path) -> None:
    path = write_turned(tmp_path / "a.mp4", constant_rate(60), degrees)
    for time, number in ((3.02, 30), (0.0, 0), (-5.0, 0), (99.0, 59)):
        picture = picture_at(path, time)
        assert picture.dtype == np.uint8
        assert number_of(picture) == number
        assert is_upright(picture)
        assert picture.shape == ((160, 96, 3) if degrees == 90 else (96, 160, 3))


def test_what_lies_in_a_lost_part_is_shown_by_its_neighbour(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "a.ts", constant_rate(60), container="mpegts")
    part = tmp_path / "b.ts"
    part.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert 10 < number_of(picture_at(part, 5.9, 160)) < 50


def test_a_file_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnreadableMedia, match=r"gone\.mp4"):
        picture_at(tmp_path / "gone.mp4", 0.0)


def test_odd_sizes_survive_jpeg() -> None:
    pixels = np.full((31, 47, 3), (200, 30, 30), np.uint8)
    again = opened(jpeg(pixels))
    assert again.shape == pixels.shape
    assert np.abs(again.astype(int) - pixels).max() < 12
