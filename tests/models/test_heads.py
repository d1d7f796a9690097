"""Grounding head and refiner: shapes, masks, and where their training starts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.encoder import DIMENSIONS, TextEncoder, as_query
from models.grounding import GroundingHead, WordsInJointSpace
from models.minilm import HIDDEN, MiniLM
from models.refiner import Refiner
from vsr_edge.bundle.manifest import SOFT_TOKENS

NOISE = 2e-5  # of float32, through eight steps of a decoder


def pairs(batch: int, words: int, frames: int, seed: int = 0) -> list[Tensor]:
    """Random queries and candidates: what the head takes."""
    torch.manual_seed(seed)
    return [
        torch.randn(batch, words, HIDDEN),
        torch.ones(batch, words),
        F.normalize(torch.randn(batch, DIMENSIONS), dim=-1),
        F.normalize(torch.randn(batch, frames, DIMENSIONS), dim=-1),
        F.normalize(torch.randn(batch, frames, 9, DIMENSIONS), dim=-1),
        torch.ones(batch, frames),
    ]


@pytest.fixture(scope="module")
def head() -> GroundingHead:
    torch.manual_seed(1)
    head = GroundingHead().eval()
    for parameter in head.parameters():  # away from its start, where much is zero
        parameter.data += 0.02 * torch.randn_like(parameter)
    return head


@torch.no_grad()
def test_any_number_of_frames_is_judged(head: GroundingHead) -> None:
    for frames in (1, 2, 7, 512):
        match, start, end, relevance = head(*pairs(2, 5, frames))
        assert match.shape == (2,)
        assert start.shape == end.shape == relevance.shape == (2, frames)
        assert torch.isfinite(match).all()


@torch.no_grad()
def test_padding_changes_nothing(head: GroundingHead) -> None:
    states, words, query, frames, regions, mask = pairs(2, 5, 9)
    before = head(states, words, query, frames, regions, mask)
    junk = (
        torch.randn(2, 4, HIDDEN),
        torch.randn(2, 6, DIMENSIONS),
        torch.randn(2, 6, 9, DIMENSIONS),
    )
    after = head(
        torch.cat([states, junk[0]], 1),
        torch.cat([words, torch.zeros(2, 4)], 1),
        query,
        torch.cat([frames, junk[1]], 1),
        torch.cat([regions, junk[2]], 1),
        torch.cat([mask, torch.zeros(2, 6)], 1),
    )
    assert torch.allclose(before[0], after[0], atol=1e-4)
    for one, other in zip(before[1:], after[1:], strict=True):
        assert torch.allclose(one, other[:, :9], atol=1e-4)
        assert (other[:, 9:] < -1000).all()


@torch.no_grad()
def test_training_starts_from_the_dual_encoders_order() -> None:
    head = GroundingHead().eval()
    states, words, query, frames, regions, mask = pairs(12, 5, 1)
    query, states = query[:1].expand(12, -1), states[:1].expand(12, -1, -1)
    regions = frames[:, :, None].expand_as(regions)
    match, *_ = head(states, words, query, frames, regions, mask)
    alike = (query * frames[:, 0]).sum(-1)
    assert match.argsort().tolist() == alike.argsort().tolist()


@torch.no_grad()
def test_words_enter_the_joint_space_as_sentences_do() -> None:
    encoder = TextEncoder(MiniLM()).eval()
    joint = WordsInJointSpace()
    joint.take_over(encoder)
    state = torch.randn(1, 1, HIDDEN)
    sentence = F.normalize(state[:, 0], dim=-1)
    learned = F.normalize(encoder.project(sentence * HIDDEN**0.5), dim=-1)
    expected = F.normalize(learned + encoder.knowledge_weight * sentence, dim=-1)
    assert torch.allclose(joint(state)[:, 0], as_query(expected), atol=1e-5)


def refinement(seed: int = 0) -> list[Tensor]:
    """Three queries with four rejected frames each: what the refiner takes."""
    states, words, query, frames, regions, mask = pairs(3, 6, 4, seed)
    return [states, words, query, frames, regions, torch.rand(3, 4, 2), mask]


@torch.no_grad()
def test_refinement_starts_at_rest() -> None:
    rest = torch.randn(HIDDEN)
    tokens = Refiner(rest).eval()(*refinement())
    assert tokens.shape == (3, SOFT_TOKENS, HIDDEN)
    assert torch.allclose(tokens, rest.expand_as(tokens))


@pytest.fixture
def refiner() -> Refiner:
    torch.manual_seed(2)
    refiner = Refiner(torch.zeros(HIDDEN)).eval()
    last = refiner.project[-1]
    assert isinstance(last, torch.nn.Linear)
    last.weight.data.normal_(std=0.1)
    return refiner


@torch.no_grad()
def test_what_was_rejected_decides_and_padding_does_not(refiner: Refiner) -> None:
    states, words, query, frames, regions, about, mask = refinement()
    before = refiner(states, words, query, frames, regions, about, mask)
    assert _apart(before[:, 0], before[:, 1]) > 100 * NOISE
    for other in (
        refiner(states, words, query, frames.flip(-1), regions, about, mask),
        refiner(states, words, query, frames, regions.flip(-1), about, mask),
        refiner(states, words, query, frames, regions, 3 * about, mask),
    ):
        assert _apart(before, other) > 100 * NOISE
    junk = (
        torch.randn(3, 3, HIDDEN),
        torch.randn(3, 2, DIMENSIONS),
        torch.randn(3, 2, 9, DIMENSIONS),
    )
    padded = refiner(
        torch.cat([states, junk[0]], 1),
        torch.cat([words, torch.zeros(3, 3)], 1),
        query,
        torch.cat([frames, junk[1]], 1),
        torch.cat([regions, junk[2]], 1),
        torch.cat([about, torch.rand(3, 2, 2)], 1),
        torch.cat([mask, torch.zeros(3, 2)], 1),
    )
    assert _apart(before, padded) < NOISE


def _apart(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


@torch.no_grad()
def test_without_evidence_the_query_alone_is_refined(refiner: Refiner) -> None:
    states, words, query, frames, regions, about, mask = refinement()
    none = torch.zeros_like(mask)
    alone = refiner(states, words, query, frames, regions, about, none)
    other = refiner(states, words, query, frames.flip(1), regions.flip(1), 2 * about, none)
    assert torch.isfinite(alone).all()
    assert torch.allclose(alone, other)


def test_gradients_reach_the_first_soft_token_through_the_last(refiner: Refiner) -> None:
    tokens = refiner(*refinement())
    tokens[:, -1].sum().backward()
    assert refiner.feed_back.weight.grad is not None
    assert refiner.feed_back.weight.grad.abs().sum() > 0
