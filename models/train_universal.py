"""Train one verifier and grounder for any encoder, and check it on encoders that it never saw.

    python -m models.train_universal --towers runs/towers --out runs/universal
    python -m models.train_universal --towers runs/towers --out runs/without-bge --without bge
    python -m models.train_universal --towers runs/towers --out runs/table --evaluate \\
        runs/universal/head.safetensors

Read top to bottom: encoders are made of frozen towers (``models.universal_encoders``), each looks
at worlds of photos that it was not trained on (``models.universal_worlds``), and the head learns
from all of their evidence together: which of the retriever's own candidates shows it, whether it
does at all, from when to when. Two questions of five are to the package's own encoder, which is
stronger than they are. What is computed is kept in the folder of the towers. ``--without`` leaves
out every encoder of a family (``lite``, ``squeezenet``, ``minilm``, ``bge``, ``words``); the
package's own is of ``lite`` and ``minilm``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from models.data.worlds import GRANULARITIES
from models.losses import (
    balanced_verification_loss,
    listwise_loss,
    relevance_loss,
    span_loss,
)
from models.training import Log, Means, begin, one_cycle, take_step
from models.universal import UniversalHead, load_head
from models.universal_encoders import (
    BUILT_IN,
    RECIPES,
    Towers,
    make_all,
    recall,
    recipe_of,
    seen_by,
)
from models.universal_measure import measured, run
from models.universal_texts import BANK
from models.universal_worlds import Judged, ask, joined, judge

DECAY = 0.05
TAUGHT = 8  # candidates of a question at once
TOGETHER = 16  # questions of a batch that are to the same encoder
# Worlds of so many photos, and how many questions are asked of each in both ways.
TRAIN_WORLDS = ((1600, 250, 420), (400, 100, 160), (80, 60, 60))
VAL_WORLDS = ((700, 190, 1000), (120, 190, 160), (24, 190, 60))
# The package's own encoder knows the photos of heads: it is asked about those of val alone.
BUILT_IN_WORLDS = 3 * ((700, 150, 600), (250, 100, 200), (80, 60, 100))
SMALL_WORLDS = ((40, 12, 24),)


def parse() -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--towers", type=Path, required=True, help="what models.towers wrote")
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--without", nargs="*", default=[], help="families to leave out")
    p.add_argument("--encoders", nargs="*", help="these alone; built-in: the package's")
    p.add_argument("--built-in", type=float, default=0.4, help="share of questions to that encoder")
    p.add_argument("--members", type=int, default=3, help="networks whose mean the head is")
    p.add_argument("--evaluate", type=Path, nargs="*", help="heads to measure, and train none")
    p.add_argument("--small", action="store_true", help="small worlds, for a smoke run")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, default=0)
    p.add_argument("--steps", type=int, default=600)
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--rate", type=float, default=2e-3)
    p.add_argument("--score-weight", type=float, default=1.0, help="of the score, beside the match")
    return p.parse_args()


def main() -> None:
    args = parse()
    log = begin(args)
    log.start(args)
    names = args.encoders or [*RECIPES, BUILT_IN]
    names = [name for name in names if not recipe_of(name).families & {*args.without}]
    if args.evaluate is None:
        small = [name for name in names if name != BUILT_IN]
        found = questions(args.towers, small, "heads", args.small)
        built_in = questions(
            args.towers, [BUILT_IN][: len(names) - len(small)], "heads", args.small
        )
        head = train(args, log, found, built_in)
        save_head(args.out / "head.safetensors", head)
        return
    heads = [load_head(path) for path in args.evaluate]
    for name in names:
        for row in measured(questions(args.towers, [name], "val", args.small)[0], heads):
            log(encoder=name, **row)


def questions(folder: Path, names: Sequence[str], part: str, small: bool = False) -> list[Judged]:
    """Of each encoder, what was asked in its worlds, kept from the first time on."""
    towers, found = Towers(folder), []
    for name in names:
        path = folder / "questions" / f"{name}.{part}.safetensors"
        if not path.exists():
            recipe, encoder = make_all(towers, [name], folder / "encoders")[name]
            seen = seen_by(recipe, encoder, towers, "val" if name == BUILT_IN else part, BANK)
            print(f"{name}: {part} R@1 {recall(seen):.1f}", flush=True)
            random = np.random.default_rng(recipe.seed if part == "heads" else 100)
            parts = []
            worlds = _worlds(name, part)
            for photos, absent, count in SMALL_WORLDS if small else worlds:
                asked = ask(seen, photos, absent, random)
                parts += [judge(seen, asked, one, count, random) for one in GRANULARITIES]
            joined(parts).save(path)
        found.append(Judged.load(path))
    return found


def _worlds(name: str, part: str) -> Sequence[tuple[int, int, int]]:
    if part == "val":
        return VAL_WORLDS
    return BUILT_IN_WORLDS if name == BUILT_IN else TRAIN_WORLDS


def train(
    args: argparse.Namespace, log: Log, found: list[Judged], built_in: list[Judged]
) -> UniversalHead:
    """Its members see other questions in another order, and are the same but for that."""
    head = UniversalHead(args.members)
    for number, member in enumerate(head.members):
        train_member(member, args, log, found, built_in, args.seed + number)
    head.score_weight.fill_(args.score_weight)
    return head.requires_grad_(False).eval()


def train_member(
    member: nn.Module,
    args: argparse.Namespace,
    log: Log,
    found: list[Judged],
    built_in: list[Judged],
    seed: int,
) -> None:
    """A batch is of a few encoders' questions, drawn anew each time."""
    random = np.random.default_rng(seed)
    torch.manual_seed(seed)
    parameters = list(member.parameters())
    optimiser, schedule = one_cycle([(parameters, args.rate, DECAY)], args.steps)
    totals = Means()
    parts = max(args.batch // TOGETHER, 1)
    for step in range(args.steps):
        terms: dict[str, Tensor] = {}
        for _ in range(parts):
            those = built_in if built_in and random.random() < args.built_in else found
            some = those[random.integers(len(those))]
            some = some.chosen(random.choice(len(some), min(args.batch, TOGETHER), replace=False))
            some = fewer(some, random)
            for name, term in losses(some, *run(member, some)).items():
                terms[name] = terms.get(name, torch.zeros(())) + term / parts
        take_step(terms, parameters, optimiser, schedule)
        totals.note(terms)
        if (step + 1) % 100 == 0:
            log(seed=seed, step=step + 1, loss=totals.rounded())


def fewer(some: Judged, random: np.random.Generator) -> Judged:
    """With ``TAUGHT`` of each question's candidates: those that show it, and some of the others."""
    order = some.shown.any(2) + random.random(some.video.shape)
    kept = np.sort(np.argsort(-order, 1)[:, :TAUGHT], 1)
    rows = np.arange(len(some))[:, None]
    inputs = {name: values[rows, kept] for name, values in some.inputs.items()}
    parts = {name: getattr(some, name)[rows, kept] for name in ("shown", "video", "first")}
    return replace(some, inputs=inputs, **parts)


def losses(
    some: Judged, match: Tensor, start: Tensor, end: Tensor, relevance: Tensor
) -> dict[str, Tensor]:
    shown = torch.from_numpy(some.shown)
    right = shown.any(2)
    terms = {
        "order": listwise_loss(match, right),
        "match": balanced_verification_loss(match, right),
    }
    if right.any():
        mask = torch.from_numpy(some.inputs["frame_mask"])[right]
        terms["span"] = 0.25 * span_loss(start[right], end[right], shown[right])
        terms["relevance"] = 0.5 * relevance_loss(relevance[right], shown[right], mask)
    return terms


def save_head(path: Path, head: UniversalHead) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in head.state_dict().items()}, path)


if __name__ == "__main__":
    main()
