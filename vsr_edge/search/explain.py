"""What a refinement did to a query: how far it moved, and towards and away from what."""

from __future__ import annotations

import numpy as np

from vsr_edge.runtime.encoder import Concepts
from vsr_edge.types import Refinement, RefinementMethod, Vectors

NAMED = 5


def refinement(
    method: RefinementMethod, before: Vectors, after: Vectors, concepts: Concepts
) -> Refinement:
    """Compare query vectors float32 [D], both of unit length.

    Gained are the concepts whose inner product with the query grew most, lost those whose shrank
    most; the common drift of all concepts, which says nothing, is taken off.
    """
    moved = concepts.vectors @ (after - before)
    moved -= moved.mean() if len(moved) else 0.0
    order = np.argsort(-moved, kind="stable")
    gained = [concepts.names[i] for i in order[:NAMED] if moved[i] > 0]
    lost = [concepts.names[i] for i in order[::-1][:NAMED] if moved[i] < 0]
    return Refinement(method, float(before @ after), tuple(gained), tuple(lost))
