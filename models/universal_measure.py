"""What a universal head gains on an encoder, from questions whose answers are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.episodes import best_span
from models.universal import UniversalHead
from models.universal_worlds import INPUTS, Judged
from vsr_edge.evaluation.metrics import expected_calibration_error

IMPOSSIBLE, DRAWS = -30.0, 1000
# The columns of a candidate's evidence: its score in deviations, and the best fair one.
RETRIEVED, FAIR = 0, 1
Floats = NDArray[np.float64]


def run(head: nn.Module, some: Judged) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Match logits [n, K], and start, end and relevance logits [n, K, F]."""
    size = some.shown.shape
    given = [torch.from_numpy(some.inputs[name]).float().flatten(0, 1) for name in INPUTS]
    match, *spans = head(*given)
    start, end, relevance = (part.view(size) for part in spans)
    missing = torch.from_numpy(some.inputs["frame_mask"].any(2) == 0)
    return match.view(size[:2]).masked_fill(missing, IMPOSSIBLE), start, end, relevance


@torch.inference_mode()
def answers(head: UniversalHead, some: Judged, batch: int = 64) -> dict[str, Floats]:
    """Of n questions and K candidates: ``match`` logits, ``score`` and ``fair`` score in
    deviations, whether it lies in the right ``video``, and whether the ``moment`` is right too (IoU
    of 0.5 in frames), [n, K] each.
    """
    rows: dict[str, list[NDArray[np.float32]]] = {"match": [], "begin": [], "end": []}
    for at in range(0, len(some), batch):
        part = some.chosen(np.arange(at, min(at + batch, len(some))))
        match, start, end, _ = run(head, part)
        for name, values in zip(rows, (match, *best_span(start, end)), strict=True):
            rows[name].append(values.numpy())
    logits, begins, ends = (np.concatenate(values) for values in rows.values())
    from_frame, to_frame = begins + some.first, ends + some.first
    first, last = some.span[:, :1], some.span[:, 1:]
    shared = np.maximum(np.minimum(to_frame, last) - np.maximum(from_frame, first) + 1, 0)
    union = np.maximum(to_frame, last) - np.minimum(from_frame, first) + 1
    return {
        "match": logits.astype(float),
        "score": some.inputs["candidate"][..., RETRIEVED].astype(float),
        "fair": some.inputs["candidate"][..., FAIR].astype(float),
        "video": some.video.astype(float),
        "moment": some.video * (shared / union >= 0.5).astype(float),
    }


def measured(some: Judged, heads: Sequence[UniversalHead]) -> list[dict[str, object]]:
    """For clips and for videos, in per cent: one shot and verified, and their difference with its
    95 % interval over photos, the heads' mean; AUC of right first answers against questions
    about what is not there, by the match logit and by the first score.
    """
    each = [answers(head, some) for head in heads]
    found: list[dict[str, object]] = []
    for name, chosen in (("clips", ~some.by_video), ("videos", some.by_video)):
        there = chosen & some.present
        asked = np.stack([some.world, some.span[:, 0]], 1)[there]
        photo = np.unique(asked, axis=0, return_inverse=True)[1].ravel()
        row: dict[str, object] = {"units": name, "questions": int(there.sum())}
        for what in ("video", "moment"):
            once = np.mean([one[what][there, 0] for one in each], 0)
            best = np.mean([_picked(one[what], one["match"])[there] for one in each], 0)
            low, high = interval(best - once, photo)
            row[what] = {
                "once": _rounded(once.mean()),
                "verified": _rounded(best.mean()),
                "gain": [_rounded(v) for v in (float((best - once).mean()), low, high)],
            }
        row["reachable"] = _rounded(some.video[there].any(1).mean())
        row["auc match"] = _rounded(
            float(np.mean([_auc_of(some, o, o["match"], chosen) for o in each]))
        )
        row["auc score"] = _rounded(_auc_of(some, each[0], each[0]["score"], chosen))
        row["auc fair"] = _rounded(_auc_of(some, each[0], each[0]["fair"], chosen))
        first = some.score.astype(float) - IMPOSSIBLE * (np.arange(some.score.shape[1]) == 0)
        row["auc above any"] = _rounded(_auc_of(some, each[0], first, chosen))
        found.append(row)
    return found


def _picked(values: Floats, order: Floats) -> Floats:
    """Of each question, what the candidate with the largest ``order`` has."""
    return values[np.arange(len(values)), order.argmax(1)]


def _auc_of(
    some: Judged, found: dict[str, Floats], order: Floats, chosen: NDArray[np.bool_]
) -> float:
    best, right = order.max(1), _picked(found["video"], order) > 0
    return auc(best[chosen & some.present & right], best[chosen & ~some.present])


def auc(right: Floats, wrong: Floats) -> float:
    """How often a right one lies above a wrong one; a tie is half."""
    order = np.sort(wrong)
    below = (np.searchsorted(order, right) + np.searchsorted(order, right, "right")) / 2
    return float(below.mean() / max(len(wrong), 1))


def interval(values: Floats, owner: NDArray[np.int64], seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of a mean, by drawing owners again; ``owner`` [n] numbers them from 0."""
    sums, counts = np.bincount(owner, values), np.bincount(owner)
    drawn = np.random.default_rng(seed).integers(len(sums), size=(DRAWS, len(sums)))
    low, high = np.quantile(sums[drawn].sum(1) / counts[drawn].sum(1), (0.025, 0.975))
    return float(low), float(high)


def calibration_error(probability: Floats, right: NDArray[np.bool_]) -> float:
    """Expected calibration error in per cent."""
    return 100 * float(expected_calibration_error(probability, right))


def _rounded(share: float) -> float:
    return round(100 * float(share), 1)
