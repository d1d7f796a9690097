"""Train the dual encoder on captioned photos, keeping what the pretrained towers know.

    python -m models.train_encoder --data FLICKR8K COCO OPENSTAX --others PHOTOS \\
        --bank SENTENCES --out runs/encoder

Read top to bottom:

1. *Start.* From the pretrained towers, or from the average of checkpoints (``--start``): weights of
   one training and of what was trained on from it, averaged, know what both know.
2. *Heads.* The image tower frozen, its features computed once for several views of each photo; the
   heads learn by symmetric InfoNCE over captions plus InfoNCE of confidently classified photos
   against class names. With ``--head-text-lr`` the sentence tower learns along.
3. *Towers.* Sentence tower and the last blocks of the image tower open, at full resolution on
   augmented crops, same losses; the frozen tower's class probabilities are distilled so that
   opening it forgets nothing. On a CPU what is frozen is computed once: the first blocks' output
   on several augmented views of each photo is held in memory (50 kB a view). Depthwise
   convolutions stay frozen as well: their weight gradient is most of the cost on a CPU and little
   of the gain.
4. *Bank.* Sentences by which a picture's hubness is told (:class:`models.encoder.Hubness`).

What is saved is an exponential moving average of the weights. Photos of one source look alike and
are captioned alike: each batch has of all of them, and each is reported by itself. A checkpoint
holds only what differs from the pip-installed weights (float16), so it is small enough to keep in
the repository. Progress goes to ``log.jsonl`` in the output folder; figures are on the val splits.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.averages import Running
from models.data.batches import augment, to_input
from models.data.vocabulary import read_lines
from models.encoder import ImageEncoder, TextEncoder, as_cells
from models.losses import distillation_loss
from models.pairs import CONFIDENT, IMAGE_BATCH, TEXT_BATCH, PairTrainer
from models.training import mixed_precision, one_cycle, take_step

# Photos without captions a batch: they teach class names alone.
OTHERS = 96
# So many of the sentences beside the captions are read.
BANK_LINES = 8000


def parse() -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument(
        "--data", type=Path, nargs="+", required=True, help="folders with captions.csv and images/"
    )
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--others", type=Path, help="folder of photos without captions")
    p.add_argument("--bank", type=Path, help="more sentences that tell hubness, one a line")
    p.add_argument("--bank-size", type=int, default=3000)
    p.add_argument("--start", type=Path, nargs="+", default=[], help="checkpoints to average")
    p.add_argument("--start-weights", type=float, nargs="+", help="of each; equal if not said")
    p.add_argument(
        "--pretrained-share", type=float, default=0.0, help="of the image tower, in that average"
    )
    p.add_argument("--knowledge", type=float, default=1.0, help="factor of both knowledge branches")
    p.add_argument("--text-of", type=Path, help="take this checkpoint's sentence side as it is")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--device", default="cpu")
    p.add_argument("--limit", type=int, help="photos a split, for a smoke run")
    p.add_argument(
        "--leave-out", metavar="K/N", help="train without the photos of fold K of N (cross-fitting)"
    )
    p.add_argument("--source-weights", type=float, nargs="+", help="how often each source is drawn")
    p.add_argument("--head-passes", type=int, default=10)
    p.add_argument("--head-views", type=int, default=2, help="plain, mirrored, then augmented")
    p.add_argument("--head-batch", type=int, default=512)
    p.add_argument("--head-lr", type=float, default=1e-3)
    p.add_argument("--head-text-lr", type=float, default=0.0)
    p.add_argument("--tower-passes", type=int, default=20)
    p.add_argument("--views", type=int, default=8, help="augmented views a photo")
    p.add_argument("--tower-batch", type=int, default=256)
    p.add_argument("--tower-head-lr", type=float, default=4e-4)
    p.add_argument("--text-lr", type=float, default=8e-5)
    p.add_argument("--image-lr", type=float, default=1.5e-4)
    p.add_argument("--open-from-block", type=int, default=8)
    p.add_argument("--class-weight", type=float, default=0.5)
    p.add_argument("--distill-weight", type=float, default=0.5)
    p.add_argument("--names-per-batch", type=int, default=192)
    p.add_argument("--smallest-crop", type=float, default=0.5)
    p.add_argument("--ema", type=float, default=0.99)
    p.add_argument("--threads", type=int, default=0)
    return p.parse_args()


def main() -> None:
    args = parse()
    trainer = PairTrainer(args)
    trainer.log.start(args, photos=len(trainer.train))
    averaged = train_heads(trainer)
    if args.tower_passes:
        averaged = train_towers(trainer)
    if args.bank_size:
        add_bank(trainer, averaged)
    trainer.log(stage="done", val=trainer.save(averaged))


def train_heads(trainer: PairTrainer) -> Running:
    """Step 2."""
    args, image, text = trainer.args, trainer.image, trainer.text
    image.tower.requires_grad_(False)
    text.tower.requires_grad_(False)
    if args.head_text_lr and args.text_of is None:
        text.tower.layers.requires_grad_(True)
    averaged = Running(image, text, args.ema)
    if not args.head_passes:
        return averaged
    views = [_view(trainer, trainer.train.photos, number) for number in range(args.head_views)]
    others = None if trainer.others is None else _view(trainer, trainer.others, 0)
    sure = np.flatnonzero((trainer.others_teacher.softmax(1).amax(1) > CONFIDENT).numpy())
    trainer.log(stage="features")
    opened = [p for p in text.tower.parameters() if p.requires_grad]
    heads = _heads(image, text)
    groups = [(heads, args.head_lr, 0.05), ([trainer.log_scale], 1e-3, 0.0)]
    if opened:
        groups.append((opened, args.head_text_lr, 0.01))
    else:
        text.tower.eval()
    batches = max(len(trainer.train) // min(args.head_batch, len(trainer.train)), 1)
    optimiser, schedule = one_cycle(groups, max(args.head_passes * batches, 1))
    everything = [p for group, _, _ in groups for p in group]
    for number in range(args.head_passes):
        for batch in trainer.draw(args.head_batch):
            cells = _mixed(views, batch, trainer.random).to(trainer.device)
            more = None
            if others is not None:
                chosen = trainer.random.choice(sure, min(OTHERS, len(sure)), replace=False)
                more = others[chosen].float().to(trainer.device), trainer.others_teacher[chosen]
            take_step(trainer.loss(cells, batch, more), everything, optimiser, schedule)
            averaged.note()
        trainer.log(stage="heads", done=number + 1)
    trainer.log(stage="heads", val=trainer.save(averaged))
    text.tower.train()
    return averaged


def _heads(image: ImageEncoder, text: TextEncoder) -> list[nn.Parameter]:
    named = (*image.named_parameters(), *text.named_parameters())
    return [p for n, p in named if not n.startswith("tower.") and p.requires_grad]


@torch.no_grad()
def _view(trainer: PairTrainer, photos: NDArray[np.uint8], number: int) -> Tensor:
    """Feature cells of all photos, float16: plain, mirrored, then augmented."""
    args, found = trainer.args, []
    for start in range(0, len(photos), IMAGE_BATCH):
        part = photos[start : start + IMAGE_BATCH]
        if number < 2:
            pixels = to_input(part, trainer.side)
            pixels = pixels.flip(3) if number else pixels
        else:
            pixels = augment(part, trainer.side, trainer.random, args.smallest_crop)
        found.append(trainer.cells(trainer.image, pixels).half().cpu())
    return torch.cat(found)


def _mixed(views: list[Tensor], batch: NDArray[np.int64], random: np.random.Generator) -> Tensor:
    """The cells of these photos, each in any of the views."""
    which = random.integers(len(views), size=len(batch))
    return torch.stack(
        [views[view][photo] for view, photo in zip(which, batch, strict=True)]
    ).float()


def train_towers(trainer: PairTrainer) -> Running:
    """Step 3. The averaged encoders are saved after each pass."""
    args, image, text = trainer.args, trainer.image, trainer.text
    views = augmented_views(trainer)
    trainer.log(stage="views")
    text.tower.layers.requires_grad_(True)
    opened = [
        p
        for i, block in enumerate(image.tower.blocks)
        if i >= args.open_from_block
        for n, p in block.named_parameters()
        if not n.startswith("depthwise")
    ]
    opened += list(image.tower.head.parameters())
    for parameter in opened:
        parameter.requires_grad_(True)
    groups = [
        (_heads(image, text), args.tower_head_lr, 0.05),
        (opened, args.image_lr, 0.01),
        (list(text.tower.layers.parameters()), args.text_lr, 0.01),
        ([trainer.log_scale], 1e-3, 0.0),
    ]
    batches = len(trainer.train) // min(args.tower_batch, len(trainer.train))
    optimiser, schedule = one_cycle(groups, max(args.tower_passes * batches, 1))
    everything = [p for group, _, _ in groups for p in group]
    averaged = Running(image, text, args.ema)
    for number in range(args.tower_passes):
        totals: dict[str, float] = {}
        for batch in trainer.draw(args.tower_batch):
            early = views[trainer.random.integers(len(views), size=len(batch)), batch]
            cells = torch.cat([open_cells(trainer, part) for part in early.split(64)])
            terms = trainer.loss(cells, batch)
            terms["distill"] = args.distill_weight * distillation_loss(
                image.class_logits(cells), trainer.teacher[batch].to(trainer.device)
            )
            take_step(terms, everything, optimiser, schedule)
            averaged.note()
            for name, term in terms.items():
                totals[name] = totals.get(name, 0.0) + term.item() / batches
        rounded = {name: round(total, 3) for name, total in totals.items()}
        trainer.log(stage="towers", saved_pass=number + 1, loss=rounded, val=trainer.save(averaged))
    return averaged


@torch.no_grad()
def augmented_views(trainer: PairTrainer) -> Tensor:
    """The frozen blocks' output on augmented photos, bfloat16 [views, photos, C, side, side]."""
    args, photos = trainer.args, trainer.train.photos
    views = []
    for _ in range(args.views):
        parts = []
        for start in range(0, len(photos), IMAGE_BATCH):
            part = photos[start : start + IMAGE_BATCH]
            pixels = augment(part, trainer.side, trainer.random, args.smallest_crop)
            with mixed_precision(trainer.device.type):
                front = trainer.image.tower.front(pixels.to(trainer.device), args.open_from_block)
            parts.append(front.bfloat16().cpu())
        views.append(torch.cat(parts))
    return torch.stack(views)


def open_cells(trainer: PairTrainer, early: Tensor) -> Tensor:
    """Frozen blocks' output → feature cells [n, K, C], with gradients."""
    inputs = early.to(trainer.device).float().contiguous(memory_format=torch.channels_last)
    with mixed_precision(trainer.device.type):
        maps = trainer.image.tower.back(inputs, trainer.args.open_from_block)
    return as_cells(maps.float())


@torch.no_grad()
def add_bank(trainer: PairTrainer, averaged: Running) -> None:
    """Step 4. Captions of each source, and other sentences; the more of a kind, the more entries,
    by the square root of their numbers.
    """
    args, random = trainer.args, np.random.default_rng(0)
    kinds = [[caption for group in one.captions for caption in group] for one in trainer.sources]
    if args.bank is not None:
        kinds.append(random.permutation(read_lines(args.bank))[:BANK_LINES].tolist())
    image, text = averaged.image.eval(), averaged.text.eval()
    vectors = [
        torch.cat(
            [
                trainer.encode_text(kind[i : i + TEXT_BATCH], text)
                for i in range(0, len(kind), TEXT_BATCH)
            ]
        )
        for kind in kinds
    ]
    roots = np.sqrt([len(kind) for kind in kinds])
    sizes = (args.bank_size * roots / roots.sum()).astype(int).tolist()
    image.hubness.learn(vectors, sizes, trainer.embed(image, trainer.train.photos))


if __name__ == "__main__":
    main()
