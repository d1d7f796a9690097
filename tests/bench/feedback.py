"""What feedback is worth: a simulated user marks what was shown as right or wrong.

    python -m tests.bench.feedback ARCHIVE BENCHMARK CAPTIONS.csv SPLIT [NAME=VALUE …]

*One right answer.* Of each query of the benchmark ten moments are shown. While the right video is
not among them all are rejected, and ten others are shown. "the next ten": the rejected are left
out, and the query stays as it is.

*Several right answers.* Words that two or more captions of 10 to 60 scenes say. Of ten moments
those of such scenes are liked, the others rejected; the share of right ones among the next ten that
were not shown yet.

In per cent, with 95 % intervals by bootstrap over videos, or over words. NAME=VALUE sets a constant
of vsr_edge.search.query_vector.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.bench.labelled import LabelledScene, labelled_scenes, scene_of
from vsr_edge import Archive, open_archive
from vsr_edge.evaluation.benchmarks.queries import read_queries
from vsr_edge.evaluation.bootstrap import Ratio, ratio_intervals
from vsr_edge.evaluation.records import Query as Wanted
from vsr_edge.evaluation.records import is_video
from vsr_edge.query import Place, Query
from vsr_edge.search import query_vector
from vsr_edge.types import Moment

SHOWN, ROUNDS = 10, 2
RIGHT_SCENES, SAID_BY = (10, 60), 2


def place_of(moment: Moment) -> Place:
    return Place(moment.video, moment.start, moment.end)


def one_right_answer(archive: Archive, wanted: Sequence[Wanted]) -> list[list[float]]:
    """For each query, whether the right video was among ten shown by each round."""
    rows = []
    for one in wanted:
        query, found = Query(one.query), [0.0] * (ROUNDS + 1)
        for turn in range(ROUNDS + 1):
            moments = archive.search(query, top_k=SHOWN).moments
            if any(is_video(one.video or "", str(moment.video)) for moment in moments):
                found[turn:] = [1.0] * (ROUNDS + 1 - turn)
                break
            query = Query(one.query, bad=(*query.bad, *map(place_of, moments)))
        rows.append(found)
    return rows


def several_right_answers(
    archive: Archive, scenes: list[LabelledScene], words: Sequence[str]
) -> list[list[float]]:
    """For each word, the share of right ones among ten that were not shown before."""
    rows = []
    for word in words:
        query, seen, shares = Query(word), set[str](), []
        for _ in range(ROUNDS + 1):
            moments = archive.search(query, top_k=3 * SHOWN, candidates=32).moments
            good: list[Place] = []
            bad: list[Place] = []
            new = 0
            for moment in moments:
                scene = scene_of(scenes, moment)
                if scene is None or scene.photo in seen or new == SHOWN:
                    continue
                new += 1
                seen.add(scene.photo)
                right = scene.words.get(word, 0) >= SAID_BY
                (good if right else bad).append(place_of(moment))
            shares.append(len(good) / SHOWN)
            query = Query(word, good=(*query.good, *good), bad=(*query.bad, *bad))
        rows.append(shares)
    return rows


def broad_words(scenes: Sequence[LabelledScene]) -> list[str]:
    """The words that enough scenes, and not too many, show."""
    counts: dict[str, int] = {}
    for scene in scenes:
        for word, said in scene.words.items():
            counts[word] = counts.get(word, 0) + (said >= SAID_BY)
    low, high = RIGHT_SCENES
    return sorted(word for word, count in counts.items() if low <= count <= high)


def show(name: str, rows: Sequence[Sequence[float]], groups: Sequence[int]) -> None:
    figures = [Ratio.mean(column) for column in np.array(rows, float).T]
    found = ratio_intervals(figures, np.array(groups))
    said = {
        f"after {turn}": [round(100 * x, 1) for x in (one.estimate, one.low, one.high)]
        for turn, one in enumerate(found)
    }
    print(json.dumps({"what": name, "n": len(rows), **said}), flush=True)


def main(archive: Path, benchmark: Path, captions: Path, split: str, *named: str) -> None:
    for name, value in (one.split("=") for one in named):
        assert hasattr(query_vector, name)
        setattr(query_vector, name, float(value))
    wanted = [q for q in read_queries(benchmark / "queries.jsonl", "jsonl") if q.present]
    videos = {q.video: number for number, q in enumerate(wanted)}
    scenes = labelled_scenes(benchmark, captions, split)
    words = broad_words(scenes)
    with open_archive(archive) as opened:
        rows = one_right_answer(opened, wanted)
        show("one right answer, R@10", rows, [videos[q.video] for q in wanted])
        rows = several_right_answers(opened, scenes, words)
        show("several right answers, new ones of ten", rows, range(len(words)))


if __name__ == "__main__":
    archive, benchmark, captions = map(Path, sys.argv[1:4])
    main(archive, benchmark, captions, *sys.argv[4:])
