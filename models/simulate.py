"""The loop in feature space: how much each part of it gains, measured on worlds of unseen photos.

One-shot, verification alone, and verification with refinement are compared at equal numbers of
verified candidates. Figures are in per cent of the queries whose moment is in the world, but for
those about absent queries.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.data.worlds import GRANULARITIES, Candidates, Granularity
from models.episodes import Asked, Corpus, Episode, best_span
from models.grounding import GroundingHead
from models.refiner import Refiner
from vsr_edge.bundle.manifest import EVIDENCE

BATCH = 50


@torch.no_grad()
def simulate(
    corpus: Corpus,
    head: GroundingHead,
    refiner: Refiner | None,
    granularity: Granularity,
    *,
    worlds: int = 2,
    verified: int = 16,
    turns: int = 2,
    every: int = 3,
    use_evidence: bool = True,
    seed: int = 100,
) -> dict[str, float]:
    """Right video, and right moment (IoU ≥ 0.5 in frames), at first place.

    ``verified`` candidates are judged in all, in one turn or spread over ``turns``; every
    ``every``-th query is asked.
    """
    rows: dict[str, list[Tensor]] = {}
    absent_best: list[Tensor] = []
    for number in range(worlds):
        random = np.random.default_rng(seed + number)
        episode = corpus.world(len(corpus.views), len(corpus.views) // 5, random, mirror=0.0)
        for asked in _batches(episode, episode.present[number % every :: every], granularity):
            found = _measure(asked, head, refiner, verified, turns, use_evidence)
            for name, values in found.items():
                rows.setdefault(name, []).append(values)
        for asked in _batches(episode, episode.absent[number % every :: every], granularity):
            match, *_ = asked.judge(head, asked.retrieve(verified))
            absent_best.append(match.amax(1))
    figures = {name: torch.cat(values) for name, values in rows.items()}
    best, accepted = figures.pop("best_match"), figures.pop("best_right").bool()
    report = {name: round(100 * float(values.nanmean()), 2) for name, values in figures.items()}
    if accepted.any() and absent_best:
        denied = torch.cat(absent_best) < torch.quantile(best[accepted], 0.2)
        report["absent denied where 80 % of found are accepted"] = round(
            100 * float(denied.float().mean()), 2
        )
    return report


def validate(
    corpus: Corpus, head: GroundingHead, refiner: Refiner | None, worlds: int, **how: bool
) -> dict[Granularity, dict[str, float]]:
    """What :func:`simulate` says of clips and of videos."""
    return {
        one: simulate(corpus, head, refiner, one, worlds=worlds, **how) for one in GRANULARITIES
    }


def _batches(
    episode: Episode, numbers: NDArray[np.intp], granularity: Granularity
) -> Iterator[Asked]:
    for start in range(0, len(numbers), BATCH):
        yield Asked(episode, numbers[start : start + BATCH], granularity)


def _measure(
    asked: Asked,
    head: GroundingHead,
    refiner: Refiner | None,
    verified: int,
    turns: int,
    use_evidence: bool,
) -> dict[str, Tensor]:
    alone = asked.retrieve(verified)
    judged = _judged(asked, head, alone)
    found: dict[str, Tensor] = {
        "one-shot VR": judged["video"][:, 0],
        "one-shot VCMR": judged["moment"][:, 0],
        "reachable": judged["video"].amax(1),
        **_picked("verified", judged),
    }
    best = judged["match"].argmax(1, keepdim=True)
    found["best_match"] = judged["match"].gather(1, best)[:, 0]
    found["best_right"] = judged["video"].gather(1, best)[:, 0]
    found["mean IoU"] = judged["iou"].gather(1, judged["video"].argmax(1, keepdim=True))[:, 0]
    found["mean IoU"][judged["video"].amax(1) == 0] = torch.nan
    if refiner is None:
        return found
    share = verified // turns
    seen = alone.first(share)
    together = {name: values[:, :share] for name, values in judged.items()}
    for _ in range(turns - 1):
        match = together["match"][:, :EVIDENCE]
        soft = asked.soft_tokens(refiner, seen.first(match.shape[1]), match, use_evidence)
        refined = asked.encoded_with(soft)
        new = asked.retrieve(verified, refined).unseen(seen, share)
        for name, values in _judged(asked, head, new).items():
            together[name] = torch.cat([together[name], values], 1)
        seen = seen.with_more(new)
        found["drift cosine"] = (refined * asked.vectors).sum(1)
        first_frame = asked.ranges[(refined @ asked.units.T).argmax(1), 0]
        videos = torch.from_numpy(asked.world.videos)
        found["refined VR"] = (videos[first_frame] == _video(asked)).float()
    found["reachable by the loop"] = together["video"].amax(1)
    return found | _picked("loop", together)


def _judged(asked: Asked, head: GroundingHead, candidates: Candidates) -> dict[str, Tensor]:
    """Per candidate [B, K]: match logit, right video, IoU, right moment."""
    match, start, end, _ = asked.judge(head, candidates)
    begin, stop = best_span(start, end)
    begin, stop = (candidates.frames.gather(2, place[..., None])[..., 0] for place in (begin, stop))
    count = asked.shows.shape[1]
    frames = torch.arange(count)
    first_frame = torch.where(asked.shows, frames, count).amin(1)[:, None]
    last_frame = torch.where(asked.shows, frames, -1).amax(1)[:, None]
    shared = (torch.minimum(stop, last_frame) - torch.maximum(begin, first_frame) + 1).clamp(min=0)
    union = torch.maximum(stop, last_frame) - torch.minimum(begin, first_frame) + 1
    video = torch.from_numpy(asked.world.videos)[candidates.frames[..., 0]]
    right = (video == _video(asked)[:, None]).float()
    iou = shared / union * right
    return {"match": match, "video": right, "iou": iou, "moment": (iou >= 0.5).float()}


def _video(asked: Asked) -> Tensor:
    """The right video of each query, [B]."""
    return torch.from_numpy(asked.world.videos)[asked.shows.int().argmax(1)]


def _picked(name: str, judged: dict[str, Tensor]) -> dict[str, Tensor]:
    """What the candidate with the highest match logit is."""
    best = judged["match"].argmax(1, keepdim=True)
    return {
        f"{name} VR": judged["video"].gather(1, best)[:, 0],
        f"{name} VCMR": judged["moment"].gather(1, best)[:, 0],
    }
