"""The built-in bundle encodes: shapes, unit length, batches, soft tokens, odd input."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from skimage import data

from vsr_edge.bundle.model import Bundle
from vsr_edge.errors import UsageError

SENTENCES = ["a dog", "two children in a red boat on a lake", "snow", "a man with a camera"]


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    grey = np.stack([data.camera()] * 3, -1)
    return [data.astronaut(), data.chelsea(), data.coffee(), grey]


def test_vectors_have_unit_length(bundle: Bundle, photos: list[np.ndarray]) -> None:
    texts, images = bundle.encode_text(SENTENCES), bundle.encode_images(photos)
    assert texts.shape == images.shape == (4, bundle.dim)
    assert texts.dtype == images.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-3)
    # A picture's last number is its hubness.
    np.testing.assert_allclose(np.linalg.norm(images[:, :-1], axis=1), 1, atol=1e-3)
    assert (np.abs(images[:, -1]) < 0.3).all()


def test_a_cat_is_found_by_its_name(bundle: Bundle, photos: list[np.ndarray]) -> None:
    scores = bundle.encode_text(["a cat", "a cup of coffee"]) @ bundle.encode_images(photos).T
    assert scores.argmax(1).tolist() == [1, 2]


def test_regions_are_unit_vectors_of_the_same_space(
    bundle: Bundle, photos: list[np.ndarray]
) -> None:
    vectors, regions = bundle.encode_frames(photos)
    assert regions is not None
    assert regions.shape == (4, bundle.manifest.dimensions.regions, bundle.dim)
    np.testing.assert_allclose(np.linalg.norm(regions[..., :-1], axis=2), 1, atol=1e-3)
    # Parts of a picture are closer to it than to another picture.
    own = np.einsum("nrd,nd->n", regions, vectors)
    other = np.einsum("nrd,nd->n", regions, np.roll(vectors, 1, axis=0))
    assert (own > other).all()


def test_leaving_regions_out_changes_no_vector(bundle: Bundle, photos: list[np.ndarray]) -> None:
    with_regions, _ = bundle.encode_frames(photos)
    without, regions = bundle.encode_frames(photos, regions=False)
    assert regions is None
    np.testing.assert_array_equal(with_regions, without)


def test_no_soft_tokens_equals_the_plain_encoder(bundle: Bundle) -> None:
    hidden = bundle.manifest.dimensions.hidden
    none = np.zeros((len(SENTENCES), 0, hidden), np.float32)
    encoded = bundle.encode_queries(SENTENCES, none)
    np.testing.assert_array_equal(encoded.vectors, bundle.encode_text(SENTENCES))
    assert encoded.states.shape[:2] == encoded.mask.shape


def test_soft_tokens_join_the_states_and_move_the_vector(bundle: Bundle) -> None:
    dims = bundle.manifest.dimensions
    soft = np.random.default_rng(0).normal(0, 0.5, (4, dims.soft_tokens, dims.hidden))
    plain = bundle.encode_queries(SENTENCES)
    refined = bundle.encode_queries(SENTENCES, soft.astype(np.float32))
    assert refined.states.shape[1] == plain.states.shape[1] + dims.soft_tokens
    assert refined.mask[:, -dims.soft_tokens :].all()
    cosines = (plain.vectors * refined.vectors).sum(1)
    assert (cosines < 0.999).all()


def test_a_query_does_not_depend_on_its_company(bundle: Bundle) -> None:
    """Padding is masked: alone or in a batch, up to the rounding of dynamic quantisation."""
    together = bundle.encode_text(SENTENCES)
    alone = np.concatenate([bundle.encode_text([sentence]) for sentence in SENTENCES])
    assert (together * alone).sum(1).min() > 0.98


def test_a_long_query_is_cut_and_its_soft_tokens_are_not(bundle: Bundle) -> None:
    dims = bundle.manifest.dimensions
    soft = np.zeros((1, dims.soft_tokens, dims.hidden), np.float32)
    encoded = bundle.encode_queries(["a dog runs " * 400], soft)
    assert encoded.states.shape[1] == dims.max_tokens + dims.soft_tokens


@pytest.mark.parametrize("text", ["", " ", "犬が走る", "🙂" * 50, "a\x00b", "ﬁ" * 300])
def test_any_text_gives_a_finite_unit_vector(bundle: Bundle, text: str) -> None:
    vector = bundle.encode_text([text])[0]
    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-3)


def test_nothing_in_nothing_out(bundle: Bundle) -> None:
    assert bundle.encode_text([]).shape == (0, bundle.dim)
    assert bundle.encode_images([]).shape == (0, bundle.dim)


def test_an_array_and_a_list_of_pictures_give_the_same(bundle: Bundle) -> None:
    frames = np.stack([data.astronaut()[:256, :256], data.astronaut()[100:356, 100:356]])
    cosines = (bundle.encode_images(frames) * bundle.encode_images(list(frames))).sum(1)
    assert cosines.min() > 0.999


def test_batches_larger_than_the_inner_one_are_complete(bundle: Bundle) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (19, 64, 64, 3), dtype=np.uint8)
    vectors = bundle.encode_images(frames)
    assert (vectors * bundle.encode_images(frames[::-1])[::-1]).sum(1).min() > 0.999


@pytest.mark.parametrize(
    "pictures",
    [
        np.zeros((1, 8, 8, 3), np.float32),
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((1, 8, 8), np.uint8),
        np.zeros((1, 0, 8, 3), np.uint8),
    ],
    ids=["floats", "one picture", "no channels", "no pixels"],
)
def test_what_is_no_picture_is_refused(bundle: Bundle, pictures: np.ndarray) -> None:
    with pytest.raises(UsageError, match="uint8"):
        bundle.encode_images(pictures)


def test_one_string_is_not_a_list_of_strings(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="list"):
        bundle.encode_text("a dog")


def test_soft_tokens_of_another_width_are_refused(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="soft tokens"):
        bundle.encode_queries(["a dog"], np.zeros((1, 8, 5), np.float32))


def test_threads_share_a_bundle(bundle: Bundle) -> None:
    expected = bundle.encode_text(SENTENCES)
    found: list[np.ndarray] = []
    threads = [
        threading.Thread(target=lambda: found.append(bundle.encode_text(SENTENCES)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for vectors in found:
        np.testing.assert_array_equal(vectors, expected)
