"""What each code of region vectors takes, and what the loop loses by it.

    python -m tests.bench.region_codes ARCHIVE QUERIES.jsonl OUT [STEP/START [HEADS]]
    vsr-edge eval QUERIES.jsonl --compare OUT/int8.jsonl OUT/float16.jsonl

Copies an archive whose regions are float16 under each code into OUT, says what its tables take on
pages of SQLite, what a turn takes to read (16 candidates of 11 frames), and answers every STEPth
query from START with it, to be compared.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import cast, get_args

import numpy as np

from vsr_edge import open_archive
from vsr_edge.evaluation.benchmarks import read_queries
from vsr_edge.evaluation.evaluate import run_queries, save_run
from vsr_edge.ingest.clips import clip_vectors
from vsr_edge.query import HeadsChoice, SearchOptions
from vsr_edge.store import open_store
from vsr_edge.store.base import Store
from vsr_edge.types import Regions

CANDIDATES, FRAMES, TRIES = 16, 11, 20


def copy(source: Store, folder: Path, code: Regions) -> None:
    with (
        open_store(folder, bundle_id=source.bundle_id, dim=source.dim, create=True) as store,
        store.writer() as writer,
    ):
        for one in source.videos():
            frames = source.frames(one.video_id, regions=code != "none")
            windows = [clip.window for clip in source.clips(one.video_id)]
            with writer.begin(one.video, replace(one.sampling, regions=code)) as entry:
                entry.add_frames(frames)
                entry.finish(windows, clip_vectors(frames.vectors, windows), partial=one.partial)


def sizes(folder: Path) -> dict[str, int]:
    with closing(sqlite3.connect(folder / "archive.db")) as connection:
        tables = "SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC"
        found = dict(connection.execute(tables).fetchall())
    beside = sum(file.stat().st_size for file in folder.glob("clips.*"))
    return {"all": sum(found.values()) + beside, "vector file": beside} | found


def reading_ms(store: Store) -> float:
    """The least processor time of some turns over random candidates."""
    rng = np.random.default_rng(0)
    long = [one for one in store.videos() if one.frames >= FRAMES]
    spent = []
    for _ in range(TRIES):
        some = [long[place] for place in rng.integers(len(long), size=CANDIDATES)]
        first = [int(rng.integers(one.frames - FRAMES + 1)) for one in some]
        spans = [(v.video_id, f, f + FRAMES - 1) for v, f in zip(some, first, strict=True)]
        began = time.process_time()
        for read in store.frames_of(spans, regions=True):
            if read.regions is not None:
                read.regions.astype(np.float32)  # as the heads take them
        spent.append(time.process_time() - began)
    return min(spent) * 1000


def main(archive: Path, queries: Path, out: Path, part: str = "1/0", heads: str = "auto") -> None:
    step, start = map(int, part.split("/"))
    asked = read_queries(queries, "jsonl")[start::step]
    options = SearchOptions().changed(top_k=10, heads=cast("HeadsChoice", heads))
    out.mkdir(parents=True, exist_ok=True)
    for code in get_args(Regions):
        folder = out / code
        if not folder.exists():
            with open_store(archive) as source:
                copy(source, folder, code)
        with open_archive(folder) as opened:
            hours = opened.stats().hours
            for name, taken in sizes(folder).items():
                if taken > 100_000:
                    print(f"{code}: {name}: {taken / hours / 1e6:.2f} MB an hour", flush=True)
            print(f"{code}: a turn is read in {reading_ms(opened.store):.2f} ms", flush=True)
            lengths = {str(one.video.path): one.video.duration for one in opened.videos()}
            run = run_queries(
                lambda query: opened.search(query, options), asked, lengths, lambda *_: None
            )
        save_run(run, out / f"{code}.jsonl", "jsonl")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:])
