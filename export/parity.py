"""The gate before a bundle: int8 must agree with fp32 on pictures it was not calibrated on."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from vsr_edge.config import usable_threads

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
