"""The whole chain for the dual encoder: checkpoint → fp32 ONNX → int8 → parity gate → bundle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from export.bundle import write_bundle
from export.graphs import export_image_encoder, export_text_encoder
from export.parity import (
    MIN_MEAN_COSINE,
    MIN_TOP1_AGREEMENT,
    ParityError,
    compare,
    require,
    top1_agreement,
)
from export.pictures import load_pictures
from export.quantize import quantize_image_encoder, quantize_text_encoder
from models.checkpoint import load_encoder
from models.data.batches import (
    MAX_TOKENS,
    PIXEL_MEAN,
    PIXEL_SCALE,
    class_names,
    load_tokenizer,
)
from models.efficientnet_lite import LITE
from models.encoder import DIMENSIONS, REGION_SIDE
from models.minilm import HIDDEN, minilm_folder
from vsr_edge.runtime.encoder import Bundle
from vsr_edge.runtime.manifest import IMAGE_ENCODER, TEXT_ENCODER, TOKENIZER, Preprocessing
from vsr_edge.runtime.preprocess import to_input

Graphs: TypeAlias = dict[str, Path]

SOFT_TOKENS = 8
IMAGE_SIDE = LITE[2].image_size
NUMBERS = Preprocessing((PIXEL_MEAN,) * 3, (PIXEL_SCALE,) * 3)
BATCH = 8
LICENCE = "Apache-2.0; trained on Flickr8k (research use), see MODEL_CARD.md"


def export_encoder(
    checkpoint: Path,
    out: Path,
    work: Path,
    *,
    name: str = "lite",
    precision: str = "int8",
    photos: Path | None = None,
    calibration_count: int = 128,
    parity_count: int = 128,
    min_cosine: float = MIN_MEAN_COSINE,
) -> Bundle:
    """Write a bundle from a checkpoint of the dual encoder.

    Args:
        checkpoint: what ``models.train_encoder`` saved.
        out: the bundle's folder; nothing is written there unless the gate is passed.
        work: where the intermediate graphs go; the fp32 ones stay for comparison.
        photos: folder of photos, split between calibration and parity; None takes demo footage.
        min_cosine: the gate's tolerance, on the mean cosine of each side.

    Raises:
        ParityError: int8 differs from fp32 past tolerance.
    """
    pictures = load_pictures(photos, IMAGE_SIDE, calibration_count + parity_count)
    order = np.random.default_rng(0).permutation(len(pictures))
    share = calibration_count / (calibration_count + parity_count)
    calibration, held_out = np.split(pictures[order], [int(share * len(order))])
    fp32 = make_graphs(checkpoint, work / "fp32")
    graphs = fp32 if precision == "fp32" else quantize_graphs(fp32, work / "int8", calibration)
    source = "the demo's footage" if photos is None else "the folder given with --photos"
    provenance = {
        "towers": ["EfficientNet-Lite2 (ImageNet)", "all-MiniLM-L6-v2"],
        "trained_on": "Flickr8k, train split",
        "calibrated_on": f"{len(calibration)} pictures of {source}",
    }
    return seal(fp32, graphs, held_out, out, name, precision, provenance, min_cosine)


def make_graphs(checkpoint: Path, folder: Path) -> Graphs:
    """Both fp32 graphs of a checkpoint."""
    image, text = load_encoder(checkpoint)
    graphs = {IMAGE_ENCODER: folder / "image.onnx", TEXT_ENCODER: folder / "text.onnx"}
    export_image_encoder(image, graphs[IMAGE_ENCODER])
    export_text_encoder(text, graphs[TEXT_ENCODER])
    return graphs


def quantize_graphs(fp32: Graphs, folder: Path, calibration: NDArray[np.uint8]) -> Graphs:
    """Both int8 graphs; ``calibration`` uint8 [n, S, S, 3]."""
    folder.mkdir(parents=True, exist_ok=True)
    graphs = {role: folder / path.name for role, path in fp32.items()}
    pixels = to_input(calibration, IMAGE_SIDE, NUMBERS)
    quantize_image_encoder(fp32[IMAGE_ENCODER], graphs[IMAGE_ENCODER], pixels)
    quantize_text_encoder(fp32[TEXT_ENCODER], graphs[TEXT_ENCODER])
    return graphs


def seal(
    fp32: Graphs,
    graphs: Graphs,
    held_out: NDArray[np.uint8],
    out: Path,
    name: str,
    precision: str,
    provenance: dict[str, Any],
    min_cosine: float = MIN_MEAN_COSINE,
) -> Bundle:
    """Pass the gate on pictures uint8 [n, S, S, 3], then write the bundle."""
    parity = {} if graphs == fp32 else pass_gate(fp32, graphs, held_out, min_cosine)
    files: dict[str, tuple[Path, str | None]] = {
        role: (path, precision) for role, path in graphs.items()
    }
    return write_bundle(
        out,
        files | {TOKENIZER: (minilm_folder() / "tokenizer.json", None)},
        name=name,
        licence=LICENCE,
        dims={
            "embedding": DIMENSIONS,
            "hidden": HIDDEN,
            "regions": REGION_SIDE**2,
            "image": IMAGE_SIDE,
            "soft_tokens": SOFT_TOKENS,
            "max_tokens": MAX_TOKENS,
        },
        preprocessing={"mean": list(NUMBERS.mean), "scale": list(NUMBERS.scale)},
        parity=parity,
        provenance=provenance,
    )


def pass_gate(
    fp32: Graphs,
    int8: Graphs,
    pictures: NDArray[np.uint8],
    min_cosine: float = MIN_MEAN_COSINE,
) -> dict[str, Any]:
    """Compare both sides and the retrieval order; returns what the manifest records.

    Raises:
        ParityError: past tolerance.
    """
    pixels = to_input(pictures, IMAGE_SIDE, NUMBERS)
    image_feeds = [{"pixels": pixels[i : i + BATCH]} for i in range(0, len(pixels), BATCH)]
    image, *galleries = compare(fp32[IMAGE_ENCODER], int8[IMAGE_ENCODER], image_feeds)
    require("image encoder", image, min_cosine)
    text, *queries = compare(fp32[TEXT_ENCODER], int8[TEXT_ENCODER], list(_text_feeds()))
    require("text encoder", text, min_cosine)
    agreement = top1_agreement((queries[0], queries[1]), (galleries[0], galleries[1]))
    if agreement < MIN_TOP1_AGREEMENT:
        raise ParityError(
            f"the nearest picture is the same for {agreement:.1%} of the decided queries; at least "
            f"{MIN_TOP1_AGREEMENT:.0%} is required"
        )
    return {
        IMAGE_ENCODER: image.to_json(),
        TEXT_ENCODER: text.to_json(),
        "top1_agreement": round(agreement, 5),
    }


def _text_feeds() -> Iterator[dict[str, NDArray[np.generic]]]:
    """Class names as queries, without soft tokens and with as many as the loop uses."""
    tokenizer = load_tokenizer()
    sentences = [f"a photo of a {names[0]}" for names in class_names()[::5]]
    random = np.random.default_rng(0)
    for start in range(0, len(sentences), BATCH):
        encodings = tokenizer.encode_batch(sentences[start : start + BATCH])
        soft = SOFT_TOKENS if (start // BATCH) % 2 else 0
        yield {
            "input_ids": np.array([e.ids for e in encodings], np.int64),
            "attention_mask": np.array([e.attention_mask for e in encodings], np.int64),
            "soft_tokens": random.normal(0, 0.05, (len(encodings), soft, HIDDEN)).astype(
                np.float32
            ),
        }
