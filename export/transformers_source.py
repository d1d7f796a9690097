"""A dual encoder of Transformers, from a folder or the hub, as a source to export."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from export.families import FAMILIES, GRID
from export.mixed import quantize_transformer
from export.sources import ExportError, Source
from vsr_edge.runtime.manifest import (
    IMAGE_ENCODER,
    TEXT_ENCODER,
    FilterKind,
    Fit,
    Preprocessing,
    TextInput,
)

# Pillow's numbers of its filters, which Transformers' configurations use.
FILTERS: dict[int, FilterKind] = {2: "bilinear", 3: "bicubic"}


def open_transformers(spec: str, *, revision: str | None, work: Path) -> Source:
    """Load the model, its tokenizer and the numbers of its image processor.

    optimum's exporter knows these models too, but as one graph without the entrance for soft tokens
    and without regions; so it serves for the quantisation (``export.mixed``) and not here.

    Raises:
        ExportError: nothing is there, it cannot be read, or its family cannot be exported.
    """
    from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoTokenizer

    try:
        config = AutoConfig.from_pretrained(spec, revision=revision)
    except (OSError, ValueError) as error:
        raise ExportError(
            f"{spec} is no checkpoint of Transformers and no *.safetensors file of this project "
            f"({_first_line(error)}). A folder needs config.json, the weights, the tokenizer and "
            "preprocessor_config.json; a hub id needs the network"
        ) from error
    family = FAMILIES.get(config.model_type)
    if family is None:
        raise ExportError(
            f"{spec} is a {config.model_type!r}; what can be exported: {', '.join(FAMILIES)} "
            "(these include OpenCLIP, MetaCLIP, TinyCLIP and fixed-resolution SigLIP 2 checkpoints)"
        )
    try:
        # Eager: the fused attentions of PyTorch do not all trace.
        model = AutoModel.from_pretrained(
            spec, revision=revision, attn_implementation="eager", dtype="float32"
        ).eval()
        tokenizer = AutoTokenizer.from_pretrained(spec, revision=revision)
        processor = AutoImageProcessor.from_pretrained(spec, revision=revision, use_fast=False)
    except (OSError, ValueError, TypeError, ImportError) as error:
        # A TypeError is what Transformers makes of a missing vocabulary.
        raise ExportError(f"{spec} cannot be loaded: {_first_line(error)}") from error
    text, vision = config.text_config, config.vision_config
    positions = int(text.max_position_embeddings)
    side = int(vision.image_size)
    if side // vision.patch_size < GRID:
        raise ExportError(f"{spec} sees fewer than {GRID} × {GRID} patches a picture")
    work.mkdir(parents=True, exist_ok=True)
    file = work / "tokenizer.json"
    file.write_text(_fast(tokenizer, spec).to_str(), "utf-8")

    def reference_ids(sentences: Sequence[str]) -> list[list[int]]:
        found = tokenizer(list(sentences), truncation=True, max_length=positions)
        return [list(map(int, ids)) for ids in found["input_ids"]]

    image, words = family.image(model).eval(), family.text(model).eval()
    embedding = text.projection_size if config.model_type == "siglip" else config.projection_dim
    return Source(
        name=Path(spec).name,
        licence=_licence(spec, revision),
        image=image,
        text=words,
        side=side,
        embedding=int(embedding),
        hidden=int(text.hidden_size),
        regions=GRID * GRID,
        max_tokens=positions,
        preprocessing=_preprocessing(processor, spec, side),
        text_input=TextInput(
            pad_id=int(tokenizer.pad_token_id or 0),
            pad_token=str(tokenizer.pad_token or ""),
            positions=positions,
            fill=family.fill,
        ),
        tokenizer=file,
        quantizers={
            IMAGE_ENCODER: partial(quantize_transformer, IMAGE_ENCODER),
            TEXT_ENCODER: partial(quantize_transformer, TEXT_ENCODER),
        },
        provenance={
            "source": spec,
            "revision": revision or getattr(config, "_commit_hash", None),
            "family": config.model_type,
            "parameters": sum(p.numel() for p in model.parameters()),
        },
        reference_ids=reference_ids,
    )


def _fast(tokenizer: Any, spec: str) -> Any:
    """The tokenizer as the runtime's library has it."""
    if tokenizer.is_fast:
        return tokenizer.backend_tokenizer
    if getattr(tokenizer, "sp_model", None) is None:
        raise ExportError(f"{spec} has a {type(tokenizer).__name__}, which has no tokenizer.json")
    from export.sentencepiece_tokenizer import convert_sentencepiece

    return convert_sentencepiece(tokenizer)


def _preprocessing(processor: Any, spec: str, side: int) -> Preprocessing:
    size = dict(processor.size)
    fit: Fit = "crop" if "shortest_edge" in size else "stretch"
    kind = FILTERS.get(int(processor.resample))
    wanted = {side}
    found = set(size.values()) | (
        set(dict(processor.crop_size).values()) if fit == "crop" else set()
    )
    if kind is None or found != wanted:
        raise ExportError(
            f"{spec} resizes pictures to {size} with filter {processor.resample}; the runtime can "
            f"make squares of {side} pixels, bilinear or bicubic"
        )
    factor = float(processor.rescale_factor)
    mean, std = (np.asarray(v, float) / factor for v in (processor.image_mean, processor.image_std))
    r, g, b = map(float, mean)
    x, y, z = map(float, std)
    return Preprocessing((r, g, b), (x, y, z), fit, kind)


def _licence(spec: str, revision: str | None) -> str:
    """What the source's card says."""
    from huggingface_hub import ModelCard

    try:
        folder = Path(spec).expanduser()
        card = ModelCard.load(folder / "README.md" if folder.is_dir() else spec)
        licence = getattr(card.data, "license", None)
    except Exception:  # no card, no network, or no header: the licence is not known then
        licence = None
    source = spec if revision is None else f"{spec} at {revision}"
    return f"{licence or 'unknown'}, as of {source}"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
