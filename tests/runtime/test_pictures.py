"""Pictures as arrays, as Pillow's images and as files: the same picture, the same vector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from skimage import data

from vsr_edge.bundle.model import Bundle
from vsr_edge.errors import UnreadableMedia, UsageError
from vsr_edge.media.picture import exif_orientation, read_picture
from vsr_edge.runtime.preprocess import as_pixels

LOSSLESS = ("png", "tiff", "bmp")
WITH_EXIF = ("jpg", "png", "webp", "tiff")


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """61 × 92 pixels."""
    return Image.fromarray(data.astronaut()[:92, 150:211])


def test_all_forms_of_a_picture_give_its_vector(
    bundle: Bundle, photo: Image.Image, tmp_path: Path
) -> None:
    path = tmp_path / "astronaut 100%d.png"
    photo.save(path)
    vectors = bundle.encode_images([np.asarray(photo), photo, path, str(path)])
    np.testing.assert_allclose(vectors @ vectors[0], 1, atol=1e-3)


@pytest.mark.parametrize("ending", LOSSLESS)
def test_files_hold_the_pixels_that_were_saved(
    ending: str, photo: Image.Image, tmp_path: Path
) -> None:
    photo.save(tmp_path / f"photo.{ending}")
    np.testing.assert_array_equal(read_picture(tmp_path / f"photo.{ending}"), np.asarray(photo))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "I;16"])
def test_pictures_of_other_colours_become_rgb(
    mode: str, photo: Image.Image, tmp_path: Path
) -> None:
    other = photo.convert("L").convert("I;16") if mode == "I;16" else photo.convert(mode)
    other.save(tmp_path / "photo.png")
    pixels = read_picture(tmp_path / "photo.png")
    assert pixels.shape == (92, 61, 3)
    if mode != "I;16":  # which Pillow does not scale
        np.testing.assert_array_equal(pixels, as_pixels(other))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_is_decoded_as_pillow_does(
    mode: str, progressive: bool, photo: Image.Image, tmp_path: Path
) -> None:
    path = tmp_path / "photo.jpg"
    photo.convert(mode).save(path, quality=90, progressive=progressive)
    expected = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert np.abs(read_picture(path).astype(int) - expected).mean() < 3


@pytest.mark.parametrize("ending", WITH_EXIF)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_exif_says(
    orientation: int, ending: str, photo: Image.Image, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x010F] = "a camera's maker"
    exif[0x0112] = orientation
    path = tmp_path / f"photo.{ending}"
    photo.save(path, exif=exif, quality=95)
    with Image.open(path) as opened:
        upright = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
        np.testing.assert_array_equal(as_pixels(opened), upright)
    found = read_picture(path)
    assert found.shape == upright.shape
    assert np.abs(found.astype(int) - upright).mean() < 3


@pytest.mark.parametrize("order", [b"II*\0", b"MM\0*"])
def test_broken_exif_leaves_a_picture_as_it_is(order: bytes) -> None:
    for length in range(40):
        assert exif_orientation(b"\xff\xd8Exif\0\0" + order + b"\xff" * length) == 1
    assert exif_orientation(b"") == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"no picture at all", "not a media file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "broken.png: "),
    ],
    ids=["empty", "text", "broken"],
)
def test_a_file_that_holds_no_picture_is_named(
    content: bytes, reason: str, bundle: Bundle, tmp_path: Path
) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    good = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(UnreadableMedia, match=reason) as caught:
        bundle.encode_images([good, path])
    assert caught.value.path == path


def test_a_missing_file_and_a_folder_are_named(bundle: Bundle, tmp_path: Path) -> None:
    for path in (tmp_path / "none.jpg", tmp_path):
        with pytest.raises(UnreadableMedia, match="cannot be opened") as caught:
            bundle.encode_images([path])
        assert caught.value.path == path


def test_sound_is_no_picture(bundle: Bundle, tmp_path: Path) -> None:
    riff = b"RIFF\x24\x08\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data"
    (tmp_path / "sound.wav").write_bytes(riff + b"\0\x08\0\0" + bytes(2048))
    with pytest.raises(UnreadableMedia, match="no picture in it"):
        bundle.encode_images([tmp_path / "sound.wav"])


def test_one_picture_is_no_list(bundle: Bundle, photo: Image.Image) -> None:
    alone: Any
    for alone in (photo, Path("a.jpg"), "a.jpg"):
        with pytest.raises(UsageError, match="a list of pictures"):
            bundle.encode_images(alone)


@pytest.mark.parametrize("other", [3, None, b"a.jpg", [[0]]])
def test_other_things_are_refused(bundle: Bundle, other: Any) -> None:
    with pytest.raises(UsageError, match="the path of a file"):
        bundle.encode_images([other])
