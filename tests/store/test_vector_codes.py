"""What codes of vectors are off by, whatever the vectors are like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vsr_edge.store import vector_codes
from vsr_edge.store.vector_codes import Codes, encode, margin, row_bytes

from .archives import a_query, change, fill, open_archive, vector_file, vectors_of

# As encoders give them; with one number beside which the others are small, as that which carries
# hubness; with few that are not zero; all alike; and drawn from few values.
KINDS = ("plain", "spiky", "sparse", "equal", "coarse")


def drawn(random: np.random.Generator, kind: str, count: int, dim: int) -> np.ndarray:
    vectors = random.standard_normal((count, dim))
    if kind == "spiky":
        vectors[:, random.integers(dim)] *= 30
    elif kind == "sparse":
        vectors[:, random.permutation(dim)[1 + dim // 50 :]] = 0
    elif kind == "equal":
        vectors[:] = random.choice([-1, 1])
    elif kind == "coarse":
        vectors = np.rint(vectors)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = np.where(lengths > 0, vectors, 1)
    return np.asarray(vectors / np.where(lengths > 0, lengths, np.sqrt(dim)))


@settings(max_examples=200, database=None)
@given(
    dim=st.integers(1, 400),
    of_query=st.sampled_from(KINDS),
    of_vectors=st.sampled_from(KINDS),
    seed=st.integers(0, 2**32 - 1),
)
def test_an_inner_product_is_off_by_no_more_than_it_says(
    dim: int, of_query: str, of_vectors: str, seed: int
) -> None:
    random = np.random.default_rng(seed)
    query, vectors = drawn(random, of_query, 1, dim), drawn(random, of_vectors, 200, dim)
    asked, codes = Codes.of(encode(query)), Codes.of(encode(vectors))
    found = (codes.numbers.astype(float) @ asked.numbers[0]) * codes.steps * asked.steps[0]
    assert (np.abs(found - vectors @ query[0]) <= margin(asked, codes.steps) + 1e-6).all()
    # And that is little, or every vector would have to be read.
    assert margin(asked, codes.steps).max() <= 8 / 127


def test_a_row_is_a_byte_a_number_and_its_step() -> None:
    vectors = drawn(np.random.default_rng(1), "plain", 7, 384).astype(np.float16)
    rows = encode(vectors)
    assert rows.shape == (7, row_bytes(384))
    assert row_bytes(384) == 388
    codes = Codes.of(rows)
    assert (np.abs(codes.numbers).max(axis=1) == 127).all()
    assert len(codes[2:5]) == 3
    assert (Codes.joined([codes[:3], codes[3:]]).numbers == codes.numbers).all()
    # The rotation keeps lengths and angles.
    turned = codes.numbers * codes.steps[:, np.newaxis]
    wide = vectors.astype(np.float64)
    assert np.allclose(turned @ turned.T, wide @ wide.T, atol=margin(codes, codes.steps).max())


def test_nothing_is_a_code_too() -> None:
    assert len(Codes.of(encode(np.empty((0, 16), np.float16)))) == 0
    zero = Codes.of(encode(np.zeros((1, 16), np.float16)))
    assert not zero.numbers.any()


def test_codes_are_of_one_rotation_on_every_machine() -> None:
    signs = "".join("+" if sign > 0 else "-" for sign in vector_codes._signs(16))
    assert signs == "+++-+---+++--+++"
    # One number becomes as much of all.
    spread = Codes.of(encode(np.eye(16, dtype=np.float16)[:1]))
    assert (spread.numbers == 127).all()
    assert spread.steps[0] * 127 == pytest.approx(0.25)


def test_a_file_of_an_earlier_version_is_replaced_without_alarm(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    fill(archive, *(f"/v/{number}.mp4" for number in range(4)))
    with open_archive(archive) as store:
        expected = [store.search(a_query(seed), 7) for seed in range(4)]
    # It had two bytes a number.
    former = vector_file(archive).with_suffix(".vectors")
    vector_file(archive).unlink()
    former.write_bytes(np.concatenate([one for _, one in vectors_of(archive)]).tobytes())
    change(archive, f"UPDATE vector_segments SET file = '{former.name}'")
    with open_archive(archive) as store:
        assert store.check() == []
        assert [store.search(a_query(seed), 7) for seed in range(4)] == expected
        assert store.notices == []
    assert vector_file(archive).suffix == ".codes"
