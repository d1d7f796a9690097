"""Dual encoders with random weights, published as others publish theirs: the layouts, names of
inputs and outputs, types and lengths of Transformers.js, optimum and Immich.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.float16 import convert_float_to_float16
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModel, BertConfig, BertModel

from export.quantize import quiet
from tests.export.random_models import (
    HIDDEN,
    PICTURE,
    POSITIONS,
    SIDE,
    SMALL,
    _sentences,
    save_random_model,
)

DIM = 48
END = 1  # the end mark of the small tokenizer
# PyTorch's fused layers have no counterpart in ONNX.
torch.backends.mha.set_fastpath_enabled(False)


class Texts(nn.Module):
    """The text side of a model of Transformers, as `CLIPTextModelWithProjection` and the like."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor) -> Any:
        found = self.model.text_model(input_ids=input_ids)
        if hasattr(self.model, "text_projection"):
            return self.model.text_projection(found.pooler_output)
        return found.last_hidden_state, found.pooler_output


class Pictures(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> Any:
        found = self.model.vision_model(pixel_values=pixel_values)
        if hasattr(self.model, "visual_projection"):
            return self.model.visual_projection(found.pooler_output)
        return found.last_hidden_state, found.pooler_output


class ConvolutionalPictures(nn.Module):
    """As MobileCLIP's: convolutions, the mean of the map, a projection."""

    def __init__(self, dim: int = DIM) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1), nn.GELU(), nn.Conv2d(16, 24, 3, 4, 1), nn.GELU()
        )
        self.projection = nn.Parameter(torch.randn(24, dim))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.body(pixels).mean((-2, -1)) @ self.projection


class CausalTexts(nn.Module):
    """As OpenCLIP's: a mask and positions of fixed length, the end mark pooled."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.words = nn.Embedding(words, HIDDEN)
        self.places = nn.Parameter(torch.randn(POSITIONS, HIDDEN) * 0.1)
        layer = nn.TransformerEncoderLayer(HIDDEN, 4, 128, 0.0, "gelu", batch_first=True)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.projection = nn.Parameter(torch.randn(HIDDEN, DIM))
        mask = torch.full((POSITIONS, POSITIONS), -1e9).triu(1)
        self.register_buffer("mask", mask)

    def forward(self, ids: Tensor) -> Tensor:
        hidden = self.body(self.words(ids) + self.places, mask=self.mask)
        end = (ids == END).to(torch.int64).argmax(-1)
        pooled = hidden[torch.arange(ids.shape[0]), end]
        return pooled @ self.projection


class MeanTexts(nn.Module):
    """As Jina's: no mask is taken, padding is known by its id, and the mean of the rest pooled."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.bert = BertModel(
            BertConfig(
                vocab_size=words,
                hidden_size=HIDDEN,
                num_hidden_layers=2,
                num_attention_heads=4,
                intermediate_size=128,
                max_position_embeddings=POSITIONS,
                attn_implementation="eager",
            ),
            add_pooling_layer=False,
        )

    def forward(self, ids: Tensor) -> Tensor:
        real = (ids != 0).to(torch.int64)
        hidden = self.bert(input_ids=ids, attention_mask=real).last_hidden_state
        shares = real[..., None].to(hidden.dtype)
        return (hidden * shares).sum(1) / shares.sum(1)


class MeanPictures(nn.Module):
    """Patches without a class token, the mean of which is pooled."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, HIDDEN, 8, 8)
        layer = nn.TransformerEncoderLayer(HIDDEN, 4, 128, 0.0, "gelu", batch_first=True)
        self.body = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(HIDDEN, HIDDEN)

    def forward(self, pixels: Tensor) -> Tensor:
        rows = self.patches(pixels).flatten(2).transpose(1, 2)
        return self.head(self.body(rows).mean(1))


class Both(nn.Module):
    def __init__(self, texts: nn.Module, pictures: nn.Module) -> None:
        super().__init__()
        self.texts, self.pictures = texts, pictures

    def forward(self, input_ids: Tensor, pixel_values: Tensor) -> Any:
        text, image = self.texts(input_ids), self.pictures(pixel_values)
        return text, image, F.normalize(text, dim=-1), F.normalize(image, dim=-1)


def export(
    module: nn.Module,
    path: Path,
    inputs: dict[str, tuple[Tensor, dict[int, str]]],
    outputs: dict[str, dict[int, str]],
    opset: int = 14,
) -> None:
    """By the tracing exporter, which optimum uses too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(), quiet(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            tuple(value for value, _ in inputs.values()),
            str(path),
            dynamo=False,
            opset_version=opset,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: axes for name, (_, axes) in inputs.items() if axes}
            | {name: axes for name, axes in outputs.items() if axes},
        )


BATCH, ROWS = {0: "batch_size"}, {0: "batch_size", 1: "sequence_length"}
PIXELS = torch.zeros(2, 3, SIDE, SIDE)
ANY = {0: "batch_size", 1: "num_channels", 2: "height", 3: "width"}


def _checkpoint(family: str, folder: Path) -> Any:
    checkpoint = save_random_model(family, folder.parent / f"{folder.name}-checkpoint")
    folder.mkdir(parents=True, exist_ok=True)
    for path in checkpoint.glob("*.json"):
        shutil.copy(path, folder)
    if not (folder / "tokenizer.json").is_file():  # sentencepiece, which Transformers.js converts
        from export.sources import open_source

        work = folder.parent / "work"
        shutil.copy(open_source(str(checkpoint), work=work).tokenizer, folder / "tokenizer.json")
    return AutoModel.from_pretrained(checkpoint, attn_implementation="eager").eval()


def publish_apart(family: str, folder: Path, opset: int = 14) -> None:
    """`onnx/text_model.onnx` and `onnx/vision_model.onnx` of a family of Transformers."""
    model = _checkpoint(family, folder)
    siglip = family.startswith("siglip")
    length = POSITIONS if siglip else 9
    ids = torch.ones(2, length, dtype=torch.int64)
    pooled = {"last_hidden_state": ROWS, "pooler_output": BATCH}
    text, image = (pooled, pooled) if siglip else ({"text_embeds": BATCH}, {"image_embeds": BATCH})
    graphs = folder / "onnx"
    export(Texts(model), graphs / "text_model.onnx", {"input_ids": (ids, ROWS)}, text, opset)
    pixels = {"pixel_values": (PIXELS, ANY)}
    export(Pictures(model), graphs / "vision_model.onnx", pixels, image, opset)


def publish_together(family: str, folder: Path) -> None:
    """`onnx/model.onnx` as optimum itself makes it, logits and all."""
    from optimum.exporters.onnx import main_export

    _checkpoint(family, folder)
    made = folder.parent / f"{folder.name}-made"
    with warnings.catch_warnings(), quiet():
        warnings.simplefilter("ignore")
        checkpoint = str(folder.parent / f"{folder.name}-checkpoint")
        main_export(checkpoint, made, task="zero-shot-image-classification", do_validation=False)
    (folder / "onnx").mkdir()
    shutil.copy(made / "model.onnx", folder / "onnx")


def publish_mobileclip(folder: Path) -> None:
    """A configuration that says nothing, sentences of fixed length, pixels from 0 to 1."""
    torch.manual_seed(0)
    words = json.loads((_clip_tokenizer_of(folder) / "tokenizer.json").read_text())["model"]
    ids = torch.ones(2, POSITIONS, dtype=torch.int64)
    graphs = folder / "onnx"
    export(
        CausalTexts(len(words["vocab"]) + 2),
        graphs / "text_model.onnx",
        {"input_ids": (ids, BATCH)},
        {"text_embeds": BATCH},
        17,
    )
    export(
        ConvolutionalPictures(),
        graphs / "vision_model.onnx",
        {"pixel_values": (PIXELS, BATCH)},
        {"image_embeds": BATCH},
        17,
    )
    _write(folder, "config.json", {"model_type": "clip"})
    preparing = {
        "crop_size": {"height": SIDE, "width": SIDE},
        "do_center_crop": True,
        "do_normalize": False,
        "do_rescale": True,
        "do_resize": True,
        "resample": 2,
        "rescale_factor": 1 / 255,
        "size": {"shortest_edge": SIDE},
    }
    _write(folder, "preprocessor_config.json", preparing)


def publish_jina(folder: Path, opset: int = 14) -> None:
    """One graph that takes ids without a mask and gives unit vectors beside others."""
    torch.manual_seed(0)
    tokenizer = _bert_tokenizer()
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    ids = torch.ones(2, 9, dtype=torch.int64)
    # Opsets before 14 have no fused attention, which these pictures would be encoded by.
    pictures = MeanPictures() if opset >= 14 else ConvolutionalPictures(HIDDEN)
    export(
        Both(MeanTexts(tokenizer.get_vocab_size()), pictures),
        folder / "onnx" / "model.onnx",
        {
            "input_ids": (ids, {0: "text_batch_size", 1: "sequence_length"}),
            "pixel_values": (PIXELS, {0: "image_batch_size"}),
        },
        {
            "text_embeddings": {0: "text_batch_size"},
            "image_embeddings": {0: "image_batch_size"},
            "l2norm_text_embeddings": {0: "text_batch_size"},
            "l2norm_image_embeddings": {0: "image_batch_size"},
        },
        opset,
    )
    _write(folder, "config.json", {"model_type": "jina_clip"})
    _write(
        folder,
        "preprocessor_config.json",
        {
            "size": SIDE,
            "mean": [0.48, 0.46, 0.41],
            "std": [0.27, 0.26, 0.28],
            "resize_mode": "shortest",
            "interpolation": "bicubic",
        },
    )
    _write(folder, "tokenizer_config.json", {"pad_token": "[PAD]", "model_max_length": POSITIONS})


def publish_immich(folder: Path) -> None:
    """One row at a time, ids of 32 bits."""
    torch.manual_seed(0)
    _clip_tokenizer_of(folder / "textual")
    words = json.loads((folder / "textual" / "tokenizer.json").read_text())["model"]["vocab"]
    ids = torch.ones(1, POSITIONS, dtype=torch.int32)
    export(
        CausalTexts(len(words) + 2),
        folder / "textual" / "model.onnx",
        {"text": (ids, {})},
        {"embedding": {}},
        17,
    )
    export(
        MeanPicturesOf(DIM),
        folder / "visual" / "model.onnx",
        {"image": (PIXELS[:1], {})},
        {"embedding": {}},
        17,
    )
    _write(folder, "config.json", {"embed_dim": DIM, "text_cfg": {"context_length": POSITIONS}})
    preparing = {
        "size": [SIDE, SIDE],
        "mode": "RGB",
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "interpolation": "bicubic",
        "resize_mode": "squash",
        "fill_color": 0,
    }
    _write(folder / "visual", "preprocess_cfg.json", preparing)


class MeanPicturesOf(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.pictures, self.projection = MeanPictures(), nn.Linear(HIDDEN, dim, bias=False)

    def forward(self, pixels: Tensor) -> Tensor:
        return F.normalize(self.projection(self.pictures(pixels)), dim=-1)


def publish_chinese(folder: Path) -> None:
    """One graph of optimum's; BERT for sentences, its first token pooled."""
    from optimum.exporters.onnx import main_export
    from transformers import ChineseCLIPConfig, ChineseCLIPImageProcessor, ChineseCLIPModel

    torch.manual_seed(0)
    tokenizer = _bert_tokenizer()
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    text = SMALL | {
        "vocab_size": tokenizer.get_vocab_size(),
        "max_position_embeddings": POSITIONS,
    }
    config = ChineseCLIPConfig(text_config=text, vision_config=SMALL | PICTURE, projection_dim=DIM)
    checkpoint = folder.parent / f"{folder.name}-checkpoint"
    ChineseCLIPModel(config).eval().save_pretrained(checkpoint)
    size = {"height": SIDE, "width": SIDE}
    processor = ChineseCLIPImageProcessor(size=size, do_center_crop=False)
    processor.save_pretrained(folder)
    processor.save_pretrained(checkpoint)
    made = folder.parent / f"{folder.name}-made"
    with warnings.catch_warnings(), quiet():
        warnings.simplefilter("ignore")
        main_export(
            str(checkpoint), made, task="zero-shot-image-classification", do_validation=False
        )
    (folder / "onnx").mkdir()
    shutil.copy(made / "model.onnx", folder / "onnx")
    shutil.copy(checkpoint / "config.json", folder)
    _write(folder, "tokenizer_config.json", {"pad_token": "[PAD]", "model_max_length": 10**30})


def _clip_tokenizer_of(folder: Path) -> Path:
    from tests.export.random_models import _clip_tokenizer

    _clip_tokenizer(folder).save_pretrained(folder)
    return folder


def _bert_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(vocab_size=600, special_tokens=marks, show_progress=False)
    tokenizer.train_from_iterator(_sentences(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def _write(folder: Path, name: str, document: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(document), "utf-8")


def add_precisions(folder: Path) -> None:
    """What Transformers.js publishes beside fp32: half precision, and 8 bits of three kinds."""
    for path in sorted((folder / "onnx").glob("*model.onnx")):
        stem = path.with_suffix("")
        model = convert_float_to_float16(onnx.load(path), keep_io_types=path.name.startswith("t"))
        onnx.save(model, f"{stem}_fp16.onnx")
        for suffix, kind in (("int8", QuantType.QInt8), ("uint8", QuantType.QUInt8)):
            with quiet():
                quantize_dynamic(path, f"{stem}_{suffix}.onnx", weight_type=kind)
        shutil.copy(f"{stem}_int8.onnx", f"{stem}_quantized.onnx")


def move_weights_out(path: Path) -> None:
    """As `model.onnx_data` beside it."""
    model = onnx.load(path)
    onnx.save(
        model,
        path,
        save_as_external_data=True,
        location=f"{path.name}_data",
        size_threshold=0,
    )


PUBLISHED: dict[str, Callable[[Path], None]] = {
    "clip": lambda folder: publish_apart("clip", folder),
    "siglip": lambda folder: publish_apart("siglip", folder),
    "siglip2-together": lambda folder: publish_together("siglip2", folder),
    "clip-together": lambda folder: publish_together("clip", folder),
    "mobileclip": publish_mobileclip,
    "jina": publish_jina,
    "chinese": publish_chinese,
    "immich": publish_immich,
}


def pixels(count: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    random = np.random.default_rng(seed)
    return random.normal(0, 1, (count, 3, SIDE, SIDE)).astype(np.float32)
