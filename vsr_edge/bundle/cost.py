"""What a bundle costs on this machine: its size, and what a frame, a query and a turn take.

Bundles are measured side by side, in rounds: what else the machine does meanwhile falls on all of
them, so that their ratios say more than the milliseconds do.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from vsr_edge.bundle.locate import bundle_name
from vsr_edge.bundle.manifest import EVIDENCE, GROUNDING, REACH, REFINER
from vsr_edge.bundle.model import Bundle, load_bundle
from vsr_edge.query import SearchOptions
from vsr_edge.runtime.heads import Footage
from vsr_edge.types import Pixels, Seconds

# As long as most queries are; what is said in it costs nothing.
SENTENCE = "a man in a red jacket leans a bicycle against a wall"
# Even of a slow bundle, so many rounds: of fewer there is no median.
FEWEST_ROUNDS = 3

Part: TypeAlias = tuple[Callable[[], object], int]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a bundle takes: bytes on disk, and milliseconds, medians over some rounds.

    ``load_ms``: from nothing to the first query's vector, as every cold search pays it: checksums,
    the text graph, one sentence. ``frame_ms``: of one frame, encoded with its regions, in batches
    that suit the provider; decoding is not in it. ``query_ms``: of one sentence.
    ``turn_ms``: of a turn of the loop that is not sure: the query encoded, candidates verified, the
    query refined; without what retrieving takes in an archive. None where the bundle has no
    verifier of its own: what the universal one takes depends on the archive too.
    """

    bundle_name: str
    bundle_id: str
    provider: str
    threads: int
    size_bytes: int
    load_ms: float
    frame_ms: float
    query_ms: float
    turn_ms: float | None

    @property
    def frames_per_second(self) -> float:
        return 1000 / self.frame_ms


def measure_costs(
    bundles: Sequence[str | Path],
    *,
    provider: str = "cpu",
    threads: int = 0,
    seconds: Seconds = 3.0,
) -> list[Cost]:
    """The cost of each bundle, named as for :func:`load_bundle`, measured in about ``seconds``
    beside loading them; slow ones take longer.

    Raises:
        BundleNotFound, BundleDamaged, ProviderError: one of them cannot be used here.
    """
    with ExitStack() as opened:
        loaded: list[Bundle] = []
        loading: list[float] = []
        for name in bundles:
            started = time.perf_counter()
            bundle = opened.enter_context(load_bundle(name, provider=provider, threads=threads))
            bundle.encode_queries([SENTENCE])
            loading.append(_since(started))
            loaded.append(bundle)
        parts = [_parts(bundle) for bundle in loaded]
        for work, _ in (part for each in parts for part in each.values()):
            work()  # graphs are loaded at their first run, and some kernels chosen
        took: list[dict[str, list[float]]] = [{name: [] for name in each} for each in parts]
        ends, rounds = time.perf_counter() + seconds, 0
        while rounds < FEWEST_ROUNDS or time.perf_counter() < ends:
            for each, times in zip(parts, took, strict=True):
                for name, (work, count) in each.items():
                    started = time.perf_counter()
                    work()
                    times[name].append(_since(started) / count)
            rounds += 1
        return [
            _cost(bundle, load_ms, {name: statistics.median(ms) for name, ms in times.items()})
            for bundle, load_ms, times in zip(loaded, loading, took, strict=True)
        ]


def _cost(bundle: Bundle, load_ms: float, medians: dict[str, float]) -> Cost:
    return Cost(
        bundle_name(bundle.manifest.folder),
        bundle.bundle_id,
        bundle.provider,
        bundle.threads,
        sum(entry.size_bytes for _, entry in bundle.manifest.named_files),
        load_ms,
        medians["frame"],
        medians["query"],
        medians.get("turn"),
    )


def _since(started: float) -> float:
    return 1000 * (time.perf_counter() - started)


def _parts(bundle: Bundle) -> dict[str, Part]:
    """What is timed, by name, each with how many of it one call does."""
    random = np.random.default_rng(0)
    side, batch = bundle.image_side, bundle.image_batch
    # As decoding hands them over.
    frames: Pixels = random.integers(0, 256, (batch, side, side, 3), dtype=np.uint8)
    parts: dict[str, Part] = {
        "frame": (lambda: bundle.encode_frames(frames), batch),
        "query": (lambda: bundle.encode_queries([SENTENCE]), 1),
    }
    if GROUNDING in bundle.manifest.files:
        candidates = _footage(bundle, random, SearchOptions().candidates, 2 * REACH + 1)
        rejected = _footage(bundle, random, EVIDENCE, 1)
        parts["turn"] = (lambda: _turn(bundle, candidates, rejected), 1)
    return parts


def _turn(bundle: Bundle, candidates: Footage, rejected: Footage) -> None:
    query = bundle.encode_queries([SENTENCE])
    bundle.judge(query, candidates)
    if REFINER in bundle.manifest.files:
        nothing = np.zeros(len(rejected), np.float32)
        soft_tokens = bundle.refine(query, rejected, nothing, nothing)
        bundle.encode_queries([SENTENCE], soft_tokens)


def _footage(bundle: Bundle, random: np.random.Generator, count: int, frames: int) -> Footage:
    """Unit vectors of nothing in particular: the heads take as long over any."""
    dims = bundle.manifest.dimensions
    vectors = random.standard_normal((count, frames, 1 + dims.regions, dims.embedding))
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    shown = vectors.astype(np.float32)
    return Footage(shown[:, :, 0], shown[:, :, 1:], np.ones((count, frames), np.float32))
