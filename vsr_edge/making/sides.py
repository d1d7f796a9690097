"""Each side of a published encoder as the runtime's graph, held against the published one.

What cannot be shown to be right is left out, and the reason kept: soft tokens that stand for words
must give what the words give, and a graph without soft tokens what the published one gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ValueInfoProto

from vsr_edge.errors import BundleDamaged, NoDualEncoder, ParityError
from vsr_edge.making.graph_repairs import float_convolutions, one_by_one
from vsr_edge.making.image_graph import (
    GRID,
    PIXELS,
    cut_image,
    find_grid,
    image_input,
)
from vsr_edge.making.onnx_graph import OnnxGraph, load, runs
from vsr_edge.making.text_graph import (
    IDS,
    MASK,
    SOFT,
    TextInputs,
    TextParts,
    cut_text,
    find_parts,
    text_inputs,
)
from vsr_edge.runtime.native import native_stderr
from vsr_edge.runtime.session import Session, open_session

TEXT_OUTPUTS = ("text_embeds", "l2norm_text_embeddings", "text_embeddings", "text_features")
IMAGE_OUTPUTS = ("image_embeds", "l2norm_image_embeddings", "image_embeddings", "image_features")
# Of a graph with one side: both sides call theirs so. SigLIP has no projection behind its pooling.
_ALONE = ("embedding", "embeddings", "output", "sentence_embedding")
_POOLED = "pooler_output"
# Largest difference of any number of a unit vector, by the precision of the graph: two orders of
# the same sums. Half precision rounds in between, by what is fused.
TOLERANCE = {"fp32": 1e-5, "fp16": 5e-3, "int8": 1e-5}
# So many words are taken from a sentence and put back as soft tokens.
SWAPPED = 3

Rows = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class Side:
    """A graph of the contract: what it takes and gives, the width H of its token states, the
    largest difference to the published graph, and what was left out, with the reason.
    """

    path: Path
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    dim: int
    hidden: int
    difference: float
    left_out: dict[str, str]
    notes: tuple[str, ...] = ()


class PublishedGraph:
    """A published graph as it is run for comparison, whatever else it holds.

    Raises:
        NoDualEncoder: it cannot be loaded.
    """

    def __init__(self, path: Path, work: Path, side: int, length: int) -> None:
        """``side`` and ``length`` are of what the other side of a graph with both is given."""
        self.path, self.work = path, work
        self.notes: list[str] = []
        self._other = {"pixels": (1, 3, side, side), "tokens": (1, length)}
        self._session: Session | None = None
        self._open()

    def _open(self) -> Session:
        if self._session is None:
            try:
                self._session = open_session({"": self.path})
            except BundleDamaged as error:
                if "ConvInteger" not in str(error) or self.notes:
                    raise NoDualEncoder(f"{self.path.name} does not run: {error}") from error
                # onnxruntime has no convolution of signed 8-bit numbers.
                graph = load(self.path)
                count = float_convolutions(graph)
                self.path = graph.save(self.work / f"repaired-{self.path.name}")
                self.notes.append(f"{count} convolutions of 8 bits compute in floating point")
                return self._open()
        return self._session

    def close(self) -> None:
        """Let go of its memory; it is loaded again if it is run again."""
        self._session = None

    def output(self, names: Sequence[str], pooled: bool) -> str:
        """The vector among what it gives.

        Raises:
            NoDualEncoder: there is none.
        """
        found = self._open().outputs
        wanted = [*names, *_ALONE, *((_POOLED,) if pooled else ())]
        name = next((name for name in wanted if name in found), None)
        if name is None:
            hint = (
                f": {_POOLED} lies in each side's own space, before the projection that both share"
                if _POOLED in found
                else ""
            )
            raise NoDualEncoder(
                f"{self.path.name} gives {', '.join(found)}, and none of {', '.join(wanted)}{hint}"
            )
        return str(name)

    def run(self, feeds: Mapping[str, NDArray[Any]], output: str) -> NDArray[Any] | str:
        """One output, or in one line why it does not run."""
        session = self._open()
        other = {}
        for name, shape in session.inputs.items():
            if name not in feeds:
                kind = session.kinds[name]
                like = self._other["pixels" if len(shape) == 4 else "tokens"]
                other[name] = np.ones(like, kind)
        try:
            with native_stderr():  # what fails here is no error yet
                return np.asarray(session.run([output], {**other, **feeds})[0])
        except MemoryError:
            raise
        except Exception as error:  # onnxruntime raises its own untyped exceptions
            return f"{self.path.name} does not run: {str(error).splitlines()[0][:300]}"


def make_text_side(
    published: PublishedGraph, target: Path, rows: Rows, filler: int, precision: str, pooled: bool
) -> Side:
    """The text graph, with an entrance for soft tokens where it can be shown to be right.

    Args:
        rows: ids and mask [B, L] of sentences of several words, padded behind.
        filler: the id of an ordinary word.
        pooled: a `pooler_output` is the vector.

    Raises:
        NoDualEncoder: the graph takes or gives something else.
        ParityError: what is made of it differs from it.
    """
    output = published.output(TEXT_OUTPUTS, pooled)
    graph = _part(published, output)
    inputs = _known(text_inputs(graph), published.path)
    ids, mask = (one[: inputs.batch] for one in rows)
    every = _rows_of(inputs.batch, rows)
    wanted = _expected(published, [inputs.feeds(*one) for one in every], output)
    output = graph.without_norm(output)
    name = inputs.names[IDS]
    parts = find_parts(graph, output, name, inputs.feeds(ids, mask), published.work)
    swapped = None
    left_out: dict[str, str] = {}
    if parts.embeddings is None:
        left_out[SOFT] = "its word embeddings are not looked up in a table that can be seen"
    else:
        swapped = _swap(graph, parts.embeddings, inputs, rows, published.work)
    if parts.states is None:
        left_out["token_states"] = "it has no vector a token before it pools"

    def build(chosen: TextParts, in_turn: bool) -> list[str]:
        made = _part(published, output)
        cut_text(made, inputs, output, wanted.shape[1], chosen, filler)
        if in_turn:
            one_by_one(made)
        made.save(target)
        return list(made.inputs)

    def difference(chosen: TextParts) -> float | str:
        def given(one: Rows, soft: NDArray[Any]) -> Any:
            feeds = {IDS: one[0], MASK: one[1]}
            if chosen.embeddings is not None:
                feeds[SOFT] = soft.astype(np.float32)
            return runs(target, feeds, ["vector"])

        none = np.zeros((len(rows[0]), 0, chosen.width), np.float32)
        found = given(rows, none)
        if isinstance(found, str):
            return found
        largest = _largest(found[0], wanted)
        if chosen.embeddings is not None and swapped is not None:
            found = given(swapped[0], swapped[1])
            if isinstance(found, str):
                return found
            soft = _largest(found[0], wanted)
            if not soft <= TOLERANCE[precision]:
                return (
                    f"soft tokens that are words' own embeddings give another vector ({soft:.2g})"
                )
            largest = max(largest, soft)
        return largest

    choices = [parts]
    if parts.embeddings is not None:
        choices.append(replace(parts, embeddings=None))
    choices.append(TextParts(None, 0, 0, None))
    chosen, largest, notes = _first_that_holds(
        choices, inputs.batch, build, difference, TOLERANCE[precision], published.path.name
    )
    if chosen.embeddings is None and SOFT not in left_out:
        left_out[SOFT] = notes.pop(0)
    takes = (IDS, MASK, *((SOFT,) if chosen.embeddings else ()))
    gives = ("vector", *(("token_states",) if chosen.states else ()))
    width = chosen.width if chosen.embeddings or chosen.states else 0
    all_notes = (*published.notes, *notes)
    return Side(target, takes, gives, wanted.shape[1], width, largest, left_out, all_notes)


def make_image_side(
    published: PublishedGraph,
    target: Path,
    pixels: NDArray[np.float32],
    precision: str,
    pooled: bool,
) -> Side:
    """The image graph, with regions where it has a grid.

    Args:
        pixels: pictures as the graph takes them, float32 [B, 3, S, S].
        pooled: a `pooler_output` is the vector.

    Raises:
        NoDualEncoder, ParityError: as of :func:`make_text_side`.
    """
    output = published.output(IMAGE_OUTPUTS, pooled)
    graph = _part(published, output)
    source = _known(image_input(graph), published.path)
    batches = [pixels] if source.batch is None else [pixels[i : i + 1] for i in range(len(pixels))]
    if source.batch not in (None, 1):
        raise NoDualEncoder(
            f"{published.path.name} takes {source.batch} pictures at a time, no more and no fewer: "
            "take an export with a free batch"
        )
    wanted = _expected(published, [source.feeds(one) for one in batches], output)
    output = graph.without_norm(output)
    grid = find_grid(graph, output, source.name, source.feeds(batches[0]), published.work)
    side = pixels.shape[-1]

    def build(chosen: Any, in_turn: bool) -> list[str]:
        made = _part(published, output)
        cut_image(made, source, side, output, wanted.shape[1], chosen)
        if in_turn:
            one_by_one(made)
        made.save(target)
        return list(made.inputs)

    def difference(chosen: Any) -> float | str:
        names = ["vector"] if chosen is None else ["vector", "regions"]
        found = runs(target, {PIXELS: pixels}, names)
        if isinstance(found, str):
            return found
        if chosen is not None:
            shape = (*wanted.shape[:1], GRID * GRID, wanted.shape[1])
            lengths = np.linalg.norm(found[1], axis=-1)
            if found[1].shape != shape or not np.allclose(lengths, 1, atol=1e-3):
                return f"regions of the shape {found[1].shape}, or not of unit length"
        return _largest(found[0], wanted)

    choices = [grid, None] if grid is not None else [None]
    chosen, largest, notes = _first_that_holds(
        choices, source.batch, build, difference, TOLERANCE[precision], published.path.name
    )
    left_out = {}
    if grid is None:
        left_out["regions"] = "it has no grid of nine cells before it pools"
    elif chosen is None:
        left_out["regions"] = notes.pop(0)
    gives = ("vector", *(("regions",) if chosen is not None else ()))
    notes = [*published.notes, *notes]
    return Side(target, (PIXELS,), gives, wanted.shape[1], 0, largest, left_out, tuple(notes))


def _first_that_holds(
    choices: Sequence[Any],
    batch: int | None,
    build: Callable[[Any, bool], object],
    difference: Callable[[Any], float | str],
    tolerance: float,
    name: str,
) -> tuple[Any, float, list[str]]:
    """The first choice whose graph gives what it must: as it is, or row by row where the published
    one takes one row; with the difference, and why the first choice did not hold.
    """
    reasons: dict[int, str] = {}
    for number, chosen in enumerate(choices):
        for in_turn in (False, True) if batch == 1 else (False,):
            build(chosen, in_turn)
            found = difference(chosen)
            # Asked so that what is not a number does not pass.
            if not isinstance(found, str) and found <= tolerance:
                notes = [reasons[0]] if number else []
                if in_turn:
                    notes.append("it takes one row at a time: batches are run row by row")
                return chosen, found, notes
            reasons[number] = (
                found
                if isinstance(found, str)
                else f"its vectors differ from those of the published graph by {found:.2g}"
            )
    raise ParityError(f"{name} cannot be carried over: {reasons[len(choices) - 1]}")


def _expected(
    published: PublishedGraph, feeds: Sequence[Mapping[str, NDArray[Any]]], output: str
) -> NDArray[np.float32]:
    """The unit vectors that the published graph gives."""
    found = [published.run(one, output) for one in feeds]
    published.close()
    if said := [one for one in found if isinstance(one, str)]:
        raise NoDualEncoder(said[0])
    return _unit(np.concatenate(found))


def _part(published: PublishedGraph, output: str) -> OnnxGraph:
    """One side of a published graph, to be changed."""
    graph = load(published.path)
    graph.keep([output])
    return graph


def _known(found: Any, path: Path) -> Any:
    if isinstance(found, str):
        raise NoDualEncoder(f"{path.name} cannot be used: {found}")
    return found


def _rows_of(batch: int | None, rows: Rows) -> list[Rows]:
    if batch not in (None, 1):
        raise NoDualEncoder(
            f"the text graph takes {batch} sentences at a time, no more and no fewer: take an "
            "export with a free batch"
        )
    if batch is None:
        return [rows]
    return [(rows[0][i : i + 1], rows[1][i : i + 1]) for i in range(len(rows[0]))]


def _swap(
    graph: OnnxGraph, embeddings: str, inputs: TextInputs, rows: Rows, work: Path
) -> tuple[Rows, NDArray[np.float32]]:
    """The same sentences with their last words as soft tokens: ids and mask [B, L − N], and the
    embeddings of the words [B, N, H].
    """
    graph.graph.output.append(_named(embeddings))
    path = graph.save(work / "embeddings.onnx")
    del graph.graph.output[-1]
    parts = _rows_of(inputs.batch, rows)
    found = [runs(path, inputs.feeds(*one), [embeddings]) for one in parts]
    path.unlink()
    values = np.concatenate([one[0] for one in found if not isinstance(one, str)])
    ids, mask = rows
    length = ids.shape[1] - SWAPPED
    shorter, shorter_mask = ids[:, :length].copy(), mask[:, :length].copy()
    soft = np.empty((len(ids), SWAPPED, values.shape[2]), np.float32)
    for row, end in enumerate(mask.sum(1) - 1):
        soft[row] = values[row, end - SWAPPED : end]
        rest = np.delete(ids[row], np.arange(end - SWAPPED, end))
        shorter[row] = rest
        shorter_mask[row] = np.arange(length) < end - SWAPPED + 1
    return (shorter, shorter_mask), soft


def _named(name: str) -> Any:
    return ValueInfoProto(name=name)


def _unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    wide = np.asarray(vectors, np.float32)
    return np.asarray(wide / np.linalg.norm(wide, axis=-1, keepdims=True))


def _largest(found: NDArray[Any], wanted: NDArray[Any]) -> float:
    if found.shape != wanted.shape:
        return float("inf")
    return float(np.abs(found - wanted).max())
