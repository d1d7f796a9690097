"""Stage 1: train the verifier, the grounder and the refiner with supervision.

    python -m models.train_sft --features runs/fold0.features runs/fold1.features \\
        --val runs/val.features --encoder models/checkpoints/encoder.safetensors --out runs/sft

Four steps, read top to bottom:

1. *Rest token.* The one vector that, as soft tokens, changes the query least: refinement starts
   from there.
2. *Grounding head.* In worlds of composed footage, on the retriever's own candidates: which of them
   shows it (an order over candidates, and a balanced yes or no, with queries that nothing answers
   among them), from when to when, and which frames are relevant.
3. *Guide.* The linear map of a query's vector that finds most videos by the one vector of each
   (``models.guide``): where refinement is to go at first.
4. *Refiner.* From the footage that the retriever put first to soft tokens, encoded again by the
   frozen text tower, so that the refined query finds the right clip or video: InfoNCE over all
   units of the world, the rejected one among them, and nearness to the guide.

Photos' features come from encoders that have not seen them (``models.extract_features``). Progress
goes to ``log.jsonl`` in the output folder; figures are on worlds of the val photos.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.checkpoint import load_encoder, load_heads, save_heads
from models.data.worlds import GRANULARITIES, Granularity
from models.encoder import TextEncoder
from models.episodes import Asked, Corpus, Episode, any_world
from models.grounding import GroundingHead
from models.guide import Guide, learn_guide
from models.losses import (
    balanced_verification_loss,
    listwise_loss,
    refined_query_loss,
    relevance_loss,
    span_loss,
)
from models.minilm import HIDDEN
from models.refiner import Refiner
from models.simulate import validate
from models.training import Means, begin, mixed_precision, one_cycle, take_step
from vsr_edge.bundle.manifest import SOFT_TOKENS

DECAY = 0.05


def parse() -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--features", type=Path, nargs="+", required=True)
    p.add_argument("--val", type=Path, required=True)
    p.add_argument("--encoder", type=Path, required=True, help="checkpoint that is searched with")
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, default=0)
    p.add_argument("--world-photos", type=int, default=1600)
    p.add_argument("--absent-photos", type=int, default=100)
    p.add_argument("--steps-per-world", type=int, default=25)
    p.add_argument("--rest-steps", type=int, default=80)
    p.add_argument("--ground-steps", type=int, default=600)
    p.add_argument("--ground-batch", type=int, default=12)
    p.add_argument("--ground-lr", type=float, default=1e-3)
    p.add_argument("--candidates", type=int, default=16)
    p.add_argument("--refine-steps", type=int, default=1000)
    p.add_argument("--refine-batch", type=int, default=48)
    p.add_argument("--refine-lr", type=float, default=1e-3)
    p.add_argument("--rest-lr", type=float, default=2e-2, help="of the tokens' common part")
    p.add_argument("--evidence", type=int, default=3, help="rejected candidates to learn from")
    p.add_argument("--temperature", type=float, default=0.05)
    p.add_argument("--margin", type=float, help="drop ambiguous negatives; 0.0005 in the paper")
    p.add_argument("--guide-steps", type=int, default=240)
    p.add_argument("--guide-photos", type=int, default=2000)
    p.add_argument("--guide-weight", type=float, default=8.0, help="price of missing the guide")
    p.add_argument("--without-evidence", action="store_true", help="ablation: the query alone")
    p.add_argument("--grounding", type=Path, help="take the head of this checkpoint as it is")
    p.add_argument("--val-worlds", type=int, default=2)
    return p.parse_args()


class Trainer:
    """What the steps share: corpora, worlds, the log."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.log = begin(args)
        self.random = np.random.default_rng(args.seed)
        self.train = [Corpus.load(path, args.encoder) for path in args.features]
        self.val = Corpus.load(args.val, args.encoder)
        self.encoder: TextEncoder = load_encoder(args.encoder)[1].requires_grad_(False)
        self._episode: Episode | None = None

    def episode(self, step: int) -> Episode:
        """The world of this step; a new one every so often."""
        if self._episode is None or step % self.args.steps_per_world == 0:
            self._episode = self.new_episode(self.args.world_photos)
        return self._episode

    def new_episode(self, photos: int) -> Episode:
        return any_world(self.train, photos, self.args.absent_photos, self.random)

    def validate(
        self, head: GroundingHead, refiner: Refiner | None
    ) -> dict[Granularity, dict[str, float]]:
        head.eval()
        if refiner is not None:
            refiner.eval()
        use_evidence = not self.args.without_evidence
        found = validate(self.val, head, refiner, self.args.val_worlds, use_evidence=use_evidence)
        head.train()
        if refiner is not None:
            refiner.train()
        return found


def main() -> None:
    args = parse()
    trainer = Trainer(args)
    trainer.log.start(args)
    rest = find_rest(trainer)
    head = load_heads(args.grounding)[0] if args.grounding else train_grounding(trainer)
    save_heads(args.out / "loop.safetensors", head)
    guides = learn_guides(trainer)
    refiner = train_refiner(trainer, head, guides, rest)
    save_heads(args.out / "loop.safetensors", head, refiner)
    trainer.log(stage="done", val=trainer.validate(head, refiner))


def find_rest(trainer: Trainer) -> Tensor:
    """Step 1: a vector [H] that as every soft token leaves the query where it was."""
    args, encoder = trainer.args, trainer.encoder
    queries = trainer.val.queries
    rest = nn.Parameter(encoder.tower.words.weight.mean(0).clone())
    optimiser = torch.optim.Adam([rest], lr=2e-3)
    alike = torch.zeros(())
    for _ in range(args.rest_steps):
        asked = trainer.random.choice(len(queries), min(64, len(queries)), replace=False)
        length = int(queries.mask[asked].sum(1).max())
        soft = rest.expand(len(asked), SOFT_TOKENS, HIDDEN)
        with mixed_precision():
            moved, _ = encoder(
                queries.ids[asked][:, :length], queries.mask[asked][:, :length], soft
            )
        alike = F.cosine_similarity(moved.float(), queries.vectors[asked]).mean()
        optimiser.zero_grad()
        (1 - alike).backward()
        optimiser.step()
    trainer.log(stage="rest", cosine=round(alike.item(), 4))
    return rest.detach()


def train_grounding(trainer: Trainer) -> GroundingHead:
    """Step 2."""
    args = trainer.args
    head = GroundingHead()
    head.joint.take_over(trainer.encoder)
    parameters = [p for p in head.parameters() if p.requires_grad]
    optimiser, schedule = one_cycle([(parameters, args.ground_lr, DECAY)], args.ground_steps)
    totals = Means()
    for step in range(args.ground_steps):
        episode = trainer.episode(step)
        asked = episode.some(args.ground_batch, trainer.random, GRANULARITIES[step % 2])
        candidates = asked.retrieve(args.candidates)
        shown = asked.shown_in(candidates)
        right = shown.any(2)
        match, start, end, relevance = asked.judge(head, candidates)
        terms = {
            "order": listwise_loss(match, right),
            "match": balanced_verification_loss(match, right),
        }
        if right.any():
            terms["span"] = 0.25 * span_loss(start[right], end[right], shown[right])
            mask = candidates.mask[right]
            terms["relevance"] = 0.5 * relevance_loss(relevance[right], shown[right], mask)
        take_step(terms, parameters, optimiser, schedule)
        totals.note(terms)
        if (step + 1) % 100 == 0:
            trainer.log(stage="grounding", step=step + 1, loss=totals.rounded())
    if args.ground_steps:
        trainer.log(stage="grounding", val=trainer.validate(head, None))
    return head.requires_grad_(False).eval()


def learn_guides(trainer: Trainer) -> dict[Granularity, Guide]:
    """Step 3. For frames the guide stays the query itself: a learned map found fewer of them."""
    args = trainer.args
    guide, loss = learn_guide(
        lambda: trainer.new_episode(args.guide_photos), "video", args.guide_steps, args.temperature
    )
    trainer.log(stage="guide", loss=round(loss, 3))
    return {"frame": Guide(), "video": guide}


def train_refiner(
    trainer: Trainer, head: GroundingHead, guides: dict[Granularity, Guide], rest: Tensor
) -> Refiner:
    """Step 4. The verifier, frozen, says how surely each candidate was rejected."""
    args = trainer.args
    refiner = Refiner(rest)
    refiner.joint.take_over(trainer.encoder)
    parameters = [p for p in refiner.parameters() if p.requires_grad]
    others = [p for p in parameters if p is not refiner.rest]
    optimiser, schedule = one_cycle(
        [(others, args.refine_lr, DECAY), ([refiner.rest], args.rest_lr, 0.0)], args.refine_steps
    )
    totals = Means()
    for step in range(args.refine_steps):
        episode = trainer.episode(step)
        # Frame by frame there is little to learn, but to leave the query where it is.
        granularity: Granularity = "frame" if step % 4 == 0 else "video"
        numbers = trainer.random.choice(episode.present, args.refine_batch, replace=False)
        asked = Asked(episode, numbers, granularity)
        rejected = asked.retrieve(args.evidence)
        with torch.no_grad():
            match, *_ = asked.judge(head, rejected)
        soft = asked.soft_tokens(refiner, rejected, match, not args.without_evidence)
        refined, vectors = asked.encoded_with(soft), asked.vectors
        there = (refined * guides[granularity].target(vectors)).sum(1)
        terms = {
            "retrieval": refined_query_loss(
                refined, asked.units, asked.right_units(), vectors, args.temperature, args.margin
            ),
            "guide": args.guide_weight * (1 - there).mean(),
        }
        take_step(terms, parameters, optimiser, schedule)
        totals.note(terms)
        if (step + 1) % 100 == 0:
            trainer.log(stage="refiner", step=step + 1, loss=totals.rounded())
        if (step + 1) % 400 == 0:
            trainer.log(stage="refiner", step=step + 1, val=trainer.validate(head, refiner))
    return refiner.requires_grad_(False).eval()


if __name__ == "__main__":
    main()
