"""A CLIP of the true size of ViT-B/32, random weights: from checkpoint to search, as commands.

Random weights say nothing of quality; sizes, times and memory are those of any such checkpoint.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.bench.figures import show
from tests.export.random_models import save_base_model

PROJECT = Path(__file__).parents[2]
# Runs a command and prints the peak memory of that process and its children, in MB.
WATCHED = (
    "import resource, subprocess, sys;"
    "done = subprocess.run(sys.argv[1:]);"
    "peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024;"
    "print(f'PEAK {peak:.0f}', file=sys.stderr);"
    "sys.exit(done.returncode)"
)

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]


def run(folder: Path, *command: object) -> tuple[str, float, float]:
    """What a command says, and what it took: seconds, and megabytes at the peak."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, *(sys.executable, "-m"), *map(str, command)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    peak = float(done.stderr.rsplit("PEAK ", 1)[1].split()[0])
    return done.stdout, time.perf_counter() - started, peak


def megabytes(path: Path) -> float:
    return path.stat().st_size / 1e6


def test_vit_b_32_from_checkpoint_to_search(tmp_path: Path, demo_clips: list[Path]) -> None:
    checkpoint = save_base_model(tmp_path / "clip-b32")
    said, seconds, peak = run(
        tmp_path, "export", "encoder", checkpoint, "--out", "bundle", "--also", "fp16"
    )
    document: dict[str, Any] = json.loads(said)
    figures = {"seconds": seconds, "peak_mb": peak}
    for role, side in (("image_encoder", "image"), ("text_encoder", "text")):
        parity = document["parity"][role]
        assert parity["max_difference_to_torch"] <= 1e-4
        figures |= {
            f"{side}_int8_speedup": parity["speedup"],
            f"{side}_fp16_speedup": parity["alternatives"]["fp16"]["speedup"],
            f"{side}_int8_cosine": parity["mean_cosine"],
            f"{side}_float_nodes": len(parity.get("float_nodes", ())),
        }
        for precision, name in (("fp32", f"runs/export/fp32/{side}.onnx"), ("int8", side)):
            path = tmp_path / (name if "/" in name else f"bundle/{name}.onnx")
            figures[f"{side}_{precision}_mb"] = megabytes(path)
    show("export of ViT-B/32", **figures)

    _, seconds, peak = run(tmp_path, "vsr_edge", "bundle", "pack", "./bundle", "--out", "b.tar")
    show("bundle pack", seconds=seconds, peak_mb=peak, mb=megabytes(tmp_path / "b.tar"))
    _, seconds, peak = run(
        tmp_path, "vsr_edge", "bundle", "pull", "--from", "b.tar", "--out", "./pulled"
    )
    show("bundle pull --from", seconds=seconds, peak_mb=peak)
    _, seconds, peak = run(tmp_path, "vsr_edge", "bundle", "verify", "./pulled")
    show("bundle verify", seconds=seconds, peak_mb=peak)
    archive = ("--archive", "archive", "--bundle", "./pulled", "--json")
    said, seconds, peak = run(tmp_path, "vsr_edge", "index", *demo_clips, *archive)
    indexed = json.loads(said)
    assert indexed["indexed"] == len(demo_clips)
    show("index the demo", seconds=seconds, peak_mb=peak, frames=indexed["frames"])
    said, seconds, peak = run(tmp_path, "vsr_edge", "search", "a bicycle", *archive)
    assert json.loads(said)["verdict"] == "unverified"
    show("search", seconds=seconds, peak_mb=peak)
