"""How a store behaves as it grows: cold and warm searches, filters, one more video, memory.

What is measured runs by itself too, so that two versions can be held against each other:

    python -m tests.bench.test_growth FOLDER [VIDEOS ...]
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.bench.figures import percentiles, show
from vsr_edge.query import Filter
from vsr_edge.store import open_store
from vsr_edge.store.base import Store
from vsr_edge.types import ClipWindow, FrameFeatures, Sampling, Vectors, Video

DIM, CLIPS = 384, 1000
ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

# Each is run in a process of its own, as a command is, that says how many seconds it took.
COLD = """
import sys, time
begun = time.perf_counter()
import numpy as np
from vsr_edge.store import open_store
with open_store(sys.argv[1]) as store:
    query = np.random.default_rng(1).standard_normal(store.dim).astype(np.float32)
    assert len(store.search(query, 100)) == 100 and not store.notices
seconds = time.perf_counter() - begun
"""
ONE_MORE = """
import sys, time
begun = time.perf_counter()
from tests.bench.test_growth import add
from vsr_edge.store import open_store
with open_store(sys.argv[1]) as store:
    prepared = time.perf_counter()
    add(store, int(sys.argv[2]), 1)
seconds = time.perf_counter() - begun
"""
TELL = """
kept = dict(line.split(":") for line in open("/proc/self/status") if line[:3] in ("Rss", "VmH"))
print(seconds, int(kept["RssAnon"].split()[0]) / 1000, int(kept["VmHWM"].split()[0]) / 1000)
"""


def scenes(random: np.random.Generator, count: int) -> Vectors:
    """Clips of ten scenes, near to one another in each."""
    centres = random.standard_normal((10, DIM))
    vectors = np.repeat(centres, count // 10, axis=0)
    vectors += 0.5 * random.standard_normal(vectors.shape)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def add(store: Store, first: int, count: int) -> None:
    """Index made-up videos of a thousand clips each."""
    times = np.arange(2, dtype=np.float64)
    with store.writer() as writer:
        for number in range(first, first + count):
            vectors = scenes(np.random.default_rng(number), CLIPS).astype(np.float16)
            video = Video(
                Path(f"/footage/{number:05}.mp4"), str(number), 1, 1, 2.0, 640, 360, 0,
                "h264", "mp4", 25.0, 0,
            )  # fmt: skip
            with writer.begin(video, Sampling()) as entry:
                entry.add_frames(FrameFeatures(times, vectors[:2], None))
                entry.finish([ClipWindow(0.0, 1.0, 0, 1)] * CLIPS, vectors)


def alone(code: str, *arguments: object) -> tuple[float, float, float]:
    """Seconds, memory of its own at the end, and the most resident memory, both in MB."""
    done = subprocess.run(
        [sys.executable, "-c", code + TELL, *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": "."},
    )  # fmt: skip
    seconds, own, most = map(float, done.stdout.split())
    return seconds, own, most


def measure(folder: Path, videos: int) -> dict[str, float]:
    """The figures of an archive of so many videos; it is there or is made, and grows by one."""
    if not folder.exists():
        with open_store(folder, bundle_id="bench", dim=DIM, create=True) as store:
            add(store, 0, videos)
    runs = [alone(COLD, folder) for _ in range(4)][1:]
    figures = {"cold_s": min(run[0] for run in runs), "own_MB": runs[0][1], "most_MB": runs[0][2]}
    with open_store(folder) as store:
        query = scenes(np.random.default_rng(7), 10)[0]
        store.search(query, 100)
        one_percent = Filter(tuple(f"{n:05}.mp4" for n in range(0, videos, 100)))
        half = Filter(("*[02468].mp4",))
        for name, where in (("warm", None), ("one_percent", one_percent), ("half", half)):
            middle, _ = percentiles(lambda: store.search(query, 100, where), 15)  # noqa: B023
            figures[f"{name}_ms"] = middle
    begun = time.perf_counter()
    figures["add_s"], figures["add_own_MB"], _ = alone(ONE_MORE, folder, videos)
    figures["add_command_s"] = time.perf_counter() - begun
    return figures


@pytest.fixture
def roomy(tmp_path: Path) -> Iterator[Path]:
    """A folder for several GB, emptied at once."""
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.mark.parametrize("videos", [10, 100, 1000])
def test_growth(videos: int, roomy: Path) -> None:
    show(f"store of {videos * CLIPS} clips", **measure(roomy / "archive", videos))


if __name__ == "__main__":
    for size in map(int, sys.argv[2:]):
        found = measure(Path(sys.argv[1]) / str(size), size)
        print(json.dumps({"clips": size * CLIPS} | {k: round(v, 3) for k, v in found.items()}))
