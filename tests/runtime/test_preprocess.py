"""Pixels → tensor, against Pillow, whose filter the training used."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data

from vsr_edge.runtime.manifest import FilterKind, Preprocessing
from vsr_edge.runtime.preprocess import crop, resize, to_input

NUMBERS = Preprocessing((127.0, 127.0, 127.0), (128.0, 128.0, 128.0))


FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@pytest.mark.parametrize("side", [64, 260, 700])
@pytest.mark.parametrize("kind", FILTERS)
def test_resizing_agrees_with_pillow_on_a_real_photo(side: int, kind: FilterKind) -> None:
    photo = data.astronaut()[:400]
    expected = np.asarray(Image.fromarray(photo).resize((side, side), FILTERS[kind]))
    difference = np.abs(resize(photo[None], side, kind)[0].astype(int) - expected.astype(int))
    # Between Pillow's two passes values are rounded, and cut where a cubic overshoots.
    assert difference.max() <= (2 if kind == "bilinear" else 24)
    assert difference.mean() < 0.5


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 60), st.integers(1, 60))
def test_a_crop_is_the_middle_square(height: int, width: int) -> None:
    columns = np.arange(width, dtype=np.uint8)
    rows = np.arange(height, dtype=np.uint8)
    frame = np.zeros((1, height, width, 3), np.uint8)
    frame[..., 0], frame[..., 1] = columns, rows[:, None]
    square = crop(frame)
    side = min(height, width)
    assert square.shape == (1, side, side, 3)
    left, top = int(square[0, 0, 0, 0]), int(square[0, 0, 0, 1])
    assert abs(left - (width - side - left)) <= 1
    assert abs(top - (height - side - top)) <= 1


def test_frames_of_the_right_size_are_not_touched() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    assert resize(frames, 32) is frames


def test_numbers_of_the_manifest_are_applied_channel_by_channel() -> None:
    frame = np.zeros((1, 8, 8, 3), np.uint8)
    frame[..., 1] = 255
    numbers = Preprocessing((0.0, 55.0, 10.0), (1.0, 100.0, 2.0))
    x = to_input(frame, 8, numbers)
    assert x.shape == (1, 3, 8, 8)
    assert x.dtype == np.float32
    assert x[0, :, 0, 0].tolist() == [0.0, 2.0, -5.0]


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 90), st.integers(0, 255))
def test_a_flat_picture_stays_flat_at_any_size(
    height: int, width: int, side: int, value: int
) -> None:
    frames = np.full((1, height, width, 3), value, np.uint8)
    resized = resize(frames, side)
    assert resized.shape == (1, side, side, 3)
    assert (resized == value).all()
