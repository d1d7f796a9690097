"""A warm search over ten thousand clips, by stage, and what a cold command costs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.bench.figures import peak_memory, shortest, show
from tests.bench.made import drifting
from vsr_edge import open_archive

QUERIES = ("a dog runs over a meadow", "a woman with a red umbrella", "an empty street at night")
VIDEOS = 50

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def archive_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of 10,000 clips whose vectors drift as those of real footage do."""
    folder = tmp_path_factory.mktemp("archive")
    drifting(folder, VIDEOS)
    return folder


def test_warm_search(archive_folder: Path) -> None:
    """One shot, and the loop with nothing to be found, so that all three turns are taken."""
    with open_archive(archive_folder) as archive:
        clips = archive.stats().clips
        figures = {}
        for name, one_shot in (("one shot", True), ("three turns", False)):
            archive.search(QUERIES[0], one_shot=one_shot)
            stages: dict[str, list[float]] = {}
            turns = []
            for _ in range(30):
                for query in QUERIES:
                    result = archive.search(query, one_shot=one_shot)
                    turns.append(len(result.turns))
                    for stage, ms in result.timing_ms.items():
                        stages.setdefault(stage, []).append(ms)
            figures[name] = float(np.median(stages["total"]))
            show(
                f"warm search over {clips} clips, {name}, ms",
                turns=float(np.mean(turns)),
                **{f"{stage}_median": float(np.median(ms)) for stage, ms in stages.items()},
                p50=figures[name],
                p95=float(np.percentile(stages["total"], 95)),
            )
    show("three turns against one shot", ratio=figures["three turns"] / figures["one shot"])
    code = (
        "import sys, vsr_edge\n"
        "with vsr_edge.open_archive(sys.argv[1]) as archive:\n"
        f"    [archive.search(query) for query in {QUERIES} * 10]"
    )
    show("three turns, peak", MB=peak_memory(["-c", code, str(archive_folder)]))


def test_cold_command(archive_folder: Path) -> None:
    import subprocess
    import sys

    arguments = ["-m", "vsr_edge", "search", QUERIES[0], "--archive", str(archive_folder), "--json"]
    # Nothing is there to be found: it exits with 3.
    cold = shortest(
        lambda: subprocess.run([sys.executable, *arguments], check=False, capture_output=True)
    )
    helped = shortest(
        lambda: subprocess.run(
            [sys.executable, "-m", "vsr_edge", "--help"], check=True, capture_output=True
        )
    )
    show("cold command, s", search=cold, help=helped, search_peak_MB=peak_memory(arguments))
