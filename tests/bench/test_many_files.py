"""Ten thousand small files, by each that may decode and encode, into a folder and into a server:
that nothing is lost, that the memory of the process that is asked stays flat, and how long a file
takes, among the first as among the last. Vectors are made up, all else is real.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.bench.conftest import Place
from tests.bench.figures import show
from tests.bench.sleepers import leave_out_the_encoder, unencoded
from tests.bench.test_cluster import cluster, executor, on_many
from tests.ingest.archives import footage, index, open_for
from tests.store.archives import rows
from vsr_edge.bundle.model import Bundle
from vsr_edge.ingest.executor import Executor, Local
from vsr_edge.ingest.processes import ProcessPool
from vsr_edge.ingest.scan import scan
from vsr_edge.ingest.summary import Progress

pytestmark = [
    pytest.mark.bench,
    pytest.mark.timeout(7200),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

FILES = int(os.environ.get("BENCH_FILES", "10000"))
PARTS = 10
KINDS = ("local", "processes", *(["ray"] if find_spec("ray") is not None else []))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each of one size, as of a recorder that cuts its files so, and of a content of its own."""
    folder = tmp_path_factory.mktemp("videos")
    clip = footage(folder / "0.mp4", 1.0).read_bytes()
    for number in range(FILES):
        # What a player passes over makes it another file.
        free = b"\0\0\0\x0cfree" + number.to_bytes(4, "big")
        (folder / f"{number}.mp4").write_bytes(clip + free)
    return folder


@dataclass
class Watched:
    """When each part of the files was done, and how much memory this process then had, in MB."""

    at: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)

    def __call__(self, now: Progress) -> None:
        if now.done_files >= len(self.at) * FILES // PARTS and now.done_files:
            self.at.append(time.monotonic())
            self.memory.append(own_memory())

    def a_file(self, part: int) -> float:
        """Milliseconds for each file of a part."""
        return (self.at[part + 1] - self.at[part]) / (FILES // PARTS) * 1e3


def own_memory() -> float:
    """What this process has for itself, in MB."""
    status = Path("/proc/self/status").read_text()
    kept = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return int(kept["RssAnon"].split()[0]) / 1000


@pytest.mark.parametrize("kind", KINDS)
def test_ten_thousand_small_files(
    kind: str, bundle: Bundle, videos: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.monotonic()
    assert len(list(scan([videos]))) == FILES
    scanning = time.monotonic() - began
    watched = Watched()

    def run(by: Executor) -> None:
        try:
            summary = index(bundle, place(kind), videos, executor=by, on_progress=watched)
            assert (summary.indexed, summary.failed) == (FILES, [])
            began = time.monotonic()
            assert index(bundle, place(kind), videos, executor=by).skipped == FILES
            figures["again_a_file_ms"] = (time.monotonic() - began) / FILES * 1e3
        finally:
            by.close()
        figures["seconds"] = summary.seconds

    figures: dict[str, float] = {}
    if kind == "local":
        leave_out_the_encoder(monkeypatch)
        run(Local(bundle))
    elif kind == "processes":
        run(executor(bundle, lambda: ProcessPool(2, unencoded)))
    else:
        with cluster(1, 1) as two:
            run(on_many(two.address, bundle, unencoded))
    kept = "SELECT count(*), count(DISTINCT fingerprint), count(DISTINCT path) FROM videos"
    assert rows(place(kind), kept) == [(FILES, FILES, FILES)]
    with open_for(bundle, place(kind)) as store:
        assert store.frame_count() == rows(place(kind), "SELECT count(*) FROM frames")[0][0]
        assert store.frame_count() % FILES == 0
    show(
        f"{FILES} small files, {kind}",
        scan_seconds=scanning,
        **figures,
        first_a_file_ms=watched.a_file(0),
        last_a_file_ms=watched.a_file(-2),
        memory_first=watched.memory[1],
        memory_last=watched.memory[-1],
        load=os.getloadavg()[0],
    )
