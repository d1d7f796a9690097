"""The evidence of a universal head is the same in every space that has the same inner products, and
in those that are stretched, turned, or leant to one side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vsr_edge.runtime.evidence import (
    MOST,
    PER_CANDIDATE,
    PER_FRAME,
    PER_PHRASE,
    PER_SENTENCE,
    Space,
    evidence,
)
from vsr_edge.runtime.heads import Footage

K, F, R, D, P = 4, 7, 9, 24, 5
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Asked:
    texts: Floats
    space: Space
    shown: Footage
    scores: Floats

    def evidence(self) -> dict[str, Floats]:
        usual = self.space.usual(self.texts)
        return evidence(self.texts, usual, self.space, self.shown, self.scores)

    def mapped(self, texts: Floats, pictures: Floats) -> Asked:
        """With texts and pictures each taken to another space by a matrix [D, …]."""
        shown = Footage(
            self.shown.frames @ pictures, self.shown.regions @ pictures, self.shown.mask
        )
        space = Space(self.space.footage @ pictures, self.space.bank @ texts)
        return replace(self, texts=self.texts @ texts, space=space, shown=shown)


def asked(seed: int = 0, regions: int = R) -> Asked:
    random = np.random.default_rng(seed)

    def unit(*shape: int) -> Floats:
        vectors = random.normal(size=(*shape, D)).astype(np.float32) + 0.3
        return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))

    mask = np.ones((K, F), np.float32)
    mask[1, 4:] = 0
    frames, cells = unit(K, F) * mask[..., None], unit(K, F, regions) * mask[..., None, None]
    texts = unit(1 + P)
    scores = np.asarray((frames @ texts[0]).max(1), np.float32)
    space = Space(unit(600), unit(200))
    return Asked(texts, space, Footage(frames, cells, mask), scores)


def leaning(seed: int) -> Floats:
    return np.random.default_rng(seed).normal(size=D).astype(np.float32) / np.float32(4)


def same(one: dict[str, Floats], other: dict[str, Floats], within: float = 2e-3) -> None:
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_allclose(values, other[name], atol=within, err_msg=name)


def test_the_dimension_of_the_space_is_in_no_shape() -> None:
    found = asked().evidence()
    assert {name: values.shape for name, values in found.items()} == {
        "sentence": (K, F, PER_SENTENCE),
        "phrases": (K, P, F, PER_PHRASE),
        "phrase_mask": (K, P),
        "neighbours": (K, F, PER_FRAME),
        "frame_mask": (K, F),
        "candidate": (K, PER_CANDIDATE),
    }
    assert all(values.dtype == np.float32 for values in found.values())
    assert all(np.isfinite(values).all() for values in found.values())
    assert found["sentence"].std() > 0.3


@settings(max_examples=20)
@given(st.integers(0, 5), st.floats(0.01, 100), st.floats(0.01, 100))
def test_how_long_the_vectors_are_makes_no_difference(seed: int, text: float, seen: float) -> None:
    before = asked(seed)
    after = before.mapped(np.eye(D, dtype=np.float32) * text, np.eye(D, dtype=np.float32) * seen)
    same(before.evidence(), replace(after, scores=before.scores * text * seen).evidence())


@settings(max_examples=20)
@given(st.integers(0, 5), st.integers(0, 100))
def test_a_turned_space_is_the_same(seed: int, turn: int) -> None:
    turned, _ = np.linalg.qr(np.random.default_rng(turn).normal(size=(D, D)))
    same(asked(seed).evidence(), asked(seed).mapped(turned, turned).evidence())


@settings(max_examples=20)
@given(st.integers(0, 5), st.integers(1, 40))
def test_dimensions_that_hold_nothing_make_no_difference(seed: int, more: int) -> None:
    padded = np.eye(D, D + more, dtype=np.float32)
    same(asked(seed).evidence(), asked(seed).mapped(padded, padded).evidence())


@settings(max_examples=20)
@given(st.integers(0, 5), st.integers(0, 5))
def test_what_all_pictures_share_makes_no_difference_above_usual_footage(
    seed: int, direction: int
) -> None:
    before = asked(seed)
    lean = leaning(direction)
    keep = before.shown.mask[..., None]
    shown = Footage(
        before.shown.frames + lean * keep,
        before.shown.regions + lean * keep[..., None],
        before.shown.mask,
    )
    space = Space(before.space.footage + lean, before.space.bank)
    scores = before.scores + before.texts[0] @ lean
    one = before.evidence()
    other = replace(before, shown=shown, space=space, scores=scores).evidence()
    np.testing.assert_allclose(one["sentence"][..., 0], other["sentence"][..., 0], atol=2e-3)
    np.testing.assert_allclose(one["phrases"][..., 4:8], other["phrases"][..., 4:8], atol=2e-3)
    np.testing.assert_allclose(one["candidate"][:, 0], other["candidate"][:, 0], atol=2e-3)
    np.testing.assert_allclose(one["neighbours"], other["neighbours"], atol=2e-3)


def test_what_all_sentences_share_makes_no_difference_beside_the_bank() -> None:
    before = asked()
    lean = leaning(9)
    space = Space(before.space.footage, before.space.bank + lean)
    one = before.evidence()["sentence"]
    other = replace(before, texts=before.texts + lean, space=space).evidence()["sentence"]
    for column in (1, 2, 3, 8, 9):
        np.testing.assert_allclose(one[..., column], other[..., column], atol=2e-3)


def test_frames_that_are_none_change_nothing() -> None:
    before = asked()
    found = before.evidence()
    for name in ("sentence", "neighbours"):
        assert not found[name][1, 4:].any()
    assert not found["phrases"][1, :, 4:].any()
    shown = before.shown
    longer = Footage(
        np.pad(shown.frames, ((0, 0), (0, 3), (0, 0)), constant_values=0.7),
        np.pad(shown.regions, ((0, 0), (0, 3), (0, 0), (0, 0)), constant_values=0.7),
        np.pad(shown.mask, ((0, 0), (0, 3))),
    )
    padded = replace(before, shown=longer).evidence()
    same(
        found,
        {
            "sentence": padded["sentence"][:, :F],
            "phrases": padded["phrases"][:, :, :F],
            "phrase_mask": padded["phrase_mask"],
            "neighbours": padded["neighbours"][:, :F],
            "frame_mask": padded["frame_mask"][:, :F],
            "candidate": padded["candidate"],
        },
    )


@settings(max_examples=20)
@given(st.permutations(range(P)))
def test_phrases_are_told_one_by_one_in_their_order(order: list[int]) -> None:
    before = asked()
    texts = before.texts[[0, *(1 + n for n in order)]]
    one, other = before.evidence(), replace(before, texts=texts).evidence()
    np.testing.assert_allclose(one["phrases"][:, order], other["phrases"], atol=2e-3)
    for name in ("sentence", "neighbours", "candidate"):
        np.testing.assert_allclose(one[name], other[name], atol=2e-3)


def test_without_regions_a_frame_is_its_own() -> None:
    found = asked(regions=0).evidence()["sentence"]
    np.testing.assert_allclose(found[..., 0], found[..., 4], atol=2e-3)
    np.testing.assert_allclose(found[..., 2], found[..., 8], atol=2e-3)


def test_footage_that_is_all_one_picture_gives_numbers() -> None:
    before = asked()
    still = Space(np.repeat(before.space.footage[:1], 5, axis=0), before.space.bank[:1])
    for values in replace(before, space=still).evidence().values():
        assert np.isfinite(values).all()
        assert np.abs(values).max() <= 2 * MOST


@pytest.mark.parametrize("place", [0, 2, 6])
def test_the_frame_that_shows_it_stands_out(place: int) -> None:
    before = asked()
    before.shown.frames[2, place] = before.texts[0]
    found = before.evidence()
    assert found["sentence"][2, :, 0].argmax() == place
    assert found["candidate"][:, 1].argmax() == 2


def test_in_little_footage_that_is_all_alike_what_it_shows_stands_out() -> None:
    random = np.random.default_rng(3)
    texts = random.normal(size=(300, D)).astype(np.float32)
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    shows, absent = texts[0], texts[1]
    few = shows * np.float32(0.5) + random.normal(size=(20, D)).astype(np.float32) * np.float32(0.1)
    space = Space(few, texts[2:])
    usual = space.usual(np.stack([shows, absent]))
    scores = np.stack([few @ shows, few @ absent])
    z = usual.plain.standardised(scores).mean(1)
    assert z[0] > z[1] + 1
    # Beside itself alone, the footage shows nothing at all.
    alone = (scores - scores.mean(1, keepdims=True)).mean(1)
    np.testing.assert_allclose(alone, 0, atol=1e-5)


@pytest.mark.parametrize("length", [0.01, 7.0])
def test_a_score_above_any_sentences_counts_in_the_scale_of_the_space(length: float) -> None:
    some = asked(0)
    space = Space(some.space.footage * length, some.space.bank)
    np.testing.assert_allclose(
        space.above_any(some.scores * length), some.space.above_any(some.scores), rtol=1e-3
    )
    every = (some.space.bank @ some.space.footage.T).ravel()
    told = some.space.above_any(every)
    assert abs(float(told.mean())) < 1e-2
    assert 0.9 < float(told.std()) <= 1.01


def test_where_there_is_enough_footage_it_alone_counts() -> None:
    before = asked()
    other = Space(before.space.footage, before.space.bank[:100])
    one, two = before.space.usual(before.texts), other.usual(before.texts)
    np.testing.assert_array_equal(one.plain.mean, two.plain.mean)
    np.testing.assert_array_equal(one.plain.deviation, two.plain.deviation)
