"""Source: a dual encoder of Transformers, from a folder or the hub."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, normalizers
from torch.nn import functional as F

from export.contract import ExportError, Source
from export.families import FAMILIES, GRID, Family
from export.mixed import quantize_transformer
from vsr_edge.bundle.manifest import IMAGE_ENCODER, TEXT_ENCODER
from vsr_edge.runtime.preprocess import FilterKind, Fit, Preprocessing
from vsr_edge.runtime.tokens import TextInput

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
    loaded = _load(spec, revision)
    loaded.check()
    work.mkdir(parents=True, exist_ok=True)
    file = work / "tokenizer.json"
    file.write_text(loaded.fast_tokenizer().to_str(), "utf-8")
    config, family, tokenizer = loaded.config, loaded.family, loaded.tokenizer
    siglip = config.model_type == "siglip"
    # A folder's path says more of its owner than of the model.
    origin = Path(spec).resolve().name if Path(spec).is_dir() else spec
    return Source(
        name=origin.rsplit("/", 1)[-1],
        licence=_licence(spec, revision),
        image=family.image(loaded.model).eval(),
        text=family.text(loaded.model).eval(),
        side=loaded.side,
        embedding=int(config.text_config.projection_size if siglip else config.projection_dim),
        hidden=int(config.text_config.hidden_size),
        regions=GRID * GRID,
        max_tokens=loaded.positions,
        preprocessing=_preprocessing(loaded.processor, spec, loaded.side),
        text_input=TextInput(
            pad_id=int(tokenizer.pad_token_id or 0),
            pad_token=str(tokenizer.pad_token or ""),
            positions=loaded.positions,
            fill=family.fill,
        ),
        tokenizer=file,
        quantizers={
            IMAGE_ENCODER: partial(quantize_transformer, IMAGE_ENCODER),
            TEXT_ENCODER: partial(quantize_transformer, TEXT_ENCODER),
        },
        provenance={
            "source": origin,
            "revision": revision or getattr(config, "_commit_hash", None),
            "family": config.model_type,
            "parameters": sum(p.numel() for p in loaded.model.parameters()),
        },
        reference_ids=loaded.reference_ids,
        reference_vectors=loaded.reference_vectors,
    )


@dataclass(frozen=True, eq=False)
class _Loaded:
    """A checkpoint as Transformers reads it; ``missing`` names weights that it made up."""

    spec: str
    config: Any
    family: Family
    model: Any
    tokenizer: Any
    processor: Any
    missing: list[str]

    @property
    def positions(self) -> int:
        return int(self.config.text_config.max_position_embeddings)

    @property
    def side(self) -> int:
        return int(self.config.vision_config.image_size)

    def check(self) -> None:
        """Raise ``ExportError`` if it is no whole dual encoder that the runtime could hold."""
        if self.missing:
            raise ExportError(
                f"{self.spec} lacks {len(self.missing)} of the weights of a "
                f"{self.config.model_type} with both sides, such as {self.missing[0]}: it is "
                "another kind of model"
            )
        sides = (("image", self.model.vision_model), ("text", self.model.text_model))
        for name, module in sides:
            if 4 * sum(p.numel() for p in module.parameters()) >= LARGEST_SIDE:
                raise ExportError(
                    f"the {name} side of {self.spec} has more than 2 GB of weights, more than one "
                    "ONNX file can hold"
                )
        if self.side // self.config.vision_config.patch_size < GRID:
            raise ExportError(f"{self.spec} sees fewer than {GRID} × {GRID} patches a picture")

    def fast_tokenizer(self) -> Tokenizer:
        """The tokenizer as the runtime's library has it."""
        if not self.tokenizer.is_fast:
            if getattr(self.tokenizer, "sp_model", None) is None:
                kind = type(self.tokenizer).__name__
                raise ExportError(f"{self.spec} has a {kind}, which has no tokenizer.json")
            from export.sentencepiece_tokenizer import convert_sentencepiece

            return convert_sentencepiece(self.tokenizer)
        fast = Tokenizer.from_str(self.tokenizer.backend_tokenizer.to_str())
        if self._small_letters:
            steps = [] if fast.normalizer is None else [fast.normalizer]
            fast.normalizer = normalizers.Sequence([normalizers.Lowercase(), *steps])
        return fast

    @property
    def _small_letters(self) -> bool:
        """SigLIP and SigLIP 2 were trained on them; the tokenizer's file of the latter does not
        say so.
        """
        return bool(self.config.model_type == "siglip")

    def _texts(self, sentences: Sequence[str]) -> list[str]:
        return [text.lower() if self._small_letters else text for text in sentences]

    def reference_ids(self, sentences: Sequence[str]) -> list[list[int]]:
        """The tokens of each sentence, without padding."""
        found = self.tokenizer(self._texts(sentences), truncation=True, max_length=self.positions)
        return [list(map(int, ids)) for ids in found["input_ids"]]

    def reference_vectors(
        self, sentences: Sequence[str], pictures: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Unit vectors of sentences and of pictures uint8 [n, S, S, 3]."""
        inputs = self.tokenizer(
            self._texts(sentences),
            padding="max_length" if self.family.fill else "longest",
            max_length=self.positions,
            truncation=True,
            return_tensors="pt",
        )
        # SigLIP was trained without a mask.
        names = {"input_ids"} if self.family.fill else {"input_ids", "attention_mask"}
        pixels = self.processor(list(pictures), return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            words = self.model.get_text_features(**{k: inputs[k] for k in names})
            shown = self.model.get_image_features(pixel_values=pixels)
        return F.normalize(words, dim=-1).numpy(), F.normalize(shown, dim=-1).numpy()


def _load(spec: str, revision: str | None) -> _Loaded:
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
        model, info = AutoModel.from_pretrained(
            spec,
            revision=revision,
            attn_implementation="eager",
            dtype="float32",
            output_loading_info=True,
        )
        tokenizer = AutoTokenizer.from_pretrained(spec, revision=revision)
        processor = AutoImageProcessor.from_pretrained(spec, revision=revision, use_fast=False)
    except Exception as error:  # damaged files raise whatever their readers raise
        raise ExportError(f"{spec} cannot be loaded: {_first_line(error)}") from error
    missing = [str(key) for key in (*info["missing_keys"], *info["mismatched_keys"])]
    return _Loaded(spec, config, family, model.eval(), tokenizer, processor, missing)


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
