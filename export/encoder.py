"""The whole chain for a dual encoder: source → fp32 ONNX → int8 or fp16 → parity gate → bundle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from export.bundle import Graph, write_bundle
from export.graphs import export_image_encoder, export_text_encoder
from export.half import convert_to_half
from export.parity import (
    MIN_MEAN_COSINE,
    MIN_ORDER_AGREEMENT,
    MIN_TOP1_AGREEMENT,
    Parity,
    ParityError,
    compare,
    compare_to_torch,
    order_agreement,
    require,
    run_graph,
    top1_agreement,
)
from export.pictures import load_pictures
from export.quantize import Feeds
from export.sources import ExportError, Source, example_tokens
from models.data.batches import class_names
from vsr_edge.bundle.manifest import IMAGE_ENCODER, SOFT_TOKENS, TEXT_ENCODER, TOKENIZER
from vsr_edge.bundle.model import Bundle
from vsr_edge.bundle.verify import golden_picture
from vsr_edge.runtime.preprocess import Preprocessing, to_input
from vsr_edge.runtime.tokens import set_up_tokenizer, tokenize

Graphs: TypeAlias = dict[str, Path]

SIDES = {IMAGE_ENCODER: "image", TEXT_ENCODER: "text"}
PRECISIONS = ("fp32", "fp16", "int8")
BATCH = 8
# Of the class names, as sentences: for the gate, and apart from them for calibration.
GATE_NAMES, CALIBRATION_NAMES = slice(0, None, 5), slice(2, None, 25)


@dataclass(frozen=True)
class Prepared:
    """What both sides are fed with, to calibrate on and, apart from that, to compare on."""

    calibration: dict[str, Feeds]
    gate: dict[str, Feeds]
    calibrated_on: str


def export_encoder(
    source: Source,
    out: Path,
    work: Path,
    *,
    precision: Mapping[str, str],
    also: Sequence[str] = (),
    photos: Path | None = None,
    calibration_count: int = 128,
    parity_count: int = 128,
    min_cosine: float = MIN_MEAN_COSINE,
) -> Bundle:
    """Write a bundle of encoders.

    Args:
        out: the bundle's folder; nothing is written there unless the gate is passed.
        work: where the intermediate graphs go; the fp32 ones stay for comparison.
        precision: for each of both roles one of ``PRECISIONS``.
        also: further precisions of the same graphs, for other execution providers.
        photos: folder of photos or videos, split between calibration and parity; None takes demo
            footage.
        min_cosine: the gate's tolerance, on the mean cosine of each side.

    Raises:
        ParityError: a graph differs from its source past tolerance.
        ExportError: tokens or vectors are not those of the source, or there are too few pictures.
    """
    check_tokenizer(source)
    feeds = prepare_feeds(source, photos, calibration_count, parity_count)
    fp32 = make_graphs(source, work / "fp32")
    check_vectors(source, fp32)
    modules = {IMAGE_ENCODER: source.image, TEXT_ENCODER: source.text}
    to_torch = {
        role: compare_to_torch(role, modules[role], fp32[role], feeds.gate[role][:4])
        for role in SIDES
    }
    graphs: dict[str, list[Graph]] = {}
    for role in SIDES:
        wanted = dict.fromkeys((precision[role], *also))
        graphs[role] = [make_graph(source, role, p, fp32[role], feeds, work) for p in wanted]
    parity = pass_gate(fp32, graphs, feeds.gate, min_cosine)
    for role, difference in to_torch.items():
        parity[role]["max_difference_to_torch"] = float(f"{difference:.2g}")
    return seal(source, graphs, out, parity, feeds.calibrated_on)


def make_graphs(source: Source, folder: Path) -> Graphs:
    """Both fp32 graphs of a source."""
    graphs = {role: folder / f"{side}.onnx" for role, side in SIDES.items()}
    export_image_encoder(source.image, graphs[IMAGE_ENCODER], source.side)
    example = tuple(torch.from_numpy(array) for array in example_tokens(source, 2, 3))
    export_text_encoder(source.text, graphs[TEXT_ENCODER], example)
    return graphs


def make_graph(
    source: Source, role: str, precision: str, fp32: Path, feeds: Prepared, work: Path
) -> Graph:
    """The graph of a role in a precision, made from its fp32 graph."""
    if precision == "fp32":
        return Graph(fp32, "fp32")
    target = work / precision / f"{SIDES[role]}.onnx"
    target.parent.mkdir(parents=True, exist_ok=True)
    if precision == "fp16":
        convert_to_half(fp32, target)
        return Graph(target, "fp16")
    kept = source.quantizers[role](fp32, target, feeds.calibration[role])
    return Graph(target, "int8", tuple(kept))


def seal(
    source: Source,
    graphs: Mapping[str, Sequence[Graph]],
    out: Path,
    parity: Mapping[str, Any],
    calibrated_on: str,
) -> Bundle:
    """Write the bundle: each role's first graph, the others as its alternatives."""
    return write_bundle(
        out,
        {**graphs, TOKENIZER: [Graph(source.tokenizer, None)]},
        name=source.name,
        licence=source.licence,
        dims=source.dims,
        preprocessing=asdict(source.preprocessing),
        text=asdict(source.text_input),
        parity=parity,
        provenance={**source.provenance, "calibrated_on": calibrated_on},
    )


def pass_gate(
    fp32: Graphs,
    graphs: Mapping[str, Sequence[Graph]],
    feeds: Mapping[str, Feeds],
    min_cosine: float = MIN_MEAN_COSINE,
) -> dict[str, Any]:
    """Compare every graph with fp32, and what the first ones retrieve; what the manifest records.

    Raises:
        ParityError: past tolerance.
    """
    report: dict[str, Any] = {}
    vectors = {}
    for role, variants in graphs.items():
        for place, graph in enumerate(variants):
            parity, expected, found = compare(Graph(fp32[role], "fp32"), graph, feeds[role])
            require(f"{role} in {graph.precision}", parity, min_cosine)
            if place == 0:
                vectors[role] = (expected, found)
                report[role] = _said(parity, graph)
            else:
                also = report[role].setdefault("alternatives", {})
                also[graph.precision] = _said(parity, graph)
    queries, gallery = vectors[TEXT_ENCODER], vectors[IMAGE_ENCODER]
    for name, share, least in (
        ("top1_agreement", top1_agreement(queries, gallery), MIN_TOP1_AGREEMENT),
        ("order_agreement", order_agreement(queries, gallery), MIN_ORDER_AGREEMENT),
    ):
        if share is not None and not share >= least:
            raise ParityError(
                f"{name} with fp32 is {share:.1%} where fp32 decides; at least {least:.0%} is "
                "required"
            )
        report[name] = None if share is None else round(share, 5)
    return report


def _said(parity: Parity, graph: Graph) -> dict[str, Any]:
    values: dict[str, Any] = {"precision": graph.precision, **parity.to_json()}
    if graph.precision == "fp32":
        del values["pays"]
    if graph.float_nodes:
        values["float_nodes"] = list(graph.float_nodes)
    return values


def prepare_feeds(
    source: Source, photos: Path | None, calibration_count: int, parity_count: int
) -> Prepared:
    """Pictures and sentences, each in two parts that share none."""
    pictures = load_pictures(
        photos,
        source.side,
        calibration_count + parity_count,
        crop=source.preprocessing.fit == "crop",
    )
    if len(pictures) < 4:
        raise ExportError(f"{photos} holds {len(pictures)} pictures: too few to tell anything by")
    order = np.random.default_rng(0).permutation(len(pictures))
    share = calibration_count / (calibration_count + parity_count)
    calibration, held_out = np.split(pictures[order], [int(share * len(order))])
    origin = "the demo's footage" if photos is None else "the folder given with --photos"
    return Prepared(
        {
            IMAGE_ENCODER: image_feeds(calibration, source.side, source.preprocessing),
            TEXT_ENCODER: list(text_feeds(source, CALIBRATION_NAMES)),
        },
        {
            IMAGE_ENCODER: image_feeds(held_out, source.side, source.preprocessing),
            TEXT_ENCODER: list(text_feeds(source, GATE_NAMES)),
        },
        f"{len(calibration)} pictures of {origin}",
    )


def image_feeds(pictures: NDArray[np.uint8], side: int, numbers: Preprocessing) -> Feeds:
    """Pictures uint8 [n, S, S, 3] as batches of what the image side takes."""
    pixels = to_input(pictures, side, numbers)
    return [{"pixels": pixels[i : i + BATCH]} for i in range(0, len(pixels), BATCH)]


def sentences(part: slice) -> list[str]:
    """Class names as queries."""
    return [f"a photo of a {names[0]}" for names in class_names()[part]]


def text_feeds(source: Source, part: slice) -> Iterator[dict[str, NDArray[Any]]]:
    """Sentences without soft tokens and, every other batch, with as many as the loop uses."""
    tokenizer = set_up_tokenizer(source.tokenizer, source.max_tokens, source.text_input)
    texts = sentences(part)
    random = np.random.default_rng(0)
    for start in range(0, len(texts), BATCH):
        soft = SOFT_TOKENS if (start // BATCH) % 2 else 0
        tokens = tokenize(tokenizer, texts[start : start + BATCH], source.text_input, soft)
        yield {
            "input_ids": tokens.ids,
            "attention_mask": tokens.mask,
            "soft_tokens": random.normal(0, 0.05, (len(tokens.ids), soft, source.hidden)).astype(
                np.float32
            ),
        }


CHECKED_SENTENCES = (
    "a man puts a red box on the shelf",
    "Two DOGS, running; one isn't (quite) black-and-white!",
    "a café   in Zürich — 東京, 3.5 km away",
    "",
    "word " * 200,
)


def check_tokenizer(source: Source) -> None:
    """The runtime must give the tokens that the source's own tokenizer gives.

    Raises:
        ExportError: it does not; names the sentence.
    """
    if source.reference_ids is None:
        return
    tokenizer = set_up_tokenizer(source.tokenizer, source.max_tokens, source.text_input)
    texts = [*CHECKED_SENTENCES, *sentences(CALIBRATION_NAMES)]
    expected = source.reference_ids(texts)
    for text, ids in zip(texts, expected, strict=True):
        tokens = tokenize(tokenizer, [text], source.text_input, 0)
        found = tokens.ids[0][: int(tokens.mask[0].sum())].tolist()
        if found != ids:
            raise ExportError(
                f"the tokenizer of {source.name} cannot be carried over: for {text[:60]!r} it "
                f"gives {ids[:12]}, its tokenizer.json {found[:12]}"
            )


# Between two libraries' arithmetic; what a wrong token, pixel or pooling does is far above.
REFERENCE_TOLERANCE = 1e-3


def check_vectors(source: Source, fp32: Graphs) -> None:
    """The fp32 graphs must give what the source's own library gives, from sentence and picture on.

    Raises:
        ExportError: they do not.
    """
    if source.reference_vectors is None:
        return
    texts = [text for text in CHECKED_SENTENCES if text]
    pictures = np.stack([golden_picture(seed, source.side) for seed in (1, 2, 3)])
    expected = source.reference_vectors(texts, pictures)
    tokenizer = set_up_tokenizer(source.tokenizer, source.max_tokens, source.text_input)
    tokens = tokenize(tokenizer, texts, source.text_input, 0)
    soft = np.zeros((len(texts), 0, source.hidden), np.float32)
    feeds: dict[str, dict[str, NDArray[Any]]] = {
        TEXT_ENCODER: {
            "input_ids": tokens.ids,
            "attention_mask": tokens.mask,
            "soft_tokens": soft,
        },
        IMAGE_ENCODER: {"pixels": to_input(pictures, source.side, source.preprocessing)},
    }
    for (role, feed), vectors in zip(feeds.items(), expected, strict=True):
        found, _ = run_graph(Graph(fp32[role], "fp32"), [feed], "vector")
        difference = float(np.abs(found - vectors).max())
        if not difference <= REFERENCE_TOLERANCE:
            raise ExportError(
                f"the {role} of {source.name} cannot be carried over: its vectors differ by "
                f"{difference:.2g} from those that its own library computes"
            )


def precisions(default: str, image: str | None, text: str | None) -> dict[str, str]:
    """One for each role."""
    return {IMAGE_ENCODER: image or default, TEXT_ENCODER: text or default}
