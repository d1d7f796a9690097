"""GRPO does what its formula says, and solves a bandit; rewards are the paper's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.grpo import gaussian_log_probability, group_advantage, grpo_loss
from models.rewards import (
    grounding_reward,
    quality_reward,
    retrieval_probability,
    verification_reward,
)

REWARDS = st.lists(st.floats(-5, 5), min_size=8, max_size=8)


@given(st.floats(-5, 5))
def test_equal_rewards_in_a_group_change_nothing(reward: float) -> None:
    policy = torch.tensor([0.3, -0.2], requires_grad=True)
    actions = torch.tensor([[0, 1, 0, 1, 1, 1, 0, 0]])
    logp = policy.log_softmax(0)[actions]
    advantage = group_advantage(torch.full((1, 8), reward, dtype=torch.float64))
    assert torch.all(advantage == 0)
    grpo_loss(logp, logp.detach(), logp.detach(), advantage.float()).loss.backward()
    assert policy.grad is not None
    assert torch.all(policy.grad == 0)


@given(st.lists(REWARDS, min_size=2, max_size=4), st.floats(0.1, 10), st.floats(-3, 3))
def test_the_advantage_is_normalised_in_each_group_alone(
    rewards: list[list[float]], scale: float, shift: float
) -> None:
    groups = torch.tensor(rewards, dtype=torch.float64)
    advantage = group_advantage(groups)
    assert torch.allclose(advantage.mean(1), torch.zeros(len(rewards), dtype=torch.float64))
    spread = groups.std(1, correction=0)
    expected = spread / (spread + 1e-4)
    assert torch.allclose(advantage.std(1, correction=0), expected)
    changed = groups.clone()
    changed[1] = changed[1] * scale + shift
    assert torch.equal(group_advantage(changed)[0], advantage[0])


def test_the_clip_ends_the_gradient_where_the_formula_says() -> None:
    for ratio, advantage, moves in (
        (1.3, 1.0, False),  # already 30 % likelier: no further
        (1.3, -1.0, True),  # but it may be taken back
        (0.7, -1.0, False),
        (0.7, 1.0, True),
        (1.1, 1.0, True),
    ):
        new = torch.tensor([[math.log(ratio)]], requires_grad=True)
        old = torch.zeros(1, 1)
        found = grpo_loss(new, old, new.detach(), torch.tensor([[advantage]]), kl_weight=0.0)
        found.loss.backward()
        assert new.grad is not None
        assert bool(new.grad) is moves
        assert found.clip_fraction.item() == float(not moves)
        bounded = min(ratio * advantage, min(max(ratio, 0.8), 1.2) * advantage)
        assert found.loss.item() == pytest.approx(-bounded)


@given(st.floats(-2, 2), st.floats(-2, 2))
def test_kl_is_the_k3_estimate_and_pulls_back(new: float, reference: float) -> None:
    logp = torch.tensor([[new]], dtype=torch.float64, requires_grad=True)
    other = torch.tensor([[reference]], dtype=torch.float64)
    zero = torch.zeros(1, 1, dtype=torch.float64)
    found = grpo_loss(logp, logp.detach(), other, zero, kl_weight=1.0)
    difference = reference - new
    assert found.kl.item() == pytest.approx(math.exp(difference) - difference - 1)
    assert found.kl.item() >= -1e-12
    found.loss.backward()
    assert logp.grad is not None
    # The estimate's gradient in new is 1 − exp(reference − new): towards the reference.
    assert logp.grad.item() == pytest.approx(1 - math.exp(difference))


def train_bandit(kl_weight: float, steps: int = 150) -> float:
    """Probability of the better of two arms (it pays 1, the other 0) after training."""
    torch.manual_seed(0)
    policy = torch.zeros(2, requires_grad=True)
    reference = policy.detach().clone()
    optimiser = torch.optim.SGD([policy], lr=0.3)
    for _ in range(steps):
        probabilities = policy.detach().softmax(0)
        actions = torch.multinomial(probabilities, 8 * 16, replacement=True).view(16, 8)
        rewards = (actions == 1).double()
        logp = policy.log_softmax(0)[actions]
        old, before = logp.detach(), reference.log_softmax(0)[actions]
        found = grpo_loss(logp, old, before, group_advantage(rewards).float(), kl_weight=kl_weight)
        optimiser.zero_grad()
        found.loss.backward()
        optimiser.step()
    return float(policy.detach().softmax(0)[1])


def test_it_solves_a_two_armed_bandit_and_kl_holds_it_back() -> None:
    free, held = train_bandit(0.01), train_bandit(3.0)
    assert free > 0.95
    assert 0.5 < held < free - 0.1


def test_soft_tokens_near_the_mean_are_likelier() -> None:
    mean = torch.zeros(3, 8, 4)
    near, far = (gaussian_log_probability(mean + d, mean, 0.05) for d in (0.01, 0.1))
    assert near.shape == (3,)
    assert (near > far).all()
    assert near[0].item() == pytest.approx(-(0.01**2) / (2 * 0.05**2))


def test_rewards_of_decisions_and_spans() -> None:
    said, right = [True, True, False, False], [True, False, False, True]
    assert verification_reward(said, right).tolist() == [1, -1, 1, -1]
    spans = np.array([[0, 10.0]] * 4)
    truth = np.array([[5, 15.0]] * 4)
    assert grounding_reward(said, right, spans, truth) == pytest.approx([1 / 3, 0, 0.5, 0])


def test_the_quality_of_a_refinement() -> None:
    units = torch.eye(3)
    right = torch.tensor([[True, False, False]])
    all_count = torch.ones_like(right)
    before = retrieval_probability(torch.tensor([[0.0, 1.0, 0.0]]), units, right, all_count)
    after = retrieval_probability(torch.tensor([[1.0, 0.0, 0.0]]), units, right, all_count)
    two_count = torch.tensor([[True, True, False]])
    two = retrieval_probability(torch.tensor([[0.0, 1.0, 0.0]]), units, right, two_count)
    assert two.item() == pytest.approx(1 / (1 + math.e**10))
    assert before.item() == pytest.approx(1 / (2 + math.e**10))
    assert after.item() == pytest.approx(math.e**10 / (2 + math.e**10))
    assert quality_reward(before, after).item() == pytest.approx((after - before).item())
    assert quality_reward(before, after, "likelihood").item() == after.item()
    with pytest.raises(ValueError, match="gain or its likelihood"):
        quality_reward(before, after, "other")
