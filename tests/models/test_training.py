"""The training runs from photos to a checkpoint that loads; its pieces do what they say."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from models.checkpoint import load_encoder, pretrained_state, save_encoder
from models.data.batches import augment
from models.losses import class_name_loss, distillation_loss, info_nce
from models.training import mixed_precision

ENCODER = Path("models/checkpoints/encoder.safetensors")
PHOTOS = {
    "astronaut": "an astronaut in an orange suit",
    "chelsea": "a ginger cat looks up",
    "coffee": "a cup of coffee on a saucer",
    "rocket": "a rocket on its launch pad",
}


@pytest.fixture
def captioned(tmp_path: Path) -> Path:
    """Four real photos with captions, in the layout of Flickr8k."""
    folder = tmp_path / "photos"
    (folder / "images").mkdir(parents=True)
    with (folder / "captions.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "split", "caption"])
        for split in ("train", "val"):
            for name, caption in PHOTOS.items():
                photo = Image.fromarray(getattr(data, name)()).resize((224, 224))
                photo.save(folder / "images" / f"{split}_{name}.jpg")
                rows.writerow([f"{split}_{name}.jpg", split, caption])
    return folder


def test_training_saves_a_small_checkpoint_that_loads(captioned: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = [
        *("--data", captioned, "--out", out, "--head-passes", "1", "--tower-passes", "1"),
        *("--views", "1", "--names-per-batch", "8", "--others", captioned / "images"),
        *("--bank-size", "6", "--source-weights", "2"),
    ]
    command = [sys.executable, "-m", "models.train_encoder", *map(str, arguments)]
    subprocess.run(command, check=True, timeout=280, cwd=Path(__file__).parents[2])
    checkpoint = out / "encoder.safetensors"
    image, text = load_encoder(checkpoint)
    original = pretrained_state()
    frozen = image.state_dict()["tower.blocks.0.depthwise.weight"]
    assert torch.equal(frozen, original["image.tower.blocks.0.depthwise.weight"])
    opened = text.state_dict()["tower.layers.0.query.weight"]
    assert not torch.equal(opened, original["text.tower.layers.0.query.weight"])
    # Word vectors and the first blocks are not in it.
    assert checkpoint.stat().st_size < 28e6
    assert 0 < len(image.hubness.bank) <= 6
    assert image.hubness.shares.sum().item() == pytest.approx(1, abs=1e-3)
    assert "saved_pass" in (out / "log.jsonl").read_text()


def test_info_nce_is_least_for_matching_pairs() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(6, 16), dim=1)
    scale = torch.tensor(20.0)
    matching = info_nce(vectors, vectors, scale)
    assert matching < info_nce(vectors, vectors.roll(1, 0), scale)


def test_class_names_are_learned_from_the_right_column() -> None:
    names = torch.eye(4)
    images = names[[2, 2, 0]]
    right = class_name_loss(images, names, torch.tensor([2, 2, 0]), torch.tensor(10.0))
    wrong = class_name_loss(images, names, torch.tensor([1, 1, 1]), torch.tensor(10.0))
    assert right < 0.01 < wrong


def test_distillation_vanishes_for_equal_opinions() -> None:
    logits = torch.randn(3, 10)
    assert distillation_loss(logits, logits).item() == pytest.approx(0, abs=1e-6)
    assert distillation_loss(logits, logits.flip(1)) > 0


def test_augmented_photos_stay_in_range_and_differ() -> None:
    photos = np.stack([data.astronaut()[:224, :224]] * 2)
    views = augment(photos, 96, np.random.default_rng(0))
    assert views.shape == (2, 3, 96, 96)
    assert views.min() >= -1
    assert views.max() <= 1
    assert not torch.allclose(views[0], views[1])


def test_what_training_moved_is_kept_as_exactly_as_in_half_precision(tmp_path: Path) -> None:
    image, text = load_encoder(ENCODER)
    with torch.no_grad():
        for parameter in (*image.tower.parameters(), *text.tower.layers.parameters()):
            parameter.add_(0.02 * parameter.std() * torch.randn_like(parameter))
    save_encoder(tmp_path / "moved.safetensors", image, text)
    again = load_encoder(tmp_path / "moved.safetensors")
    for before, after in zip((image, text), again, strict=True):
        for (name, one), other in zip(before.named_parameters(), after.parameters(), strict=True):
            assert (one - other).norm() <= 1e-3 * one.norm() + 1e-6, name


@pytest.mark.parametrize("feature", ["", "avx512_bf16", "amx_bf16", "bf16"])
def test_bfloat16_is_for_processors_that_multiply_it(
    feature: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, feature: True})
    with mixed_precision():
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if feature else torch.float32)
