"""Train the dual encoder on captioned photos, keeping what the pretrained towers know.

    python -m models.train_encoder --data FLICKR8K --out runs/encoder

Three steps, read top to bottom:

1. *Heads.* Both towers frozen, their features computed once (plain and mirrored); the two heads
   learn by symmetric InfoNCE over captions plus InfoNCE of confidently classified photos against
   class names.
2. *Towers.* Sentence tower and the last blocks of the image tower open, at full resolution on
   augmented crops, same losses; the frozen tower's class probabilities are distilled so that
   opening it forgets nothing. What is frozen is computed once: the first blocks' output on several
   augmented views of each photo is held in memory (50 kB a view). Depthwise convolutions stay
   frozen as well: their weight gradient is most of the cost on a CPU and little of the gain.
3. *Average.* The exponential moving average of the weights is what is evaluated and saved.

A checkpoint holds only what differs from the pip-installed weights (float16), so it is small enough
to keep in the repository. Progress goes to ``log.jsonl`` in the output folder; figures are on the
val split.
"""

from __future__ import annotations

import argparse
import copy
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from models.checkpoint import save_encoder
from models.data.batches import augment, class_names, load_tokenizer, to_input, tokenize
from models.data.photos import CaptionedPhotos, load_captioned_photos
from models.efficientnet_lite import pretrained_efficientnet_lite
from models.encoder import ImageEncoder, TextEncoder, as_cells
from models.losses import class_name_loss, distillation_loss, info_nce
from models.minilm import HIDDEN, masked_mean, pretrained_minilm
from models.training import begin, one_cycle, take_step

PROMPTS = ("{}", "a {}", "a photo of a {}", "a photo of the {}")
CONFIDENT = 0.5


def parse() -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--data", type=Path, required=True, help="folder with captions.csv and images/")
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--limit", type=int, help="photos a split, for a smoke run")
    p.add_argument(
        "--leave-out", metavar="K/N", help="train without the photos of fold K of N (cross-fitting)"
    )
    p.add_argument("--head-passes", type=int, default=10)
    p.add_argument("--head-batch", type=int, default=512)
    p.add_argument("--head-lr", type=float, default=1e-3)
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


class Trainer:
    """What both stages share: the two encoders, the data, the losses, the log."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.log = begin(args)
        self.random = np.random.default_rng(args.seed)
        self.tokenizer: Tokenizer = load_tokenizer()
        self.names = class_names()
        self.train = load_captioned_photos(args.data, "train", args.limit)
        if args.leave_out:
            number, count = map(int, args.leave_out.split("/"))
            self.train = self.train.fold(number, count, left_out=True)
        self.val = load_captioned_photos(args.data, "val", args.limit)
        text_tower = pretrained_minilm()
        vectors = F.normalize(
            sentence_vectors(text_tower, self.tokenizer, [n[0] for n in self.names]), dim=1
        )
        self.image = ImageEncoder(pretrained_efficientnet_lite(), vectors)
        self.image.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.text = TextEncoder(text_tower)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.side = self.image.tower.image_size

    def encode_text(self, texts: list[str]) -> Tensor:
        ids, mask = tokenize(self.tokenizer, texts)
        with torch.autocast("cpu", torch.bfloat16):
            vectors, _ = self.text(ids, mask, torch.zeros(len(texts), 0, HIDDEN))
        return vectors.float()

    def some_class_names(self, classes: NDArray[np.int64]) -> list[str]:
        """One way of saying each class, mostly its best-known name; one prompt a batch."""
        prompt = PROMPTS[self.random.integers(len(PROMPTS))]
        chosen = []
        for names in (self.names[c] for c in classes):
            first = self.random.random() < 0.6
            chosen.append(prompt.format(names[0 if first else self.random.integers(len(names))]))
        return chosen

    def loss(self, cells: Tensor, batch: NDArray[np.int64], teacher: Tensor) -> dict[str, Tensor]:
        """All terms for photos ``batch``: feature cells [n, K, C], teacher logits [n, 1000]."""
        scale = self.log_scale.exp().clamp(max=100)
        vectors = self.image.embed(cells)
        captions = [self.random.choice(self.train.captions[i]) for i in batch]
        terms = {"captions": info_nce(vectors, self.encode_text(captions), scale)}
        confidence, best = teacher.softmax(1).max(1)
        confident = confidence > CONFIDENT
        if confident.any():
            others = self.random.choice(len(self.names), self.args.names_per_batch, replace=False)
            classes = np.union1d(best[confident].numpy(), others)
            names = self.encode_text(self.some_class_names(classes))
            wanted = torch.from_numpy(np.searchsorted(classes, best[confident].numpy()))
            loss = class_name_loss(vectors[confident], names, wanted, scale)
            terms["classes"] = self.args.class_weight * loss
        return terms

    @torch.no_grad()
    def validate(self, image: ImageEncoder, text: TextEncoder) -> dict[str, float]:
        """Text → image retrieval over the val photos: R@1, R@5, R@10 in percent."""
        image.eval(), text.eval()
        cells = torch.cat([as_cells(f) for f in features(image, self.val, self.side)])
        photos = torch.cat([image.embed(part) for part in cells.float().split(64)])
        kept, self.text = self.text, text
        captions = [caption for group in self.val.captions for caption in group]
        queries = torch.cat(
            [self.encode_text(captions[i : i + 250]) for i in range(0, len(captions), 250)]
        )
        self.text = kept
        owner = torch.arange(len(self.val)).repeat_interleave(
            torch.tensor([len(group) for group in self.val.captions])
        )
        scores = queries @ photos.T
        rank = (scores > scores.gather(1, owner[:, None])).sum(1)
        image.train(), text.train()
        return {f"R@{k}": round(100 * (rank < k).float().mean().item(), 2) for k in (1, 5, 10)}


def main() -> None:
    args = parse()
    trainer = Trainer(args)
    trainer.log.start(args, photos=len(trainer.train))
    teacher = train_heads(trainer)
    train_towers(trainer, teacher)


def train_heads(trainer: Trainer) -> Tensor:
    """Step 1. Returns the frozen tower's logits on the plain photos, the teacher of step 2."""
    args, image, text = trainer.args, trainer.image, trainer.text
    image.tower.requires_grad_(False)
    text.tower.requires_grad_(False)
    text.tower.eval()
    views = [list(features(image, trainer.train, trainer.side, mirror)) for mirror in (False, True)]
    cells = [torch.cat([as_cells(f) for f in view]) for view in views]
    with torch.no_grad():
        teacher = torch.cat([image.class_logits(part.float()) for part in cells[0].split(256)])
    trainer.log(stage="features")
    heads = [p for p in (*image.parameters(), *text.parameters()) if p.requires_grad]
    batches = len(trainer.train) // min(args.head_batch, len(trainer.train))
    optimiser, schedule = one_cycle(
        [(heads, args.head_lr, 0.05), ([trainer.log_scale], 1e-3, 0.0)],
        max(args.head_passes * batches, 1),
    )
    for number in range(args.head_passes):
        for batch in shuffled(trainer.random, len(trainer.train), args.head_batch):
            view = cells[trainer.random.integers(2)][batch].float()
            take_step(trainer.loss(view, batch, teacher[batch]), heads, optimiser, schedule)
        trainer.log(stage="heads", done=number + 1)
    trainer.log(stage="heads", val=trainer.validate(image, text))
    text.tower.train()
    return teacher


def train_towers(trainer: Trainer, teacher: Tensor) -> None:
    """Steps 2 and 3. The averaged encoders are saved after each pass."""
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
    heads = [
        p
        for n, p in (*image.named_parameters(), *text.named_parameters())
        if not n.startswith("tower.") and p.requires_grad
    ]
    groups = [
        (heads, args.tower_head_lr, 0.05),
        (opened, args.image_lr, 0.01),
        (list(text.tower.layers.parameters()), args.text_lr, 0.01),
        ([trainer.log_scale], 1e-3, 0.0),
    ]
    batches = len(trainer.train) // min(args.tower_batch, len(trainer.train))
    optimiser, schedule = one_cycle(groups, max(args.tower_passes * batches, 1))
    everything = [p for group, _, _ in groups for p in group]
    mean_image, mean_text = copy.deepcopy(image), copy.deepcopy(text)
    done = 0
    for number in range(args.tower_passes):
        totals: dict[str, float] = {}
        for batch in shuffled(trainer.random, len(trainer.train), args.tower_batch):
            early = views[trainer.random.integers(len(views), size=len(batch)), batch]
            cells = torch.cat(
                [open_cells(image, part, args.open_from_block) for part in early.split(64)]
            )
            terms = trainer.loss(cells, batch, teacher[batch])
            terms["distill"] = args.distill_weight * distillation_loss(
                image.class_logits(cells), teacher[batch]
            )
            take_step(terms, everything, optimiser, schedule)
            done += 1
            decay = min(args.ema, (1 + done) / (10 + done))
            average(mean_image, image, decay)
            average(mean_text, text, decay)
            for name, term in terms.items():
                totals[name] = totals.get(name, 0.0) + term.item() / batches
        rounded = {name: round(total, 3) for name, total in totals.items()}
        val = trainer.validate(mean_image, mean_text)
        save_encoder(args.out / "encoder.safetensors", mean_image, mean_text)
        trainer.log(stage="towers", saved_pass=number + 1, loss=rounded, val=val)


@torch.no_grad()
def augmented_views(trainer: Trainer) -> Tensor:
    """The frozen blocks' output on augmented photos, bfloat16 [views, photos, C, side, side]."""
    args, photos = trainer.args, trainer.train.photos
    views = []
    for _ in range(args.views):
        parts = []
        for start in range(0, len(photos), 32):
            part = photos[start : start + 32]
            pixels = augment(part, trainer.side, trainer.random, args.smallest_crop)
            with torch.autocast("cpu", torch.bfloat16):
                parts.append(trainer.image.tower.front(pixels, args.open_from_block).bfloat16())
        views.append(torch.cat(parts))
    return torch.stack(views)


def open_cells(image: ImageEncoder, early: Tensor, blocks: int) -> Tensor:
    """Frozen blocks' output → feature cells [n, K, C], with gradients."""
    with torch.autocast("cpu", torch.bfloat16):
        maps = image.tower.back(early.contiguous(memory_format=torch.channels_last), blocks)
    return as_cells(maps.float())


@torch.no_grad()
def features(
    image: ImageEncoder, data: CaptionedPhotos, side: int, mirror: bool = False, batch: int = 32
) -> Iterator[Tensor]:
    """The tower's feature maps of all photos, float16 to halve the memory."""
    for start in range(0, len(data), batch):
        pixels = to_input(data.photos[start : start + batch], side)
        with torch.autocast("cpu", torch.bfloat16):
            maps = image.tower(pixels.flip(3) if mirror else pixels)
        yield maps.half()


@torch.no_grad()
def sentence_vectors(tower: nn.Module, tokenizer: Tokenizer, texts: list[str]) -> Tensor:
    """Plain sentence embeddings [n, H], before any head."""
    tower.eval()
    ids, mask = tokenize(tokenizer, texts)
    states, joint = tower(ids, mask, torch.zeros(len(texts), 0, HIDDEN))
    return masked_mean(states, joint)


def shuffled(random: np.random.Generator, count: int, batch: int) -> Iterator[NDArray[np.int64]]:
    """Index batches of one pass, without the incomplete last one: InfoNCE depends on the size."""
    batch = min(batch, count)
    order = random.permutation(count)
    for start in range(0, count - batch + 1, batch):
        yield order[start : start + batch]


@torch.no_grad()
def average(mean: nn.Module, current: nn.Module, decay: float) -> None:
    """Move the running mean of the weights one step."""
    for a, b in zip(mean.parameters(), current.parameters(), strict=True):
        a.lerp_(b, 1 - decay)


if __name__ == "__main__":
    main()
