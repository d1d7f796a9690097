"""The gate before a bundle: int8 must agree with fp32 on what it was not calibrated on."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from vsr_edge.archive import Archive
from vsr_edge.config import usable_threads
from vsr_edge.runtime.encoder import TextEncoding
from vsr_edge.runtime.heads import Footage, Judgements, grounding_inputs, refiner_inputs
from vsr_edge.runtime.manifest import GROUNDING, REFINER
from vsr_edge.search.footage import Candidates, Shown, best_frames, footage, show
from vsr_edge.search.loop import CANDIDATES, CLIPS_PER_MOMENT, EVIDENCE

MIN_MEAN_COSINE = 0.99
MIN_LOWEST_COSINE = 0.95
MIN_TOP1_AGREEMENT = 0.95
# Vectors at the tolerated cosine differ by random amounts that move a lead by some 0.02.
DECIDED_MARGIN = 0.05


class ParityError(Exception):
    """A quantised graph differs from its source by more than the tolerance."""


@dataclass(frozen=True)
class Parity:
    """Agreement of one side, and its speed relative to fp32 on this machine (above 1: faster)."""

    mean_cosine: float
    lowest_cosine: float
    speedup: float
    samples: int

    def to_json(self) -> dict[str, float]:
        return {name: round(value, 5) for name, value in asdict(self).items()}


# Of the loop's heads: shares of candidates, and the cosine of soft tokens.
MIN_DECISIONS, MIN_SPANS, MIN_SOFT_COSINE = 0.99, 0.99, 0.99


def run_graph(
    path: Path, feeds: list[dict[str, NDArray[np.generic]]], output: str, repeats: int = 1
) -> tuple[NDArray[np.float32], float]:
    """One output over all batches, and the shortest time of a full pass in seconds."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = usable_threads()
    options.log_severity_level = 3
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        outputs = [session.run([output], feed)[0] for feed in feeds]
        times.append(time.perf_counter() - started)
    flat = [o.reshape(-1, o.shape[-1]) for o in outputs]
    return np.concatenate(flat).astype(np.float32), min(times)


def compare(
    source: Path, quantised: Path, feeds: list[dict[str, NDArray[np.generic]]], repeats: int = 3
) -> tuple[Parity, NDArray[np.float32], NDArray[np.float32]]:
    """Run both graphs on the same batches; also returns both sets of vectors [n, D]."""
    expected, slow = run_graph(source, feeds, "vector", repeats)
    found, fast = run_graph(quantised, feeds, "vector", repeats)
    cosines = (expected * found).sum(1)
    return (
        Parity(float(cosines.mean()), float(cosines.min()), slow / fast, len(cosines)),
        expected,
        found,
    )


def require(name: str, parity: Parity, min_cosine: float = MIN_MEAN_COSINE) -> None:
    """Raise ``ParityError`` where a side is past tolerance."""
    if parity.mean_cosine < min_cosine or parity.lowest_cosine < MIN_LOWEST_COSINE:
        raise ParityError(
            f"{name}: cosine to fp32 is {parity.mean_cosine:.4f} on average and "
            f"{parity.lowest_cosine:.4f} at worst; at least {min_cosine} and "
            f"{MIN_LOWEST_COSINE} are required. More or other calibration pictures may help."
        )


def top1_agreement(
    queries: tuple[NDArray[np.float32], NDArray[np.float32]],
    gallery: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> float:
    """Share of decided queries whose nearest picture agrees; each pair is (fp32, int8).

    Decided are those whose nearest picture leads by ``DECIDED_MARGIN`` in fp32: where two pictures
    match a query equally well or badly, which one comes first says nothing.
    """
    expected, found = (q @ g.T for q, g in zip(queries, gallery, strict=True))
    best, second = -np.partition(-expected, 1, axis=1)[:, :2].T
    decided = best - second > DECIDED_MARGIN
    agree = expected.argmax(1) == found.argmax(1)
    return float(agree[decided].mean()) if decided.any() else 1.0


@dataclass(frozen=True, slots=True, eq=False)
class HeadFeeds:
    """What a search puts before the heads for one query."""

    text: TextEncoding
    shown: list[Shown]

    def candidates(self) -> Footage:
        return footage(self.shown)


def head_feeds(archive: Archive, query: str) -> HeadFeeds:
    """The candidates that a search of the archive would judge first."""
    text = archive.bundle.encode_queries([query])
    hits = archive.store.search(text.vectors[0], CANDIDATES * CLIPS_PER_MOMENT)
    found = Candidates(archive.store, text.vectors[0]).new(hits, CANDIDATES)
    return HeadFeeds(text, show(archive.store, found))


def compare_heads(
    fp32: Mapping[str, Path], int8: Mapping[str, Path], feeds: Sequence[HeadFeeds]
) -> dict[str, Any]:
    """Pass the gate of grounding head and refiner; returns what the manifest records.

    Decisions are compared at the median logit, where a threshold separates as many as it can.

    Raises:
        ParityError: past tolerance.
    """
    judged = [grounding_inputs(feed.text, feed.candidates()) for feed in feeds if feed.shown]
    expected, slow = _judgements(fp32[GROUNDING], judged)
    found, fast = _judgements(int8[GROUNDING], judged)
    cut = float(np.median(np.concatenate([one.match for one in expected])))
    pairs = list(zip(expected, found, strict=True))
    decisions = np.concatenate([(a.match >= cut) == (b.match >= cut) for a, b in pairs])
    spans = np.concatenate(
        [np.abs(np.stack(a.spans()) - np.stack(b.spans())).max(0) <= 1 for a, b in pairs]
    )
    refined = [
        refiner_inputs(
            feed.text,
            best_frames(feed.shown[:EVIDENCE]),
            one.match[:EVIDENCE],
            np.array([s.window.unit_frames for s in feed.shown[:EVIDENCE]], np.float32),
        )
        for feed, one in zip([feed for feed in feeds if feed.shown], expected, strict=True)
    ]
    before, slow_refiner = run_graph(fp32[REFINER], refined, "soft_tokens", repeats=3)
    after, fast_refiner = run_graph(int8[REFINER], refined, "soft_tokens", repeats=3)
    lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    cosine = float(((before * after).sum(1) / lengths).mean())
    report = {
        GROUNDING: {
            "decisions_agree": round(float(decisions.mean()), 5),
            "spans_within_one_frame": round(float(spans.mean()), 5),
            "speedup": round(slow / fast, 3),
            "samples": len(decisions),
        },
        REFINER: {
            "soft_token_cosine": round(cosine, 5),
            "speedup": round(slow_refiner / fast_refiner, 3),
            "samples": len(refined),
        },
    }
    if decisions.mean() < MIN_DECISIONS or spans.mean() < MIN_SPANS or cosine < MIN_SOFT_COSINE:
        raise ParityError(
            f"heads differ from fp32: {report}; at least {MIN_DECISIONS} of decisions, "
            f"{MIN_SPANS} of spans and a cosine of {MIN_SOFT_COSINE} are required"
        )
    return report


def _judgements(
    path: Path, feeds: Sequence[dict[str, NDArray[np.float32]]], repeats: int = 3
) -> tuple[list[Judgements], float]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = usable_threads()
    options.log_severity_level = 3
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    times, outputs = [], []
    for _ in range(repeats):
        started = time.perf_counter()
        outputs = [Judgements(*session.run(None, feed)) for feed in feeds]
        times.append(time.perf_counter() - started)
    return outputs, min(times)
