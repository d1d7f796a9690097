"""What the stages of the dual encoder's training share: data, losses, evaluation, the log."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from models.averages import Running, average_checkpoints
from models.checkpoint import load_encoder, save_encoder
from models.data.batches import class_names, load_tokenizer, to_input, tokenize
from models.data.photos import load_captioned_photos, load_photos, merged
from models.efficientnet_lite import pretrained_efficientnet_lite
from models.encoder import ImageEncoder, TextEncoder, as_cells
from models.losses import class_name_loss, info_nce
from models.minilm import HIDDEN, masked_mean, pretrained_minilm
from models.training import begin, mixed_precision

PROMPTS = ("{}", "a {}", "a photo of a {}", "a photo of the {}")
CONFIDENT = 0.5
TEXT_BATCH, IMAGE_BATCH = 250, 32


class PairTrainer:
    """What all stages share: the two encoders, the data, the losses, the log."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.log = begin(args)
        self.device = torch.device(args.device)
        self.random = np.random.default_rng(args.seed)
        self.tokenizer: Tokenizer = load_tokenizer()
        self._known: dict[str, Tensor] = {}
        self.names = class_names()
        sources = [load_captioned_photos(one, "train", args.limit) for one in args.data]
        if args.leave_out:
            number, count = map(int, args.leave_out.split("/"))
            sources = [source.fold(number, count, left_out=True) for source in sources]
        self.sources, self.train = sources, merged(sources)
        weights = args.source_weights or [1.0] * len(sources)
        odds = np.repeat(weights, [len(source) for source in sources])
        self.odds = odds / odds.sum()
        self.val = {one.name: load_captioned_photos(one, "val", args.limit) for one in args.data}
        self.others = None if args.others is None else load_photos(args.others, args.limit)
        self.image, self.text = self._begin()
        self.image.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.text.to(self.device)
        scale = torch.tensor(math.log(1 / 0.07), device=self.device)
        self.log_scale = nn.Parameter(scale)
        self.side = self.image.tower.image_size

    @cached_property
    def teacher(self) -> Tensor:
        """What the pretrained image tower takes the train photos for: class logits [n, 1000]."""
        return self._class_logits(self.train.photos)

    @cached_property
    def others_teacher(self) -> Tensor:
        """The same of the photos without captions."""
        empty = np.zeros((0, self.side, self.side, 3), np.uint8)
        return self._class_logits(empty if self.others is None else self.others)

    def _begin(self) -> tuple[ImageEncoder, TextEncoder]:
        args = self.args
        if args.start:
            weights = args.start_weights or [1 / len(args.start)] * len(args.start)
            image, text = average_checkpoints(args.start, weights, args.pretrained_share)
            for encoder in (image, text):
                encoder.knowledge_weight.data *= args.knowledge
        else:
            tower = pretrained_minilm()
            names = [synonyms[0] for synonyms in self.names]
            vectors = F.normalize(sentence_vectors(tower, self.tokenizer, names), dim=1)
            image = ImageEncoder(pretrained_efficientnet_lite(), vectors)
            text = TextEncoder(tower)
        if args.text_of is not None:
            text = load_encoder(args.text_of)[1].requires_grad_(False)
        return image, text

    def encode_text(self, texts: Sequence[str], encoder: TextEncoder | None = None) -> Tensor:
        encoder = encoder or self.text
        if any(parameter.requires_grad for parameter in encoder.tower.parameters()):
            return encoder.joint(self._sentences(encoder, texts))
        # A frozen tower reads each sentence once, without dropout.
        encoder.tower.eval()
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            with torch.no_grad():
                self._known |= zip(new, self._sentences(encoder, new), strict=True)
        return encoder.joint(torch.stack([self._known[text] for text in texts]))

    def _sentences(self, encoder: TextEncoder, texts: Sequence[str]) -> Tensor:
        """The tower's sentence embeddings [n, H], of unit length."""
        ids, mask = (part.to(self.device) for part in tokenize(self.tokenizer, list(texts)))
        blank = torch.zeros(len(texts), 0, HIDDEN, device=self.device)
        with mixed_precision(self.device.type):
            states, joint = encoder.tower(ids, mask, blank)
        return F.normalize(masked_mean(states.float(), joint), dim=-1)

    def cells(self, image: ImageEncoder, pixels: Tensor) -> Tensor:
        """Tower input → feature cells [n, K, C]."""
        with mixed_precision(self.device.type):
            return as_cells(image.tower(pixels.to(self.device)))

    @torch.no_grad()
    def _class_logits(self, photos: NDArray[np.uint8]) -> Tensor:
        tower = pretrained_efficientnet_lite().to(self.device)
        found = [torch.zeros(0, len(self.names))]
        for start in range(0, len(photos), IMAGE_BATCH):
            pixels = to_input(photos[start : start + IMAGE_BATCH], self.side).to(self.device)
            with mixed_precision(self.device.type):
                cells = as_cells(tower(pixels))
            found.append(tower.classifier(cells.float().mean(1)).cpu())
        return torch.cat(found)

    def draw(self, size: int) -> Iterator[NDArray[np.int64]]:
        """The batches of one pass: photos by the odds of their source, none twice in a batch, for
        InfoNCE would take its other captions for wrong ones.
        """
        size = min(size, len(self.train))
        for _ in range(len(self.train) // size):
            yield self.random.choice(len(self.train), size, replace=False, p=self.odds)

    def some_class_names(self, classes: NDArray[np.int64]) -> list[str]:
        """One way of saying each class, mostly its best-known name; one prompt a batch."""
        prompt = PROMPTS[self.random.integers(len(PROMPTS))]
        chosen = []
        for names in (self.names[c] for c in classes):
            first = self.random.random() < 0.6
            chosen.append(prompt.format(names[0 if first else self.random.integers(len(names))]))
        return chosen

    def loss(
        self, cells: Tensor, batch: NDArray[np.int64], others: tuple[Tensor, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """All terms for photos ``batch``: feature cells [n, K, C]; ``others`` are cells and class
        logits of photos without captions.
        """
        scale = self.log_scale.exp().clamp(max=100)
        vectors = self.image.embed(cells)
        captions = [self.random.choice(self.train.captions[i]) for i in batch]
        terms = {"captions": info_nce(vectors, self.encode_text(captions), scale)}
        teacher = self.teacher[batch]
        if others is not None:
            vectors = torch.cat([vectors, self.image.embed(others[0])])
            teacher = torch.cat([teacher, others[1]])
        confidence, best = teacher.softmax(1).max(1)
        confident = confidence > CONFIDENT
        if confident.any():
            more = self.random.choice(len(self.names), self.args.names_per_batch, replace=False)
            classes = np.union1d(best[confident].numpy(), more)
            names = self.encode_text(self.some_class_names(classes))
            wanted = torch.from_numpy(np.searchsorted(classes, best[confident].numpy()))
            chosen = confident.to(self.device)
            loss = class_name_loss(vectors[chosen], names, wanted.to(self.device), scale)
            terms["classes"] = self.args.class_weight * loss
        return terms

    @torch.no_grad()
    def embed(self, image: ImageEncoder, photos: NDArray[np.uint8]) -> Tensor:
        parts = range(0, len(photos), IMAGE_BATCH)
        pixels = (to_input(photos[i : i + IMAGE_BATCH], self.side) for i in parts)
        return torch.cat([image.embed(self.cells(image, part).float()) for part in pixels])

    def save(self, averaged: Running) -> dict[str, dict[str, float]]:
        """Write the checkpoint; returns what it is worth on the val splits."""
        save_encoder(self.args.out / "encoder.safetensors", averaged.image, averaged.text)
        return self.validate(averaged.image, averaged.text)

    @torch.no_grad()
    def validate(self, image: ImageEncoder, text: TextEncoder) -> dict[str, dict[str, float]]:
        """Text → image retrieval over each source's val photos: R@1, R@5, R@10 in percent."""
        image.eval(), text.eval()
        report = {}
        for name, val in self.val.items():
            photos = self.embed(image, val.photos)
            captions = [caption for group in val.captions for caption in group]
            parts = range(0, len(captions), TEXT_BATCH)
            queries = torch.cat(
                [self.encode_text(captions[i : i + TEXT_BATCH], text) for i in parts]
            )
            counts = torch.tensor([len(group) for group in val.captions])
            owner = torch.arange(len(val)).repeat_interleave(counts).to(self.device)
            scores = queries @ photos.T
            rank = (scores > scores.gather(1, owner[:, None])).sum(1)
            report[name] = {
                f"R@{k}": round(100 * (rank < k).float().mean().item(), 2) for k in (1, 5, 10)
            }
        image.train(), text.train()
        return report


@torch.no_grad()
def sentence_vectors(tower: nn.Module, tokenizer: Tokenizer, texts: list[str]) -> Tensor:
    """Plain sentence embeddings [n, H], before any head."""
    tower.eval()
    ids, mask = tokenize(tokenizer, texts)
    states, joint = tower(ids, mask, torch.zeros(len(texts), 0, HIDDEN))
    return masked_mean(states, joint)
