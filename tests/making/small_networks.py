"""Small networks built as those are that others publish."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertConfig, BertModel

from tests.export.random_models import HIDDEN, POSITIONS

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

    def forward(self, pixels: Tensor) -> Any:
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

    def forward(self, ids: Tensor) -> Any:
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

    def forward(self, ids: Tensor) -> Any:
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

    def forward(self, pixels: Tensor) -> Any:
        rows = self.patches(pixels).flatten(2).transpose(1, 2)
        return self.head(self.body(rows).mean(1))


class Both(nn.Module):
    def __init__(self, texts: nn.Module, pictures: nn.Module) -> None:
        super().__init__()
        self.texts, self.pictures = texts, pictures

    def forward(self, input_ids: Tensor, pixel_values: Tensor) -> Any:
        text, image = self.texts(input_ids), self.pictures(pixel_values)
        return text, image, F.normalize(text, dim=-1), F.normalize(image, dim=-1)


class MeanPicturesOf(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.pictures, self.projection = MeanPictures(), nn.Linear(HIDDEN, dim, bias=False)

    def forward(self, pixels: Tensor) -> Any:
        return F.normalize(self.projection(self.pictures(pixels)), dim=-1)
