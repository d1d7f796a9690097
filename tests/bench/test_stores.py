"""One archive in a folder and on a server: of ten thousand clips, a hundred thousand, a million.

It runs by itself too, of some sizes in thousands of clips, in a folder that it makes archives in:

    python -m tests.bench.test_stores FOLDER 10 100
    python -m tests.bench.test_stores FOLDER 1000 folder     # on no server

For a million it needs 5 GB of disk, with a server 20, and an hour, most of it for pgvector's graph.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from tests.bench.figures import show
from tests.bench.lifelike import CLIPS, ONE_PERCENT, Lifelike
from tests.bench.test_growth import alone
from tests.bench.test_serving import QUERIES
from tests.servers import Server, a_server
from vsr_edge import open_archive
from vsr_edge.archive import Archive
from vsr_edge.query import Filter
from vsr_edge.store import open_store

SEARCHES = 60

pytestmark = [pytest.mark.bench, pytest.mark.timeout(4 * 3600)]

# As a command does: from the start of Python to an answer.
COLD = """
import sys, time
begun = time.perf_counter()
from vsr_edge import open_archive
with open_archive(sys.argv[1]) as archive:
    assert archive.search("a red car near a wall", one_shot=True).moments
seconds = time.perf_counter() - begun
"""
# What is timed is the video alone; what it takes to open an archive is part of the cold start.
ONE_MORE = """
import sys, time
from tests.bench.lifelike import Lifelike
from vsr_edge import open_archive
from vsr_edge.store import open_store
with open_archive(sys.argv[1]) as archive:
    made = Lifelike(archive.bundle)
with open_store(sys.argv[1]) as store:
    begun = time.perf_counter()
    made.write([int(sys.argv[2])], store)
    seconds = time.perf_counter() - begun
"""


def made(folder: Path, videos: int) -> None:
    with open_archive(folder) as archive:
        bundle = archive.bundle
    with open_store(folder, bundle_id=bundle.encoders_id, dim=bundle.dim, create=True) as store:
        Lifelike(bundle).write(range(videos), store)


def moved(source: Path, url: str) -> float:
    """Seconds that it takes to bring an archive to a server, where need be with its graph."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "vsr_edge", "migrate", str(source), url]
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - begun


def searched(archives: Sequence[Archive], **how: object) -> list[tuple[float, float, float]]:
    """Of each the median and the 95th percentile in ms, and how many turns a search took.

    They are asked by turns: whatever else the machine does meets all of them.
    """
    took: list[list[float]] = [[] for _ in archives]
    turns = [0] * len(archives)
    for number in range(-5, SEARCHES):
        for place, archive in enumerate(archives):
            begun = time.perf_counter()
            found = archive.search(QUERIES[number % len(QUERIES)], **how)  # type: ignore[arg-type]
            if number >= 0:
                took[place].append((time.perf_counter() - begun) * 1e3)
                turns[place] += len(found.turns)
    return [
        (float(np.percentile(times, 50)), float(np.percentile(times, 95)), count / SEARCHES)
        for times, count in zip(took, turns, strict=True)
    ]


def resident_mb(server: Server) -> float:
    """What the processes of a server hold, pages that they share counted once."""
    (pid,) = (server.folder / "postmaster.pid").read_text("ascii").split("\n")[:1]
    held = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = (process / "stat").read_text("ascii").rsplit(")", 1)[1].split()[1]
            if pid in (process.name, parent):
                lines = (process / "smaps_rollup").read_text("ascii").splitlines()
                held += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except OSError:
            continue  # it has ended
    return held / 1000


def megabytes(place: Path | str) -> float:
    if isinstance(place, Path):
        return sum(file.stat().st_size for file in place.rglob("*") if file.is_file()) / 1e6
    import psycopg

    (schema,) = parse_qs(urlsplit(place).query)["schema"]
    address = place.replace(f"&schema={schema}", "")
    with psycopg.connect(address) as connection:
        row = connection.execute(
            "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n"
            " ON n.oid = c.relnamespace WHERE n.nspname LIKE %s AND c.relkind IN ('r', 'm')",
            [schema + "%"],
        ).fetchone()
    assert row is not None
    return float(row[0]) / 1e6


def measure(places: Sequence[Path | str], videos: Sequence[int]) -> list[dict[str, float]]:
    """The figures of archives of so many videos; each grows by five."""
    figures = [{"MB": megabytes(place)} for place in places]
    for found, place in zip(figures, places, strict=True):
        runs = [alone(COLD, place) for _ in range(4)][1:]
        found["cold_s"], found["own_MB"] = min(run[0] for run in runs), runs[0][1]
    with ExitStack() as opened:
        archives = [opened.enter_context(open_archive(place)) for place in places]
        for name, how in (
            ("one_shot", {"one_shot": True}),
            ("three_turns", {}),
            ("one_percent", {"one_shot": True, "where": Filter(tags=(ONE_PERCENT,))}),
        ):
            for found, (middle, late, turns) in zip(
                figures, searched(archives, **how), strict=True
            ):
                found |= {f"{name}_p50_ms": middle, f"{name}_p95_ms": late}
                if name == "three_turns":
                    found["turns"] = turns
    added: list[list[float]] = [[] for _ in places]
    for number in range(5):
        for seconds, place, count in zip(added, places, videos, strict=True):
            seconds.append(alone(ONE_MORE, place, count + number)[0])
    for found, seconds in zip(figures, added, strict=True):
        found["add_ms"] = float(np.median(seconds)) * 1e3
    return figures


def told(
    where: str, sizes: Sequence[int], figures: Sequence[dict[str, float]], **more: float
) -> None:
    """How a place does, each size beside the smallest."""
    for size, found in zip(sizes, figures, strict=True):
        ratios = {
            f"{name}_times": found[name] / figures[0][name]
            for name in ("one_shot_p50_ms", "three_turns_p50_ms", "add_ms")
        }
        show(f"{size},000 clips {where}", **found, **ratios, **more)


def compare(folder: Path, sizes: list[int], *, served: bool = True) -> None:
    """Print the figures of each size, in a folder and, unless ``served`` is false, on a server."""
    places, videos = (
        [folder / str(size) for size in sizes],
        [size * 1000 // CLIPS for size in sizes],
    )
    for place, count in zip(places, videos, strict=True):
        if not place.exists():
            made(place, count)
    told("in a folder", sizes, measure(places, videos))
    if not served:
        return
    with a_server() as server:
        urls = [server.url() for _ in places]
        took = [moved(*each) for each in zip(places, urls, strict=True)]
        figures = measure(urls, videos)
        for found, seconds in zip(figures, took, strict=True):
            found["moving_s"] = seconds
        told("on a server", sizes, figures, server_MB=resident_mb(server))


@pytest.fixture
def roomy(tmp_path: Path) -> Iterator[Path]:
    """A folder for several GB, emptied at once."""
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


def test_stores(roomy: Path) -> None:
    sizes = os.environ.get("SIZES", "10 100 1000")
    compare(roomy, [int(size) for size in sizes.split()])


if __name__ == "__main__":
    asked = sys.argv[2:]
    compare(
        Path(sys.argv[1]),
        [int(one) for one in asked if one != "folder"],
        served="folder" not in asked,
    )
