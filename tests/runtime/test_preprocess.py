"""Pixels → tensor: fitted, resized and scaled as the manifest says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data

from vsr_edge.bundle.model import Bundle
from vsr_edge.runtime.preprocess import FilterKind, Preprocessing, crop, fit, to_input

NUMBERS = Preprocessing((127.0, 127.0, 127.0), (128.0, 128.0, 128.0), "stretch", "bilinear")
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@settings(max_examples=40)
@given(st.integers(1, 60), st.integers(1, 60))
def test_a_crop_is_the_middle_square(height: int, width: int) -> None:
    columns = np.arange(width, dtype=np.uint8)
    rows = np.arange(height, dtype=np.uint8)
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0], picture[..., 1] = columns, rows[:, None]
    square = crop(picture)
    side = min(height, width)
    assert square.shape == (side, side, 3)
    left, top = int(square[0, 0, 0]), int(square[0, 0, 1])
    assert abs(left - (width - side - left)) <= 1
    assert abs(top - (height - side - top)) <= 1


def test_frames_of_the_right_size_are_not_touched() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    planes = fit(frame, 32, NUMBERS)
    assert np.shares_memory(planes, frame)
    np.testing.assert_array_equal(planes, frame.transpose(2, 0, 1))


def test_numbers_of_the_manifest_are_applied_channel_by_channel() -> None:
    frame = np.zeros((1, 8, 8, 3), np.uint8)
    frame[..., 1] = 255
    numbers = Preprocessing((0.0, 55.0, 10.0), (1.0, 100.0, 2.0), "stretch", "bilinear")
    x = to_input(frame, 8, numbers)
    assert x.shape == (1, 3, 8, 8)
    assert x.dtype == np.float32
    assert x[0, :, 0, 0].tolist() == [0.0, 2.0, -5.0]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_change_nothing(threads: int) -> None:
    pictures = [data.astronaut(), data.chelsea(), data.coffee()[::2], data.astronaut()[:64, :64]]
    alone = np.concatenate([to_input(picture[None], 64, NUMBERS) for picture in pictures])
    np.testing.assert_array_equal(to_input(pictures, 64, NUMBERS, threads=threads), alone)


@pytest.mark.parametrize("kind", FILTERS)
def test_vectors_are_those_of_pillows_filter(bundle: Bundle, kind: FilterKind) -> None:
    """The encoder was trained on Pillow's. Int8 makes much of little: noise of one step in 6 % of
    the pixels moves these vectors as far.
    """
    numbers = Preprocessing(
        bundle.manifest.preprocessing.mean, bundle.manifest.preprocessing.scale, "stretch", kind
    )
    side = bundle.image_side
    photos = [data.astronaut(), data.chelsea(), data.coffee(), data.coffee()[::-1, 1::2]]
    squares = [Image.fromarray(p).resize((side, side), FILTERS[kind]) for p in photos]
    expected = bundle.encode_images(np.stack([np.asarray(square) for square in squares]))
    planes = np.stack([fit(photo, side, numbers) for photo in photos])
    found = bundle.encode_images(planes.transpose(0, 2, 3, 1))
    cosines = (found * expected).sum(1)
    assert cosines.mean() > 0.998
    assert cosines.min() > 0.99
