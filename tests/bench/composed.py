"""What a picture beside a sentence finds, and what --not keeps away.

    python -m tests.bench.composed ARCHIVE BENCHMARK CAPTIONS.csv SPLIT IMAGES [--one-shot]

*Composed.* Of scenes of the benchmark: a caption, a piece of the photo (15 % of it, mirrored), and
both. How often the right video is first, and among ten.

*Not.* Pairs of words, asked as "A" and as "A" --not "B", where two or more captions of five scenes
say both, and of ten A alone: how many of the ten shown show B, and how many A and not B (no caption
says it).

In per cent, with 95 % intervals by bootstrap over scenes, or over pairs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from models.data.photos import read_captions
from tests.bench.feedback import SAID_BY, SHOWN, broad_words
from tests.bench.labelled import LabelledScene, labelled_scenes, scene_of
from vsr_edge import Archive, open_archive
from vsr_edge.evaluation.bootstrap import Ratio, ratio_intervals
from vsr_edge.media.picture import read_picture
from vsr_edge.query import Query
from vsr_edge.types import Pixels

PIECE, SCENES, PAIRS = 0.15, 200, 60
BOTH, ALONE = 5, 10
ONE_SHOT = "--one-shot" in sys.argv


def piece(photo: Pixels, random: np.random.Generator) -> Pixels:
    """Some of a photo, mirrored."""
    height, width = (round(side * PIECE**0.5) for side in photo.shape[:2])
    top = random.integers(photo.shape[0] - height + 1)
    left = random.integers(photo.shape[1] - width + 1)
    return np.ascontiguousarray(photo[top : top + height, left : left + width][:, ::-1])


def composed(
    archive: Archive, scenes: Sequence[LabelledScene], said: dict[str, list[str]], images: Path
) -> None:
    random = np.random.default_rng(0)
    chosen = random.permutation(len(scenes))[:SCENES].tolist()
    ranks: dict[str, list[int]] = {"sentence": [], "piece": [], "both": []}
    for scene in (scenes[place] for place in chosen):
        text, like = said[scene.photo][0], piece(read_picture(images / scene.photo), random)
        queries = Query(text), Query(like=like), Query(text, like)
        for name, query in zip(ranks, queries, strict=True):
            names = [
                moment.video.name
                for moment in archive.search(query, top_k=SHOWN, one_shot=ONE_SHOT).moments
            ]
            ranks[name].append(names.index(scene.video) if scene.video in names else SHOWN)
    for name, places in ranks.items():
        found = {f"R@{k}": [float(place < k) for place in places] for k in (1, SHOWN)}
        show(name, found)


def unwanted(archive: Archive, scenes: list[LabelledScene]) -> None:
    words = broad_words(scenes)
    shows = {word: np.array([s.words.get(word, 0) >= SAID_BY for s in scenes]) for word in words}
    named = {word: np.array([word in s.words for s in scenes]) for word in words}
    pairs = [
        (a, b)
        for a in words
        for b in words
        if a != b
        if (shows[a] & shows[b]).sum() >= BOTH
        if (shows[a] & ~named[b]).sum() >= ALONE
    ]
    chosen = np.random.default_rng(0).permutation(len(pairs))[:PAIRS].tolist()
    for against in (False, True):
        other, right = [], []
        for a, b in (pairs[place] for place in chosen):
            query = Query(a, against=b if against else None)
            moments = archive.search(query, top_k=SHOWN, one_shot=ONE_SHOT).moments
            found = [scene for one in moments if (scene := scene_of(scenes, one)) is not None]
            other.append(sum(s.words.get(b, 0) >= SAID_BY for s in found) / SHOWN)
            right.append(
                sum(s.words.get(a, 0) >= SAID_BY and b not in s.words for s in found) / SHOWN
            )
        show("A --not B" if against else "A", {"show B": other, "show A and not B": right})


def show(name: str, columns: Mapping[str, Sequence[float]]) -> None:
    found = ratio_intervals([Ratio.mean(column) for column in columns.values()])
    figures = {
        what: [round(100 * x, 1) for x in (one.estimate, one.low, one.high)]
        for what, one in zip(columns, found, strict=True)
    }
    count = len(next(iter(columns.values())))
    print(json.dumps({"what": name, "n": count, **figures}), flush=True)


if __name__ == "__main__":
    folder, benchmark, table = map(Path, sys.argv[1:4])
    split, photos = sys.argv[4], Path(sys.argv[5])
    labelled = labelled_scenes(benchmark, table, split)
    with open_archive(folder) as opened:
        composed(opened, labelled, read_captions(table, split), photos)
        unwanted(opened, labelled)
