"""An ONNX graph that is being changed: what leads to what, new nodes in the words of its own opset,
and trying it out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from vsr_edge.errors import BundleDamaged, NoDualEncoder
from vsr_edge.runtime.native import native_stderr
from vsr_edge.runtime.session import open_session

# `Range` and `GatherElements` came with it.
OLDEST_OPSET = 11
# What Protocol Buffers can hold, less what the graph itself takes.
LARGEST_FILE = 2**31 - 2**24
# Their outputs tell nothing of the values that they look at.
_BLIND = {"Shape", "Size"}


class OnnxGraph:
    """A model in memory, its weights with it; ``name`` is for messages."""

    def __init__(self, model: onnx.ModelProto, name: str) -> None:
        self.model, self.graph, self.name = model, model.graph, name
        imports = {one.domain: one.version for one in model.opset_import}
        self.opset = imports.get("", imports.get("ai.onnx", 0))
        if self.opset < OLDEST_OPSET:
            raise NoDualEncoder(
                f"{name} is written in opset {self.opset}; {OLDEST_OPSET} is the oldest that can "
                "be cut: take a newer export of it"
            )
        self._count = 0
        self.index()

    def index(self) -> None:
        """Look again at who makes what; to be called when nodes were changed from outside."""
        self.maker = {name: node for node in self.graph.node for name in node.output if name}
        self.weights = {tensor.name: tensor for tensor in self.graph.initializer}
        self.readers: dict[str, list[NodeProto]] = {}
        for node in self.graph.node:
            for name in inputs_of(node):
                self.readers.setdefault(name, []).append(node)

    @property
    def inputs(self) -> dict[str, ValueInfoProto]:
        """What it takes, without weights that are named among it."""
        return {one.name: one for one in self.graph.input if one.name not in self.weights}

    @property
    def outputs(self) -> dict[str, ValueInfoProto]:
        return {one.name: one for one in self.graph.output}

    def before(self, names: Iterable[str], stop: Collection[str] = ()) -> set[str]:
        """Every value that these depend on, themselves too, but for what lies before ``stop``."""
        found: set[str] = set()
        ahead = list(names)
        while ahead:
            name = ahead.pop()
            if name in found:
                continue
            found.add(name)
            if name not in stop and (node := self.maker.get(name)) is not None:
                ahead.extend(inputs_of(node))
        return found

    def sees(self, names: Iterable[str], source: str, stop: Collection[str] = ()) -> bool:
        """Do the numbers of ``source`` reach these, other than by ``stop``? Its shape may."""
        found: set[str] = set()
        ahead = list(names)
        while ahead:
            name = ahead.pop()
            if name == source and name not in stop:
                return True
            if name in found or name in stop:
                continue
            found.add(name)
            node = self.maker.get(name)
            if node is not None and node.op_type not in _BLIND:
                ahead.extend(inputs_of(node))
        return False

    def without_norm(self, output: str) -> str:
        """The vector that is brought to unit length at the end of a graph, or the output itself."""
        node = self.maker.get(output)
        while node is not None and node.op_type in {"Identity", "Cast"}:
            node = self.maker.get(node.input[0])
        if node is not None and node.op_type == "LpNormalization":
            return str(node.input[0])
        if node is None or node.op_type != "Div":
            return output
        vector, length = node.input
        return str(vector) if vector in self.before([length]) else output

    def constant(self, name: str) -> NDArray[Any] | None:
        """The value of a weight or of a `Constant` node; None for what is computed."""
        if name in self.weights:
            return numpy_helper.to_array(self.weights[name])
        node = self.maker.get(name)
        if node is None or node.op_type != "Constant":
            return None
        value = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        if "value" in value:
            return numpy_helper.to_array(value["value"])
        return np.asarray(next(iter(value.values())))

    def keep(self, outputs: Sequence[str]) -> None:
        """Leave what these outputs need, and nothing else: the other side, logits, its inputs."""
        needed = self.before(outputs)
        for held, keeps in (
            (self.graph.node, lambda node: any(name in needed for name in node.output)),
            (self.graph.initializer, lambda tensor: tensor.name in needed),
            (self.graph.input, lambda value: value.name in needed),
            (self.graph.output, lambda value: value.name in outputs),
        ):
            _filter(held, keeps)
        # Shapes that were inferred for fixed axes are wrong once these are free.
        del self.graph.value_info[:]
        self.index()

    def rename(self, old: str, new: str) -> None:
        """Let every reader of a value read another, and the graph give it."""
        for node in self.graph.node:
            for place, name in enumerate(node.input):
                if name == old:
                    node.input[place] = new
        self.index()

    def clear_ends(self, inputs: Iterable[str]) -> None:
        """Take away these inputs and all outputs."""
        gone = set(inputs)
        _filter(self.graph.input, lambda value: value.name not in gone)
        del self.graph.output[:]

    def take(self, name: str, kind: int, shape: Sequence[str | int]) -> None:
        """A new input."""
        self.graph.input.append(helper.make_tensor_value_info(name, kind, shape))

    def give(self, name: str, shape: Sequence[str | int]) -> None:
        """A new output, float32."""
        self.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    # New nodes --------------------------------------------------------------------------------

    def fresh(self, hint: str) -> str:
        self._count += 1
        return f"vsr/{hint}_{self._count}"

    def weight(self, value: Any, hint: str = "constant") -> str:
        """A new constant."""
        name = self.fresh(hint)
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, op: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        """A new node; its only output."""
        name = out or self.fresh(op)
        self.graph.node.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def sum_over(self, value: str, axis: int) -> str:
        """Sum over one axis, which stays with length 1."""
        if self.opset < 13:
            return self.add("ReduceSum", value, axes=[axis], keepdims=1)
        return self.add("ReduceSum", value, self.weight(np.array([axis], np.int64)), keepdims=1)

    def row(self, values: str) -> str:
        """[n] → [1, n]."""
        if self.opset < 13:
            return self.add("Unsqueeze", values, axes=[0])
        return self.add("Unsqueeze", values, self.weight(np.array([0], np.int64)))

    def length(self, value: str, axis: int) -> str:
        """Of one axis, int64 [1]."""
        return self.add(
            "Gather", self.add("Shape", value), self.weight(np.array([axis], np.int64)), axis=0
        )

    def cast(self, value: str, kind: int, out: str | None = None) -> str:
        return self.add("Cast", value, to=kind, out=out)

    def unit(self, value: str, out: str) -> str:
        """Vectors of unit length, float32, over the last axis."""
        wide = self.cast(value, TensorProto.FLOAT)
        return self.add("LpNormalization", wide, axis=-1, p=2, out=out)

    def sort(self) -> None:
        """Nodes in an order that each comes after what it reads; they were appended anyhow."""
        nodes = list(self.graph.node)  # held, so that each keeps its identity
        self.index()
        missing = {id(node): {n for n in inputs_of(node) if n in self.maker} for node in nodes}
        ready = [node for node in nodes if not missing[id(node)]]
        done: list[NodeProto] = []
        while ready:
            node = ready.pop()
            done.append(node)
            for name in node.output:
                for reader in self.readers.get(name, ()):
                    left = missing[id(reader)]
                    if name in left:
                        left.discard(name)
                        if not left:
                            ready.append(reader)
        if len(done) != len(nodes):
            raise NoDualEncoder(f"the nodes of {self.name} go in a circle")
        copies = [NodeProto.FromString(node.SerializeToString()) for node in done]
        del self.graph.node[:]
        self.graph.node.extend(copies)
        self.index()

    # Trying it out ----------------------------------------------------------------------------

    def save(self, path: Path) -> Path:
        """Write it as one file.

        Raises:
            NoDualEncoder: it is larger than a file of ONNX can be.
        """
        if (size := self.model.ByteSize()) >= LARGEST_FILE:
            raise NoDualEncoder(
                f"{self.name} has {size / 1e9:.1f} GB of weights, more than one ONNX file can "
                "hold: take it in a smaller precision (--precision fp16 or int8)"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.model.SerializeToString())
        return path

    def shapes(
        self, feeds: Mapping[str, NDArray[Any]], wanted: Sequence[str], folder: Path
    ) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
        """Type and shape of values in between, by running it."""
        known = set(self.outputs)
        extra = [ValueInfoProto(name=name) for name in wanted if name not in known]
        self.graph.output.extend(extra)
        try:
            path = self.save(folder / "probe.onnx")
        finally:
            del self.graph.output[len(known) :]
        session = open_session({"": path})
        values = session.run(list(wanted), feeds)
        path.unlink()
        return {
            name: (np.asarray(value).dtype, np.asarray(value).shape)
            for name, value in zip(wanted, values, strict=True)
        }


def inputs_of(node: NodeProto) -> list[str]:
    """What a node reads, also what the bodies of its loops and branches read from outside."""
    names = [name for name in node.input if name]
    for attribute in node.attribute:
        for body in (attribute.g, *attribute.graphs):
            made = {name for inner in body.node for name in inner.output}
            made |= {one.name for one in (*body.input, *body.initializer)}
            names += [n for inner in body.node for n in inputs_of(inner) if n not in made]
            names += [one.name for one in body.output if one.name not in made]
    return [name for name in names if name]


def load(path: Path, name: str | None = None) -> OnnxGraph:
    """Read a model with its weights, those in files beside it too.

    Raises:
        NoDualEncoder: it is damaged, or a file of weights is missing.
    """
    called = name or path.name
    try:
        model = onnx.load(path)
    except FileNotFoundError as error:
        raise NoDualEncoder(f"{called} lacks a file of its weights: {error}") from error
    except Exception as error:  # protobuf's and onnx's own
        raise NoDualEncoder(
            f"{called} is no ONNX graph, or cut off: {_first_line(error)}"
        ) from error
    for tensor in model.graph.initializer:
        # They are in memory now.
        if tensor.data_location == TensorProto.EXTERNAL:
            tensor.data_location = TensorProto.DEFAULT
            del tensor.external_data[:]
    return OnnxGraph(model, called)


def external_files(path: Path) -> list[str]:
    """The files that a model keeps weights in, as it names them.

    Raises:
        NoDualEncoder: it is no model.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's own
        raise NoDualEncoder(
            f"{path.name} is no ONNX graph, or cut off: {_first_line(error)}"
        ) from error
    if not model.graph.node:
        raise NoDualEncoder(f"{path.name} is no ONNX graph: it has no nodes")
    return sorted(
        {
            one.value
            for tensor in model.graph.initializer
            if tensor.data_location == TensorProto.EXTERNAL
            for one in tensor.external_data
            if one.key == "location"
        }
    )


def runs(path: Path, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> list[Any] | str:
    """What a graph gives, or in one line why it does not run."""
    try:
        with native_stderr():  # what fails here is no error yet
            return list(open_session({"": path}).run(outputs, feeds))
    except MemoryError:
        raise
    except BundleDamaged as error:
        return _first_line(error)
    except Exception as error:  # onnxruntime raises its own untyped exceptions
        return _first_line(error)


def _filter(held: Any, keeps: Callable[[Any], bool]) -> None:
    for place in reversed([place for place, one in enumerate(held) if not keeps(one)]):
        del held[place]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
