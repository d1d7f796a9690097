"""What a universal head's logits mean with an encoder of which nothing is known.

    python -m models.universal_calibrate --towers runs/towers --out runs/calibration.json \\
        minilm=runs/without-minilm/head.safetensors bge=runs/without-bge/head.safetensors \\
        words=runs/without-words/head.safetensors

Fitted over val questions to encoders that the heads have not met: ``FAMILY=HEAD`` is asked about
those of a family that it was trained without (``models.train_universal --without FAMILY``). Each
encoder and each size of an archive counts alike, but for the package's own, which is as strong as
what people bring, and counts for one question in five. One question in six is about what is not
there, as in the benchmark: whoever asks for that more often reads too large a probability
(``vsr-edge calibrate --absent``), and which answers are accepted does not depend on it.
``export.calibrate`` does the same for one encoder by searches in its own archive.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.logistic import ACCEPTED, FEWEST_SURE, SURE, logistic_fit
from models.train_universal import questions
from models.universal import UniversalHead, load_head
from models.universal_encoders import BUILT_IN, RECIPES, recipe_of
from models.universal_measure import Floats, answers, calibration_error
from models.universal_worlds import Judged
from vsr_edge.bundle.manifest import Calibration

# Of the score beside the match logit. Fitted freely it takes all that the logit says with some
# encoders and little with others, and a logit that counts for nothing orders nothing.
Z_SHARE = 3.0
PRESENT = 5 / 6  # share of the questions whose answer is there
OF_BUILT_IN = 0.2  # share of the questions that are to the package's own encoder


def firsts(head: UniversalHead, some: Judged) -> dict[str, Floats]:
    """Of each question the first candidate by its match logit: ``match``, ``z``, whether it is
    ``right``, how many ``frames`` were searched, whether it was ``present``, and a ``weight``
    (:func:`weighed`).
    """
    found = answers(head, some)
    rows, first = np.arange(len(some)), found["match"].argmax(1)
    answered = {
        "match": found["match"][rows, first],
        "z": some.score[rows, first].astype(float),
        "right": found["video"][rows, first],
        "frames": some.frames.astype(float),
        "present": some.present.astype(float),
    }
    return weighed(answered)


def weighed(some: dict[str, Floats], share: float = PRESENT) -> dict[str, Floats]:
    """With weights by which worlds count alike and so large a share of each one's questions ask for
    what is there.
    """
    weight = np.zeros(len(some["frames"]))
    for world in np.unique(some["frames"]):
        for present, part in ((1, share), (0, 1 - share)):
            chosen = (some["frames"] == world) & (some["present"] == present)
            weight[chosen] = part / max(chosen.sum(), 1)
    return {**some, "weight": weight / weight.sum()}


def joined(each: Mapping[str, dict[str, Floats]]) -> dict[str, Floats]:
    """Answers of several encoders, by their names, each encoder as much as it counts."""
    others = len(each) - (BUILT_IN in each)
    rest = 1 - OF_BUILT_IN * (BUILT_IN in each and others > 0)
    counts = {n: 1 - rest if n == BUILT_IN and others else rest / max(others, 1) for n in each}
    parts = [{**some, "weight": some["weight"] * counts[n]} for n, some in each.items()]
    return {name: np.concatenate([one[name] for one in parts]) for name in parts[0]}


def stranger(name: str, heads: Mapping[str, UniversalHead]) -> UniversalHead:
    """The first of the heads, by the family that each was trained without, of which family the
    encoder is; one of no family ("") may be asked about all.

    Raises:
        ValueError: there is none.
    """
    families = recipe_of(name).families
    for family, head in heads.items():
        if not family or family in families:
            return head
    raise ValueError(f"{name} is of {', '.join(sorted(families))}: no head was trained without")


def drawn(some: dict[str, Floats], count: int = 100_000) -> dict[str, Floats]:
    """So many rows by their weights, evenly: as if all weighed the same. They are more than the
    answers are: of fewer it would depend on which ones were drawn.
    """
    places = (np.arange(count) + 0.5) / count
    rows = np.searchsorted(some["weight"].cumsum() / some["weight"].sum(), places)
    return {name: values[np.minimum(rows, len(values) - 1)] for name, values in some.items()}


def fitted(some: dict[str, Floats], accepted: float = ACCEPTED) -> Calibration:
    """The numbers for these answers."""
    some = drawn(some)
    size = -np.log(some["frames"] / 1000)
    right: NDArray[np.bool_] = some["right"] > 0
    said = some["match"] + Z_SHARE * some["z"]
    (slope, of_size), bias = logistic_fit(np.stack([said, size], 1), right)
    blank = {
        "score_weight": 0.0,
        "slope": float(slope),
        "bias": float(bias),
        "size_weight": max(float(of_size), 0.0),
        "z_weight": float(Z_SHARE * slope),
        "fewest_frames": float(some["frames"].min()),
        "threshold": 1.0,
        "sure": 1.0,
        "absent": 1 - float(some["present"].mean()),
        "absent_of_wrong": 1 - float(some["present"][~right].mean()),
    }
    probability = probabilities(Calibration.model_validate(blank), some)
    threshold = float(np.quantile(probability[right], 1 - accepted))
    order = np.argsort(-probability)
    precision = right[order].cumsum() / np.arange(1, len(order) + 1)
    enough = np.flatnonzero((precision >= SURE) & (np.arange(len(order)) + 1 >= FEWEST_SURE))
    sure = max(float(probability[order[enough[-1]]]) if len(enough) else 1.0, threshold)
    return Calibration.model_validate(
        {n: round(v, 5) for n, v in {**blank, "threshold": threshold, "sure": sure}.items()}
    )


def probabilities(calibration: Calibration, some: dict[str, Floats]) -> Floats:
    """How likely each first candidate is right."""
    found = np.empty(len(some["match"]))
    for frames in np.unique(some["frames"]):
        rows = some["frames"] == frames
        found[rows] = calibration.probability(some["match"][rows], some["z"][rows], int(frames))
    return found


def error(calibration: Calibration, some: dict[str, Floats]) -> float:
    """Expected calibration error in per cent, by the weights of the questions."""
    even = drawn(some)
    return calibration_error(probabilities(calibration, even), even["right"] > 0)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("heads", nargs="+", metavar="[FAMILY=]HEAD", help="see above")
    p.add_argument("--towers", type=Path, required=True)
    p.add_argument("--encoders", nargs="*", default=[*RECIPES, BUILT_IN])
    p.add_argument("--check", nargs="*", default=[], help="tell the error of these, fit on others")
    p.add_argument("--out", type=Path, required=True)
    args = p.parse_args()
    named = [one.rpartition("=") for one in args.heads]
    heads = {family: load_head(Path(path)) for family, _, path in named}
    each = {
        name: firsts(stranger(name, heads), questions(args.towers, [name], "val")[0])
        for name in dict.fromkeys([*args.encoders, *args.check])
    }
    calibration = fitted(joined({n: some for n, some in each.items() if n not in args.check}))
    args.out.write_text(json.dumps(calibration.model_dump(), indent=1))
    print(calibration)
    for name, some in each.items():
        half = error(calibration, weighed(some, 0.5))
        print(f"{name}: error {error(calibration, some):.1f} %, half absent {half:.1f} %")


if __name__ == "__main__":
    main()
