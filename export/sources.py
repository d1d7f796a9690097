"""What can be exported: the project's own dual encoder, or one of Transformers.

Both become a :class:`Source`: two modules that compute what the runtime's contract says, the
numbers that pictures and sentences are prepared with, and how each side is best quantised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import nn

from export.quantize import Feeds, quantize_image_encoder, quantize_text_encoder
from models.checkpoint import load_encoder
from models.data.batches import MAX_TOKENS, PIXEL_MEAN, PIXEL_SCALE
from models.efficientnet_lite import LITE
from models.encoder import DIMENSIONS
from models.minilm import HIDDEN, minilm_folder
from vsr_edge.bundle.manifest import IMAGE_ENCODER, SOFT_TOKENS, TEXT_ENCODER
from vsr_edge.runtime.preprocess import Preprocessing
from vsr_edge.runtime.tokens import DEFAULT_TEXT, TextInput

LITE_LICENCE = "Apache-2.0; trained on Flickr8k (research use), see MODEL_CARD.md"

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


@dataclass(frozen=True, eq=False)
class Source:
    """A dual encoder to be exported.

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

    @property
    def dims(self) -> dict[str, int]:
        """As the manifest has them."""
        return {
            "embedding": self.embedding,
            "hidden": self.hidden,
            "regions": self.regions,
            "image": self.side,
            "soft_tokens": SOFT_TOKENS,
            "max_tokens": self.max_tokens,
        }


def open_source(spec: str, *, revision: str | None = None, work: Path) -> Source:
    """The source that a checkpoint's file, a folder of Transformers or a hub id names.

    Args:
        work: folder for the tokenizer's file, where the source has none that can be copied.

    Raises:
        ExportError: there is none, or its family cannot be exported.
    """
    path = Path(spec).expanduser()
    if path.suffix == ".safetensors":
        if not path.is_file():
            raise ExportError(f"{path} is no file")
        if (path.parent / "config.json").is_file():
            raise ExportError(f"{path} is part of a checkpoint of Transformers: name its folder")
        return open_lite(path)
    # Transformers takes seconds to import.
    from export.transformers_source import open_transformers

    return open_transformers(str(path) if path.is_dir() else spec, revision=revision, work=work)


def open_lite(checkpoint: Path) -> Source:
    """What ``models.train_encoder`` saved."""
    image, text = load_encoder(checkpoint)
    return Source(
        name="lite",
        licence=LITE_LICENCE,
        image=image,
        text=text,
        side=LITE[2].image_size,
        embedding=DIMENSIONS,
        hidden=HIDDEN,
        regions=9,
        max_tokens=MAX_TOKENS,
        preprocessing=Preprocessing((PIXEL_MEAN,) * 3, (PIXEL_SCALE,) * 3),
        text_input=DEFAULT_TEXT,
        tokenizer=minilm_folder() / "tokenizer.json",
        quantizers={IMAGE_ENCODER: quantize_image_encoder, TEXT_ENCODER: quantize_text_encoder},
        provenance={
            "language": "en",
            "towers": ["EfficientNet-Lite2 (ImageNet)", "all-MiniLM-L6-v2"],
            "trained_on": "Flickr8k, train split",
        },
    )


def example_tokens(source: Source, batch: int, soft: int, seed: int = 0) -> list[NDArray[Any]]:
    """Ids, mask and soft tokens of a shape that the text side takes."""
    random = np.random.default_rng(seed)
    positions = source.text_input.positions
    length = positions - soft if source.text_input.fill and positions is not None else 7
    ids = random.integers(3, 100, (batch, length))
    return [
        ids,
        np.ones_like(ids),
        random.normal(0, 0.05, (batch, soft, source.hidden)).astype(np.float32),
    ]
