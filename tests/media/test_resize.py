"""Pictures resized by swscale, held against the exact filter and against Pillow."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from vsr_edge.media.resize import Filter, resize
from vsr_edge.types import Pixels

FILTERS: dict[Filter, Image.Resampling] = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
PHOTOS = ("astronaut", "chelsea", "coffee")
CASES: dict[str, Callable[[Pixels], Pixels]] = {
    "shrunk": lambda photo: photo,
    "enlarged": lambda photo: np.asarray(Image.fromarray(photo).resize((131, 97))),
    "wide": lambda photo: photo[100:150],
    "every other column, backwards": lambda photo: photo[3:-4, ::-2],
    "the colours backwards": lambda photo: photo[..., ::-1],
}


def exact(picture: Pixels, side: int, kind: Filter) -> Pixels:
    """Both passes of the filter in floating point, rounded once: uint8 [side, side, 3]."""
    rows, columns = (weights(size, side, kind) for size in picture.shape[:2])
    filtered = np.einsum("yh,hwc,xw->yxc", rows, picture.astype(float), columns, optimize=True)
    rounded: Pixels = np.rint(filtered).clip(0, 255).astype(np.uint8)
    return rounded


def weights(source: int, target: int, kind: Filter) -> NDArray[np.float64]:
    ratio = source / target
    centres = (np.arange(target) + 0.5) * ratio
    x = np.abs(np.arange(source) + 0.5 - centres[:, None]) / max(ratio, 1.0)
    if kind == "bilinear":
        values = np.clip(1.0 - x, 0.0, None)
    else:  # Keys' kernel with a = −1/2
        far = np.where(x < 2, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2, 0.0)
        values = np.where(x < 1, 1.5 * x**3 - 2.5 * x**2 + 1, far)
    return np.asarray(values / values.sum(1, keepdims=True))


def differences(picture: Pixels, side: int, kind: Filter, expected: Pixels) -> NDArray[np.int_]:
    found = resize(picture, side, kind)
    assert found.shape == (3, side, side)
    assert found.dtype == np.uint8
    apart: NDArray[np.int_] = np.abs(found.transpose(1, 2, 0).astype(int) - expected.astype(int))
    return apart


@pytest.mark.parametrize("kind", FILTERS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", PHOTOS)
def test_real_photos_are_filtered_exactly(name: str, case: str, kind: Filter) -> None:
    photo: Pixels = getattr(data, name)()
    picture = CASES[case](photo)
    apart = differences(picture, 260, kind, exact(picture, 260, kind))
    # A few pixels beside hard edges apart, where FFmpeg's weights of fourteen bits show.
    assert apart.mean() < 0.1
    assert (apart > 1).mean() < 0.002
    assert apart.max() <= 20


@pytest.mark.parametrize("side", [64, 260, 700])
@pytest.mark.parametrize("kind", FILTERS)
def test_it_agrees_with_pillow(side: int, kind: Filter) -> None:
    photo = data.astronaut()[:401]
    expected = np.asarray(Image.fromarray(photo).resize((side, side), FILTERS[kind]))
    # Between Pillow's two passes values are rounded, and cut where a cubic overshoots.
    assert differences(photo, side, kind, expected).mean() < 0.5


@settings(max_examples=60)
@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(0, 255),
    st.sampled_from(sorted(FILTERS)),
)
def test_a_flat_picture_stays_flat_at_any_size(
    height: int, width: int, side: int, value: int, kind: Filter
) -> None:
    assert (resize(np.full((height, width, 3), value, np.uint8), side, kind) == value).all()


@pytest.mark.parametrize("kind", FILTERS)
@pytest.mark.parametrize("shape", [(3, 70_000), (70_000, 2), (9_001, 8_401)])
def test_pictures_that_shrink_beyond_all_filters_are_averaged(
    shape: tuple[int, int], kind: Filter
) -> None:
    """FFmpeg refuses a ratio of more than 63, or ends the process."""
    height, width = shape
    ramp = np.linspace(0, 255, width).astype(np.uint8)
    picture = np.broadcast_to(ramp[:, None], (height, width, 3))
    found = resize(picture, 16, kind).astype(int)
    expected = ramp[np.linspace(0, width, 33).astype(int)[1::2].clip(max=width - 1)].astype(int)
    if width > 16:
        assert np.abs(found[:, 8] - expected).max() <= 6
    assert (found[:, 0] == found[:, -1]).all()


def test_threads_have_scalers_of_their_own() -> None:
    pictures = [data.astronaut()[: 100 + 7 * n] for n in range(8)]
    alone = [resize(picture, 64, "bicubic") for picture in pictures]
    found: dict[int, Pixels] = {}

    def work(number: int) -> None:
        for _ in range(5):
            found[number] = resize(pictures[number], 64, "bicubic")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, expected in enumerate(alone):
        np.testing.assert_array_equal(found[number], expected)
