"""What a query is moved to in closed form, where footage gives little to go by."""

from __future__ import annotations

import numpy as np
import pytest

from vsr_edge.runtime.evidence import Space
from vsr_edge.search.guide import guide


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [4, 256])
def test_where_all_footage_is_alike_the_query_is_moved_to_a_unit_vector_all_the_same(
    size: int,
) -> None:
    random = np.random.default_rng(0)
    rows = random.standard_normal((9, size)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    space = Space(np.repeat(rows[:1], 3, axis=0), rows[1:8])
    moved = guide(space, rows[8])
    assert np.isfinite(moved).all()
    assert np.linalg.norm(moved) == pytest.approx(1, abs=1e-5)
    assert moved @ rows[8] > 0.5
