"""What the loop loses by coarser region vectors: answers to queries, by code, to be compared.

    python -m tests.bench.region_codes ARCHIVE QUERIES.jsonl OUT CODE…
    vsr-edge eval QUERIES.jsonl --compare OUT/int8.jsonl OUT/float16.jsonl

A code is float16, int8 (a scale a region), or turned1 to turned4: so many bits a number, after a
random rotation, by the quantiser of Lloyd and Max for the normal distribution; the last number,
hubness, is kept. frame: a frame is its own nine regions. Everything else is the real search; the
archive is not changed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from unittest.mock import patch

import numpy as np

from vsr_edge import open_archive
from vsr_edge.evaluation.benchmarks import read_queries
from vsr_edge.evaluation.evaluate import run_queries, save_run
from vsr_edge.query import SearchOptions
from vsr_edge.store.sqlite import LocalStore
from vsr_edge.types import FrameFeatures, Vectors

SAMPLES, ROUNDS = 200_000, 300


def int8(rows: Vectors) -> Vectors:
    scale = np.maximum(np.abs(rows).max(1, keepdims=True) / 127, 1e-6).astype(np.float16)
    return np.asarray(np.rint(rows / scale).clip(-127, 127) * scale, np.float32)


def turned(rows: Vectors, bits: int) -> Vectors:
    whole, hubness = rows[:, :-1], rows[:, -1:]
    dim = whole.shape[1]
    rotation = _rotation(dim)
    numbers = whole @ rotation
    levels = _levels(bits)
    spread = np.linalg.norm(numbers, axis=1, keepdims=True) / np.sqrt(dim)
    nearest = np.searchsorted((levels[1:] + levels[:-1]) / 2, numbers / spread)
    coded = levels[nearest].astype(np.float32)
    scale = (numbers * coded).sum(1, keepdims=True) / (coded**2).sum(1, keepdims=True)
    return np.concatenate([(coded * scale) @ rotation.T, hubness], 1)


@cache
def _rotation(dim: int) -> Vectors:
    rotation, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((dim, dim)))
    return np.asarray(rotation, np.float32)


@cache
def _levels(bits: int) -> Vectors:
    samples = np.sort(np.random.default_rng(0).standard_normal(SAMPLES))
    count = 2**bits
    levels = np.quantile(samples, (np.arange(count) + 0.5) / count)
    for _ in range(ROUNDS):
        cell = np.searchsorted((levels[1:] + levels[:-1]) / 2, samples)
        levels = np.bincount(cell, samples, count) / np.bincount(cell, minlength=count)
    return np.asarray((levels - levels[::-1]) / 2, np.float32)


def coded(frames: FrameFeatures, code: str) -> FrameFeatures:
    """The frames as they would be read from an archive of that code."""
    cells = frames.regions
    if cells is None or code == "float16":
        return frames
    if code == "frame":
        return replace(frames, regions=np.repeat(frames.vectors[:, None], cells.shape[1], 1))
    rows = cells.reshape(-1, cells.shape[-1]).astype(np.float32)
    found = int8(rows) if code == "int8" else turned(rows, int(code.removeprefix("turned")))
    return replace(frames, regions=found.astype(np.float16).reshape(cells.shape))


def main(archive: Path, queries: Path, out: Path, codes: Sequence[str]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    asked = read_queries(queries, "jsonl")
    options = SearchOptions().changed(top_k=10)
    with open_archive(archive) as opened:
        videos = opened.videos()
        lengths = {str(one.video.path): one.video.duration for one in videos}
        stored = {one.video_id: opened.store.frames(one.video_id, regions=True) for one in videos}
        for code in codes:
            known = {number: coded(frames, code) for number, frames in stored.items()}

            def frames_of(
                _: LocalStore,
                spans: Sequence[tuple[int, int, int]],
                *,
                regions: bool = False,
                known: dict[int, FrameFeatures] = known,
            ) -> list[FrameFeatures]:
                found = [known[number][first : last + 1] for number, first, last in spans]
                return found if regions else [replace(one, regions=None) for one in found]

            with patch.object(LocalStore, "frames_of", frames_of):
                run = run_queries(
                    lambda query: opened.search(query, options), asked, lengths, lambda *_: None
                )
            save_run(run, out / f"{code}.jsonl", "jsonl")
            print(out / f"{code}.jsonl", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
