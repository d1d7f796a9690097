"""Stage 2: GRPO over the whole decision, from the checkpoint of stage 1.

    python -m models.train_grpo --start runs/sft/loop.safetensors \\
        --features runs/fold0.features runs/fold1.features --val runs/val.features \\
        --encoder models/checkpoints/encoder.safetensors --out runs/grpo

A rollout answers one query in one turn. It *picks* one of the candidates (categorical), *decides*
whether it matches (Bernoulli), and then either *grounds* it (categorical start and end) or
*refines* the query (Gaussian soft tokens around the refiner's). Eight rollouts a query are compared
with each other (``models.grpo``, ``models.rewards``).

Against the paper: there the only candidate is the retriever's first, and the policy is a language
model's text. Here a turn has several candidates, and to reject means that none of them matches:
where it meant only the picked one, it was learned to pick what is surely wrong and to reject it.
Log-probabilities of soft tokens are averaged over their entries, as a text policy's are over its
tokens.
"""

from __future__ import annotations

import argparse
import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical

from models.checkpoint import load_heads, save_heads
from models.data.worlds import GRANULARITIES, Candidates
from models.episodes import Asked, Corpus, Episode, any_world
from models.grounding import GroundingHead
from models.grpo import gaussian_log_probability, group_advantage, grpo_loss
from models.logistic import logistic_fit
from models.refiner import Refiner
from models.rewards import (
    RewardWeights,
    grounding_reward,
    quality_reward,
    retrieval_probability,
    verification_reward,
)
from models.simulate import validate
from models.training import Means, begin, take_step


def parse() -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--start", type=Path, required=True, help="checkpoint of models.train_sft")
    p.add_argument("--features", type=Path, nargs="+", required=True)
    p.add_argument("--val", type=Path, required=True)
    p.add_argument("--encoder", type=Path, required=True, help="checkpoint that is searched with")
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, default=0)
    p.add_argument("--world-photos", type=int, default=1200)
    p.add_argument("--absent-photos", type=int, default=100)
    p.add_argument("--steps-per-world", type=int, default=25)
    p.add_argument("--steps", type=int, default=150)
    p.add_argument("--batch", type=int, default=24, help="queries a step")
    p.add_argument("--group", type=int, default=8, help="rollouts a query")
    p.add_argument("--candidates", type=int, default=16)
    p.add_argument("--evidence", type=int, default=3)
    p.add_argument("--calibration-steps", type=int, default=10)
    p.add_argument("--lr", type=float, default=3e-5, help="of the grounding head")
    p.add_argument("--refiner-lr", type=float, default=3e-7)
    p.add_argument("--clip", type=float, default=0.2)
    p.add_argument("--kl-weight", type=float, default=0.01)
    p.add_argument("--deviation", type=float, default=0.05, help="of the soft tokens")
    p.add_argument(
        "--negatives", type=int, default=24, help="units that a refinement competes with"
    )
    p.add_argument("--reward-temperature", type=float, default=0.03)
    p.add_argument("--quality", choices=["gain", "likelihood"], default="gain")
    for name in RewardWeights.__slots__:
        p.add_argument(f"--{name}-weight", type=float, default=getattr(RewardWeights(), name))
    p.add_argument("--val-worlds", type=int, default=2)
    return p.parse_args()


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """The two models that decide, and σ(slope · match logit + bias), how likely they say "match".

    Slope and bias are calibrated once and kept: else the first thing to be learned is how seldom
    anything matches, at the cost of the order of candidates.
    """

    head: GroundingHead
    refiner: Refiner
    slope: float = 1.0
    bias: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Actions:
    """What G rollouts of B queries did, [B, G]; soft tokens [B, G, N, H]."""

    pick: Tensor
    said_match: Tensor
    start: Tensor
    end: Tensor
    soft: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Outputs:
    """What a policy thinks of B queries: match logits [B, K], span logits [B, K, F], mean soft
    tokens [B, N, H].
    """

    match: Tensor
    start: Tensor
    end: Tensor
    soft: Tensor
    slope: float
    bias: float

    def decision(self, pick: Tensor) -> Bernoulli:
        """Whether the picked candidates [B, G] match."""
        return Bernoulli(logits=self.slope * self.match.gather(1, pick) + self.bias)

    def act(self, group: int, deviation: float) -> Actions:
        """Sample G rollouts of each query."""
        pick = Categorical(logits=self.match).sample((group,)).T
        said = self.decision(pick).sample().bool()
        start, end = (
            Categorical(logits=_of_picked(part, pick)).sample() for part in (self.start, self.end)
        )
        mean = self.soft[:, None].expand(-1, group, -1, -1)
        return Actions(pick, said, start, end, mean + deviation * torch.randn_like(mean))

    def log_probability(self, actions: Actions, deviation: float) -> Tensor:
        """Of each rollout, [B, G]: of the parts that it came to."""
        picked = self.match.log_softmax(1).gather(1, actions.pick)
        decided = self.decision(actions.pick).log_prob(actions.said_match.float())
        span = sum(
            _of_picked(part, actions.pick).log_softmax(-1).gather(2, place[..., None])[..., 0]
            for part, place in ((self.start, actions.start), (self.end, actions.end))
        )
        refined = gaussian_log_probability(actions.soft, self.soft[:, None], deviation)
        return picked + decided + torch.where(actions.said_match, span, refined)

    def entropy(self) -> Tensor:
        """Of the decision, mean over queries."""
        return self.decision(self.match.argmax(1, keepdim=True)).entropy().mean()


def _of_picked(logits: Tensor, pick: Tensor) -> Tensor:
    """[B, K, F] and [B, G] → [B, G, F]."""
    return logits.gather(1, pick[..., None].expand(-1, -1, logits.shape[2]))


def think(policy: Policy, asked: Asked, candidates: Candidates, evidence: int) -> Outputs:
    match, start, end, _ = asked.judge(policy.head, candidates)
    rejected = candidates.first(evidence)
    soft = asked.soft_tokens(policy.refiner, rejected, match[:, :evidence].detach())
    return Outputs(match, start, end, soft, policy.slope, policy.bias)


def main() -> None:
    args = parse()
    log = begin(args)
    random = np.random.default_rng(args.seed)
    corpora = [Corpus.load(path, args.encoder) for path in args.features]
    val = Corpus.load(args.val, args.encoder)
    head, refiner = load_heads(args.start)
    if refiner is None:
        raise SystemExit(f"{args.start} has no refiner: train one with models.train_sft first")
    slope, bias = calibrated(args, corpora, head, random)
    reference = Policy(copy.deepcopy(head), copy.deepcopy(refiner), slope, bias)
    for module in (head, refiner):
        module.requires_grad_(True)
        module.joint.requires_grad_(False)
    # Dropout stays off: the policy that acted must be the one whose probability is taken.
    policy = Policy(head, refiner, slope, bias)
    trained = [[p for p in m.parameters() if p.requires_grad] for m in (head, refiner)]
    parameters = [*trained[0], *trained[1]]
    optimiser = torch.optim.AdamW(
        [{"params": trained[0]}, {"params": trained[1], "lr": args.refiner_lr}],
        lr=args.lr,
        weight_decay=0.0,
    )
    log.start(args)
    log(stage="calibrated", slope=round(slope, 3), bias=round(bias, 3))
    totals = Means()
    for step in range(args.steps):
        if step % args.steps_per_world == 0:
            episode = new_episode(args, corpora, random)
        asked = episode.some(args.batch, random, GRANULARITIES[step % 2])
        loss, terms = one_step(args, policy, reference, asked)
        take_step({"loss": loss}, parameters, optimiser)
        totals.note(terms)
        if (step + 1) % 50 == 0 or step + 1 == args.steps:
            log(stage="grpo", step=step + 1, **totals.rounded())
    save_heads(args.out / "loop.safetensors", head, refiner)
    log(stage="done", val=validate(val, head, refiner, args.val_worlds))


@torch.no_grad()
def calibrated(
    args: argparse.Namespace,
    corpora: list[Corpus],
    head: GroundingHead,
    random: np.random.Generator,
) -> tuple[float, float]:
    """Slope and bias by which picked candidates match as often as is said."""
    logits, right = [], []
    for step in range(args.calibration_steps):
        episode = new_episode(args, corpora, random)
        asked = episode.some(args.batch, random, GRANULARITIES[step % 2])
        candidates = asked.retrieve(args.candidates)
        match, *_ = asked.judge(head, candidates)
        pick = Categorical(logits=match).sample()[:, None]
        shown = asked.shown_in(candidates).any(2)
        logits.append(match.gather(1, pick)[:, 0])
        right.append(shown.gather(1, pick)[:, 0])
    weights, bias = logistic_fit(torch.cat(logits)[:, None].numpy(), torch.cat(right).numpy())
    return float(weights[0]), bias


def new_episode(
    args: argparse.Namespace, corpora: list[Corpus], random: np.random.Generator
) -> Episode:
    return any_world(corpora, args.world_photos, args.absent_photos, random)


def one_step(
    args: argparse.Namespace, policy: Policy, reference: Policy, asked: Asked
) -> tuple[Tensor, dict[str, Tensor]]:
    """Roll out and reward; the loss, and what is logged."""
    candidates = asked.retrieve(args.candidates)
    outputs = think(policy, asked, candidates, args.evidence)
    with torch.no_grad():
        before = think(reference, asked, candidates, args.evidence)
        actions = outputs.act(args.group, args.deviation)
        rewards = reward(args, asked, candidates, actions)
        total = sum(rewards.values(), torch.zeros(()))
        advantage = group_advantage(total).float()
    new = outputs.log_probability(actions, args.deviation)
    found = grpo_loss(
        new,
        new.detach(),
        before.log_probability(actions, args.deviation).detach(),
        advantage,
        clip=args.clip,
        kl_weight=args.kl_weight,
    )
    return found.loss, {
        **{f"reward {name}": values.mean() for name, values in rewards.items()},
        "reward": total.mean(),
        "kl": found.kl.detach(),
        "clip fraction": found.clip_fraction,
        "entropy": outputs.entropy().detach(),
        "said match": actions.said_match.float().mean(),
    }


def reward(
    args: argparse.Namespace, asked: Asked, candidates: Candidates, actions: Actions
) -> dict[str, Tensor]:
    """Each term of each rollout's reward, weighted, [B, G]."""
    shown = asked.shown_in(candidates)
    picked = shown.gather(1, actions.pick[..., None].expand(-1, -1, shown.shape[2]))
    said = actions.said_match
    # What is picked must match to be accepted; nothing at all may match to be rejected.
    right = torch.where(said, picked.any(2), shown.any(2).any(1, keepdim=True))
    place = torch.arange(shown.shape[2])
    truth = torch.stack(
        [torch.where(picked, place, 10_000).amin(2), torch.where(picked, place, -1).amax(2) + 1], -1
    )
    spans = torch.stack([actions.start, actions.end + 1], -1)
    spans[..., 1] = torch.maximum(spans[..., 0], spans[..., 1])
    wanted, units, vectors = asked.right_units(), asked.units, asked.vectors
    rollouts = Asked(asked.episode, np.repeat(asked.numbers, said.shape[1]), asked.granularity)
    refined = rollouts.encoded_with(actions.soft.flatten(0, 1)).unflatten(0, said.shape)
    known = wanted.any(1)[:, None]
    # The right units, and the wrong ones that the query likes best, the rejected among them.
    alike = (vectors @ units.T).masked_fill(wanted, -torch.inf)
    rivals = alike >= alike.topk(min(args.negatives, alike.shape[1]), 1).values[:, -1:]
    competing = (wanted | rivals)[:, None]
    before, after = (
        retrieval_probability(query, units, wanted[:, None], competing, args.reward_temperature)
        for query in (vectors[:, None], refined)
    )
    quality = torch.where(~said & known, quality_reward(before, after, args.quality), 0.0)
    return {
        "verification": args.verification_weight
        * torch.from_numpy(verification_reward(said, right)),
        "grounding": args.grounding_weight
        * torch.from_numpy(grounding_reward(said, right, spans.numpy(), truth.numpy())),
        "presence": args.presence_weight * (~said & ~right).double(),
        "quality": args.quality_weight * quality.double(),
    }


if __name__ == "__main__":
    main()
