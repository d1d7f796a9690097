"""What feedback is worth: a simulated user marks what was shown as right or wrong.

    python -m tests.bench.feedback ARCHIVE BENCHMARK CAPTIONS.csv SPLIT [--one-shot]

*One right answer.* Of each query of the benchmark ten moments are shown. While the right video is
not among them all are rejected, and ten others are shown.

*Several right answers.* Words that two or more captions of 10 to 60 scenes say. Of ten moments
those of such scenes are liked, the others rejected; the share of right ones among the next ten that
were not shown yet.

"The next ten" leaves out what was rejected and learns nothing: the query stays as it is. In per
cent, with 95 % intervals by bootstrap over videos, or over words.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import numpy as np

from tests.bench.labelled import LabelledScene, labelled_scenes, scene_of
from vsr_edge import Archive, open_archive
from vsr_edge.answer import Moment
from vsr_edge.evaluation.benchmarks.queries import read_queries
from vsr_edge.evaluation.bootstrap import Interval, Ratio, ratio_intervals
from vsr_edge.evaluation.records import Query as Wanted
from vsr_edge.evaluation.records import is_video
from vsr_edge.query import Place, Query, SearchChanges
from vsr_edge.search import query_vector

SHOWN, ROUNDS, WORDS = 10, 2, 60
RIGHT_SCENES, SAID_BY = (10, 60), 2
METHODS = {"the next ten": (0.0, 0.0), "feedback": (query_vector.GOOD, query_vector.BAD)}


def place_of(moment: Moment) -> Place:
    return Place(moment.video, moment.start, moment.end)


def one_right_answer(
    archive: Archive, wanted: Sequence[Wanted], one_shot: bool
) -> dict[str, list[list[float]]]:
    """For each query, whether the right video was among those shown by each round."""
    rows: dict[str, list[list[float]]] = {name: [] for name in METHODS}
    for one in wanted:
        first: Sequence[Moment] = archive.search(one.query, top_k=SHOWN, one_shot=one_shot).moments
        for name in METHODS:
            query, found = Query(one.query), [0.0] * (ROUNDS + 1)
            moments = first
            for turn in range(ROUNDS + 1):
                if any(is_video(one.video or "", str(moment.video)) for moment in moments):
                    found[turn:] = [1.0] * (ROUNDS + 1 - turn)
                    break
                if turn < ROUNDS:
                    query = Query(one.query, bad=(*query.bad, *map(place_of, moments)))
                    moments = asked(archive, name, query, top_k=SHOWN, one_shot=one_shot)
            rows[name].append(found)
    return rows


def several_right_answers(
    archive: Archive, scenes: list[LabelledScene], words: Sequence[str], one_shot: bool
) -> dict[str, list[list[float]]]:
    """For each word, the share of right ones among ten that were not shown before."""
    rows: dict[str, list[list[float]]] = {name: [] for name in METHODS}
    for word in words:
        for name in METHODS:
            query, seen, shares = Query(word), set[str](), []
            for _ in range(ROUNDS + 1):
                good: list[Place] = []
                bad: list[Place] = []
                found = asked(archive, name, query, top_k=4 * SHOWN, one_shot=one_shot)
                for moment in found:
                    scene = scene_of(scenes, moment)
                    if scene is None or scene.photo in seen or len(good) + len(bad) == SHOWN:
                        continue
                    seen.add(scene.photo)
                    right = scene.words.get(word, 0) >= SAID_BY
                    (good if right else bad).append(place_of(moment))
                shares.append(len(good) / SHOWN)
                query = Query(word, good=(*query.good, *good), bad=(*query.bad, *bad))
            rows[name].append(shares)
    return rows


def asked(
    archive: Archive, method: str, query: Query, **how: Unpack[SearchChanges]
) -> Sequence[Moment]:
    query_vector.GOOD, query_vector.BAD = METHODS[method]
    return archive.search(query, **how).moments


def broad_words(scenes: Sequence[LabelledScene]) -> list[str]:
    """The words that enough scenes, and not too many, show."""
    counts: dict[str, int] = {}
    for scene in scenes:
        for word, said in scene.words.items():
            counts[word] = counts.get(word, 0) + (said >= SAID_BY)
    low, high = RIGHT_SCENES
    return sorted(word for word, count in counts.items() if low <= count <= high)


def show(what: str, rows: dict[str, list[list[float]]], groups: Sequence[int]) -> None:
    columns = {
        name: [Ratio.mean(column) for column in np.array(found, float).T]
        for name, found in rows.items()
    }
    for name, figures in columns.items():
        said = {
            f"after {turn}": percent(one)
            for turn, one in enumerate(ratio_intervals(figures, np.array(groups)))
        }
        print(json.dumps({"what": what, "n": len(groups), "method": name, **said}), flush=True)
    gained = ratio_intervals(columns["feedback"], np.array(groups), minus=columns["the next ten"])
    said = {f"after {turn}": percent(one) for turn, one in enumerate(gained)}
    print(json.dumps({"what": what, "method": "the difference", **said}), flush=True)


def percent(interval: Interval) -> list[float]:
    return [round(100 * x, 1) for x in interval]


def main(archive: Path, benchmark: Path, captions: Path, split: str, one_shot: bool) -> None:
    wanted = [q for q in read_queries(benchmark / "queries.jsonl", "jsonl") if q.present]
    videos = {q.video: number for number, q in enumerate(wanted)}
    scenes = labelled_scenes(benchmark, captions, split)
    words = broad_words(scenes)
    chosen = np.random.default_rng(0).permutation(len(words))[:WORDS].tolist()
    with open_archive(archive) as opened:
        found = several_right_answers(opened, scenes, [words[place] for place in chosen], one_shot)
        show("several right answers, new ones of ten", found, range(len(chosen)))
        found = one_right_answer(opened, wanted, one_shot)
        show("one right answer, R@10", found, [videos[q.video] for q in wanted])


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        Path(sys.argv[2]),
        Path(sys.argv[3]),
        sys.argv[4],
        "--one-shot" in sys.argv,
    )
