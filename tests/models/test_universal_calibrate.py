from __future__ import annotations

import numpy as np
import pytest

from models.universal import UniversalHead
from models.universal_calibrate import (
    OF_BUILT_IN,
    PRESENT,
    Z_SHARE,
    error,
    fitted,
    joined,
    probabilities,
    stranger,
    weighed,
)
from models.universal_encoders import BUILT_IN
from models.universal_measure import Floats


@pytest.fixture(scope="module")
def answered() -> dict[str, Floats]:
    """Answers that are right as often as a line says, in archives of two sizes."""
    random, count = np.random.default_rng(0), 12_000
    match, z = random.normal(0, 2, count), random.normal(0, 0.5, count)
    frames = np.where(np.arange(count) % 3, 1000.0, 100.0)
    said = match + Z_SHARE * z - np.log(frames / 1000)
    right = random.random(count) < 1 / (1 + np.exp(-said))
    # Of the wrong ones some ask for what is not there, one question in six of all.
    wrong = ~right
    of_wrong = np.where(frames < 1000, *(1 / 6 / wrong[frames == n].mean() for n in (100, 1000)))
    present = ~(wrong & (random.random(count) < of_wrong))
    table = {"match": match, "z": z, "frames": frames, "present": present, "right": right}
    return weighed({name: np.asarray(values, float) for name, values in table.items()})


def test_worlds_count_alike_and_one_question_in_six_is_absent(answered: dict[str, Floats]) -> None:
    weight = answered["weight"]
    for size in (100, 1000):
        assert weight[answered["frames"] == size].sum() == pytest.approx(1 / 2)
    assert weight[answered["present"] > 0].sum() == pytest.approx(PRESENT)
    half = weighed(answered, 0.5)["weight"]
    assert half[answered["present"] > 0].sum() == pytest.approx(1 / 2)


def test_probabilities_hold_for_the_mix_that_they_were_fitted_on(
    answered: dict[str, Floats],
) -> None:
    calibration = fitted(answered)
    assert error(calibration, answered) < 4
    assert error(calibration, weighed(answered, 0.5)) > error(calibration, answered) + 2


def test_the_threshold_lets_four_right_answers_of_five_through(
    answered: dict[str, Floats],
) -> None:
    calibration = fitted(answered)
    found = probabilities(calibration, answered)
    right = answered["right"] > 0
    weight = answered["weight"][right]
    passed = weight[found[right] >= calibration.threshold].sum() / weight.sum()
    assert passed == pytest.approx(0.8, abs=0.03)
    assert calibration.sure >= calibration.threshold


def test_the_built_in_encoder_counts_for_one_question_in_five(answered: dict[str, Floats]) -> None:
    each = {"lite1-bge": answered, BUILT_IN: answered, "all-minilm": answered}
    shares = joined(each)["weight"].reshape(3, -1).sum(1)
    assert shares == pytest.approx([(1 - OF_BUILT_IN) / 2, OF_BUILT_IN, (1 - OF_BUILT_IN) / 2])
    for some in ({"lite1-bge": answered}, {BUILT_IN: answered}):
        assert joined(some)["weight"].sum() == pytest.approx(1)


def test_an_encoder_is_judged_by_a_head_that_does_not_know_it() -> None:
    heads = {family: UniversalHead() for family in ("minilm", "bge")}
    assert stranger("lite1-bge", heads) is heads["bge"]
    assert stranger(BUILT_IN, heads) is heads["minilm"]
    with pytest.raises(ValueError, match=r"lite1-words is of lite, words"):
        stranger("lite1-words", heads)
    assert stranger("lite1-words", {**heads, "": heads["bge"]}) is heads["bge"]
