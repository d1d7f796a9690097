"""A bundle with heads judges and refines; one without says what it cannot do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from vsr_edge.bundle.locate import find_bundle, verify_bundle
from vsr_edge.bundle.manifest import GROUNDING, REQUIRED_ROLES
from vsr_edge.bundle.model import Bundle, load_bundle
from vsr_edge.errors import BundleDamaged, UsageError
from vsr_edge.runtime.heads import Footage, Judgements


@pytest.fixture(scope="module")
def headed() -> Iterator[Bundle]:
    """The built-in bundle, whatever the others are tested with: it has heads of its own."""
    with load_bundle("lite") as loaded:
        yield loaded


def footage(count: int, frames: int, dim: int) -> Footage:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(count, frames, 10, dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    mask = np.ones((count, frames), np.float32)
    return Footage(vectors[:, :, 0], vectors[:, :, 1:], mask)


def test_candidates_are_judged_and_the_best_frame_decides(headed: Bundle) -> None:
    query = headed.encode_queries(["a dog in the snow"])
    candidates = footage(3, 6, headed.dim)
    candidates.frames[1, 4] = query.vectors[0]
    candidates.mask[2, 3:] = 0
    found = headed.judge(query, candidates)
    assert found.match.shape == (3,)
    assert found.match.argmax() == 1
    assert found.relevance[1].argmax() == 4
    first, last = found.spans()
    assert (first <= last).all()
    assert last[2] <= 2


def test_spans_never_end_before_they_start() -> None:
    random = np.random.default_rng(1)
    start, end = random.normal(size=(2, 40, 9)).astype(np.float32)
    first, last = Judgements(np.zeros(40, np.float32), start, end, start).spans()
    chosen = start[np.arange(40), first] + end[np.arange(40), last]
    for place in range(9):
        for after in range(place, 9):
            assert (chosen >= start[:, place] + end[:, after] - 1e-6).all()


def test_soft_tokens_are_made_and_encoded_again(headed: Bundle) -> None:
    query = headed.encode_queries(["a dog in the snow"])
    match, sizes = np.array([-1.0, 0.5], np.float32), np.array([4, 40], np.float32)
    soft = headed.refine(query, footage(2, 1, headed.dim), match, sizes)
    assert soft.shape == (1, headed.manifest.dimensions.soft_tokens, query.states.shape[2])
    again = headed.encode_queries(["a dog in the snow"], soft)
    assert np.linalg.norm(again.vectors) == pytest.approx(1, abs=1e-3)
    assert not np.allclose(again.vectors, query.vectors, atol=1e-3)


def test_a_bundle_without_heads_says_so(bundle: Bundle) -> None:
    manifest = bundle.manifest
    encoders = {role: manifest.files[role] for role in REQUIRED_ROLES}
    query = bundle.encode_queries(["a dog"])
    one = np.ones(1, np.float32)
    with Bundle(manifest.model_copy(update={"files": encoders})) as bare:
        with pytest.raises(UsageError, match="no grounding head of its own"):
            bare.judge(query, footage(1, 2, bare.dim))
        with pytest.raises(UsageError, match="no refiner head of its own"):
            bare.refine(query, footage(1, 1, bare.dim), one, one)
        assert bare.concepts.names == ()


def test_an_altered_head_is_refused(headed: Bundle, tmp_path: Path) -> None:
    folder = shutil.copytree(find_bundle("lite"), tmp_path / "bundle")
    head = folder / headed.manifest.files[GROUNDING].file
    whole = head.read_bytes()
    head.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(BundleDamaged, match="grounding"):
        verify_bundle(folder)
