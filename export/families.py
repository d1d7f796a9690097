"""Source: dual encoders of Transformers as the modules that the runtime's contract describes.

Each side is wrapped, not rewritten: its own layers run, on its own weights. Added are the entrance
for soft tokens, the token states and the regions.

*Soft tokens* take places of the sequence before the pooled one, so that what is pooled attends to
them: the end mark in CLIP, the last position in SigLIP. Positions are counted with them. States
come back with the soft tokens last, whatever places they took.

*Regions* are the patches of a 3 × 3 grid of cells in the last layer, pooled as the whole picture
is: CLIP pools by its class token, which a cell has none of, so patches are averaged and projected;
SigLIP pools by attention, here with each cell's patches in sight alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GRID = 3  # cells a side: nine regions a picture


class ClipText(nn.Module):
    """Token ids and soft tokens → vector [B, D] and token states [B, L + N, H]."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.config = model.config.text_config
        self.text, self.projection = model.text_model, model.text_projection

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, soft_tokens: Tensor
    ) -> tuple[Tensor, Tensor]:
        words = self.text.embeddings.token_embedding(input_ids)
        length, soft = words.shape[1], soft_tokens.shape[1]
        # Rows are padded behind, so the end mark is the last real token.
        end = attention_mask.sum(1, keepdim=True) - 1
        place = torch.arange(length + soft, device=words.device)[None]
        order = torch.where(
            place < end, place, torch.where(place < end + soft, length + place - end, place - soft)
        )
        hidden = self.text.embeddings(
            inputs_embeds=_pick(torch.cat([words, soft_tokens], 1), order)
        )
        causal = torch.where(place[0][:, None] < place[0][None], torch.finfo(hidden.dtype).min, 0.0)
        encoded = self.text.encoder(
            inputs_embeds=hidden, attention_mask=None, causal_attention_mask=causal[None, None]
        )
        hidden = self.text.final_layer_norm(encoded.last_hidden_state)
        vector = self.projection(_pick(hidden, end + soft)[:, 0])
        word, token = place[:, :length], place[:, :soft]
        back = torch.cat([torch.where(word < end, word, word + soft), end + token], 1)
        return F.normalize(vector, dim=-1), _pick(hidden, back)


class SiglipText(nn.Module):
    """As :class:`ClipText`; rows are full, and what is pooled is the last position."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.config = model.config.text_config
        self.text = model.text_model

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, soft_tokens: Tensor
    ) -> tuple[Tensor, Tensor]:
        # The encoder was trained without a mask: it attends to the padding too. The product keeps
        # the input in the graph, as the contract has it.
        words = self.text.embeddings.token_embedding(input_ids * attention_mask.ge(0))
        sequence = torch.cat([words[:, :-1], soft_tokens, words[:, -1:]], 1)
        encoded = self.text.encoder(inputs_embeds=self.text.embeddings(inputs_embeds=sequence))
        hidden = self.text.final_layer_norm(encoded.last_hidden_state)
        before = words.shape[1] - 1
        states = torch.cat([hidden[:, :before], hidden[:, -1:], hidden[:, before:-1]], 1)
        return F.normalize(self.text.head(hidden[:, -1]), dim=-1), states


class ClipImage(nn.Module):
    """Pixels [B, 3, S, S] → vector [B, D] and regions [B, 9, D]."""

    cells: Tensor

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.config = model.config.vision_config
        self.vision, self.projection = model.vision_model, model.visual_projection
        self.register_buffer("cells", cells_of(self.config.image_size // self.config.patch_size))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.vision(pixel_values=pixels).last_hidden_state
        patches = self.vision.post_layernorm(hidden[:, 1:])
        shares = self.cells / self.cells.sum(1, keepdim=True)
        pooled = torch.cat([self.vision.post_layernorm(hidden[:, :1]), shares @ patches], 1)
        vectors = F.normalize(self.projection(pooled), dim=-1)
        return vectors[:, 0], vectors[:, 1:]


class SiglipImage(nn.Module):
    """As :class:`ClipImage`."""

    hidden_patches: Tensor

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.config = model.config.vision_config
        self.vision = model.vision_model
        cells = cells_of(self.config.image_size // self.config.patch_size)
        everything = torch.ones(1, cells.shape[1])
        self.register_buffer("hidden_patches", torch.cat([everything, cells]) == 0)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        vision = self.vision
        hidden = vision.encoder(inputs_embeds=vision.embeddings(pixels)).last_hidden_state
        patches, head = vision.post_layernorm(hidden), vision.head
        # One query for the whole picture and one for each cell, alike but for what they see.
        probes = head.probe.expand(len(pixels), len(self.hidden_patches), -1)
        pooled = head.attention(
            probes, patches, patches, attn_mask=self.hidden_patches, need_weights=False
        )[0]
        vectors = F.normalize(pooled + head.mlp(head.layernorm(pooled)), dim=-1)
        return vectors[:, 0], vectors[:, 1:]


def cells_of(side: int) -> Tensor:
    """Which of side² patches lie in each of nine cells, float [9, side²]; cells share a patch where
    the side does not divide.
    """
    one = torch.zeros(GRID, side)
    for cell in range(GRID):
        one[cell, side * cell // GRID : -(-side * (cell + 1) // GRID)] = 1.0
    return torch.einsum("ij,kl->ikjl", one, one).reshape(GRID * GRID, side * side)


def _pick(rows: Tensor, order: Tensor) -> Tensor:
    """rows [B, L, H] at places [B, K] → [B, K, H]."""
    return rows.gather(1, order[..., None].expand(-1, -1, rows.shape[-1]))


@dataclass(frozen=True)
class Family:
    """How a model type of Transformers is exported; ``fill`` as of the manifest's text."""

    image: type[nn.Module]
    text: type[nn.Module]
    fill: bool


# MetaCLIP 2 is CLIP with words of many languages. OpenCLIP and TinyCLIP weights in Transformers'
# format call themselves "clip", SigLIP 2 of fixed resolution "siglip".
FAMILIES = {
    "clip": Family(ClipImage, ClipText, fill=False),
    "metaclip_2": Family(ClipImage, ClipText, fill=False),
    "siglip": Family(SiglipImage, SiglipText, fill=True),
}
