"""Highlights: which short clips of a video matter to the query (QVHighlights).

Three annotators gave each relevant clip of 2 s a score from 0 (very bad) to 4 (very good); a clip
is positive from 2 ("Fair"), 3 ("Good") or 4 ("VeryGood") on. Conventions of moment_detr's
``standalone_eval`` (Lei et al. 2021).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

CLIP_SECONDS: Final = 2.0
LEVELS: Final = {"Fair": 2, "Good": 3, "VeryGood": 4}


def saliency_matrix(
    duration: float, scores: Mapping[int, Sequence[float]], annotators: int = 3
) -> NDArray[np.float64]:
    """The annotators' scores of every clip: float [clips, annotators], 0 for clips not relevant.

    A video of ``duration`` seconds has ⌊duration / 2⌋ clips. Raises ``IndexError`` for a clip
    beyond the end.
    """
    matrix = np.zeros((int(duration / CLIP_SECONDS), annotators))
    for clip, values in scores.items():
        matrix[clip] = values
    return matrix


def clip_average_precision(positive: ArrayLike, scores: ArrayLike) -> float:
    """Average precision of clips ranked by ``scores`` [n] against ``positive`` bool [p], in [0, 1].

    moment_detr's ``get_ap``: scores are cut, or filled up with 0, to p clips; clips of equal score
    count as one step; precision is interpolated; the result is its plain mean over the steps at
    which recall rises. 0 without positives, 1 where all are positive.
    """
    truth = np.asarray(positive, dtype=bool)
    if not truth.any():
        return 0.0
    if truth.all():
        return 1.0
    values = np.zeros(len(truth))
    given = np.asarray(scores, dtype=np.float64)[: len(truth)]
    values[: len(given)] = given
    order = np.argsort(-values, kind="stable")
    last_of_step = np.append(np.diff(values[order]) != 0, True)
    found = np.cumsum(truth[order])[last_of_step]
    precision = found / (np.flatnonzero(last_of_step) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    rises = np.diff(found, prepend=0) > 0
    return float(best_from_here[rises].mean())


def saliency_average_precision(positive: ArrayLike, scores: ArrayLike) -> float:
    """Mean over annotators of the average precision: ``positive`` bool [clips, annotators]."""
    columns = np.asarray(positive, dtype=bool).T
    return float(np.mean([clip_average_precision(column, scores) for column in columns]))


def hit_at_one(positive: ArrayLike, scores: ArrayLike) -> bool:
    """HIT@1: is the clip of the highest score positive for any annotator (bool [clips, a])?

    Of equal scores the first counts; a clip beyond the annotated ones is a miss, and so is no clip.
    """
    truth, values = np.asarray(positive, dtype=bool), np.asarray(scores, dtype=np.float64)
    if not len(values):
        return False
    best = int(values.argmax())
    return best < len(truth) and bool(truth[best].any())
