"""An archive that goes to a server and back, killed once and interrupted once; how long it takes.

    VIDEOS=503 pytest -m bench -s tests/bench/test_migration.py     # a hundred thousand clips

Without the graph that PostgreSQL makes beyond 200,000 clips, which takes as long by itself: every
vector is compared, so that the answers must be the same.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.bench.figures import show
from tests.bench.made import drifting
from tests.servers import a_server
from vsr_edge.store import open_store

# Of 199 clips each; and of so many, one has regions.
VIDEOS = int(os.environ.get("VIDEOS", "5026"))
WITH_REGIONS = int(os.environ.get("WITH_REGIONS", "20"))
COMMAND = """
import signal
from vsr_edge.store.postgres import pg_nearest
from vsr_edge.cli.app import main
pg_nearest.EXACT_CLIPS = 10**9
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]


@pytest.fixture
def roomy(tmp_path: Path) -> Iterator[Path]:
    """A folder for several GB, emptied at once."""
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


def started(source: object, target: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, "migrate", str(source), str(target), "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def migrated(source: object, target: object) -> tuple[dict[str, Any], float]:
    begun = time.perf_counter()
    with started(source, target) as process:
        out, err = process.communicate()
    assert process.returncode == 0, err
    return json.loads(out), time.perf_counter() - begun


def ended_after(seconds: float, number: int, source: object, target: object) -> int:
    with started(source, target) as process:
        time.sleep(seconds)
        process.send_signal(number)
        process.communicate()
    return process.returncode


def answers(place: Path | str) -> list[Any]:
    """The nearest hundred of some queries, with their scores, and of each the best one's frames."""
    found: list[Any] = []
    with open_store(place) as store:
        for seed in range(5):
            query = np.random.default_rng(seed).standard_normal(store.dim).astype(np.float32)
            hits = store.search(query, 100)
            best = hits[0].clip
            frames = store.frames(best.video_id, best.window.first, best.window.last, regions=True)
            regions = None if frames.regions is None else frames.regions.tobytes()
            found.append((hits, frames.times.tobytes(), frames.vectors.tobytes(), regions))
    return found


def megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.glob("archive.db*")) / 1e6


def test_there_and_back_ended_twice(roomy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vsr_edge.store.postgres.pg_nearest.EXACT_CLIPS", 10**9)
    first, last = roomy / "first", roomy / "last"
    clips = drifting(first, VIDEOS, with_regions=WITH_REGIONS)
    expected = answers(first)
    size = megabytes(first)
    wait = float(os.environ.get("WAIT", clips / 40_000))
    with a_server() as server:
        url = server.url()
        assert ended_after(wait, signal.SIGKILL, first, url) == -signal.SIGKILL
        there, to_server = migrated(first, url)
        assert answers(url) == expected
        assert ended_after(wait, signal.SIGINT, url, last) == 130
        back, to_folder = migrated(url, last)
    assert answers(last) == expected
    assert back["checksums"] == there["checksums"]
    for document in (there, back):
        assert document["copied"] + document["passed_over"] == VIDEOS
        assert min(document["copied"], document["passed_over"]) > 0
    again, compared = migrated(first, last)
    assert again["there"]
    assert again["checksums"] == there["checksums"]
    show(
        f"{clips} clips",
        MB=size,
        ended_after_s=wait,
        rest_to_server_s=to_server,
        of_videos=there["passed_over"],
        rest_to_folder_s=to_folder,
        of_videos_there=back["passed_over"],
        both_read_s=compared,
    )
