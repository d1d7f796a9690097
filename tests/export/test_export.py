"""From the committed checkpoint to a bundle: graphs equal PyTorch, the gate holds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from export.compare import compare_to_torch
from export.contract import Source
from export.feeds import image_feeds, load_pictures, text_feeds
from export.sources import open_lite
from models.minilm import HIDDEN
from vsr_edge.bundle.model import load_bundle
from vsr_edge.bundle.verify import check_golden
from vsr_edge.errors import ParityError
from vsr_edge.making.gate import Graph, Parity, order_agreement, pass_gate, top1_agreement

PROJECT = Path(__file__).parents[2]
CHECKPOINT = PROJECT / "models" / "checkpoints" / "encoder.safetensors"
TOLERANCE = 1e-4

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def source() -> Source:
    return open_lite(CHECKPOINT)


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


def fp32(exported: tuple[Path, dict[str, Any]], name: str) -> ort.InferenceSession:
    path = exported[0] / "work" / "fp32" / name
    return ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("soft", [0, 8])
@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("length", [3, 64])
def test_the_text_graph_equals_pytorch(
    source: Source,
    exported: tuple[Path, dict[str, Any]],
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
    found = fp32(exported, "text.onnx").run(None, feed)
    with torch.no_grad():
        expected = source.text(*(torch.from_numpy(array) for array in feed.values()))
    for a, b in zip(found, expected, strict=True):
        assert np.abs(a - b.numpy()).max() <= TOLERANCE


def test_the_image_graph_equals_pytorch(
    source: Source, exported: tuple[Path, dict[str, Any]]
) -> None:
    session = fp32(exported, "image.onnx")
    side = source.side
    pixels = np.random.default_rng(0).uniform(-1, 1, (3, 3, side, side)).astype(np.float32)
    with torch.no_grad():
        expected = source.image(torch.from_numpy(pixels))
    for a, b in zip(session.run(None, {"pixels": pixels}), expected, strict=True):
        assert np.abs(a - b.numpy()).max() <= TOLERANCE


def test_the_command_turns_the_checkpoint_into_a_bundle(
    exported: tuple[Path, dict[str, Any]],
) -> None:
    folder, said = exported
    assert said["parity"]["text_encoder"]["mean_cosine"] >= 0.99
    assert said["parity"]["image_encoder"]["mean_cosine"] >= 0.99
    pictures = load_pictures(None, own_side(folder / "bundle"), 8)
    with load_bundle(folder / "bundle") as own, load_bundle("lite") as built_in:
        check_golden(own)
        cosines = (own.encode_images(pictures) * built_in.encode_images(pictures)).sum(1)
    assert cosines.mean() >= 0.98


def own_side(folder: Path) -> int:
    with load_bundle(folder) as bundle:
        return bundle.image_side


def test_another_graph_does_not_pass_the_gate(source: Source, tmp_path: Path) -> None:
    """The text side of the built-in bundle against a graph with one weight tensor disturbed."""
    with load_bundle("lite") as bundle:
        graphs = {role: bundle.manifest.path(role) for role in ("image_encoder", "text_encoder")}
    model = onnx.load(graphs["text_encoder"])
    large = max(model.graph.initializer, key=lambda tensor: int(np.prod(tensor.dims)))
    rows = numpy_helper.to_array(large).copy()
    large.CopyFrom(numpy_helper.from_array(np.roll(rows, 1, axis=1), large.name))
    onnx.save(model, tmp_path / "text.onnx")
    disturbed = graphs | {"text_encoder": tmp_path / "text.onnx"}
    pictures = load_pictures(None, source.side, 8)
    feeds = {
        "image_encoder": image_feeds(source, pictures),
        "text_encoder": list(text_feeds(source, slice(0, None, 25))),
    }
    same = {role: [Graph(path, "int8")] for role, path in graphs.items()}
    assert pass_gate(graphs, same, feeds)["order_agreement"] == 1
    with pytest.raises(ParityError, match="text_encoder"):
        pass_gate(graphs, {role: [Graph(path, "int8")] for role, path in disturbed.items()}, feeds)


def test_the_gate_names_the_side_and_the_figures() -> None:
    with pytest.raises(ParityError, match=r"image encoder.*0\.9000"):
        Parity(0.9, 0.8, 1.5, 10).require("image encoder")
    Parity(0.995, 0.97, 1.5, 10).require("image encoder")


def test_what_is_not_a_number_passes_no_gate(tmp_path: Path) -> None:
    for parity in (Parity(np.nan, 0.99, 1.5, 10), Parity(0.995, np.nan, 1.5, 10)):
        with pytest.raises(ParityError):
            parity.require("image encoder")

    class Broken(torch.nn.Module):
        def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor]:
            return (pixels * torch.nan,)

    graph = helper.make_graph(
        [helper.make_node("Identity", ["pixels"], ["vector"])],
        "graph",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["n", 4])],
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), tmp_path / "g.onnx")
    feeds = [{"pixels": np.ones((2, 4), np.float32)}]
    with pytest.raises(ParityError, match="differs from PyTorch by inf"):
        compare_to_torch("image", Broken(), tmp_path / "g.onnx", feeds)


def test_top1_agreement_counts_equal_neighbours() -> None:
    eye = np.eye(4, dtype=np.float32)
    assert top1_agreement((eye, eye), (eye, eye)) == 1.0
    assert top1_agreement((eye, eye), (eye, eye[[1, 0, 2, 3]])) == 0.5


def test_top1_agreement_leaves_out_what_is_a_tie() -> None:
    queries = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    gallery = np.array([[1.0, 0.0], [0.999, 0.0], [0.0, 1.0]], np.float32)
    swapped = gallery[[1, 0, 2]]
    assert top1_agreement((queries, queries), (gallery, swapped)) == 1.0


@pytest.mark.parametrize("spread", [1.0, 0.01])
def test_what_is_decided_depends_on_the_spread_of_the_scores(spread: float) -> None:
    """Some encoders' scores lie within hundredths."""
    gallery = spread * np.array([[1.0], [0.7], [0.0], [-1.0]], np.float32)
    queries = np.ones((1, 1), np.float32)
    nearly = gallery + spread * np.array([[0.0], [0.4], [0.0], [0.0]], np.float32)
    wrong = gallery[::-1].copy()
    assert top1_agreement((queries, queries), (gallery, nearly)) is None
    assert order_agreement((queries, queries), (gallery, nearly)) == 1.0
    assert order_agreement((queries, queries), (gallery, wrong)) == 0.0
