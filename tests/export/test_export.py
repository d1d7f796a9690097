"""From the committed checkpoint to a bundle: graphs equal PyTorch, the gate holds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch

from export.encoder import IMAGE_SIDE, pass_gate, seal
from export.graphs import export_image_encoder, export_text_encoder
from export.parity import Parity, ParityError, require, top1_agreement
from export.pictures import load_pictures
from models.checkpoint import load_encoder
from models.encoder import ImageEncoder, TextEncoder
from models.minilm import HIDDEN
from vsr_edge.runtime.encoder import load_bundle
from vsr_edge.runtime.golden import check_golden

PROJECT = Path(__file__).parents[2]
CHECKPOINT = PROJECT / "models" / "checkpoints" / "encoder.safetensors"
TOLERANCE = 1e-4

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def encoders() -> tuple[ImageEncoder, TextEncoder]:
    return load_encoder(CHECKPOINT)


@pytest.fixture(scope="module")
def text_graph(
    encoders: tuple[ImageEncoder, TextEncoder], tmp_path_factory: pytest.TempPathFactory
) -> ort.InferenceSession:
    path = tmp_path_factory.mktemp("text") / "text.onnx"
    export_text_encoder(encoders[1], path)
    return ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("soft", [0, 8])
@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("length", [3, 64])
def test_the_text_graph_equals_pytorch(
    encoders: tuple[ImageEncoder, TextEncoder],
    text_graph: ort.InferenceSession,
    soft: int,
    batch: int,
    length: int,
) -> None:
    random = np.random.default_rng(0)
    ids = random.integers(1000, 30000, (batch, length))
    mask = np.ones_like(ids)
    mask[0, length // 2 + 1 :] = 0
    tokens = random.normal(0, 0.05, (batch, soft, HIDDEN)).astype(np.float32)
    feed = {"input_ids": ids, "attention_mask": mask, "soft_tokens": tokens}
    found = text_graph.run(None, feed)
    with torch.no_grad():
        expected = encoders[1](*(torch.from_numpy(array) for array in feed.values()))
    for a, b in zip(found, expected, strict=True):
        assert np.abs(a - b.numpy()).max() <= TOLERANCE


def test_the_image_graph_equals_pytorch(
    encoders: tuple[ImageEncoder, TextEncoder], tmp_path: Path
) -> None:
    export_image_encoder(encoders[0], tmp_path / "image.onnx")
    session = ort.InferenceSession(str(tmp_path / "image.onnx"), providers=["CPUExecutionProvider"])
    side = encoders[0].tower.image_size
    pixels = np.random.default_rng(0).uniform(-1, 1, (3, 3, side, side)).astype(np.float32)
    with torch.no_grad():
        expected = encoders[0](torch.from_numpy(pixels))
    for a, b in zip(session.run(None, {"pixels": pixels}), expected, strict=True):
        assert np.abs(a - b.numpy()).max() <= TOLERANCE


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """What the command makes of the checkpoint, calibrated on the demo's footage as anyone can."""
    folder = tmp_path_factory.mktemp("export")
    command = [
        *(sys.executable, "-m", "export", "encoder", str(CHECKPOINT)),
        *("--out", str(folder / "bundle"), "--work", str(folder / "work")),
        *("--calibration-count", "24", "--parity-count", "24"),
    ]
    done = subprocess.run(
        command, cwd=PROJECT, capture_output=True, text=True, check=True, timeout=550
    )
    return folder, json.loads(done.stdout)


def test_the_command_turns_the_checkpoint_into_a_bundle(
    exported: tuple[Path, dict[str, Any]],
) -> None:
    folder, said = exported
    assert said["parity"]["text_encoder"]["mean_cosine"] >= 0.99
    assert said["parity"]["image_encoder"]["mean_cosine"] >= 0.99
    pictures = load_pictures(None, IMAGE_SIDE, 8)
    with load_bundle(folder / "bundle") as own, load_bundle("lite") as built_in:
        check_golden(own)
        cosines = (own.encode_images(pictures) * built_in.encode_images(pictures)).sum(1)
    assert cosines.mean() >= 0.98


def test_past_tolerance_nothing_is_written(
    exported: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    work = exported[0] / "work"
    fp32, int8 = (
        {"image_encoder": work / p / "image.onnx", "text_encoder": work / p / "text.onnx"}
        for p in ("fp32", "int8")
    )
    pictures = load_pictures(None, IMAGE_SIDE, 8)
    with pytest.raises(ParityError, match=r"at least 0\.9999"):
        seal(fp32, int8, pictures, tmp_path / "out", "lite", "int8", {}, min_cosine=0.9999)
    assert not (tmp_path / "out").exists()


def test_another_graph_does_not_pass_the_gate(tmp_path: Path) -> None:
    """The text side of the built-in bundle against a graph with one weight tensor disturbed."""
    import onnx
    from onnx import numpy_helper

    with load_bundle("lite") as bundle:
        graphs = {role: bundle.files.path(role) for role in ("image_encoder", "text_encoder")}
    model = onnx.load(graphs["text_encoder"])
    large = max(model.graph.initializer, key=lambda tensor: int(np.prod(tensor.dims)))
    rows = numpy_helper.to_array(large).copy()
    large.CopyFrom(numpy_helper.from_array(np.roll(rows, 1, axis=1), large.name))
    onnx.save(model, tmp_path / "text.onnx")
    disturbed = graphs | {"text_encoder": tmp_path / "text.onnx"}
    with pytest.raises(ParityError, match="text encoder"):
        pass_gate(graphs, disturbed, load_pictures(None, IMAGE_SIDE, 8))


def test_the_gate_names_the_side_and_the_figures() -> None:
    with pytest.raises(ParityError, match=r"image encoder.*0\.9000"):
        require("image encoder", Parity(0.9, 0.8, 1.5, 10))
    require("image encoder", Parity(0.995, 0.97, 1.5, 10))


def test_top1_agreement_counts_equal_neighbours() -> None:
    eye = np.eye(4, dtype=np.float32)
    assert top1_agreement((eye, eye), (eye, eye)) == 1.0
    assert top1_agreement((eye, eye), (eye, eye[[1, 0, 2, 3]])) == 0.5


def test_top1_agreement_leaves_out_what_is_a_tie() -> None:
    queries = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    gallery = np.array([[1.0, 0.0], [0.999, 0.0], [0.0, 1.0]], np.float32)
    swapped = gallery[[1, 0, 2]]
    assert top1_agreement((queries, queries), (gallery, swapped)) == 1.0
