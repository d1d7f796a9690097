"""Corrections of probabilities: what they undo, what they learn, and how far without labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsr_edge.bundle.locate import find_bundle
from vsr_edge.bundle.manifest import Calibration, read_manifest
from vsr_edge.evaluation.calibrate import (
    Line,
    by_queries,
    by_sentences,
    calibration_error,
    log_odds,
    middle_and_spread,
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
    null_median=-3.0,
    null_spread=1.0,
)


def told(odds: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-odds)))


@given(st.floats(0.01, 0.99), st.floats(0.5, 2), st.floats(-3, 3))
def test_a_line_is_undone(probability: float, slope: float, bias: float) -> None:
    line = Line(slope, bias)
    assert line.undone(line(probability)) == pytest.approx(probability, abs=1e-3)


def test_sentences_lie_where_they_lay_though_some_are_there() -> None:
    random = np.random.default_rng(0)
    # This archive fools the verifier: all log-odds are larger by 2, and spread 1.5 times as far.
    absent = 1.5 * random.normal(-3, 1, 300) + 4
    line = by_sentences(told(absent), CALIBRATION)
    assert line is not None
    middle, spread = middle_and_spread(line(told(absent)))
    assert middle == pytest.approx(-3, abs=0.01)
    assert spread == pytest.approx(1, abs=0.01)
    some_there = np.concatenate([absent, random.normal(6, 1, 40)])
    shifted = by_sentences(told(some_there), CALIBRATION)
    assert shifted is not None
    assert middle_and_spread(shifted(told(absent)))[0] == pytest.approx(-3, abs=0.35)


def test_where_nobody_knows_how_they_lay_nothing_is_shifted() -> None:
    plain = CALIBRATION.model_copy(update={"null_median": None})
    assert by_sentences(np.full(60, 0.1), plain) is None


def test_no_archive_is_stretched_without_end() -> None:
    for deviation in (0.0, 1e-3, 50.0):
        odds = np.random.default_rng(0).normal(0, 1, 100) * deviation
        line = by_sentences(told(odds), CALIBRATION)
        assert line is not None
        assert 0.5 <= line.slope <= 2


def answers(count: int, slope: float, bias: float) -> tuple[np.ndarray, np.ndarray]:
    """What is said, of answers whose truth is by other log-odds."""
    random = np.random.default_rng(count)
    odds = random.normal(0, 2, count)
    return told(odds), random.random(count) < told(slope * odds + bias)


def test_the_more_queries_the_nearer_the_truth() -> None:
    far = Line()
    lines = [by_queries(*answers(count, 0.6, -1.5), far) for count in (10, 100, 4000)]
    away = [abs(line.slope - 0.6) + abs(line.bias + 1.5) for line in lines]
    assert away[2] < 0.2 < away[0]
    assert abs(lines[0].slope - 1) < 0.4


def test_queries_that_are_not_seen_are_told_better() -> None:
    said, right = answers(400, 0.5, -1.5)
    assert calibration_error(not_seen(said, right, Line()), right) < 0.08
    assert calibration_error(said, right) > 0.15


def test_answers_of_one_kind_give_no_line_without_end() -> None:
    line = by_queries(np.full(20, 0.99), np.zeros(20), Line())
    assert np.isfinite([line.slope, line.bias]).all()
    assert line(0.99) < 0.99


def test_bins_hold_every_answer_once() -> None:
    said, right = answers(300, 1, 0)
    bins = reliability([*said, 0.0, 1.0], [*right, False, True])
    assert sum(one.count for one in bins) == 302
    assert all(one.low <= one.said <= one.high for one in bins)


def test_log_odds_are_finite() -> None:
    assert np.isfinite(log_odds([0.0, 1.0])).all()


def test_the_built_in_heads_know_how_sentences_lay() -> None:
    calibration = read_manifest(find_bundle("lite")).calibration
    assert calibration is not None
    assert by_sentences(np.full(60, 0.3), calibration) is not None


def test_what_is_likelier_than_was_said_is_not_accepted_the_sooner() -> None:
    likelier = CALIBRATION.corrected(Correction(1.0, 2.0, "2026-11-26", 100, 0))
    assert likelier.threshold > CALIBRATION.threshold
    assert likelier.sure > CALIBRATION.sure
    less = CALIBRATION.corrected(Correction(1.0, -2.0, "2026-11-26", 100, 0))
    assert (less.threshold, less.sure) == (CALIBRATION.threshold, CALIBRATION.sure)
    never = CALIBRATION.model_copy(update={"threshold": 1.0, "sure": 1.0})
    assert never.corrected(Correction(2.0, 3.0, "2026-11-26", 100, 0)).sure == 1.0
