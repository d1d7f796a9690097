"""Quantise: transformers → int8, dynamic, in mixed precision where a layer's error is too large.

All matrix products become int8 with a scale for each column (optimum's settings for AVX2: unsigned
weights and activations, which do not saturate without VNNI). If that moves the vectors too far,
onnxruntime's quantisation debugger shows the tensors at each product, the products with the most
noise of their own are left in floating point, and so on, at most to half of them.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization.qdq_loss_debug import (
    collect_activations,
    compute_signal_to_quantization_noice_ratio,
    modify_model_output_intermediate_tensors,
)

from export.quantize import FeedReader, prepared, quantize_word_table, quiet, store_as_half
from vsr_edge.bundle.manifest import TEXT_ENCODER
from vsr_edge.making.gate import MIN_MEAN_COSINE, Feeds, Graph, cosines_of, run_graph

# Above the gate's bound, because the gate asks for it on what was not seen here.
ENOUGH = MIN_MEAN_COSINE + 0.002
# Of the products still quantised, so many are given up at a time.
STEP = 0.1
MOST_KEPT = 0.5


def quantize_transformer(
    role: str, source: Path, target: Path, feeds: Feeds, enough: float = ENOUGH
) -> list[str]:
    """Write the int8 graph; returns the names of the products that stay in floating point.

    Args:
        feeds: what the products' errors are measured on, apart from what the gate compares.
        enough: mean cosine between int8 and fp32 vectors from which no product more is given up.
    """
    with prepared(source) as path:
        products = weighted_products(path)
        expected, _ = run_graph(Graph(path, "fp32"), feeds, "vector")
        kept: list[str] = []
        while True:
            quantised = _quantize(path, kept)
            found, _ = run_graph(Graph(quantised, "int8"), feeds, "vector")
            cosine = float(cosines_of(expected, found).mean())
            if cosine >= enough or len(kept) >= MOST_KEPT * len(products):
                break
            noise = noise_of_products(path, quantised, feeds[:1])
            worst = sorted(noise.keys() - set(kept), key=noise.__getitem__)
            if not worst:
                break
            kept += worst[: max(round(STEP * len(products)), 1)]
        shutil.move(quantised, target)
    if role == TEXT_ENCODER:
        quantize_word_table(target)
    store_as_half(target)
    return kept


def weighted_products(path: Path) -> dict[str, onnx.NodeProto]:
    """The matrix products of a graph with a constant weight [K, N], by name."""
    graph = onnx.load(path).graph
    weights = {tensor.name for tensor in graph.initializer if len(tensor.dims) == 2}
    return {
        node.name: node
        for node in graph.node
        if node.op_type in {"MatMul", "Gemm"} and node.input[1] in weights
    }


def noise_of_products(source: Path, quantised: Path, feeds: Feeds) -> dict[str, float]:
    """Signal to noise in dB of each product, given the input that it really had.

    Its own noise: what came with its input is the fault of those before it.
    """
    graph = onnx.load(source).graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    with tempfile.TemporaryDirectory() as folder, quiet():
        watched = Path(folder) / "watched.onnx"
        # What goes into a product and what its rescaling gives; the rest would fill the memory.
        modify_model_output_intermediate_tensors(
            str(quantised), str(watched), ["DynamicQuantizeLinear", "Mul"]
        )
        tensors = collect_activations(str(watched), FeedReader(feeds))
    noise = {}
    for name, node in weighted_products(source).items():
        x, y = tensors.get(node.input[0]), tensors.get(node.output[0])
        if x is None or y is None:  # the quantiser kept neither name
            continue
        transposed = any(a.name == "transB" and a.i for a in node.attribute)
        weight = numpy_helper.to_array(weights[node.input[1]])
        weight = weight.T if transposed else weight
        bias = weights.get(node.input[2]) if len(node.input) > 2 else None
        exact = [_rows(one, len(weight)) @ weight for one in x]
        if bias is not None:
            exact = [one + numpy_helper.to_array(bias) for one in exact]
        found = [_rows(one, weight.shape[1]) for one in y]
        noise[name] = float(compute_signal_to_quantization_noice_ratio(exact, found))
    return noise


def _rows(tensor: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    return np.asarray(tensor, np.float32).reshape(-1, width)


def _quantize(path: Path, kept: list[str]) -> Path:
    from optimum.onnxruntime import ORTQuantizer
    from optimum.onnxruntime.configuration import AutoQuantizationConfig

    config = AutoQuantizationConfig.avx2(
        is_static=False,
        per_channel=True,
        operators_to_quantize=["MatMul", "Gemm"],
        nodes_to_exclude=list(kept),
    )
    logging.getLogger("optimum").setLevel(logging.ERROR)  # it misses a model's configuration
    with quiet():
        folder = ORTQuantizer(path).quantize(config, save_dir=path.parent / "int8")
    return Path(folder) / f"{path.stem}_quantized.onnx"
