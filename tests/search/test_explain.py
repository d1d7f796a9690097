"""A refinement is named by what the query moved towards and away from."""

from __future__ import annotations

import numpy as np
import pytest

from vsr_edge.bundle.model import Bundle, Concepts
from vsr_edge.search.explain import NAMED, refinement


def test_the_movement_is_named() -> None:
    concepts = Concepts(("red", "blue", "dog"), np.eye(3, 4, dtype=np.float32))
    before = np.array([0, 1, 0, 0], np.float32)
    after = np.array([0.6, 0.8, 0, 0], np.float32)
    change = refinement("soft tokens", before, after, concepts)
    assert change.cosine == pytest.approx(0.8)
    assert change.gained == ("red",)
    assert change.lost == ("blue", "dog")


def test_what_moves_all_concepts_alike_names_none() -> None:
    concepts = Concepts(("red", "blue"), np.ones((2, 2), np.float32))
    before, after = np.array([[1, 0], [0, 1]], np.float32)
    change = refinement("rocchio", before, after, concepts)
    assert (change.gained, change.lost) == ((), ())


def test_a_bundle_without_concepts_still_has_a_cosine() -> None:
    none = Concepts((), np.empty((0, 2), np.float32))
    before, after = np.array([[1, 0], [0, 1]], np.float32)
    assert refinement("rocchio", before, after, none).cosine == 0


def test_the_built_in_concepts_name_a_change_of_words(bundle: Bundle) -> None:
    concepts = bundle.concepts
    assert len(concepts.names) > 2000
    assert len(set(concepts.names)) == len(concepts.names)
    assert np.allclose(np.linalg.norm(concepts.vectors, axis=1), 1, atol=0.01)
    before, after = bundle.encode_text(["a dog on the grass", "a horse on the grass"])
    change = refinement("soft tokens", before, after, concepts)
    assert any("horse" in name for name in change.gained)
    assert any("dog" in name for name in change.lost)
    assert len(change.gained) == NAMED
