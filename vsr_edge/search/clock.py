"""Milliseconds: of each stage, of a turn, in all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Runs from its making on; a stage that is entered again goes on counting."""

    def __init__(self) -> None:
        self._started = self._lap = time.perf_counter()
        self._stages: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what is done in the block for this stage."""
        started = time.perf_counter()
        yield
        spent = (time.perf_counter() - started) * 1000
        self._stages[name] = self._stages.get(name, 0.0) + spent

    def total(self) -> float:
        """Milliseconds since the start."""
        return (time.perf_counter() - self._started) * 1000

    def lap(self) -> float:
        """Milliseconds since the last lap, or the start."""
        before, self._lap = self._lap, time.perf_counter()
        return round((self._lap - before) * 1000, 3)

    def milliseconds(self) -> dict[str, float]:
        """By stage, and in total."""
        stages = (*self._stages.items(), ("total", self.total()))
        return {name: round(ms, 3) for name, ms in stages}
