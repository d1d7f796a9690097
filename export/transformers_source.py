"""A dual encoder of Transformers, from a folder or the hub, as a source to export."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import normalizers
from torch.nn import functional as F

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

# What Protocol Buffers can hold, less what the graph itself takes.
LARGEST_SIDE = 2**31 - 2**24
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
        model, found = AutoModel.from_pretrained(
            spec,
            revision=revision,
            attn_implementation="eager",
            dtype="float32",
            output_loading_info=True,
        )
        model = model.eval()
        tokenizer = AutoTokenizer.from_pretrained(spec, revision=revision)
        processor = AutoImageProcessor.from_pretrained(spec, revision=revision, use_fast=False)
    except Exception as error:  # damaged files raise whatever their readers raise
        raise ExportError(f"{spec} cannot be loaded: {_first_line(error)}") from error
    missing = [str(key) for key in (*found["missing_keys"], *found["mismatched_keys"])]
    if missing:
        raise ExportError(
            f"{spec} lacks {len(missing)} of the weights of a {config.model_type} with both sides, "
            f"such as {missing[0]}: it is another kind of model"
        )
    for side, name in ((model.vision_model, "image"), (model.text_model, "text")):
        if 4 * sum(p.numel() for p in side.parameters()) >= LARGEST_SIDE:
            raise ExportError(
                f"the {name} side of {spec} has more than 2 GB of weights, more than one ONNX file "
                "can hold"
            )
    text, vision = config.text_config, config.vision_config
    positions = int(text.max_position_embeddings)
    side = int(vision.image_size)
    if side // vision.patch_size < GRID:
        raise ExportError(f"{spec} sees fewer than {GRID} × {GRID} patches a picture")
    work.mkdir(parents=True, exist_ok=True)
    fast = _fast(tokenizer, spec)
    lower = config.model_type == "siglip"
    if lower and tokenizer.is_fast:
        # SigLIP 2 was trained on lower case, which its tokenizer's file does not say.
        steps = [] if fast.normalizer is None else [fast.normalizer]
        fast.normalizer = normalizers.Sequence([normalizers.Lowercase(), *steps])
    file = work / "tokenizer.json"
    file.write_text(fast.to_str(), "utf-8")

    def reference_ids(sentences: Sequence[str]) -> list[list[int]]:
        texts = [text.lower() for text in sentences] if lower else list(sentences)
        found = tokenizer(texts, truncation=True, max_length=positions)
        return [list(map(int, ids)) for ids in found["input_ids"]]

    def reference_vectors(
        sentences: Sequence[str], pictures: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        texts = [text.lower() for text in sentences] if lower else list(sentences)
        padding = "max_length" if family.fill else "longest"
        inputs = tokenizer(
            texts, padding=padding, max_length=positions, truncation=True, return_tensors="pt"
        )
        if family.fill:  # trained without a mask
            inputs = {"input_ids": inputs["input_ids"]}
        known = {k: v for k, v in inputs.items() if k in {"input_ids", "attention_mask"}}
        pixels = processor(list(pictures), return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            words = F.normalize(model.get_text_features(**known), dim=-1)
            shown = F.normalize(model.get_image_features(pixel_values=pixels), dim=-1)
        return words.numpy(), shown.numpy()

    image, words = family.image(model).eval(), family.text(model).eval()
    embedding = text.projection_size if config.model_type == "siglip" else config.projection_dim
    return Source(
        name=Path(spec).resolve().name if Path(spec).is_dir() else spec.rsplit("/", 1)[-1],
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
            # A folder's path says more of its owner than of the model.
            "source": Path(spec).resolve().name if Path(spec).is_dir() else spec,
            "revision": revision or getattr(config, "_commit_hash", None),
            "family": config.model_type,
            "parameters": sum(p.numel() for p in model.parameters()),
        },
        reference_ids=reference_ids,
        reference_vectors=reference_vectors,
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
    size, cropped = dict(processor.size), dict(getattr(processor, "crop_size", None) or {})
    fit: Fit = "crop" if "shortest_edge" in size else "stretch"
    steps = ["do_resize", "do_rescale", "do_normalize", *(["do_center_crop"] * (fit == "crop"))]
    off = [step for step in steps if not getattr(processor, step, True)]
    if off:
        raise ExportError(f"{spec} prepares pictures without {', '.join(off)}, the runtime always")
    kind = FILTERS.get(processor.resample)
    sides = {*size.values(), *(cropped.values() if fit == "crop" else ())}
    if kind is None or sides != {side}:
        raise ExportError(
            f"{spec} resizes pictures to {size}, crops them to {cropped or 'nothing'}, with filter "
            f"{processor.resample}; the runtime can make squares of {side} pixels, bilinear or "
            "bicubic"
        )
    factor = float(processor.rescale_factor)
    mean, std = (np.asarray(v, float) / factor for v in (processor.image_mean, processor.image_std))
    r, g, b = map(float, mean)
    x, y, z = map(float, std)
    return Preprocessing((r, g, b), (x, y, z), fit, kind)


def _licence(spec: str, revision: str | None) -> str:
    """What the source's card says."""
    from huggingface_hub import ModelCard, hf_hub_download

    try:
        folder = Path(spec)
        if folder.is_dir():
            card, source = ModelCard.load(folder / "README.md"), folder.resolve().name
        else:
            file = hf_hub_download(spec, "README.md", revision=revision)
            card, source = ModelCard.load(file), spec if revision is None else f"{spec}@{revision}"
        licence = getattr(card.data, "license", None)
    except Exception:  # no card, no network, or no header: the licence is not known then
        return "unknown: see the source of the weights"
    return f"{licence or 'unknown'}, as of {source}"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
