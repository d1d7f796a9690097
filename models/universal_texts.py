"""The texts that universal heads learn from: captions, their phrases, and a bank of sentences.

    python -m models.universal_texts --data FLICKR8K COCO OPENSTAX --bank SENTENCES.txt.gz \\
        --out runs/towers/texts

Writes ``common.json`` (captions that encoders are trained on, then the bank), ``heads.json`` and
``val.json`` (captions and phrases), each a list of texts for ``models.towers``.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.towers import photo_captions
from vsr_edge.search.phrases import phrases

MOST_CAPTIONS = {"encoders": 3, "heads": 2, "val": 2}
BANK = 1024  # as the package has


def bank_of(path: Path, count: int = 2 * BANK) -> list[str]:
    """So many sentences of a gzipped file of one a line, drawn from all over it."""
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    chosen = np.random.default_rng(0).permutation(len(lines))[:count]
    return [lines[i] for i in sorted(chosen.tolist())]


def some_captions(captions: Sequence[Sequence[str]], part: str) -> list[list[str]]:
    """Of each photo's captions the first few, as many as that part uses."""
    return [list(group[: MOST_CAPTIONS[part]]) for group in captions]


def with_phrases(captions: Sequence[Sequence[str]]) -> list[str]:
    """Captions and all their phrases, each text once."""
    found: dict[str, None] = {}
    for group in captions:
        for caption in group:
            found.setdefault(caption)
            found.update(dict.fromkeys(phrases(caption)))
    return list(found)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--data", type=Path, nargs="+", required=True)
    p.add_argument("--bank", type=Path, required=True)
    p.add_argument("--out", type=Path, required=True)
    args = p.parse_args()
    captions = photo_captions(args.data)
    args.out.mkdir(parents=True, exist_ok=True)
    encoders = [one for group in some_captions(captions["encoders"], "encoders") for one in group]
    common = list(dict.fromkeys(encoders + bank_of(args.bank)))
    lists = {
        "common": common,
        **{n: with_phrases(some_captions(captions[n], n)) for n in ("heads", "val")},
    }
    for name, texts in lists.items():
        (args.out / f"{name}.json").write_text(json.dumps(texts), "utf-8")
        print(f"{name}: {len(texts)} texts")


if __name__ == "__main__":
    main()
