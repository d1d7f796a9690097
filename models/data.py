"""Training data: captioned photos, class names, and batches of them.

Flickr8k (Hodosh et al. 2013) is read from a folder with ``captions.csv`` (image, split, caption)
and ``images/``. Photos are held decoded in memory, so that augmentation is one resampling a batch.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from models.minilm import minilm_folder

CLASSES_FILE = Path(__file__).parent / "data" / "imagenet_classes.tsv"
MAX_TOKENS = 64
PIXEL_MEAN = 127.0
PIXEL_SCALE = 128.0


@dataclass(frozen=True)
class CaptionedPhotos:
    """One split: ``photos`` uint8 [n, H, W, 3] and the captions of each."""

    names: list[str]
    photos: NDArray[np.uint8]
    captions: list[list[str]]

    def __len__(self) -> int:
        return len(self.names)


def load_captioned_photos(folder: Path, split: str, limit: int | None = None) -> CaptionedPhotos:
    """Read one split of a captioned photo folder, in the order of file names."""
    captions: dict[str, list[str]] = defaultdict(list)
    with (folder / "captions.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["split"] == split:
                captions[row["image"]].append(row["caption"])
    names = sorted(captions)[:limit]
    if not names:
        raise ValueError(f"{folder / 'captions.csv'} has no row of the split {split!r}")
    photos = np.stack([read_photo(folder / "images" / name) for name in names])
    return CaptionedPhotos(names, photos, [captions[name] for name in names])


def read_photo(path: Path, side: int | None = None) -> NDArray[np.uint8]:
    """A photo as uint8 [H, W, 3]; with ``side``, stretched to a square of it."""
    image = Image.open(path).convert("RGB")
    if side is not None:
        image = image.resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(image)


def class_names() -> list[list[str]]:
    """The 1,000 ImageNet classes in the classifier's order: WordNet lemmas, best known first."""
    lines = CLASSES_FILE.read_text("utf-8").splitlines()
    return [line.split("\t")[1].split(", ") for line in lines]


def load_tokenizer() -> Tokenizer:
    """The text tower's tokenizer: cuts at ``MAX_TOKENS``, pads to the longest of a batch."""
    tokenizer = Tokenizer.from_file(str(minilm_folder() / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.enable_padding(pad_id=0, pad_token="[PAD]")
    return tokenizer


def tokenize(tokenizer: Tokenizer, texts: list[str]) -> tuple[Tensor, Tensor]:
    """Texts → ids and mask, int64 [n, L]."""
    encodings = tokenizer.encode_batch(texts)
    ids = torch.tensor([encoding.ids for encoding in encodings])
    return ids, torch.tensor([encoding.attention_mask for encoding in encodings])


def to_input(photos: NDArray[np.uint8], side: int) -> Tensor:
    """Photos uint8 [n, H, W, 3] → tower input float [n, 3, S, S], stretched to the square."""
    x = torch.from_numpy(photos).permute(0, 3, 1, 2).float()
    if x.shape[-2:] != (side, side):
        x = F.interpolate(x, (side, side), mode="bilinear", antialias=True, align_corners=False)
    return normalise(x)


def normalise(pixels: Tensor) -> Tensor:
    """Pixel values 0…255 → what the tower was trained on, laid out for the CPU."""
    return ((pixels - PIXEL_MEAN) / PIXEL_SCALE).contiguous(memory_format=torch.channels_last)


def augment(
    photos: NDArray[np.uint8], side: int, generator: np.random.Generator, smallest: float = 0.5
) -> Tensor:
    """Random crops of at least ``smallest`` of the area, flips, light colour jitter."""
    n = len(photos)
    area = generator.uniform(smallest, 1.0, n)
    aspect = np.exp(generator.uniform(-0.25, 0.25, n))
    width = np.minimum(np.sqrt(area * aspect), 1.0)
    height = np.minimum(np.sqrt(area / aspect), 1.0)
    theta = np.zeros((n, 2, 3), np.float32)
    theta[:, 0, 0] = width * generator.choice([-1.0, 1.0], n)
    theta[:, 1, 1] = height
    theta[:, 0, 2] = generator.uniform(-1, 1, n) * (1 - width)
    theta[:, 1, 2] = generator.uniform(-1, 1, n) * (1 - height)
    x = torch.from_numpy(photos).permute(0, 3, 1, 2).float()
    grid = F.affine_grid(torch.from_numpy(theta), [n, 3, side, side], align_corners=False)
    x = F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    contrast = torch.from_numpy(generator.uniform(0.8, 1.2, (n, 1, 1, 1)).astype(np.float32))
    brightness = torch.from_numpy(generator.uniform(-20, 20, (n, 3, 1, 1)).astype(np.float32))
    return normalise(((x - PIXEL_MEAN) * contrast + PIXEL_MEAN + brightness).clamp(0, 255))
