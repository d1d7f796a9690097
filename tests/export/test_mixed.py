"""Mixed precision: the product that int8 harms is found by its own noise and left in float."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.mixed import noise_of_products, quantize_transformer, weighted_products
from export.quantize import convert_to_half
from vsr_edge.bundle.manifest import IMAGE_ENCODER
from vsr_edge.making.gate import Feeds, Graph, cosines_of, run_graph

WIDTH = 64
PRODUCTS = ("first", "second", "third")


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """Three products in a row. One channel behind the first is huge and means nothing: the second
    must tell the others apart in what 256 steps leave of them.
    """
    random = np.random.default_rng(0)
    weights = {name: random.normal(0, 0.15, (WIDTH, WIDTH)) for name in PRODUCTS}
    weights["first"][:, 0] = 4.0
    weights["second"][0] = 0.0
    nodes, before = [], "pixels"
    for name in PRODUCTS:
        nodes.append(helper.make_node("MatMul", [before, f"{name}_w"], [f"{name}_y"], name=name))
        nodes.append(helper.make_node("Relu", [f"{name}_y"], [f"{name}_z"], name=f"{name}_relu"))
        before = f"{name}_z"
    nodes.append(helper.make_node("LpNormalization", [before], ["vector"], axis=-1, p=2))
    made = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", WIDTH])],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["n", WIDTH])],
        [numpy_helper.from_array(w.astype(np.float32), f"{n}_w") for n, w in weights.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, tmp_path / "fp32.onnx")
    return tmp_path / "fp32.onnx"


@pytest.fixture
def feeds() -> Feeds:
    random = np.random.default_rng(1)
    return [{"pixels": random.uniform(0, 1, (8, WIDTH)).astype(np.float32)} for _ in range(2)]


def cosine(graph: Path, other: Path, precision: str, feeds: Feeds) -> float:
    expected, _ = run_graph(Graph(graph, "fp32"), feeds, "vector")
    found, _ = run_graph(Graph(other, precision), feeds, "vector")
    return float(cosines_of(expected, found).mean())


def test_the_noisy_product_is_left_in_float(graph: Path, feeds: Feeds, tmp_path: Path) -> None:
    target = tmp_path / "int8.onnx"
    assert quantize_transformer(IMAGE_ENCODER, graph, target, feeds, enough=0.0) == []
    plain = cosine(graph, target, "int8", feeds)
    kept = quantize_transformer(IMAGE_ENCODER, graph, target, feeds, enough=0.999)
    assert kept == ["second"]
    mixed = cosine(graph, target, "int8", feeds)
    assert plain < 0.99 < 0.999 <= mixed


def test_noise_is_that_of_the_product_itself(graph: Path, feeds: Feeds, tmp_path: Path) -> None:
    target = tmp_path / "int8.onnx"
    quantize_transformer(IMAGE_ENCODER, graph, target, feeds, enough=0.0)
    noise = noise_of_products(graph, target, feeds)
    assert set(noise) == set(weighted_products(graph)) == set(PRODUCTS)
    assert min(noise, key=noise.__getitem__) == "second"
    # The third gets what the second has spoilt, and is not blamed for it.
    assert noise["third"] > noise["second"] + 10


def test_it_gives_up_half_of_the_products_at_most(
    graph: Path, feeds: Feeds, tmp_path: Path
) -> None:
    kept = quantize_transformer(IMAGE_ENCODER, graph, tmp_path / "int8.onnx", feeds, enough=1.1)
    assert len(kept) == 2
    assert kept[0] == "second"


def test_half_precision_takes_and_gives_float32(graph: Path, feeds: Feeds, tmp_path: Path) -> None:
    target = tmp_path / "fp16.onnx"
    convert_to_half(graph, target)
    model = onnx.load(target)
    assert {t.data_type for t in model.graph.initializer} == {TensorProto.FLOAT16}
    sides = (*model.graph.input, *model.graph.output)
    assert {side.type.tensor_type.elem_type for side in sides} == {TensorProto.FLOAT}
    assert cosine(graph, target, "fp16", feeds) > 0.999
