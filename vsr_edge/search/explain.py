"""What is told of a search: what a refinement did, what was not understood, how long it took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from vsr_edge.answer import Refinement
from vsr_edge.bundle.model import Bundle, Concepts
from vsr_edge.runtime.words import ENGLISH
from vsr_edge.types import RefinementMethod, Vectors

NAMED = 5
# Of a long query, so much is quoted.
UNKNOWN_NAMED, CUT_SHOWN = 12, 200


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


def notices_about(bundle: Bundle, query: str) -> tuple[str, ...]:
    """What of the query the bundle does not know, and what it left out, in sentences."""
    reading, manifest = bundle.read_query(query), bundle.manifest
    model = f"the model {manifest.name!r}"
    notices = []
    if reading.unknown:
        shown = ", ".join(reading.unknown[:UNKNOWN_NAMED])
        more = len(reading.unknown) - UNKNOWN_NAMED
        shown += f" and {more} more" if more > 0 else ""
        notices.append(
            f"{model} reads English, and does not know: {shown}. Say it in common English words"
            if manifest.language == ENGLISH
            else f"{model} does not know: {shown}. It searches as if that were not there"
        )
    if reading.cut:
        cut = reading.cut if len(reading.cut) <= CUT_SHOWN else f"{reading.cut[:CUT_SHOWN]}…"
        notices.append(f"the query is longer than {model} reads; left out was: {cut}")
    return tuple(notices)


class Clock:
    """Milliseconds: of each stage, of a turn, in all. It runs from its making on."""

    def __init__(self) -> None:
        self._started = self._lap = time.perf_counter()
        self._stages: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what is done in the block for this stage; entered again, it goes on counting."""
        started = self.total()
        yield
        self._stages[name] = self._stages.get(name, 0.0) + self.total() - started

    def total(self) -> float:
        """Since the start."""
        return (time.perf_counter() - self._started) * 1000

    def spent(self, most: float | None) -> bool:
        """Whether a limit, in milliseconds, is reached; None is none."""
        return most is not None and self.total() >= most

    def lap(self) -> float:
        """Since the last lap, or the start."""
        before, self._lap = self._lap, time.perf_counter()
        return round((self._lap - before) * 1000, 3)

    def milliseconds(self) -> dict[str, float]:
        """By stage, and in total."""
        return {name: round(ms, 3) for name, ms in {**self._stages, "total": self.total()}.items()}
