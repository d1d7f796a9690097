"""What the towers are fed with: class names, token ids, and augmented pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from models.minilm import minilm_folder

CLASSES_FILE = Path(__file__).parent / "imagenet_classes.tsv"
MAX_TOKENS = 64
PIXEL_MEAN = 127.0
PIXEL_SCALE = 128.0


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
