"""The heads' graphs equal PyTorch, for any number of pairs, words and frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

from export.graphs import export_grounding, export_refiner
from models.grounding import GroundingHead
from models.minilm import HIDDEN
from models.refiner import Refiner
from tests.models.test_heads import pairs

PROJECT = Path(__file__).parents[2]
TOLERANCE = 1e-3  # of logits near 10


def shaken(module: nn.Module) -> nn.Module:
    """Away from its start, where much is zero."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return module.eval()


def agree(module: nn.Module, session: ort.InferenceSession, inputs: list[Tensor]) -> None:
    names = [tensor.name for tensor in session.get_inputs()]
    found = session.run(None, {name: x.numpy() for name, x in zip(names, inputs, strict=True)})
    with torch.no_grad():
        expected = module(*inputs)
    expected = expected if isinstance(expected, tuple) else (expected,)
    for one, other in zip(expected, found, strict=True):
        assert np.allclose(one.numpy(), other, atol=TOLERANCE, rtol=1e-4)


@pytest.fixture(scope="module")
def grounding(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, ort.InferenceSession]:
    head = shaken(GroundingHead())
    path = tmp_path_factory.mktemp("heads") / "grounding.onnx"
    export_grounding(head, path)  # type: ignore[arg-type]
    return head, ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def refinement(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, ort.InferenceSession]:
    refiner = shaken(Refiner(torch.randn(HIDDEN)))
    path = tmp_path_factory.mktemp("heads") / "refiner.onnx"
    export_refiner(refiner, path)  # type: ignore[arg-type]
    return refiner, ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def test_a_graph_says_nothing_of_the_machine_it_was_made_on(tmp_path: Path) -> None:
    export_grounding(GroundingHead().eval(), tmp_path / "grounding.onnx")
    assert str(PROJECT).encode() not in (tmp_path / "grounding.onnx").read_bytes()


@pytest.mark.parametrize(("batch", "words", "frames"), [(1, 3, 1), (7, 20, 25), (2, 64, 512)])
def test_the_grounding_graph(
    grounding: tuple[nn.Module, ort.InferenceSession], batch: int, words: int, frames: int
) -> None:
    inputs = pairs(batch, words, frames)
    inputs[5][0, frames // 2 + 1 :] = 0
    inputs[1][0, words // 2 + 1 :] = 0
    agree(*grounding, inputs)


@pytest.mark.parametrize(("batch", "words", "evidence"), [(1, 3, 1), (7, 20, 3), (2, 64, 16)])
def test_the_refiner_graph(
    refinement: tuple[nn.Module, ort.InferenceSession], batch: int, words: int, evidence: int
) -> None:
    states, mask, query, frames, regions, present = pairs(batch, words, evidence)
    about = torch.rand(batch, evidence, 2)
    agree(*refinement, [states, mask, query, frames, regions, about, present])
    agree(*refinement, [states, mask, query, frames, regions, about, torch.zeros_like(present)])
