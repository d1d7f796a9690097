"""What a bundle's encoder knows: accuracy by attribute and by relation, from captioned photos.

    python -m models.diagnostics --bundle lite --data FLICKR8K COCO RELATIONS --out report.json

A folder holds captions.csv and images/. From captions of the split (``models.data.attributes``):
how often a photo scores its caption above the same one with one word swapped, in per cent; guessing
gives 50, and so does a tie. "Elsewhere" is the same for the next photo of the folder, which the
caption is not about: how far one gets by knowing which words are common.

Where captions.csv has a column ``true`` (1 or 0), its rows are statements about photos: the AUC, in
per cent, of a true one's score against a false one's, overall and among statements of one relation.

Intervals are 95 % bootstrap over photos. Several ``--bundle`` stand side by side.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.data.attributes import GROUPS, swaps
from models.data.photos import read_captions
from vsr_edge.bundle.model import Bundle, load_bundle
from vsr_edge.evaluation.bootstrap import RESAMPLES, Ratio, ratio_intervals

Floats: TypeAlias = NDArray[np.float64]
Figure: TypeAlias = dict[str, Any]
# The least number of pairs for which a relation, or one word instead of another, has a figure.
FEWEST: Final = 10
RELATION: Final = re.compile(r"^the .+? (?:is|are) (.+) the |^the \S+ (.+) the ", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A photo, its caption, and the caption with ``other`` in the place of ``word``."""

    source: str
    photo: Path
    group: str
    word: str
    other: str
    true: str
    false: str

    @property
    def instead(self) -> str:
        return f"{self.word} > {self.other}"


@dataclass(frozen=True, slots=True)
class Statement:
    """What is said of a photo, rightly or not."""

    photo: Path
    text: str
    relation: str
    true: bool


def parse() -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--bundle", action="append", help="built-in name or folder; may be repeated")
    p.add_argument("--data", type=Path, nargs="+", required=True, help="folders of photos")
    p.add_argument("--split", default="val")
    p.add_argument("--most", type=int, help="swap a word for so many others at most; faster")
    p.add_argument("--out", type=Path, help="where to write the report, JSON")
    return p.parse_args()


def main() -> None:
    args = parse()
    comparisons: list[Comparison] = []
    statements: list[Statement] = []
    for folder in args.data:
        if has_statements(folder):
            statements += read_statements(folder)
        else:
            comparisons += read_comparisons(folder, args.split, args.most)
    report: dict[str, dict[str, Figure]] = {}
    for name in dict.fromkeys(args.bundle or ["lite"]):
        with load_bundle(name) as bundle:
            report[name] = diagnose(bundle, comparisons, statements)
    if args.out:
        args.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(table(report))


def read_comparisons(
    folder: Path, split: str, most: int | None = None, seed: int = 0
) -> Iterator[Comparison]:
    """Every swap of every caption of a split, or of each word of it ``most``, drawn at random."""
    random = np.random.default_rng(seed)
    for name, captions in read_captions(folder / "captions.csv", split).items():
        photo = folder / "images" / name
        for caption in captions:
            found = list(swaps(caption, captions))
            places = (f"{swap.group} {swap.word}" for swap in found)
            for rows in parted(range(len(found)), places).values():
                for i in rows if most is None else random.permutation(rows)[:most].tolist():
                    group, word, other, text = found[i]
                    yield Comparison(folder.name, photo, group, word, other, caption, text)


def has_statements(folder: Path) -> bool:
    with (folder / "captions.csv").open(newline="", encoding="utf-8") as file:
        return "true" in next(csv.reader(file), [])


def read_statements(folder: Path) -> Iterator[Statement]:
    """Raises ``ValueError`` for a row whose ``true`` is neither 1 nor 0."""
    with (folder / "captions.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["true"] not in {"0", "1"}:
                raise ValueError(f'{file.name}: "true" must be 1 or 0, not {row["true"]!r}')
            photo, text = folder / "images" / row["image"], row["caption"]
            yield Statement(photo, text, relation_of(text), row["true"] == "1")


def relation_of(statement: str) -> str:
    """ "The cup is left of the laptop." → "left of"; "" where there is none."""
    found = RELATION.match(statement)
    return (found[1] or found[2]).lower() if found else ""


def diagnose(
    bundle: Bundle, comparisons: Sequence[Comparison], statements: Sequence[Statement]
) -> dict[str, Figure]:
    """Row of the table → figure: how many pairs, the estimate in per cent and its interval."""
    beside = neighbours(comparisons)
    asked = [
        (photo, text)
        for c in comparisons
        for photo in (c.photo, beside[c.photo])
        for text in (c.true, c.false)
    ]
    asked += [(statement.photo, statement.text) for statement in statements]
    found = scores(bundle, asked)
    compared, stated = np.split(found, [4 * len(comparisons)])
    true, false = np.moveaxis(compared.reshape(-1, 2, 2), 2, 0)
    here, elsewhere = won(true, false).T
    return by_attribute(comparisons, here, elsewhere) | by_relation(statements, stated)


def neighbours(comparisons: Iterable[Comparison]) -> dict[Path, Path]:
    """Each photo → the next of its source, the last one's being the first."""
    sources: dict[str, dict[Path, None]] = {}
    for c in comparisons:
        sources.setdefault(c.source, {})[c.photo] = None
    rows = [list(photos) for photos in sources.values()]
    return {a: b for row in rows for a, b in zip(row, row[1:] + row[:1], strict=True)}


def scores(bundle: Bundle, asked: Sequence[tuple[Path, str]]) -> Floats:
    """The cosine of each photo with its text, float64 [n]; each photo and text is encoded once."""
    photos = {photo: i for i, photo in enumerate(dict.fromkeys(photo for photo, _ in asked))}
    # In this order a caption and its swaps are mostly of one batch, and of like length.
    texts = {text: i for i, text in enumerate(dict.fromkeys(text for _, text in asked))}
    cosines = bundle.encode_text(list(texts)) @ bundle.encode_images(list(photos)).T
    of_photo = [photos[photo] for photo, _ in asked]
    of_text = [texts[text] for _, text in asked]
    return cosines[of_text, of_photo].astype(np.float64)


def won(true: Floats, false: Floats) -> Floats:
    """1 where the true score is the higher, ½ for a tie, else 0: of any shape."""
    return (np.sign(true - false) + 1) / 2


def by_attribute(
    comparisons: Sequence[Comparison], wins: Floats, elsewhere: Floats
) -> dict[str, Figure]:
    """The accuracy of each group, of its sources and of its swaps, from ``wins`` (float [n]), and
    from those of another photo, ``elsewhere``.
    """
    figures: dict[str, Figure] = {}
    for group in GROUPS:
        rows = [i for i, c in enumerate(comparisons) if c.group == group]
        if rows:
            figure = accuracy(comparisons, wins, elsewhere, rows)
            sources = parted(rows, (comparisons[i].source for i in rows))
            instead = parted(rows, (comparisons[i].instead for i in rows))
            figure["sources"] = {
                name: accuracy(comparisons, wins, elsewhere, part) for name, part in sources.items()
            }
            figure["swaps"] = {
                name: {"pairs": len(part), "estimate": per_cent(wins[part].mean())}
                for name, part in sorted(instead.items())
                if len(part) >= FEWEST
            }
            figures[group] = figure
    return figures


def accuracy(
    comparisons: Sequence[Comparison], wins: Floats, elsewhere: Floats, rows: list[int]
) -> Figure:
    photos = numbered(comparisons[i].photo for i in rows)
    (found,) = ratio_intervals([Ratio.mean(wins[rows])], photos)
    figure = figure_of(len(rows), len(set(photos)), found)
    return figure | {"elsewhere": per_cent(elsewhere[rows].mean())}


def by_relation(statements: Sequence[Statement], scored: Floats) -> dict[str, Figure]:
    """The AUC of true against false statements, from their scores (float [n]): of all pairs, and
    of those of one relation, altogether and for each relation that has enough.
    """
    yes = [i for i, statement in enumerate(statements) if statement.true]
    no = [i for i, statement in enumerate(statements) if not statement.true]
    if not yes or not no:
        return {}
    kinds = np.array([statement.relation for statement in statements])
    photos = np.array(numbered(statement.photo for statement in statements))
    wins = won(scored[yes][:, None], scored[no][None, :])
    same = kinds[yes][:, None] == kinds[no][None, :]
    sides = photos[yes], photos[no]
    figures = {"relations, any two": auc(wins, np.ones_like(same), *sides)}
    if same.any():
        figures["relations, of one kind"] = auc(wins, same, *sides) | {
            "kinds": {
                kind: {"pairs": int(of.sum()), "estimate": per_cent(wins[of].mean())}
                for kind in sorted(set(kinds.tolist()))
                if (of := same & (kinds[yes] == kind)[:, None]).sum() >= FEWEST
            }
        }
    return figures


def auc(
    wins: Floats,
    counted: NDArray[np.bool_],
    yes: NDArray[np.intp],
    no: NDArray[np.intp],
    seed: int = 0,
) -> Figure:
    """The mean of ``wins`` [true, false] where ``counted``, drawn anew by photos: ``yes`` and
    ``no`` are the numbers of the photos of the true statements and of the false ones.
    """
    count = int(max(yes.max(), no.max())) + 1
    times = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), RESAMPLES)
    won_pairs = np.einsum("ry,yn,rn->r", times[:, yes], wins * counted, times[:, no], optimize=True)
    pairs = np.einsum("ry,yn,rn->r", times[:, yes], counted * 1.0, times[:, no], optimize=True)
    drawn = won_pairs[pairs > 0] / pairs[pairs > 0]
    found = (float(wins[counted].mean()), *np.quantile(drawn, (0.025, 0.975)).tolist())
    return figure_of(int(counted.sum()), len({*yes.tolist(), *no.tolist()}), found)


def figure_of(pairs: int, photos: int, found: Sequence[float]) -> Figure:
    estimate, low, high = map(per_cent, found)
    return {"pairs": pairs, "photos": photos, "estimate": estimate, "interval": [low, high]}


def per_cent(share: float) -> float:
    return round(100 * float(share), 1)


def numbered(names: Iterable[Path]) -> list[int]:
    """Equal names → equal numbers, from 0."""
    numbers: dict[Path, int] = {}
    return [numbers.setdefault(name, len(numbers)) for name in names]


def parted(rows: Iterable[int], keys: Iterable[str]) -> dict[str, list[int]]:
    parts: dict[str, list[int]] = {}
    for row, key in zip(rows, keys, strict=True):
        parts.setdefault(key, []).append(row)
    return parts


def table(report: Mapping[str, Mapping[str, Figure]]) -> str:
    """Rows of figures, a column for each bundle; under a group, its sources."""
    first, *_ = report.values()
    names = (cell for name in report for cell in (Path(name).name, "elsewhere"))
    lines = [("", "pairs", "photos", *names)]
    for row in first:
        lines.append(_line(row, [figures[row] for figures in report.values()]))
        sources = first[row].get("sources", {})
        for source in sources if len(sources) > 1 else ():
            parts = [figures[row]["sources"][source] for figures in report.values()]
            lines.append(_line(f"  {source}", parts))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _line(name: str, figures: Sequence[Figure]) -> tuple[str, ...]:
    cells: list[str] = []
    for figure in figures:
        low, high = figure["interval"]
        cells.append(f"{figure['estimate']:.1f} ({low:.1f} to {high:.1f})")
        cells.append(f"{figure['elsewhere']:.1f}" if "elsewhere" in figure else "")
    return (name, str(figures[0]["pairs"]), str(figures[0]["photos"]), *cells)


if __name__ == "__main__":
    main()
