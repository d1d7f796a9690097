"""A picture that is near everything that is said comes up less; an average of weights is one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from models.averages import Running, average_checkpoints
from models.checkpoint import load_encoder, save_encoder
from models.encoder import JOINT, Hubness, as_query, grouped, with_hubness

ENCODER = Path("models/checkpoints/encoder.safetensors")


def some(count: int, seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, JOINT, generator=random), dim=1)


def test_a_score_is_the_inner_product_less_the_hubness() -> None:
    sentences, pictures, hubness = some(3), some(5, 1), Hubness()
    hubness.learn([some(40, 2)], [40], pictures)
    scores = as_query(sentences) @ with_hubness(pictures, hubness(pictures)).T
    expected = sentences @ pictures.T - hubness(pictures)[:, 0]
    torch.testing.assert_close(scores * 2**0.5, expected)
    assert as_query(sentences).norm(dim=1) == pytest.approx(torch.ones(3), abs=1e-6)
    assert hubness(pictures).mean().item() == pytest.approx(0, abs=1e-6)


def test_what_is_near_the_bank_is_a_hub() -> None:
    bank, hubness = some(40, 2), Hubness()
    hubness.learn([bank], [40], some(5, 1))
    hub, other = F.normalize(bank.mean(0), dim=0), some(1, 3)[0]
    assert hubness(hub[None]) > hubness(other[None])


def test_without_a_bank_nothing_is_a_hub() -> None:
    assert not Hubness()(some(4)).any()


def test_kinds_count_alike_whatever_their_numbers() -> None:
    hubness = Hubness()
    hubness.learn([some(200), some(10, 1)], [20, 10], some(3, 2))
    assert len(hubness.bank) == 30
    for part in hubness.shares.split([20, 10]):
        assert part.sum().item() == pytest.approx(0.5)


def test_groups_are_the_means_of_what_is_alike() -> None:
    centres = some(3)
    vectors = centres.repeat_interleave(torch.tensor([10, 20, 30]), 0)
    noise = 0.01 * torch.randn(vectors.shape, generator=torch.Generator().manual_seed(1))
    means, shares = grouped(vectors + noise, 12)
    nearest = (means @ centres.T).argmax(1)
    found = torch.zeros(3).index_add_(0, nearest, shares)
    torch.testing.assert_close(found, torch.tensor([10, 20, 30]) / 60, atol=0.03, rtol=0)


def test_an_average_of_checkpoints_keeps_what_none_of_them_changed(tmp_path: Path) -> None:
    image, text = load_encoder(ENCODER)
    words = text.tower.words.weight.clone()
    before = image.knowledge_weight.item()
    with torch.no_grad():
        image.knowledge_weight.add_(1)
    save_encoder(tmp_path / "other.safetensors", image, text)
    mean, same = average_checkpoints([ENCODER, tmp_path / "other.safetensors"], [0.75, 0.25])
    assert mean.knowledge_weight.item() == pytest.approx(before + 0.25, abs=1e-3)
    assert torch.equal(same.tower.words.weight, words)


def test_a_running_average_follows_what_is_trained() -> None:
    image, text = load_encoder(ENCODER)
    text.requires_grad_(False)
    running = Running(image, text, decay=0.5)
    with torch.no_grad():
        for encoder in (image, text):
            encoder.knowledge_weight.fill_(100)
    running.note()
    assert 50 < running.image.knowledge_weight.item() < 100
    assert running.text.knowledge_weight.item() < 50
