"""Source: the project's own dual encoder from its checkpoint, or one of Transformers."""

from __future__ import annotations

from pathlib import Path

from export.contract import ExportError, Source
from export.quantize import quantize_image_encoder, quantize_text_encoder
from models.checkpoint import load_encoder
from models.data.batches import MAX_TOKENS, PIXEL_MEAN, PIXEL_SCALE
from models.efficientnet_lite import LITE
from models.encoder import DIMENSIONS, REGION_SIDE
from models.minilm import HIDDEN, minilm_folder
from vsr_edge.bundle.manifest import IMAGE_ENCODER, TEXT_ENCODER
from vsr_edge.runtime.preprocess import Preprocessing
from vsr_edge.runtime.tokens import DEFAULT_TEXT

LITE_LICENCE = (
    "Apache-2.0; trained on Flickr8k, COCO (research use) and OpenStax, see MODEL_CARD.md"
)


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
        regions=REGION_SIDE**2,
        max_tokens=MAX_TOKENS,
        preprocessing=Preprocessing((PIXEL_MEAN,) * 3, (PIXEL_SCALE,) * 3, "stretch", "bilinear"),
        text_input=DEFAULT_TEXT,
        tokenizer=minilm_folder() / "tokenizer.json",
        quantizers={IMAGE_ENCODER: quantize_image_encoder, TEXT_ENCODER: quantize_text_encoder},
        provenance={
            "language": "en",
            "towers": ["EfficientNet-Lite2 (ImageNet)", "all-MiniLM-L6-v2"],
            "trained_on": "Flickr8k, COCO and OpenStax, train splits",
        },
    )
