"""Chains by dynamic programming are those that trying everything finds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsr_edge.search.order import Link, best_chains, potential

STEPS = ([[0]], [[0], [1]], [[0], [1], [2]], [[0, 1]], [[0, 1], [2]], [[0], [1, 2]])


@st.composite
def rows(draw: st.DrawFn) -> tuple[list[list[int]], np.ndarray, np.ndarray, float]:
    steps = draw(st.sampled_from(STEPS))
    count = draw(st.integers(1, 7))
    gaps = draw(st.lists(st.sampled_from([0.0, 1.0, 2.5]), min_size=count, max_size=count))
    parts = sum(map(len, steps))
    scores = draw(st.lists(st.integers(-5, 9), min_size=parts * count, max_size=parts * count))
    within = draw(st.sampled_from([1.0, 2.5, 4.0, 100.0]))
    return steps, np.cumsum(gaps), np.array(scores, float).reshape(parts, count), within


def tried(
    steps: Sequence[Sequence[int]], times: np.ndarray, scores: np.ndarray, within: float
) -> np.ndarray:
    """Every choice of a middle for each step, and of a frame for each part around it."""
    count = len(times)
    found = np.full(scores.shape, -np.inf)
    halves = [within / 2 if len(step) > 1 else 0.0 for step in steps]
    for middles in product(range(count), repeat=len(steps)):
        apart = [
            0 < times[b] - times[a] <= within + halves[n] + halves[n + 1]
            for n, (a, b) in enumerate(pairwise(middles))
        ]
        if not all(apart):
            continue
        near = {
            part: [t for t in range(count) if abs(times[t] - times[middle]) <= half]
            for step, middle, half in zip(steps, middles, halves, strict=True)
            for part in step
        }
        best = {part: max(scores[part, t] for t in some) for part, some in near.items()}
        for part, some in near.items():
            rest = sum(best.values()) - best[part]
            for t in some:
                found[part, t] = max(found[part, t], rest + scores[part, t])
    return found


@given(rows())
def test_the_potential_is_that_of_the_best_chain_through_each_frame(made) -> None:  # type: ignore[no-untyped-def]
    steps, times, scores, within = made
    expected = tried(steps, times, scores, within)
    assert potential(scores, times, steps, within) == pytest.approx(expected)


LINKS = st.lists(
    st.builds(
        lambda start, length, value: Link(start, start + length, value),
        st.integers(0, 12).map(float),
        st.integers(1, 5).map(float),
        st.integers(-4, 9).map(float),
    ),
    max_size=4,
)


@given(st.sampled_from(STEPS), st.data(), st.sampled_from([1.0, 3.0, 50.0]))
def test_the_best_chain_is_the_best_of_all(
    steps: list[list[int]], data: st.DataObject, within: float
) -> None:
    links = [data.draw(LINKS) for _ in range(sum(map(len, steps)))]
    best = -math.inf
    for chosen in product(*(range(len(some)) for some in links)):
        if is_chain([links[part][n] for part, n in enumerate(chosen)], steps, within):
            best = max(best, sum(links[part][n].value for part, n in enumerate(chosen)))
    found = best_chains(links, steps, within)
    assert (found[0][0] if found else -math.inf) == best
    for value, chosen in found:
        assert value == sum(links[part][n].value for part, n in enumerate(chosen))
        assert is_chain([links[part][n] for part, n in enumerate(chosen)], steps, within)
    assert [value for value, _ in found] == sorted((v for v, _ in found), reverse=True)


def is_chain(chosen: Sequence[Link], steps: Sequence[Sequence[int]], within: float) -> bool:
    spans = []
    for step in steps:
        ones = [chosen[part] for part in step]
        if max(one.start for one in ones) - min(one.end for one in ones) > within:
            return False
        spans.append((min(one.start for one in ones), max(one.end for one in ones)))
    for (start, end), (begins, ends) in pairwise(spans):
        shared = end - begins
        if begins <= start or ends <= end or begins - end > within:
            return False
        if shared >= 0.5 * min(end - start, ends - begins):
            return False
    return True


def test_what_follows_may_not_come_too_late() -> None:
    door, dog = [Link(0, 4, 1.0)], [Link(30, 33, 1.0), Link(50, 60, 5.0)]
    assert best_chains([door, dog], [[0], [1]], 30) == [(2.0, (0, 0))]
    assert best_chains([door, dog], [[0], [1]], 60)[0] == (6.0, (0, 1))
    assert best_chains([dog, door], [[0], [1]], 60) == []
    assert best_chains([dog, door], [[0, 1]], 60)[0] == (6.0, (1, 0))
