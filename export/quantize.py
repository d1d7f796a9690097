"""Quantise: fp32 ONNX → int8, or fp16 for execution providers that compute in half precision.

*Image side*: static QDQ of the convolutions with calibration pictures. Activations unsigned,
  weights signed with ``reduce_range``, because without VNNI the 8-bit multiply-add saturates at the
  full range. The first six convolutions have few weights a channel, and seven bits are too little
  for them: they stay in floating point, for a twelfth of the work (mean cosine 0.996, against 0.989
  with them). So do pooling and heads.

*Text side*: dynamic, matrix products only, unsigned weights for the same saturation. The six
  products that follow a GELU stay in floating point: its long tail leaves few of the 256 steps for
  most activations, and they carry half of the error (mean cosine 0.991 with them, 0.995 without).
  The word table is half the file; its rows are stored as int8 with a scale each.

*Heads*: dynamic like the text side, large products only.

Large float weights that remain are stored as float16 and widened by the graph: onnxruntime does
that once, on loading, so it halves the file and not the speed.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16

from export.contract import FILE_OF, Source
from models.minilm import INTERMEDIATE
from vsr_edge.making.gate import Feeds, Graph

FLOAT_CONVOLUTIONS = 6
STORED_AS_HALF = 10_000  # elements; smaller tensors are biases and norms


class FeedReader(CalibrationDataReader):  # type: ignore[misc]
    """Hands what a graph takes to the calibrator, batch by batch."""

    def __init__(self, feeds: Feeds) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return next(self._feeds, None)


def quantize_side(
    source: Source, role: str, precision: str, fp32: Path, calibration: Feeds, folder: Path
) -> Graph:
    """A side's graph in a precision, made of its fp32 graph, in ``folder``."""
    if precision == "fp32":
        return Graph(fp32, "fp32")
    target = folder / FILE_OF[role]
    target.parent.mkdir(parents=True, exist_ok=True)
    if precision == "fp16":
        convert_to_half(fp32, target)
        return Graph(target, "fp16")
    return Graph(target, "int8", tuple(source.quantizers[role](fp32, target, calibration)))


def quantize_image_encoder(source: Path, target: Path, feeds: Feeds) -> list[str]:
    """Static int8 of the convolutions, calibrated on ``feeds``; the nodes left float."""
    with prepared(source) as path, quiet():
        kept = _first_convolutions(path)
        quantize_static(
            path,
            target,
            FeedReader(feeds),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Clip", "Add"],
            nodes_to_exclude=kept + _nodes_after_the_tower(path),
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"CalibMovingAverage": True},
        )
    store_as_half(target)
    return kept


def quantize_text_encoder(source: Path, target: Path, _: Feeds) -> list[str]:
    """Dynamic int8 of the matrix products, and the word table by rows; the nodes left float."""
    with prepared(source) as path:
        kept = _products_with(path, rows=INTERMEDIATE)
        _quantize_products(path, target, kept)
    quantize_word_table(target)
    store_as_half(target)
    return kept


def quantize_head(source: Path, folder: Path) -> Graph:
    """Dynamic int8 of the products with large weights, in a file of the same name in ``folder``; a
    head's small products cost nothing as they are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / source.name
    with prepared(source) as path:
        _transpose_shared_weights(path)
        # The notes of inner shapes, and with them of types, were dropped.
        types = {"DefaultTensorType": TensorProto.FLOAT}
        _quantize_products(path, target, _small_products(path), extra_options=types)
    store_as_half(target)
    return Graph(target, "int8")


def _quantize_products(path: Path, target: Path, kept: list[str], **options: Any) -> None:
    with quiet():
        quantize_dynamic(
            path,
            target,
            op_types_to_quantize=["MatMul", "Gemm"],
            weight_type=QuantType.QUInt8,
            per_channel=True,
            nodes_to_exclude=kept,
            **options,
        )


@contextmanager
def prepared(source: Path) -> Iterator[Path]:
    """A copy, alone in a temporary folder, with constants folded and operators fused.

    The exporter's notes of inner shapes are dropped: the folding makes some of them wrong, and the
    quantiser then refuses the graph.
    """
    model = onnx.load(source)
    del model.graph.value_info[:]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prepared.onnx"
        onnx.save(model, path)
        quant_pre_process(path, path, skip_symbolic_shape=True, skip_onnx_shape=True)
        yield path


def _transpose_shared_weights(path: Path) -> None:
    """Store weights of ``Gemm`` as they are multiplied.

    The refiner makes its tokens with the same layers, one after another; the quantiser would
    transpose a weight anew for each product that shares it.
    """
    model = onnx.load(path)
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    done: set[str] = set()
    for node in graph.node:
        turned = [a for a in node.attribute if a.name == "transB" and a.i]
        if node.op_type != "Gemm" or not turned or node.input[1] not in weights:
            continue
        name = node.input[1]
        if name not in done:
            flipped = np.ascontiguousarray(numpy_helper.to_array(weights[name]).T)
            graph.initializer.append(numpy_helper.from_array(flipped, f"{name}_transposed"))
            done.add(name)
        node.input[1] = f"{name}_transposed"
        node.attribute.remove(turned[0])
    used = {name for node in graph.node for name in node.input}
    for name in done - used:
        graph.initializer.remove(weights[name])
    save(model, path)


def _small_products(path: Path) -> list[str]:
    """Names of the matrix products whose weight is small, or is no constant."""
    graph = onnx.load(path).graph
    large = {t.name for t in graph.initializer if int(np.prod(t.dims)) >= STORED_AS_HALF}
    return [
        node.name
        for node in graph.node
        if node.op_type in {"MatMul", "Gemm"} and not large & set(node.input)
    ]


def _first_convolutions(path: Path) -> list[str]:
    """Names of the convolutions that stay in floating point: stem and first two blocks."""
    nodes = onnx.load(path).graph.node
    return [node.name for node in nodes if node.op_type == "Conv"][:FLOAT_CONVOLUTIONS]


def _nodes_after_the_tower(path: Path) -> list[str]:
    """Names of the nodes behind the last convolution and its activation: pooling and heads."""
    graph = onnx.load(path).graph
    last = [node for node in graph.node if node.op_type == "Conv"][-1]
    activation = next(node for node in graph.node if last.output[0] in node.input)
    later, names = set(activation.output), []
    for node in graph.node:  # in topological order
        if later & set(node.input):
            later |= set(node.output)
            names.append(node.name)
    return names


def _products_with(path: Path, rows: int) -> list[str]:
    """Names of the matrix products whose weight has so many rows."""
    graph = onnx.load(path).graph
    tall = {t.name for t in graph.initializer if len(t.dims) == 2 and t.dims[0] == rows}
    return [n.name for n in graph.node if n.op_type == "MatMul" and n.input[1] in tall]


def quantize_word_table(path: Path) -> None:
    """Let the largest float table be gathered as int8 rows times their scales."""
    model = onnx.load(path)
    graph = model.graph
    tables = {t.name: t for t in graph.initializer if t.data_type == TensorProto.FLOAT}
    gathers = [n for n in graph.node if n.op_type == "Gather" and n.input[0] in tables]
    gather = max(gathers, key=lambda n: int(np.prod(tables[n.input[0]].dims)))
    table = numpy_helper.to_array(tables[gather.input[0]])
    scale = np.abs(table).max(1, keepdims=True) / 127
    rows = np.rint(table / np.maximum(scale, 1e-12)).astype(np.int8)
    name, ids, output = gather.input[0], gather.input[1], gather.output[0]
    graph.initializer.remove(tables[name])
    graph.initializer.append(numpy_helper.from_array(rows, f"{name}_rows"))
    graph.initializer.append(numpy_helper.from_array(scale.astype(np.float32), f"{name}_scale"))
    replacement = [
        helper.make_node("Gather", [f"{name}_rows", ids], [f"{output}_int8"], axis=0),
        helper.make_node("Cast", [f"{output}_int8"], [f"{output}_cast"], to=TensorProto.FLOAT),
        helper.make_node("Gather", [f"{name}_scale", ids], [f"{output}_scale"], axis=0),
        helper.make_node("Mul", [f"{output}_cast", f"{output}_scale"], [output]),
    ]
    place = list(graph.node).index(gather)
    graph.node.remove(gather)
    for offset, node in enumerate(replacement):
        graph.node.insert(place + offset, node)
    save(model, path)


def convert_to_half(source: Path, target: Path) -> None:
    """Write the graph with float16 weights and arithmetic; what goes in and comes out is float32.

    On a processor it is half the file and slower: it widens and narrows around each operator.
    """
    model = onnx.load(source)
    # The exporter's notes of inner types would contradict the converted ones.
    del model.graph.value_info[:]
    with quiet():
        converted = convert_float_to_float16(model, keep_io_types=True)
    onnx.save(converted, target)


def store_as_half(path: Path) -> None:
    """Store the remaining large float tensors as float16, each widened by a Cast."""
    model = onnx.load(path)
    graph = model.graph
    for tensor in list(graph.initializer):
        size = int(np.prod(tensor.dims))
        if tensor.data_type != TensorProto.FLOAT or size < STORED_AS_HALF:
            continue
        half = numpy_helper.to_array(tensor).astype(np.float16)
        graph.initializer.remove(tensor)
        graph.initializer.append(numpy_helper.from_array(half, f"{tensor.name}_half"))
        cast = helper.make_node(
            "Cast", [f"{tensor.name}_half"], [tensor.name], to=TensorProto.FLOAT
        )
        graph.node.insert(0, cast)
    save(model, path)


def save(model: onnx.ModelProto, path: Path) -> None:
    onnx.checker.check_model(model)
    onnx.save(model, path)


@contextmanager
def quiet() -> Iterator[None]:
    """The libraries log advice that this package already follows."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
