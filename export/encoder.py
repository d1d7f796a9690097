"""The whole chain for the dual encoder: checkpoint → fp32 ONNX → int8 → parity gate → bundle."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from export.bundle import write_bundle
from export.graphs import export_image_encoder, export_text_encoder
from export.parity import MIN_TOP1_AGREEMENT, ParityError, compare, require, top1_agreement
from export.pictures import load_pictures
from export.quantize import quantize_image_encoder, quantize_text_encoder
from models.checkpoint import load_encoder
from models.data import MAX_TOKENS, PIXEL_MEAN, PIXEL_SCALE, class_names, load_tokenizer
from models.encoder import DIMENSIONS, REGION_SIDE
from models.minilm import HIDDEN, minilm_folder
from vsr_edge.runtime.encoder import Bundle
from vsr_edge.runtime.manifest import IMAGE_ENCODER, TEXT_ENCODER, TOKENIZER, Preprocessing
from vsr_edge.runtime.preprocess import to_input

SOFT_TOKENS = 8
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
) -> Bundle:
    """Write a bundle from a checkpoint of the dual encoder.

    Args:
        checkpoint: what ``models.train_encoder`` saved.
        out: the bundle's folder; nothing is written there unless the gate is passed.
        work: where the intermediate graphs go; the fp32 ones stay for comparison.
        photos: folder of photos, split between calibration and parity; None takes demo footage.

    Raises:
        ParityError: int8 differs from fp32 past tolerance.
    """
    torch.manual_seed(0)
    image, text = load_encoder(checkpoint)
    side = image.tower.image_size
    fp32 = {IMAGE_ENCODER: work / "fp32" / "image.onnx", TEXT_ENCODER: work / "fp32" / "text.onnx"}
    export_image_encoder(image, fp32[IMAGE_ENCODER])
    export_text_encoder(text, fp32[TEXT_ENCODER])
    pictures = load_pictures(photos, side, calibration_count + parity_count)
    order = np.random.default_rng(0).permutation(len(pictures))
    share = calibration_count / (calibration_count + parity_count)
    calibration, held_out = np.split(pictures[order], [int(share * len(order))])
    graphs, parity = fp32, {}
    if precision == "int8":
        graphs = {role: work / "int8" / path.name for role, path in fp32.items()}
        graphs[IMAGE_ENCODER].parent.mkdir(parents=True, exist_ok=True)
        quantize_image_encoder(
            fp32[IMAGE_ENCODER], graphs[IMAGE_ENCODER], to_input(calibration, side, NUMBERS)
        )
        quantize_text_encoder(fp32[TEXT_ENCODER], graphs[TEXT_ENCODER])
        parity = pass_gate(fp32, graphs, held_out, side)
    tokenizer = work / "tokenizer.json"
    shutil.copyfile(minilm_folder() / "tokenizer.json", tokenizer)
    return write_bundle(
        out,
        {role: (path, precision) for role, path in graphs.items()} | {TOKENIZER: (tokenizer, None)},
        name=name,
        licence=LICENCE,
        dims={
            "embedding": DIMENSIONS,
            "hidden": HIDDEN,
            "regions": REGION_SIDE**2,
            "image": side,
            "soft_tokens": SOFT_TOKENS,
            "max_tokens": MAX_TOKENS,
        },
        preprocessing={"mean": list(NUMBERS.mean), "scale": list(NUMBERS.scale)},
        parity=parity,
        provenance={
            "towers": ["EfficientNet-Lite2 (ImageNet)", "all-MiniLM-L6-v2"],
            "trained_on": "Flickr8k, train split",
            "calibrated_on": f"{len(calibration)} pictures of "
            + ("the demo footage" if photos is None else "the folder given with --photos"),
        },
    )


def pass_gate(
    fp32: dict[str, Path], int8: dict[str, Path], pictures: NDArray[np.uint8], side: int
) -> dict[str, Any]:
    """Compare both sides and the retrieval order; returns what the manifest records.

    Raises:
        ParityError: past tolerance.
    """
    pixels = to_input(pictures, side, NUMBERS)
    image_feeds = [{"pixels": pixels[i : i + BATCH]} for i in range(0, len(pixels), BATCH)]
    image, *galleries = compare(fp32[IMAGE_ENCODER], int8[IMAGE_ENCODER], image_feeds)
    require("image encoder", image)
    text, *queries = compare(fp32[TEXT_ENCODER], int8[TEXT_ENCODER], list(_text_feeds()))
    require("text encoder", text)
    agreement = top1_agreement((queries[0], queries[1]), (galleries[0], galleries[1]))
    if agreement < MIN_TOP1_AGREEMENT:
        raise ParityError(
            f"the nearest picture is the same for {agreement:.1%} of the queries only; at least "
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
