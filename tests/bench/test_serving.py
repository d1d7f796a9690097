"""The service under load: 1, 8 and 32 clients over 100,000 clips, its memory over 10,000 requests,
and searches beside a job that indexes, each against the same archive in one process.

It runs by itself too, in a folder that it makes an archive in, or finds one:

    python -m tests.bench.test_serving FOLDER [clients overhead memory indexing ...]
"""

from __future__ import annotations

import http.client
import itertools
import json
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.bench.figures import show
from tests.bench.made import drifting
from tests.bench.test_indexing import write_footage
from tests.server.client import TIMEOUT, Site
from tests.server.test_process import command
from vsr_edge import open_archive
from vsr_edge.archive import Archive

VIDEOS = 503  # of 199 clips
CLIENTS = (1, 8, 32)
# Searches of each load; of those that are held against the archive itself, a round after a round.
SEARCHES, ROUND, ROUNDS = 320, 10, 20
# Before, amid and after a job that indexes.
BESIDE = 120
# Of so many searches one takes the whole loop, the rest one shot.
LONG_EVERY, EARLY, LATE = 20, 2_000, 10_000
# What is indexed beside searches: longer than these take.
FOOTAGE, FOOTAGE_SECONDS = 40, 120
THINGS = ("dog", "woman", "red car", "bicycle", "man in a hat", "boat", "child", "horse", "bird")
PLACES = ("a meadow", "an empty street", "a beach", "a kitchen", "a river", "a wall", "snow")
QUERIES = [f"a {thing} near {place}" for thing in THINGS for place in PLACES]

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]


class Client:
    """One connection that is kept, and how long its requests took, in ms."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        self.took: list[float] = []
        self.errors = 0

    def search(self, query: str, **more: object) -> None:
        body = json.dumps({"query": query, **more})
        began = time.perf_counter()
        try:
            self._connection.request(
                "POST", "/v1/search", body, {"Content-Type": "application/json"}
            )
            response = self._connection.getresponse()
            content = response.read()
            self.errors += response.status != 200 or b'"moments"' not in content
        except OSError:
            self.errors += 1
            self._connection.close()
        self.took.append((time.perf_counter() - began) * 1e3)

    def close(self) -> None:
        self._connection.close()


def load(port: int, clients: int, searches: int, long_every: int = 1) -> dict[str, float]:
    """So many searches by so many clients at once: how many a second, and how long they took."""
    numbers = itertools.count()
    asking = [Client(port) for _ in range(clients)]

    def ask(client: Client) -> None:
        while (number := next(numbers)) < searches:
            client.search(QUERIES[number % len(QUERIES)], one_shot=number % long_every != 0)
        client.close()

    threads = [threading.Thread(target=ask, args=(client,)) for client in asking]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    took = [ms for client in asking for ms in client.took]
    return {
        "per_s": len(took) / seconds,
        "p50_ms": float(np.percentile(took, 50)),
        "p95_ms": float(np.percentile(took, 95)),
        "errors": sum(client.errors for client in asking),
    }


def overhead(archive: Archive, port: int, **how: bool) -> dict[str, float]:
    """One client against the archive itself, the same queries, turn and turn about."""
    client = Client(port)
    alone: list[float] = []
    order = random.Random(0)
    for _ in range(ROUNDS):
        queries = order.sample(QUERIES, ROUND)
        for query in queries:
            began = time.perf_counter()
            archive.search(query, **how)  # type: ignore[arg-type]
            alone.append((time.perf_counter() - began) * 1e3)
        for query in queries:
            client.search(query, **how)
    client.close()
    served = client.took
    more = [one - other for one, other in zip(served, alone, strict=True)]
    return {
        "archive_p50_ms": float(np.percentile(alone, 50)),
        "served_p50_ms": float(np.percentile(served, 50)),
        "archive_p95_ms": float(np.percentile(alone, 95)),
        "served_p95_ms": float(np.percentile(served, 95)),
        "more_p50_ms": float(np.median(more)),
        "errors": client.errors,
    }


def resident_mb(process: subprocess.Popen[bytes]) -> float:
    """What a process holds that is no mapped file, in MB."""
    told = Path(f"/proc/{process.pid}/status").read_text("ascii")
    kept = dict(line.split(":\t", 1) for line in told.splitlines() if ":\t" in line)
    return int(kept["RssAnon"].split()[0]) / 1000


def footage(folder: Path) -> Path:
    """Videos to be indexed, each with a content of its own."""
    folder.mkdir(exist_ok=True)
    first = folder / "0.mp4"
    if not first.exists():
        write_footage(first, seconds=FOOTAGE_SECONDS, size=(1280, 720), rate=25, keyframes=25)
    for number in range(1, FOOTAGE):
        # What a player passes over makes it another file.
        free = b"\0\0\0\x0cfree" + number.to_bytes(4, "big")
        (folder / f"{number}.mp4").write_bytes(first.read_bytes() + free)
    return folder


def beside_indexing(site: Site, root: Path, clients: int) -> dict[str, float]:
    """Searches before, amid and after a job that indexes."""
    before = load(site.port, clients, BESIDE)
    job = site.post("/v1/index", {"paths": [str(root)]}).document["id"]

    def now() -> dict[str, object]:
        found: dict[str, object] = site.get(f"/v1/jobs/{job}").document
        return found

    while not now()["progress"]:
        time.sleep(0.05)
    amid = load(site.port, clients, BESIDE)
    state = now()
    assert state["state"] == "running", f"it was over before the searches were: {state}"
    site.ask("DELETE", f"/v1/jobs/{job}")
    while site.get("/metrics").body.decode().count("vsr_edge_jobs_unfinished 0.0") == 0:
        time.sleep(0.05)
    time.sleep(2)
    after = load(site.port, clients, BESIDE)
    alone = max(before["p95_ms"], after["p95_ms"])
    return {
        "p50_before": before["p50_ms"],
        "p50_amid": amid["p50_ms"],
        "p50_after": after["p50_ms"],
        "p95_before": before["p95_ms"],
        "p95_amid": amid["p95_ms"],
        "p95_after": after["p95_ms"],
        "times_p95": amid["p95_ms"] / alone,
        "errors": before["errors"] + amid["errors"] + after["errors"],
    }


@contextmanager
def started(folder: Path, root: Path) -> Iterator[tuple[subprocess.Popen[bytes], Site]]:
    with command(folder, folder.parent / "log", "--roots", root) as (process, site):
        load(site.port, 2, 20)
        yield process, site


def measure(folder: Path, what: Sequence[str]) -> None:
    """Make the archive if it is not there, and print the figures of what is asked for."""
    archive_folder, root = folder / "archive", folder / "footage"
    if not archive_folder.exists():
        drifting(archive_folder, VIDEOS)
    if "indexing" in what:
        footage(root)
    root.mkdir(exist_ok=True)
    with open_archive(archive_folder) as archive:
        clips = archive.stats().clips
        if "clients" in what:
            with started(archive_folder, root) as (_, site):
                for clients in CLIENTS:
                    for name, long_every in (("one shot", SEARCHES), ("three turns", 1)):
                        show(
                            f"{clients} clients over {clips} clips, {name}",
                            **load(site.port, clients, SEARCHES, long_every),
                        )
        if "overhead" in what:
            with started(archive_folder, root) as (_, site):
                for name, how in (("one shot", {"one_shot": True}), ("three turns", {})):
                    archive.search(QUERIES[0], **how)  # type: ignore[arg-type]
                    show(
                        f"one client over {clips} clips, {name}",
                        **overhead(archive, site.port, **how),
                    )
    if "memory" in what:
        with started(archive_folder, root) as (process, site):
            load(site.port, 8, EARLY, LONG_EVERY)
            early = resident_mb(process)
            figures = load(site.port, 8, LATE - EARLY, LONG_EVERY)
            show(
                f"memory of its own, MB, after {EARLY} and {LATE} requests",
                early=early,
                late=resident_mb(process),
                **figures,
            )
    if "indexing" in what:
        for clients in CLIENTS[:2]:
            with started(archive_folder, root) as (_, site):
                found = beside_indexing(site, root, clients)
                show(f"{clients} clients beside a job that indexes", **found)
            with open_archive(archive_folder) as archive:
                archive.forget(archive.videos(root))


ALL = ("clients", "overhead", "memory", "indexing")


def test_serving(tmp_path: Path) -> None:
    try:
        measure(tmp_path, ALL)
    finally:
        shutil.rmtree(tmp_path, ignore_errors=True)


if __name__ == "__main__":
    measure(Path(sys.argv[1]), sys.argv[2:] or ALL)
