"""What a filter costs, against the same search without it, in one run.

A hundred thousand clips of a second each, as a camera records them in 28 hours: in a hundred files,
and in ten thousand. Each search has a filter that none before it had, so that nothing of it is
known yet; ``again`` is one that was asked before. What the machine does besides shows in
``none_again``, the search without a filter once more. It runs by itself too:

    python -m tests.bench.test_filters FOLDER
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from tests.bench.figures import shortest, show
from tests.bench.test_growth import DIM, scenes
from vsr_edge.query import Daily, Filter
from vsr_edge.store import open_store
from vsr_edge.store.base import Store
from vsr_edge.types import ClipWindow, FrameFeatures, Recorded, Sampling, Video

CLIPS, K, ROUNDS = 100_000, 100, 31
# Midnight in Berlin.
BEGIN = 1_772_578_800.0
SHARES = (0.01, 0.1, 1.0)

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]


def fill(store: Store, videos: int) -> None:
    """Footage without a gap, in so many files, of which one in a hundred and so on has a tag."""
    length = CLIPS // videos
    windows = [ClipWindow(float(i), i + 1.0, 0, 0) for i in range(length)]
    with store.writer() as writer:
        for number in range(videos):
            vectors = scenes(np.random.default_rng(number), length).astype(np.float16)
            video = Video(
                Path(f"/footage/{number:05}.mp4"), str(number), 1, 1, float(length), 640, 360, 0,
                "h264", "mp4", 25.0, 0,
            )  # fmt: skip
            tags = [f"share-{share}" for share in SHARES if number % round(1 / share) == 0]
            recorded = Recorded(BEGIN + number * length, "name")
            with writer.begin(video, Sampling(), recorded=recorded, tags=tags) as entry:
                entry.add_frames(FrameFeatures(np.zeros(1), vectors[:1], None))
                entry.finish(windows, vectors)


def measure(folder: Path, videos: int) -> dict[str, float]:
    """Milliseconds, the median: without a filter, and with one of each kind and share; of what
    keeps all, also by how much it is more than none in the same round, in percent.
    """
    with open_store(folder, bundle_id="bench", dim=DIM, create=True, threads=1) as store:
        if not store.stats().videos:
            fill(store, videos)
        query = scenes(np.random.default_rng(7), 10)[0]
        new = (number / 4096 for number in count())

        def since(share: float) -> Filter:
            # From amid a file on; all of it lies within the longest.
            start = BEGIN + (1 - share) * CLIPS - 10.5 * (share == 1) + next(new)
            return Filter(after=start - 0.5, before=BEGIN + CLIPS + 1)

        def daily(share: float) -> Filter:
            # Of the 28 hours, the first four come twice.
            until = {0.01: 8 * 3600 + 1000, 0.1: 8 * 3600 + 10_000, 1.0: 86_400}[share]
            since = 0 if share == 1 else 8 * 3600
            return Filter(
                between=Daily(since, until, "Europe/Berlin"), max_duration=1e6 + next(new)
            )

        def tagged(share: float) -> Filter:
            return Filter(tags=(f"share-{share}",), max_duration=1e6 + next(new))

        kept = since(0.1)
        cases: dict[str, Callable[[], Filter | None]] = {"none": lambda: None}
        for share in SHARES:
            for kind in (since, daily, tagged):
                cases[f"{kind.__name__}_{share:.0%}"] = lambda kind=kind, share=share: kind(share)  # type: ignore[misc]
        cases["again_10%"] = lambda: kept
        cases["none_again"] = lambda: None
        times: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(ROUNDS):  # in turns, so that what disturbs one disturbs all
            for name, make in cases.items():
                where = make()
                if name == "again_10%":
                    store.search(query, K, where)
                times[name].append(shortest(lambda: store.search(query, K, where), 1))  # noqa: B023
        found = {f"{name}_ms": median(taken) * 1e3 for name, taken in times.items()}
        for name in (*(one for one in cases if one.endswith("100%")), "none_again"):
            more = median(a / b for a, b in zip(times[name], times["none"], strict=True)) - 1
            found[f"{name}_more_%"] = 100 * more
        return found


@pytest.mark.parametrize("videos", [100, 10_000])
def test_filters(videos: int, tmp_path: Path) -> None:
    show(f"{CLIPS} clips of {videos} files", **measure(tmp_path / "archive", videos))
    shutil.rmtree(tmp_path / "archive", ignore_errors=True)


if __name__ == "__main__":
    for number in (100, 10_000):
        found = measure(Path(sys.argv[1]) / str(number), number)
        print(number, "files:", ", ".join(f"{name} {ms:.2f}" for name, ms in found.items()))
