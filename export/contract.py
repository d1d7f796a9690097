"""What the stages of the export hand to each other, and how they refuse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import nn

from vsr_edge.bundle.manifest import GROUNDING, IMAGE_ENCODER, REFINER, SOFT_TOKENS, TEXT_ENCODER
from vsr_edge.making.gate import Feeds
from vsr_edge.runtime.preprocess import Preprocessing
from vsr_edge.runtime.tokens import TextInput, Tokens, set_up_tokenizer, tokenize

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SIDES = (IMAGE_ENCODER, TEXT_ENCODER)
HEADS = (GROUNDING, REFINER)
FILE_OF = {
    IMAGE_ENCODER: "image.onnx",
    TEXT_ENCODER: "text.onnx",
    GROUNDING: "grounding.onnx",
    REFINER: "refiner.onnx",
}

# Writes an int8 graph: (fp32 graph, target, feeds to calibrate on) → names of the nodes left float.
Quantizer: TypeAlias = Callable[[Path, Path, Feeds], list[str]]
# Sentences → the ids of each, without padding, as the encoder's own tokenizer gives them.
ReferenceIds: TypeAlias = Callable[[Sequence[str]], list[list[int]]]
# Sentences and pictures uint8 [n, S, S, 3] → the vectors of both, as its own library gives them.
ReferenceVectors: TypeAlias = Callable[
    [Sequence[str], NDArray[np.uint8]], tuple[NDArray[np.float32], NDArray[np.float32]]
]


class ExportError(Exception):
    """What was asked for cannot be exported; the message says why and what can be."""


class CalibrationError(ExportError):
    """There is nothing to learn a calibration from."""


@dataclass(frozen=True, eq=False)
class Source:
    """A dual encoder to be exported: two modules that compute what the runtime's contract says, the
    numbers that pictures and sentences are prepared with, and how each side is best quantised.

    Args:
        image: pixels [B, 3, S, S] → vector [B, D], regions [B, R, D].
        text: ids [B, L], mask [B, L], soft tokens [B, N, H] → vector [B, D], states [B, L + N, H].
        tokenizer: a ``tokenizer.json``.
        quantizers: how each role becomes int8.
        reference_ids, reference_vectors: what tokenizer and graphs must give, None where they are
            the source's own.
    """

    name: str
    licence: str
    image: nn.Module
    text: nn.Module
    side: int
    embedding: int
    hidden: int
    regions: int
    max_tokens: int
    preprocessing: Preprocessing
    text_input: TextInput
    tokenizer: Path
    quantizers: dict[str, Quantizer]
    provenance: dict[str, Any]
    reference_ids: ReferenceIds | None = None
    reference_vectors: ReferenceVectors | None = None

    def fields(self) -> dict[str, Any]:
        """As the manifest has them."""
        return {
            "name": self.name,
            "licence": self.licence,
            "dims": {
                "embedding": self.embedding,
                "hidden": self.hidden,
                "regions": self.regions,
                "image": self.side,
                "soft_tokens": SOFT_TOKENS,
                "max_tokens": self.max_tokens,
            },
            "preprocessing": asdict(self.preprocessing),
            "text": asdict(self.text_input),
        }

    def tokens(self, texts: Sequence[str], soft: int = 0) -> Tokens:
        """Sentences as the runtime will cut them, with room for soft tokens."""
        return tokenize(self._loaded_tokenizer, texts, self.text_input, soft)

    @cached_property
    def _loaded_tokenizer(self) -> Tokenizer:
        return set_up_tokenizer(self.tokenizer, self.max_tokens, self.text_input)
