"""A published image graph becomes the runtime's: unit vectors, and nine regions of each picture.

The last place where the graph still has a grid (patches, or a feature map) and all that follows
from it alone is its tail. What pools the grid there decides how a cell of 3 × 3 becomes a vector as
the whole picture does:

- *one row is taken*, the class token (CLIP): the tail is applied to each patch, and the cell's
  vectors are averaged;
- *a mean is taken* (MobileCLIP and other convolutional encoders): of the cell alone, and the tail
  is applied to it;
- *attention pools it* (SigLIP): it sees the patches of the cell alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper

from vsr_edge.making.onnx_graph import OnnxGraph, inputs_of

GRID = 3  # cells a side: nine regions a picture
PIXELS = "pixels"
_NAMES = ("pixel_values", "image", "image_input", "input")
# The grid is looked for among so many of the last nodes.
_LAST_NODES = 300
_NO_VALUES = {"Constant", "Shape", "ConstantOfShape", "DynamicQuantizeLinear", "Split"}


@dataclass(frozen=True)
class ImageInput:
    """How a published image graph calls its pixels [B, 3, S, S], and of which type; ``batch`` and
    ``side`` where they are fixed.
    """

    name: str
    kind: int
    batch: int | None
    side: int | None

    def feeds(self, pixels: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        return {self.name: pixels.astype(helper.tensor_dtype_to_np_dtype(self.kind))}


@dataclass(frozen=True)
class Grid:
    """The last place with a grid: the value, its shape, by which of the three ways it is pooled,
    and the value from which on the tail differs for each cell: what was pooled, or the scores of
    the attention, of type ``kind``.
    """

    value: str
    shape: tuple[int, ...]
    how: Literal["row", "mean", "attention"]
    pooled: str
    kind: int = TensorProto.FLOAT

    @property
    def side(self) -> int:
        """Patches a side; a class token is none of them."""
        return self.shape[2] if len(self.shape) == 4 else math.isqrt(self.shape[1])

    @property
    def first(self) -> int:
        """Where patches begin: 1 behind a class token."""
        return 0 if len(self.shape) == 4 else self.shape[1] - self.side**2


def image_input(graph: OnnxGraph) -> ImageInput | str:
    """What an image graph takes, or why nothing can be made of it."""
    given = graph.inputs
    name = next((name for name in _NAMES if name in given), None)
    if name is None or len(given) > 1:
        return f"it takes {', '.join(sorted(given))}, not pixels alone"
    kind = given[name].type.tensor_type
    dims = [one.dim_value or None for one in kind.shape.dim]
    if len(dims) != 4 or dims[1] not in (None, 3) or dims[2] != dims[3]:
        return f"its pixels have the shape {dims}, not [n, 3, S, S]"
    return ImageInput(name, kind.elem_type, dims[0], dims[2])


def find_grid(
    graph: OnnxGraph, output: str, pixels: str, feeds: Mapping[str, NDArray[Any]], folder: Path
) -> Grid | None:
    """The last value with a grid by which alone the output sees the pixels; None where there is
    none that has nine cells.
    """
    needed = graph.before([output])
    names = [
        node.output[0]
        for node in graph.graph.node
        if node.op_type not in _NO_VALUES and needed.intersection(node.output)
    ][-_LAST_NODES:]
    shapes = graph.shapes(feeds, names, folder)
    batch = len(feeds[pixels])
    for name in reversed(names):
        kind, shape = shapes[name]
        if kind.kind != "f" or not _is_grid(shape, batch):
            continue
        if graph.sees([output], pixels, stop={name}) or not graph.sees([name], pixels):
            continue
        readers = [node for node in graph.readers.get(name, []) if node.op_type != "Shape"]
        if len(readers) == 1 and (how := _way_of(graph, readers[0], shape)) is not None:
            return Grid(name, shape, how, readers[0].output[0])
        scores = [
            node.input[0]
            for node in _tail(graph, name, output)
            if node.op_type == "Softmax" and shapes[node.output[0]][1][-1] == shape[1]
        ]
        if len(scores) == 1 and len(shape) == 3:
            return Grid(name, shape, "attention", scores[0], helper.np_dtype_to_tensor_dtype(kind))
        return None
    return None


def _is_grid(shape: Sequence[int], batch: int) -> bool:
    """[B, C, h, h], or [B, P, W] of a square number of patches, perhaps with a class token."""
    if shape[:1] != (batch,):
        return False
    if len(shape) == 4:
        return shape[2] == shape[3] >= GRID
    if len(shape) != 3:
        return False
    return any(
        count >= GRID**2 and math.isqrt(count) ** 2 == count for count in (shape[1], shape[1] - 1)
    )


def _way_of(
    graph: OnnxGraph, reader: NodeProto, shape: Sequence[int]
) -> Literal["row", "mean"] | None:
    """How the only reader of a grid pools it; None where it does something else."""
    given = {one.name: helper.get_attribute_value(one) for one in reader.attribute}
    if len(shape) == 4 and reader.op_type == "GlobalAveragePool":
        return "mean"
    if reader.op_type == "ReduceMean":
        axes = given.get("axes")
        if axes is None and len(reader.input) > 1:
            axes = graph.constant(reader.input[1])
        wanted = {2, 3} if len(shape) == 4 else {1}
        found = {int(axis) % len(shape) for axis in axes} if axes is not None else set()
        return "mean" if found == wanted else None
    if reader.op_type == "Gather" and len(shape) == 3 and given.get("axis", 0) == 1:
        place = graph.constant(reader.input[1])
        return "row" if place is not None and place.size == 1 and place.item() == 0 else None
    if reader.op_type == "Slice" and len(shape) == 3 and len(reader.input) > 3:
        start, stop, axes = (graph.constant(name) for name in reader.input[1:4])
        whole = [one.tolist() for one in (start, stop, axes) if one is not None]
        return "row" if whole == [[0], [1], [1]] else None
    return None


def cells_of(side: int) -> NDArray[np.bool_]:
    """Which of side² patches lie in each of nine cells, [9, side²]; cells share a patch where the
    side does not divide.
    """
    one = np.zeros((GRID, side), bool)
    for cell in range(GRID):
        one[cell, side * cell // GRID : -(-side * (cell + 1) // GRID)] = True
    cells = one[:, None, :, None] & one[None, :, None, :]
    return cells.reshape(GRID * GRID, side * side)


def cut_image(
    graph: OnnxGraph, source: ImageInput, side: int, output: str, dim: int, grid: Grid | None
) -> None:
    """Give an image graph the ends of the runtime's contract, as far as it has them."""
    inner = graph.fresh("pixels")
    graph.rename(source.name, inner)
    graph.clear_ends([source.name])
    graph.take(PIXELS, TensorProto.FLOAT, ["batch", 3, side, side])
    graph.cast(PIXELS, source.kind, out=inner)
    regions = None if grid is None else _regions(graph, grid, output)
    graph.unit(output, "vector")
    graph.give("vector", ["batch", dim])
    if regions is not None:
        graph.unit(regions, "regions")
        graph.give("regions", ["batch", GRID * GRID, dim])
    graph.sort()


def _regions(graph: OnnxGraph, grid: Grid, output: str) -> str:
    """Vectors of the nine cells [B, 9, D], of any length."""
    cells = cells_of(grid.side)
    tail = _tail(graph, grid.pooled, output)
    if grid.how == "attention":
        # Hidden patches have no share in the softmax, as if they were not there.
        hidden = np.full((len(cells), grid.shape[1]), -1e4 if grid.kind != 1 else -1e30, np.float32)
        hidden[:, grid.first :][cells] = 0
        masks = [graph.cast(graph.weight(one, "hidden"), grid.kind) for one in hidden]
        seen = [graph.add("Add", grid.pooled, mask) for mask in masks]
        apart = [
            _again(graph, tail, grid.pooled, scores, output, f"cell{number}")
            for number, scores in enumerate(seen)
        ]
        return _together(graph, apart)
    shares = (cells / cells.sum(1, keepdims=True)).astype(np.float32)
    rows = _as_rows(graph, grid)
    batch = graph.length(grid.value, 0)
    if grid.how == "row":
        each = _again(graph, tail, grid.pooled, _flat(graph, grid, rows), output, "patch")
        vectors = _unflat(graph, each, batch, grid.side**2)
        return _averaged(graph, shares, vectors)
    pooled = _flat(graph, grid, _averaged(graph, shares, rows))
    each = _again(graph, tail, grid.pooled, pooled, output, "cell")
    return _unflat(graph, each, batch, GRID * GRID)


def _tail(graph: OnnxGraph, start: str, output: str) -> list[NodeProto]:
    """The nodes that lead from one value to another, in order."""
    needed = graph.before([output], stop={start})
    reached, found = {start}, []
    for node in graph.graph.node:
        if needed.intersection(node.output) and reached.intersection(inputs_of(node)):
            reached.update(node.output)
            found.append(node)
    return found


def _again(
    graph: OnnxGraph, tail: Sequence[NodeProto], start: str, begin: str, output: str, mark: str
) -> str:
    """The tail once more, from another value; what it gives."""
    if start == output:
        return begin
    new = {name: f"vsr/again/{mark}/{name}" for node in tail for name in node.output if name}
    new[start] = begin
    for node in tail:
        copy = NodeProto.FromString(node.SerializeToString())
        copy.name = f"vsr/again/{mark}/{node.name or node.output[0]}"
        for kept in (copy.input, copy.output):
            for place, name in enumerate(kept):
                kept[place] = new.get(name, name)
        graph.graph.node.append(copy)
    return new[output]


def _chosen(graph: OnnxGraph, value: str, rows: NDArray[np.intp]) -> str:
    return graph.add("Gather", value, graph.weight(rows.astype(np.int64)), axis=1)


def _as_rows(graph: OnnxGraph, grid: Grid) -> str:
    """The patches [B, P, W], without a class token."""
    if len(grid.shape) == 3:
        return _chosen(graph, grid.value, np.arange(grid.first, grid.shape[1]))
    count = np.array([0, 0, grid.side**2], np.int64)
    flat = graph.add("Reshape", grid.value, graph.weight(count))
    return graph.add("Transpose", flat, perm=[0, 2, 1])


def _flat(graph: OnnxGraph, grid: Grid, rows: str) -> str:
    """[B, n, W] → as the tail takes the pooled value, B · n of them."""
    reader = graph.maker[grid.pooled]
    given = {one.name: helper.get_attribute_value(one) for one in reader.attribute}
    width = grid.shape[1] if len(grid.shape) == 4 else grid.shape[2]
    ones = [1, 1] if len(grid.shape) == 4 else []
    if len(grid.shape) == 3 and grid.how == "mean":
        ones = [1]
    if reader.op_type == "ReduceMean" and not given.get("keepdims", 1):
        ones = []
    shape = [-1, width, *ones]
    if reader.op_type == "Gather":
        place = graph.constant(reader.input[1])
        shape = [-1, 1, width] if place is not None and place.ndim else [-1, width]
    elif reader.op_type == "Slice" or (len(grid.shape) == 3 and ones):
        shape = [-1, 1, width]
    return graph.add("Reshape", rows, graph.weight(np.array(shape, np.int64)))


def _unflat(graph: OnnxGraph, vectors: str, batch: str, count: int) -> str:
    """[B · n, D] → [B, n, D]."""
    sizes = [graph.weight(np.array([count], np.int64)), graph.weight(np.array([-1], np.int64))]
    return graph.add("Reshape", vectors, graph.add("Concat", batch, *sizes, axis=0))


def _averaged(graph: OnnxGraph, shares: NDArray[np.float32], rows: str) -> str:
    """Shares [9, P] of rows [B, P, W] → [B, 9, W], in the type of the rows."""
    weights = graph.add("CastLike", graph.weight(shares), rows) if graph.opset >= 15 else None
    if weights is not None:
        return graph.add("MatMul", weights, rows)
    wide = graph.cast(rows, TensorProto.FLOAT)
    return graph.add("MatMul", graph.weight(shares), wide)


def _together(graph: OnnxGraph, vectors: Sequence[str]) -> str:
    """Nine times [B, D] → [B, 9, D]."""
    shape = graph.weight(np.array([0, 1, -1], np.int64))
    return graph.add("Concat", *(graph.add("Reshape", v, shape) for v in vectors), axis=1)
