"""A published text graph becomes the runtime's: an entrance for soft tokens beside the words.

The graph is not taken apart. It is told of a sentence with N further words before its last token,
the mark of the end, so that positions, masks and pooling count them as any words, whatever they are
made of; and where its word embeddings come out, those of the N further words are replaced by the
soft tokens. That holds for causal and bidirectional encoders, for positions that are added, rotated
or counted from the ids, and for whatever is pooled: the end mark, the last position, the first, the
mean.

What comes out is unit vectors, and the states of the tokens, the soft ones last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper

from vsr_edge.making.onnx_graph import OnnxGraph

IDS, MASK, SOFT = "input_ids", "attention_mask", "soft_tokens"
_NAMES = {
    IDS: ("input_ids", "text", "text_input", "tokens"),
    MASK: ("attention_mask", "text_attention_mask"),
    "types": ("token_type_ids",),
    "positions": ("position_ids",),
}
# What ids may go through on their way to the table of word embeddings.
_AS_THEY_ARE = {"Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten"}
_LOOKS_UP = {"Gather", "GatherBlockQuantized"}
_WIDENS = {"DequantizeLinear", "Cast"}
# States are looked for among so many of the last nodes.
_LAST_NODES = 200


@dataclass(frozen=True)
class TextInputs:
    """How a published text graph calls what it takes, and of which types; ``batch`` and ``length``
    where they are fixed.
    """

    names: dict[str, str]
    kinds: dict[str, int]
    batch: int | None
    length: int | None

    def feeds(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Rows of tokens [B, L] as the published graph takes them."""
        values = {
            IDS: ids,
            MASK: mask,
            "types": np.zeros_like(ids),
            "positions": np.broadcast_to(np.arange(ids.shape[1]), ids.shape),
        }
        return {
            name: values[what].astype(helper.tensor_dtype_to_np_dtype(self.kinds[what]))
            for what, name in self.names.items()
        }


@dataclass(frozen=True)
class TextParts:
    """What of a text graph can be used: where soft tokens can enter (the value that is the words'
    embeddings, of type ``kind`` and ``width`` H), and the value that is a vector of that width a
    token; None for what was not found.
    """

    embeddings: str | None
    kind: int
    width: int
    states: str | None


def text_inputs(graph: OnnxGraph) -> TextInputs | str:
    """What a text graph takes, or why nothing can be made of it."""
    given = graph.inputs
    names = {
        what: next(name for name in known if name in given)
        for what, known in _NAMES.items()
        if given.keys() & set(known)
    }
    if strange := sorted(given.keys() - set(names.values())):
        return f"it takes {', '.join(strange)}, of which nothing is known"
    if IDS not in names:
        return "it takes no ids of tokens"
    kinds = {what: given[name].type.tensor_type.elem_type for what, name in names.items()}
    dims = given[names[IDS]].type.tensor_type.shape.dim
    if len(dims) != 2:
        return f"its ids have {len(dims)} axes, not 2"
    batch, length = (one.dim_value or None for one in dims)
    return TextInputs(names, kinds, batch, length)


def find_parts(
    graph: OnnxGraph, output: str, ids: str, feeds: Mapping[str, NDArray[Any]], folder: Path
) -> TextParts:
    """Look for the entrance and for the states, by their place in the graph and by running it.

    Args:
        output: the sentence's vector.
        ids: the graph's input.
        feeds: rows [B, L] of which B and L are no width of anything.
    """
    tables = sorted(_look_ups(graph, ids), key=lambda one: -one[0])
    entrances = [name for _, node in tables for name in _values_of(graph, node)]
    needed = graph.before([output])
    last = [
        node.output[0]
        for node in graph.graph.node
        if node.op_type not in {"Constant", "Shape", "ConstantOfShape"}
        and needed.intersection(node.output)
    ][-_LAST_NODES:]
    shapes = graph.shapes(feeds, [*dict.fromkeys([*entrances, *last])], folder)
    rows = feeds[ids].shape

    def is_a_vector_a_token(name: str) -> bool:
        kind, shape = shapes[name]
        return kind.kind == "f" and len(shape) == 3 and shape[:2] == rows

    embeddings = next(filter(is_a_vector_a_token, entrances), None)
    width = shapes[embeddings][1][2] if embeddings else 0
    states = next(
        (
            name
            for name in reversed(last)
            if is_a_vector_a_token(name)
            and width in (0, shapes[name][1][2])
            and graph.sees([name], ids)
        ),
        None,
    )
    kind = helper.np_dtype_to_tensor_dtype(shapes[embeddings][0]) if embeddings else 0
    return TextParts(embeddings, kind, width or (shapes[states][1][2] if states else 0), states)


def _look_ups(graph: OnnxGraph, ids: str) -> list[tuple[int, NodeProto]]:
    """Nodes that look ids up in a table, with the number of its rows."""
    chain, found = {ids}, []
    for node in graph.graph.node:
        if node.op_type in _AS_THEY_ARE and node.input[0] in chain:
            chain.add(node.output[0])
        elif node.op_type in _LOOKS_UP and node.input[1] in chain:
            name = node.input[0]
            while name in graph.maker and graph.maker[name].op_type in {"Identity", *_WIDENS}:
                name = graph.maker[name].input[0]
            table = graph.constant(name)
            if table is not None and table.ndim == 2:
                found.append((len(table), node))
    return found


def _values_of(graph: OnnxGraph, node: NodeProto) -> list[str]:
    """What a look-up gives, and what widens that."""
    name = node.output[0]
    readers = graph.readers.get(name, [])
    wider = len(readers) == 1 and readers[0].op_type in _WIDENS
    return [readers[0].output[0], name] if wider else [name]


def cut_text(
    graph: OnnxGraph, inputs: TextInputs, output: str, dim: int, parts: TextParts, filler: int
) -> None:
    """Give a text graph the inputs and outputs of the runtime's contract, as far as it has them.

    Args:
        output: the value that is the sentence's vector [B, D], of any length.
        dim: D.
        parts: entrance and states, as far as they are to be used.
        filler: the id of an ordinary word, which stands where soft tokens do.
    """
    inner = {what: graph.fresh(what) for what in inputs.names}
    for what, name in inputs.names.items():
        graph.rename(name, inner[what])
    graph.clear_ends(inputs.names.values())
    for name in (IDS, MASK):
        graph.take(name, TensorProto.INT64, ["batch", "length"])
    ids, mask, back = IDS, MASK, None
    if parts.embeddings is not None:
        graph.take(SOFT, TensorProto.FLOAT, ["batch", "soft", parts.width])
        ids, mask, back = _insert(graph, parts, parts.embeddings, filler)
    zeros = graph.add("Sub", ids, ids)
    places = graph.add("Add", zeros, _range(graph, graph.length(ids, 1)))
    values = {IDS: ids, MASK: mask, "types": zeros, "positions": places}
    for what, name in inner.items():
        graph.cast(values[what], inputs.kinds[what], out=name)
    graph.unit(output, "vector")
    graph.give("vector", ["batch", dim])
    if parts.states is not None:
        picked = parts.states if back is None else _pick(graph, parts.states, back)
        graph.cast(picked, TensorProto.FLOAT, out="token_states")
        graph.give("token_states", ["batch", "states", parts.width])
    graph.sort()


def _insert(
    graph: OnnxGraph, parts: TextParts, embeddings: str, filler: int
) -> tuple[str, str, str]:
    """Soft tokens before the last token of each row: longer ids, a longer mask, and the order that
    puts the soft ones last again.
    """
    add = graph.add
    one = graph.weight(np.array([1], np.int64))
    batch, length, soft = graph.length(IDS, 0), graph.length(IDS, 1), graph.length(SOFT, 1)
    total = add("Add", length, soft)
    # Rows are padded behind, so the end mark is the last real token.
    end = add("Sub", graph.sum_over(MASK, 1), one)
    place = _range(graph, total)
    number = add("Sub", place, end)  # of the soft token that stands there, if one does
    before = add("Less", place, end)
    is_soft = add("And", add("Not", before), add("Less", number, soft))
    behind = add("Where", is_soft, add("Add", number, length), add("Sub", place, soft))
    order = add("Where", before, place, behind)
    both = add("Concat", batch, soft, axis=0)

    def longer(words: str, value: int) -> str:
        filled = helper.make_tensor("value", TensorProto.INT64, [1], [value])
        more = add("ConstantOfShape", both, value=filled)
        return add("GatherElements", add("Concat", words, more, axis=1), order, axis=1)

    # One row of zeros more, for where no soft token stands; with N = 0 there is nothing else.
    row = add("Concat", batch, one, graph.weight(np.array([parts.width], np.int64)), axis=0)
    padded = add("Concat", SOFT, add("ConstantOfShape", row), axis=1)
    placed = graph.cast(_pick(graph, padded, add("Where", is_soft, number, soft)), parts.kind)
    here = graph.fresh("embeddings")
    graph.rename(embeddings, here)
    each = add("Concat", batch, total, one, axis=0)
    add("Where", add("Reshape", is_soft, each), placed, embeddings, out=here)
    word = _range(graph, length)
    words = add("Where", add("Less", word, end), word, add("Add", word, soft))
    back = add("Concat", words, add("Add", end, _range(graph, soft)), axis=1)
    return longer(IDS, filler), longer(MASK, 1), back


def _range(graph: OnnxGraph, length: str) -> str:
    """0, 1, … of a length int64 [1], as [1, length]."""
    scalar = graph.add("Reshape", length, graph.weight(np.zeros(0, np.int64)))
    start, step = graph.weight(np.int64(0)), graph.weight(np.int64(1))
    return graph.row(graph.add("Range", start, scalar, step))


def _pick(graph: OnnxGraph, rows: str, order: str) -> str:
    """rows [B, L, H] at places [B, K] → [B, K, H]."""
    shape = graph.add("Shape", order)
    column = graph.add("Concat", shape, graph.weight(np.array([1], np.int64)), axis=0)
    wide = graph.add("Concat", shape, graph.length(rows, 2), axis=0)
    places = graph.add("Expand", graph.add("Reshape", order, column), wide)
    return graph.add("GatherElements", rows, places, axis=1)
