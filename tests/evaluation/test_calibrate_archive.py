"""Corrections of probabilities: what they undo, what they learn, what is known without labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsr_edge.bundle.locate import find_bundle
from vsr_edge.bundle.manifest import Calibration, read_manifest
from vsr_edge.bundle.universal_head import shipped
from vsr_edge.errors import UsageError
from vsr_edge.evaluation.calibrate import (
    Line,
    by_absent,
    by_queries,
    calibration_error,
    log_odds,
    not_seen,
    reliability,
)
from vsr_edge.types import Correction

CALIBRATION = Calibration(
    score_weight=0,
    slope=1,
    bias=0,
    size_weight=0,
    fewest_frames=1,
    threshold=0.5,
    sure=0.9,
    absent=0.2,
    absent_of_wrong=0.4,
)


def told(odds: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-odds)))


@given(st.floats(0.01, 0.99), st.floats(0.5, 2), st.floats(-3, 3))
def test_a_line_is_undone(probability: float, slope: float, bias: float) -> None:
    line = Line(slope, bias)
    assert line.undone(line(probability)) == pytest.approx(probability, abs=1e-3)


def asked(count: int, absent: float) -> tuple[np.ndarray, np.ndarray]:
    """Questions of which so large a share is about what is not there: what is said of the first
    answer to each, as if a fifth were, and whether it is right.
    """
    random = np.random.default_rng(count)
    there = random.random(count) >= absent
    right = there & (random.random(count) < 0.625)
    # Right are 0.8 · 0.625 = a half where a fifth is absent; 0.2 / 0.5 of the wrong are absent.
    evidence = random.normal(np.where(right, 1.0, -1.0), 1.0)
    return told(2 * evidence), right


@pytest.mark.parametrize("absent", [0.21, 0.5, 0.8])
def test_how_many_are_absent_is_all_that_must_be_known(absent: float) -> None:
    said, right = asked(40_000, absent)
    line = by_absent(absent, CALIBRATION)
    assert line is not None
    assert line.slope == 1
    assert calibration_error(line(said), right) < 0.01
    assert absent == 0.21 or calibration_error(said, right) > 0.05


@given(st.floats(0.201, 0.95), st.floats(0.201, 0.95))
def test_the_more_are_absent_the_less_is_said(a: float, b: float) -> None:
    fewer, more = (by_absent(share, CALIBRATION) for share in sorted((a, b)))
    assert fewer is not None
    assert more is not None
    assert more.bias <= fewer.bias < 0


@pytest.mark.parametrize("share", [0.0, 0.1, 0.2])
def test_no_share_raises_what_is_said(share: float) -> None:
    with pytest.raises(UsageError, match=r"for 20% absent already.*--queries"):
        by_absent(share, CALIBRATION)


@pytest.mark.parametrize("unknown", [{"absent": None}, {"absent": 0.0}, {"absent_of_wrong": None}])
def test_where_nobody_counted_the_absent_no_share_says_anything(
    unknown: dict[str, float | None],
) -> None:
    assert by_absent(0.5, CALIBRATION.model_copy(update=unknown)) is None


def answers(count: int, slope: float, bias: float) -> tuple[np.ndarray, np.ndarray]:
    """What is said, of answers whose truth is by other log-odds."""
    random = np.random.default_rng(count)
    odds = random.normal(0, 2, count)
    return told(odds), random.random(count) < told(slope * odds + bias)


def test_the_more_queries_the_nearer_the_truth() -> None:
    lines = [by_queries(*answers(count, 0.6, -1.5)) for count in (10, 100, 4000)]
    away = [abs(line.slope - 0.6) + abs(line.bias + 1.5) for line in lines]
    assert away[2] < 0.2 < away[0]
    assert abs(lines[0].slope - 1) < 0.4


def test_queries_that_are_not_seen_are_told_better() -> None:
    said, right = answers(400, 0.5, -1.5)
    assert calibration_error(not_seen(said, right), right) < 0.08
    assert calibration_error(said, right) > 0.15


def test_answers_of_one_kind_give_no_line_without_end() -> None:
    line = by_queries(np.full(20, 0.99), np.zeros(20))
    assert np.isfinite([line.slope, line.bias]).all()
    assert line(0.99) < 0.99


def test_bins_hold_every_answer_once() -> None:
    said, right = answers(300, 1, 0)
    bins = reliability([*said, 0.0, 1.0], [*right, False, True])
    assert sum(one.count for one in bins) == 302
    assert all(one.low <= one.said <= one.high for one in bins)


def test_log_odds_are_finite() -> None:
    assert np.isfinite(log_odds([0.0, 1.0])).all()


def test_the_heads_that_come_along_know_of_how_many_absent_they_were_made() -> None:
    own = read_manifest(find_bundle("lite")).calibration
    for calibration in (own, shipped().calibration):
        assert calibration is not None
        line = by_absent(0.75, calibration)
        assert line is not None
        assert line.bias < -0.5


def test_what_is_likelier_than_was_said_is_not_accepted_the_sooner() -> None:
    likelier = CALIBRATION.corrected(Correction(1.0, 2.0, "2026-11-26", 100))
    assert likelier.threshold > CALIBRATION.threshold
    assert likelier.sure > CALIBRATION.sure
    less = CALIBRATION.corrected(Correction(1.0, -2.0, "2026-11-26", 100))
    assert (less.threshold, less.sure) == (CALIBRATION.threshold, CALIBRATION.sure)
    # Of how many are absent the right answers know nothing: as many of them are accepted.
    absent = CALIBRATION.corrected(Correction(1.0, -2.0, "2026-11-27", 0, 0.6))
    assert log_odds(absent.threshold) == pytest.approx(log_odds(CALIBRATION.threshold) - 2)
    assert absent.sure == CALIBRATION.sure
    never = CALIBRATION.model_copy(update={"threshold": 1.0, "sure": 1.0})
    assert never.corrected(Correction(2.0, 3.0, "2026-11-26", 100)).sure == 1.0
