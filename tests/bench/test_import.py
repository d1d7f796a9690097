"""Published graphs of the true size of CLIP ViT-B/32, random weights: import, index and search.

The two exports before the import are not counted: hubs have done that.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from transformers import AutoModel

from tests.bench.figures import show
from tests.bench.test_export import WATCHED
from tests.export.random_models import save_base_model
from tests.making import published_models
from tests.making.published_models import ANY, BATCH, ROWS, export
from tests.making.small_networks import Pictures, Texts

PROJECT = Path(__file__).parents[2]
NOT_THERE = 3

pytestmark = [
    pytest.mark.bench,
    pytest.mark.timeout(3600),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def run(
    folder: Path, *command: object, ends: tuple[int, ...] = (0,)
) -> tuple[str, dict[str, float]]:
    """What a command says that ends with one of these codes, and what it took."""
    started, before = time.perf_counter(), os.times()
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, sys.executable, "-m", *map(str, command)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in ends, done.stderr[-3000:]
    after = os.times()
    spent = after.children_user + after.children_system
    return done.stdout, {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": spent - before.children_user - before.children_system,
        "peak_mb": float(done.stderr.rsplit("PEAK ", 1)[1].split()[0]),
    }


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch

    folder = save_base_model(tmp_path_factory.mktemp("true") / "clip-b32")
    model = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    ids = torch.ones(2, 9, dtype=torch.int64)
    graphs = folder / "onnx"
    export(
        Texts(model), graphs / "text_model.onnx", {"input_ids": (ids, ROWS)}, {"text_embeds": BATCH}
    )
    pixels = {"pixel_values": (torch.zeros(2, 3, 224, 224), ANY)}
    export(Pictures(model), graphs / "vision_model.onnx", pixels, {"image_embeds": BATCH})
    (folder / "model.safetensors").unlink()
    return folder


@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_vit_b_32_from_published_graphs_to_search(
    precision: str, published: Path, tmp_path: Path, demo_clips: list[Path]
) -> None:
    if precision == "auto":
        published_models.add_precisions(published)
    out = tmp_path / "bundle"
    command = ("vsr_edge", "bundle", "import", published, "--out", out)
    said, figures = run(tmp_path, *command, "--precision", precision, "--json")
    document = json.loads(said)
    assert (document["soft_tokens"], document["regions"]) == (8, 9)
    for role, parity in document["parity"].items():
        if role.endswith("_encoder"):
            assert parity["max_difference_to_source"] <= 1e-5
            figures[role] = parity["max_difference_to_source"]
    assert figures["peak_mb"] < 2000
    show(f"import of ViT-B/32, {precision}", mb=document["bytes"] / 1e6, **figures)
    archive = ("--archive", "archive", "--bundle", out, "--json")
    said, figures = run(tmp_path, "vsr_edge", "index", *demo_clips, *archive)
    assert json.loads(said)["indexed"] == len(demo_clips)
    show("index the demo", **figures)
    # What is found by random weights is nobody's; that it is judged is the point.
    search = ("vsr_edge", "search", "a bicycle", *archive)
    said, figures = run(tmp_path, *search, ends=(0, NOT_THERE))
    assert json.loads(said)["verdict"] in ("match", "no_match")
    show("search", **figures)
