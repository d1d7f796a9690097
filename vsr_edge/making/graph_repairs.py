"""What published graphs need before they run here: batches of any size, and convolutions that
onnxruntime has.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import NodeProto, helper

from vsr_edge.making.onnx_graph import OnnxGraph


def one_by_one(graph: OnnxGraph) -> None:
    """A graph that takes one row becomes one that takes any number, and runs them in turn.

    Its nodes become the body of a `Scan` over the first axis of every input.
    """
    body = onnx.GraphProto(name="row")
    inputs, outputs = list(graph.graph.input), list(graph.graph.output)
    body.node.extend(graph.graph.node)
    zero = _first_axis(graph)
    for value in inputs:
        kind, dims = value.type.tensor_type.elem_type, _dims(value)
        inner = f"{value.name}/row"
        body.input.append(helper.make_tensor_value_info(inner, kind, dims[1:]))
        body.node.append(_axis("Unsqueeze", inner, value.name, zero))
    for value in outputs:
        kind, dims = value.type.tensor_type.elem_type, _dims(value)
        inner = f"{value.name}/row"
        body.output.append(helper.make_tensor_value_info(inner, kind, dims[1:]))
        body.node.append(_axis("Squeeze", value.name, inner, zero))
    # Rows come in by their own names: what the body calls so is its own.
    del graph.graph.node[:]
    graph.graph.node.append(
        helper.make_node(
            "Scan",
            [value.name for value in inputs],
            [value.name for value in outputs],
            name="vsr/rows",
            num_scan_inputs=len(inputs),
            body=_renamed(body, [value.name for value in (*inputs, *outputs)]),
        )
    )
    graph.index()


def _first_axis(graph: OnnxGraph) -> str | None:
    """The first axis, as opset 13 and later want it: a weight."""
    return None if graph.opset < 13 else graph.weight(np.array([0], np.int64), "axis")


def _axis(op: str, value: str, out: str, axis: str | None) -> NodeProto:
    if axis is None:
        return helper.make_node(op, [value], [out], name=f"vsr/{op}/{out}", axes=[0])
    return helper.make_node(op, [value, axis], [out], name=f"vsr/{op}/{out}")


def _dims(value: onnx.ValueInfoProto) -> list[str | int | None]:
    return [one.dim_value or one.dim_param or None for one in value.type.tensor_type.shape.dim]


def _renamed(body: onnx.GraphProto, names: Sequence[str]) -> onnx.GraphProto:
    """The body with other names for these: a name stands for one value inside and out."""
    new = {name: f"vsr/row/{name}" for name in names}
    sorted_nodes = _sorted(body.node)
    del body.node[:]
    for node in sorted_nodes:
        for kept in (node.input, node.output):
            for place, name in enumerate(kept):
                kept[place] = new.get(name, name)
        body.node.append(node)
    return body


def _sorted(nodes: Sequence[NodeProto]) -> list[NodeProto]:
    """What takes an axis away or adds one was appended: the latter must come first."""
    copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    first = [node for node in copies if node.name.startswith("vsr/Unsqueeze/")]
    return first + [node for node in copies if not node.name.startswith("vsr/Unsqueeze/")]


def float_convolutions(graph: OnnxGraph) -> int:
    """Let convolutions of 8-bit numbers compute in floating point, from the same weights.

    onnxruntime has none for signed weights, which is what dynamic quantisation makes of them; where
    it has them, they are slower than those in floating point. Returns how many there were.
    """
    found = 0
    for node in [node for node in graph.graph.node if node.op_type == "ConvInteger"]:
        source = graph.maker.get(node.input[0])
        weight = graph.constant(node.input[1])
        if source is None or source.op_type != "DynamicQuantizeLinear" or weight is None:
            continue
        zero = graph.constant(node.input[3]) if len(node.input) > 3 else np.zeros(1, weight.dtype)
        cast = _reader(graph, node.output[0], "Cast")
        scaled = None if cast is None else _reader(graph, cast.output[0], "Mul")
        if zero is None or cast is None or scaled is None:
            continue
        by = next(name for name in scaled.input if name != cast.output[0])
        product = graph.maker.get(by)
        scales = [] if product is None else [graph.constant(name) for name in product.input]
        scale = next((one for one in scales if one is not None), None)
        if scale is None:
            continue
        per_channel = (-1, *([1] * (weight.ndim - 1))) if scale.size > 1 else ()
        wide = weight.astype(np.float32) - zero.astype(np.float32).reshape(
            per_channel if zero.size > 1 else ()
        )
        values = (wide * scale.reshape(per_channel)).astype(np.float32)
        name = graph.weight(values, "convolution")
        replacement = helper.make_node("Conv", [source.input[0], name], [scaled.output[0]])
        replacement.attribute.extend(node.attribute)
        replacement.name = f"{node.name or node.output[0]}/float"
        scaled.output[0] = graph.fresh("unused")
        graph.graph.node.append(replacement)
        found += 1
    if found:
        graph.sort()
        graph.keep(list(graph.outputs))
    return found


def _reader(graph: OnnxGraph, name: str, op: str) -> NodeProto | None:
    readers = graph.readers.get(name, [])
    return readers[0] if len(readers) == 1 and readers[0].op_type == op else None
