"""Logits become probabilities that are as often right as they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from export.calibrate import ASKED, Answers, Calibrated, fit, in_parts, logit
from export.contract import CalibrationError
from models.logistic import logistic_fit
from tests.store.archives import a_video
from vsr_edge.bundle.manifest import Calibration
from vsr_edge.evaluation.records import Query
from vsr_edge.types import Sampling, StoredVideo


@given(st.floats(0.2, 3.0), st.floats(-2.0, 2.0), st.integers(0, 1000))
@settings(max_examples=20)
def test_a_logistic_curve_is_found_again(slope: float, bias: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    # The ridge takes 0.16 from the steepest slope, ever less from others; with so many, chance is
    # far below the rest.
    x = random.normal(0, 2, (200_000, 2))
    y = random.random(len(x)) < 1 / (1 + np.exp(-(slope * x[:, 0] + bias)))
    weights, found = logistic_fit(x, y)
    assert [*weights, found] == pytest.approx([slope, 0, bias], abs=0.02 + 0.02 * slope**2)


def answers(count: int = 4000, seed: int = 0) -> Answers:
    """Candidates whose match logits know something, whose scores know more, and whose standardised
    scores know what is absent; the more is searched, the more only looks like it.
    """
    random = np.random.default_rng(seed)
    right = np.zeros((count, 5), bool)
    present = random.random(count) < 0.8
    right[present, random.integers(0, 5, present.sum())] = True
    frames = random.choice([250.0, 1000.0, 4000.0], count)
    rivals = np.log(frames / 1000)[:, None]
    return Answers(
        match=random.normal(0, 2, right.shape) + 1.0 * right,
        scores=random.normal(0.3, 0.1, right.shape) + 0.2 * right,
        z=random.normal(2, 1, right.shape) + 1.5 * right + 0.5 * rivals,
        right=right,
        frames=frames,
        present=present,
        one_shot=random.random(count) < 0.3,
    )


def probability(of: Answers, found: Calibrated) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """What the runtime would say of the first candidate, and whether it is right."""
    order, z, right = of.first(found.score_weight)
    given = Calibration.model_validate(found.to_json())
    each = [
        given.probability(order[i : i + 1], z[i : i + 1], int(of.frames[i])) for i in range(len(z))
    ]
    return np.concatenate(each), right


def test_the_order_takes_from_scores_what_logits_do_not_know() -> None:
    found = fit(answers())
    assert found.score_weight > 10
    plain = (answers().match.argmax(1) == answers().right.argmax(1)) & answers().present
    assert found.loop > plain.mean() + 0.1


def test_the_threshold_lets_four_in_five_right_answers_through() -> None:
    found = fit(answers())
    assert found.accepted == pytest.approx(0.8, abs=0.01)
    assert found.denied is not None
    assert found.denied > 0.5
    assert found.calibration_error < 0.05
    # On others of the same kind it says the truth too.
    p, right = probability(answers(seed=1), found)
    for low in (0.0, 0.25, 0.5, 0.75):
        group = (p >= low) & (p < low + 0.25)
        if group.sum() > 100:
            assert right[group].mean() == pytest.approx(p[group].mean(), abs=0.06)


def test_standardised_scores_and_sizes_count() -> None:
    found = fit(answers())
    assert found.z_weight > 0
    assert found.size_weight > 0
    # What knows nothing counts for nothing.
    known = answers()
    blind = fit(replace(known, z=np.random.default_rng(9).normal(size=known.z.shape)))
    assert blind.z_weight < 0.2 * found.z_weight


def test_sure_is_what_is_nearly_always_right() -> None:
    found = fit(answers())
    assert found.threshold <= found.sure <= 1
    p, right = probability(answers(), found)
    assert found.sure < 1
    assert right[p >= found.sure].mean() >= 0.89


def test_nothing_right_or_nothing_wrong_teaches_nothing() -> None:
    known = answers(100)
    for right in (np.zeros_like(known.right), np.ones_like(known.right)):
        with pytest.raises(CalibrationError, match="all right or all wrong"):
            fit(replace(known, right=right))


def test_heads_that_know_nothing_are_refused() -> None:
    known = answers()
    # Surest where there is nothing to be found.
    match = np.where(known.present[:, None], 1.0 * known.right, 3.0)
    with pytest.raises(CalibrationError, match="know nothing"):
        fit(replace(known, match=match, scores=0 * match))


@given(st.floats(-20, 20))
def test_logits_come_back(x: float) -> None:
    assert logit(1 / (1 + np.exp(-x))) == pytest.approx(x, abs=1e-3)


def stored(count: int) -> list[StoredVideo]:
    return [
        StoredVideo(n, a_video(f"/v/{n}.mp4"), Sampling(), 10, 10, None, "") for n in range(count)
    ]


def asking(present: int, absent: int) -> list[Query]:
    there = [Query(f"p{n}", f"what {n} shows", f"{n}.mp4", ((0.0, 1.0),)) for n in range(present)]
    return [*there, *(Query(f"a{n}", f"nothing {n}", None, ()) for n in range(absent))]


def test_parts_of_every_size_are_asked_as_often_for_what_is_there_as_for_what_is_not() -> None:
    asked = list(in_parts(stored(40), asking(40, 30)))
    assert {one.size for one in asked} == {3, 10, 30, 40}
    for size in (3, 10, 30):
        some = [one for one in asked if one.size == size]
        assert len(some) >= ASKED
        assert sum(one.present for one in some) == len(some) / 2
        assert {one.frames for one in some} == {10 * size}
    for one in asked:
        shown = one.videos is None or any(p.endswith(f"/{one.query.video}") for p in one.videos)
        assert one.present == (one.query.video is not None and shown)
    # Of the whole there is one part, which is not asked the same twice.
    whole = [one.query.qid for one in asked if one.size == 40]
    assert len(set(whole)) == len(whole) == 60


def test_where_nothing_absent_is_asked_for_the_whole_is_asked_all_the_same() -> None:
    asked = list(in_parts(stored(2), asking(2, 0)))
    assert [(one.present, one.videos) for one in asked] == [(True, None)] * 2
