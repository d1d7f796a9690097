"""Retrieval alone: what one vector a frame, clip, scene or video finds, with and without hubness.

    python -m tests.bench.granularity ARCHIVE QUERIES.jsonl [BUNDLE]

The units are made anew of the archive's stored frames, so that one archive of any granularity will
do. A video's score is that of its best unit. Without hubness: the last number of every vector left
out, which is right for bundles that keep it there, such as the built-in one.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np

from vsr_edge import open_archive
from vsr_edge.evaluation.benchmarks.queries import read_queries
from vsr_edge.evaluation.bootstrap import Ratio, ratio_intervals
from vsr_edge.evaluation.records import is_video
from vsr_edge.ingest.clips import clip_vectors, cut
from vsr_edge.types import Granularity

CUTOFFS = (1, 5, 10)


def main(archive: Path, queries: Path, bundle: str) -> None:
    asked = [query for query in read_queries(queries, "jsonl") if query.present]
    with open_archive(archive, bundle=bundle) as opened:
        stored = opened.videos()
        frames = [opened.store.frames(one.video_id) for one in stored]
        texts = np.concatenate([opened.bundle.encode_text([query.query]) for query in asked])
    right = [
        next(n for n, one in enumerate(stored) if is_video(query.video or "", str(one.video.path)))
        for query in asked
    ]
    for granularity in get_args(Granularity):
        units, owners = [], []
        for number, (one, seen) in enumerate(zip(stored, frames, strict=True)):
            sampling = replace(one.sampling, granularity=granularity)
            windows = cut(seen, one.video.duration, sampling)
            units.append(clip_vectors(seen.vectors, windows).astype(np.float32))
            owners += [number] * len(windows)
        vectors = np.concatenate(units)
        firsts = np.flatnonzero(np.diff(owners, prepend=-1))
        for hubness in (True, False):
            dims = None if hubness else -1
            some, query = np.ascontiguousarray(vectors[:, :dims]), texts[:, :dims]
            started = time.perf_counter()
            scores = np.stack([some @ one for one in query])
            milliseconds = 1000 * (time.perf_counter() - started) / len(query)
            best = np.maximum.reduceat(scores, firsts, axis=1)
            own = best[np.arange(len(right)), right]
            rank = (best > own[:, None]).sum(1)
            found = {
                f"R@{k}": [
                    round(100 * x, 1)
                    for (i,) in [
                        ratio_intervals([Ratio.mean((rank < k).astype(float))], np.array(right))
                    ]
                    for x in (i.estimate, i.low, i.high)
                ]
                for k in CUTOFFS
            }
            size = {"vectors": len(some), "MB": round(2 * some.size / 1e6, 2)}
            row = {"unit": granularity, "hubness": hubness, **size, "ms": round(milliseconds, 2)}
            print(json.dumps({**row, **found}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] if sys.argv[3:] else "lite")
