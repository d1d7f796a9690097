"""The import, top to bottom: published files → both sides → proofs → gate → stage → publish.

It needs onnx and nothing of PyTorch: the graphs are those that were published, given the entrances
and outputs of the runtime's contract (:mod:`vsr_edge.making.text_graph`,
:mod:`vsr_edge.making.image_graph`), and held against what they were before.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsr_edge.bundle.golden import golden_picture
from vsr_edge.bundle.manifest import (
    IMAGE_ENCODER,
    SOFT_TOKENS,
    TEXT_ENCODER,
    TOKENIZER,
)
from vsr_edge.bundle.model import Bundle
from vsr_edge.bundle.stage import check_target
from vsr_edge.errors import NoDualEncoder, ParityError, UsageError
from vsr_edge.making.gate import MIN_MEAN_COSINE, Feeds, Graph, pass_gate
from vsr_edge.making.image_graph import GRID, PIXELS
from vsr_edge.making.onnx_graph import load
from vsr_edge.making.published import CALLED, Published, preprocessing_of
from vsr_edge.making.sentences import Reading, read_text
from vsr_edge.making.sides import (
    PublishedGraph,
    Side,
    make_image_side,
    make_text_side,
)
from vsr_edge.making.text_graph import IDS, MASK, SOFT
from vsr_edge.making.write import write_bundle
from vsr_edge.runtime.preprocess import Preprocessing, to_input

Notify = Callable[[str], None]
AUTO = "auto"
# What precisions are compared on, beside generated pictures.
_MORE = (
    "a woman rides a bicycle along the river",
    "children play football in a park",
    "a red car turns at the traffic light",
    "a cat sleeps on a wooden chair",
    "people wait for a train on the platform",
    "a close view of a hand that holds a key",
    "a boat leaves the harbour at sunset",
    "a dark street after the rain",
    "somebody opens the door of a van",
    "a cook cuts vegetables in a kitchen",
    "a horse jumps over a fence",
    "an aerial view of mountains and a lake",
    "a crowd in front of a stage",
)
_GATE_PICTURES = 24
# So many tokens are given to the other side of a graph with both.
_OTHER_SIDE = 16


@dataclass(frozen=True)
class ImportOptions:
    """How a published encoder is imported.

    Args:
        precision: one of ``SUFFIXES``, or "auto": 8 bits on each side where they pass the gate and
            pay on this machine, else fp32.
        name: of the bundle; None takes the source's.
        licence: where the source does not say it.
        language: of the sentences, as in "en", where it is known to be one.
        gate: compare less precision with fp32; without, what is published is taken as it is.
        min_cosine: the gate's tolerance, on the mean cosine of each side.
        fit: "crop" or "stretch", where pictures are to be fitted otherwise than in training.
    """

    precision: str = AUTO
    name: str | None = None
    licence: str | None = None
    language: str | None = None
    gate: bool = True
    min_cosine: float = MIN_MEAN_COSINE
    fit: str | None = None


def import_bundle(
    published: Published, out: Path, options: ImportOptions, notify: Notify = lambda _: None
) -> Bundle:
    """Write a bundle of encoders from published graphs.

    Args:
        out: the bundle's folder; nothing is written there unless all of it is passed.

    Raises:
        NoDualEncoder: it lacks something, or its graphs cannot be used; says why.
        ParityError: what would be written differs from what is published, or less precision from
            fp32.
        UsageError: a precision that is not published, or what lies at ``out`` is not to be
            replaced.
    """
    check_target(out, published.files.folder)
    wanted = _precisions(published, options.precision)
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=".import-", suffix=".partial", dir=out.absolute().parent
    ) as scratch:
        maker = _Maker(published, Path(scratch), options, notify)
        graphs, parity = maker.make(wanted)
        return write_bundle(
            out,
            {**graphs, TOKENIZER: [Graph(maker.reading.file, None)]},
            maker.fields() | {"parity": parity},
        )


def _precisions(published: Published, asked: str) -> list[str]:
    """Which to try, the last of them in any case."""
    found = published.graphs
    if asked == AUTO:
        return [one for one in ("q8", "fp32", "fp16") if one in found][:2] or [next(iter(found))]
    if asked not in found:
        raise UsageError(
            f"{published.files.origin} has no graphs in {asked}; there are: {', '.join(found)}"
        )
    return [asked]


@contextmanager
def _said(published: Published) -> Iterator[None]:
    """Whatever others wrote into their configurations, it ends in a sentence."""
    try:
        yield
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise NoDualEncoder(
            f"the configuration of {published.files.origin} says what cannot be: "
            f"{type(error).__name__}: {error}"
        ) from error


class _Maker:
    """One import."""

    def __init__(
        self, published: Published, work: Path, options: ImportOptions, notify: Notify
    ) -> None:
        self.published, self.work = published, work
        self.options, self.notify = options, notify
        self.made: dict[tuple[str, str], Side] = {}
        self.chosen: dict[str, Side] = {}
        self.preprocessing: Preprocessing
        self.reading: Reading
        self.side = 0

    def make(self, wanted: Sequence[str]) -> tuple[dict[str, list[Graph]], dict[str, Any]]:
        """Both graphs, and what the manifest says of them."""
        first = wanted[0]
        self._read(first)
        roles = (TEXT_ENCODER, IMAGE_ENCODER)
        compared = "fp32" in self.published.graphs and self.options.gate
        if first == "fp32" or not compared:
            chosen = dict.fromkeys(roles, first)
            parity: dict[str, Any] = {
                role: {"precision": CALLED[first], "compared_with_fp32": first == "fp32"}
                for role in roles
            }
        else:
            chosen, parity = self._gated(first, self.options.precision == AUTO)
        graphs = {}
        for role, precision in chosen.items():
            side = self.chosen[role] = self._side(role, precision)
            parity[role]["max_difference_to_source"] = float(f"{side.difference:.2g}")
            graphs[role] = [Graph(side.path, CALLED[precision])]
        text, image = (self.chosen[role] for role in roles)
        if text.dim != image.dim:
            raise NoDualEncoder(
                f"the sides of {self.published.files.origin} give vectors of {text.dim} and "
                f"{image.dim} numbers, which cannot be compared: these graphs lack the projection"
            )
        return graphs, parity

    def fields(self) -> dict[str, Any]:
        """Of the manifest, but for the parity."""
        published, options = self.published, self.options
        text, image = self.chosen[TEXT_ENCODER], self.chosen[IMAGE_ENCODER]
        origin = published.files.origin
        unknown = "unknown: see the source of the weights"
        sides = {TEXT_ENCODER: text, IMAGE_ENCODER: image}
        return {
            "name": options.name or origin.rsplit("/", 1)[-1],
            "licence": published.licence() or options.licence or unknown,
            "graphs": {
                role: {"inputs": list(side.inputs), "outputs": list(side.outputs)}
                for role, side in sides.items()
            },
            "dims": {
                "embedding": text.dim,
                "hidden": text.hidden,
                "regions": GRID * GRID if "regions" in image.outputs else 0,
                "image": self.side,
                "soft_tokens": SOFT_TOKENS if SOFT in text.inputs else 0,
                "max_tokens": self.reading.limit,
            },
            "preprocessing": asdict(self.preprocessing),
            "text": asdict(self.reading.text),
            "provenance": {
                "source": origin,
                "revision": published.files.revision,
                "family": published.family,
                "language": options.language,
                "graphs": "published",
                "left_out": text.left_out | image.left_out,
                "notes": [*text.notes, *image.notes],
            },
        }

    # What is prepared how ---------------------------------------------------------------------

    def _read(self, precision: str) -> None:
        """How pictures and sentences are prepared, by the configurations and by trying it."""
        published = self.published
        image = load(published.graph(precision, IMAGE_ENCODER))
        names = set(image.inputs)
        fixed = None
        for name in ("pixel_values", "image", "image_input", "input"):
            if name in names:
                dims = image.inputs[name].type.tensor_type.shape.dim
                fixed = (dims[-1].dim_value or None) if len(dims) == 4 else None
        del image
        fixed = fixed or published.side_config("vision").get("image_size")
        with _said(published):
            preprocessing, self.side = preprocessing_of(published, fixed)
        if self.options.fit is not None:
            preprocessing = Preprocessing(
                preprocessing.mean,
                preprocessing.scale,
                "crop" if self.options.fit == "crop" else "stretch",
                preprocessing.filter,
            )
        self.preprocessing = preprocessing
        path = published.graph(precision, TEXT_ENCODER)
        graph = PublishedGraph(path, self.work, self.side, _OTHER_SIDE)
        with _said(published):
            self.reading = read_text(published, graph, self.work / "tokenizer.json")

    # The sides --------------------------------------------------------------------------------

    def _side(self, role: str, precision: str) -> Side:
        if (role, precision) not in self.made:
            self.made[role, precision] = self._make_side(role, precision)
        return self.made[role, precision]

    def _make_side(self, role: str, precision: str) -> Side:
        path = self.published.graph(precision, role)
        self.notify(f"{role}: {path.name}, {path.stat().st_size / 1e6:.0f} MB")
        reading = self.reading
        graph = PublishedGraph(path, self.work, self.side, reading.limit)
        pooled = self.published.family.startswith("siglip")
        folder = self.work / precision
        if role == TEXT_ENCODER:
            side = make_text_side(
                graph,
                folder / "text.onnx",
                reading.rows,
                reading.filler,
                CALLED[precision],
                pooled,
            )
        else:
            pictures = np.stack([golden_picture(seed, self.side) for seed in (1, 2, 3)])
            pixels = self._pixels(pictures)
            side = make_image_side(graph, folder / "image.onnx", pixels, CALLED[precision], pooled)
        for what, why in side.left_out.items():
            self.notify(f"{role}: left out: {what}: {why}")
        for note in side.notes:
            self.notify(f"{role}: {note}")
        return side

    def _pixels(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        return to_input(pictures, self.side, self.preprocessing)

    # Less precision ---------------------------------------------------------------------------

    def _gated(self, precision: str, may_fall_back: bool) -> tuple[dict[str, str], dict[str, Any]]:
        """Hold less precision against fp32; where it may be chosen, what does not pass or does not
        pay stays fp32.
        """
        feeds = {TEXT_ENCODER: self._text_feeds(), IMAGE_ENCODER: self._image_feeds()}
        exact = {role: self._side(role, "fp32") for role in feeds}
        fp32 = {role: side.path for role, side in exact.items()}
        chosen = dict.fromkeys(feeds, precision)
        near: dict[str, Side] = {}
        for role in feeds:
            try:
                near[role] = self._side(role, precision)
                if near[role].inputs != exact[role].inputs:
                    raise ParityError(
                        f"its {role} in {precision} takes {', '.join(near[role].inputs)}, and "
                        f"{', '.join(exact[role].inputs)} in fp32: take --precision fp32"
                    )
            except (NoDualEncoder, ParityError) as error:
                if not may_fall_back:
                    raise
                self.notify(f"{role}: fp32 is taken: {error}")
                near[role], chosen[role] = exact[role], "fp32"
        fitting = {
            role: [{k: v for k, v in one.items() if k in near[role].inputs} for one in given]
            for role, given in feeds.items()
        }
        self.notify(f"comparing {precision} with fp32")
        while True:
            graphs = {r: [Graph(near[r].path, CALLED[chosen[r]])] for r in feeds}
            try:
                parity = pass_gate(fp32, graphs, fitting, self.options.min_cosine)
            except ParityError as error:
                lower = [role for role in feeds if chosen[role] != "fp32"]
                if not may_fall_back or not lower:
                    raise
                named = [role for role in lower if str(error).startswith(role)] or lower
                self.notify(f"fp32 is taken for {', '.join(named)}: {error}")
            else:
                named = [
                    role for role in feeds if chosen[role] != "fp32" and parity[role]["speedup"] < 1
                ]
                if not may_fall_back or not named:
                    return chosen, parity
                self.notify(f"fp32 is taken for {', '.join(named)}: it is faster here")
            for role in named:
                near[role], chosen[role] = exact[role], "fp32"

    def _text_feeds(self) -> Feeds:
        soft = SOFT_TOKENS if SOFT in self._side(TEXT_ENCODER, "fp32").inputs else 0
        width = self._side(TEXT_ENCODER, "fp32").hidden
        random = np.random.default_rng(0)
        feeds: list[dict[str, NDArray[Any]]] = []
        for start in range(0, len(_MORE), 8):
            for count in {0, soft}:
                ids, mask = self.reading.tokens(_MORE[start : start + 8], count)
                tokens = random.normal(0, 0.05, (len(ids), count, width)).astype(np.float32)
                feeds.append({IDS: ids, MASK: mask, SOFT: tokens})
        return feeds

    def _image_feeds(self) -> Feeds:
        pictures = np.stack(
            [golden_picture(seed, self.side) for seed in range(10, 10 + _GATE_PICTURES)]
        )
        pixels = self._pixels(pictures)
        return [{PIXELS: pixels[start : start + 8]} for start in range(0, len(pixels), 8)]
