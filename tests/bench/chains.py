"""Queries of two or three parts, to a benchmark whose scenes' order is known.

    python -m tests.bench.chains ARCHIVE QUERIES.jsonl parts     # figures, with 95 % intervals
    python -m tests.bench.chains ARCHIVE QUERIES.jsonl sentence  # the same, of it all
    python -m tests.bench.chains ARCHIVE QUERIES.jsonl without   # what must not be seen
    python -m tests.bench.chains ARCHIVE QUERIES.jsonl fit       # the constants of search/joint.py

"A, then B" is asked of scenes in their order, in the wrong order, and with one part from another
video; as parts, and as one sentence (`literal`). Right: the right video, and each part there with
an IoU of 0.5 (of one sentence, the span of both). Refused: answered with "no match". What must not
be seen: of scenes, how many are refused for their own caption, and for one of no video.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from models.logistic import logistic_fit
from vsr_edge import Archive, SearchResult, open_archive
from vsr_edge.answer import Moment
from vsr_edge.evaluation.benchmarks.queries import read_queries
from vsr_edge.evaluation.bootstrap import Ratio, ratio_intervals
from vsr_edge.evaluation.metrics import expected_calibration_error
from vsr_edge.evaluation.records import Query, Span, is_video
from vsr_edge.search.candidates import Asked
from vsr_edge.search.joint import Joint
from vsr_edge.search.without import SEEN, Excluded

WHOLE_VIDEO = 3600.0
DRAWS, SIZES, ASKED, ACCEPTED = 1, (3, 10, 30, 100, 200), 120, 0.8
VIDEOS_ASKED, EXCLUDED = 100, 260


@dataclass(frozen=True)
class Question:
    """A chain of captions about a video; where its parts are, unless it is not there."""

    kind: str
    video: str
    captions: tuple[str, ...]
    spans: tuple[Span, ...]

    @property
    def sentence(self) -> str:
        return ", then ".join(caption.strip(" .") for caption in self.captions)


def questions(queries: Sequence[Query], videos: set[str], seed: int = 0) -> Iterator[Question]:
    """Of each of the videos that has several captioned scenes, some of each kind."""
    random = np.random.default_rng(seed)
    scenes: dict[str, dict[Span, str]] = defaultdict(dict)
    for query in queries:
        if query.video in videos:
            scenes[str(query.video)].setdefault(query.spans[0], query.query)
    for video, there in sorted(scenes.items()):
        for count in (2, 3):
            for _ in range(DRAWS if len(there) >= count else 0):
                chosen = [sorted(there)[n] for n in sorted(random.permutation(len(there))[:count])]
                captions = [there[span] for span in chosen]
                spans = tuple(chosen)
                yield Question(f"present, {count}", video, tuple(captions), spans)
                yield Question(f"wrong order, {count}", video, tuple(captions[::-1]), ())
                others = [other for other in sorted(scenes) if other != video]
                if others:
                    other = scenes[others[random.integers(len(others))]]
                    place = random.integers(count)
                    captions[place] = other[sorted(other)[random.integers(len(other))]]
                    yield Question(f"one part absent, {count}", video, tuple(captions), ())


def iou(one: Span, other: Span) -> float:
    shared = min(one[1], other[1]) - max(one[0], other[0])
    return max(shared, 0) / (max(one[1], other[1]) - min(one[0], other[0]))


def right(question: Question, found: SearchResult) -> tuple[bool, bool]:
    """Is the first answer's video right, and each of its spans?"""
    if not found.moments or not question.spans:
        return False, False
    best = found.moments[0]
    if not is_video(question.video, str(best.video)):
        return False, False
    wanted, got = question.spans, [(part.start, part.end) for part in best.parts]
    if not got:
        wanted, got = ((wanted[0][0], wanted[-1][1]),), [(best.start, best.end)]
    return True, len(got) == len(wanted) and all(map(lambda a, b: iou(a, b) >= 0.5, got, wanted))


def measure(archive: Archive, queries: Sequence[Query], *, literal: bool) -> None:
    names = [one.video.path.name for one in archive.videos()]
    chosen = np.random.default_rng(1).permutation(names)[:VIDEOS_ASKED]
    rows = defaultdict(list)
    for one in questions(queries, set(chosen.tolist())):
        found = archive.search(one.sentence, top_k=1, literal=literal, within=WHOLE_VIDEO)
        said = (found.moments[0].match_probability or 0.0) if found.moments else 0.0
        match, took = found.verdict.decision == "match", found.timing_ms["total"]
        rows[one.kind].append((*right(one, found), match, said, names.index(one.video), took))
    for kind, some in sorted(rows.items()):
        of_video, chain, match, said, groups, took = np.array(some, float).T
        figures = {"asked": len(some), "refused": interval(1 - match, groups)}
        if kind.startswith("present"):
            figures |= {
                "video R@1": interval(of_video, groups),
                "VCMR": interval(chain, groups),
                "found and accepted": interval(match * chain, groups),
            }
        figures["median ms"] = round(float(np.median(took)))
        print(json.dumps({"kind": kind, **figures}), flush=True)
    every = np.array([row for some in rows.values() for row in some], float)
    error = 100 * float(expected_calibration_error(every[:, 3], every[:, 1] > 0))
    print(json.dumps({"calibration error, a third present": round(error, 1)}), flush=True)


def excluded(archive: Archive, queries: Sequence[Query]) -> None:
    """Of scenes, how many are refused for what is there, and for what is in no video."""
    paths = {one.video.path.name: one.video.path for one in archive.videos()}
    scenes: dict[tuple[str, Span], str] = {}
    for query in queries:
        if query.video:
            scenes.setdefault((query.video, query.spans[0]), query.query)
    absent = [query.query for query in queries if not query.video]
    rows = []
    for number, ((video, (start, end)), said) in enumerate(sorted(scenes.items())[:EXCLUDED]):
        asked = [
            Asked(archive.store, archive.bundle, sentence)
            for sentence in (said, absent[number % len(absent)])
        ]
        moment = Moment(1, paths[video], start, end, 0.0)
        rows.append(
            (*(Excluded(asked).likely(n, moment) for n in (0, 1)), list(paths).index(video))
        )
    there, not_there, groups = np.array(rows).T
    for least in sorted({0.3, 0.5, SEEN, 0.7, 0.9}):
        found = [interval((some >= least).astype(float), groups) for some in (there, not_there)]
        print(json.dumps({"from": least, "asked": len(rows), "there": found[0], "not": found[1]}))


def interval(values: np.ndarray, groups: np.ndarray) -> list[float]:
    if not len(values):
        return []
    (found,) = ratio_intervals([Ratio.mean(values)], groups.astype(int))
    return [round(100 * x, 1) for x in (found.estimate, found.low, found.high)]


def fit(archive: Archive, queries: Sequence[Query]) -> None:
    """Parts of the archive of all sizes are asked; half of the questions can be answered."""
    calibration = archive.bundle.manifest.calibration
    assert calibration is not None
    stored, random = archive.videos(), np.random.default_rng(0)
    rows: list[tuple[float, ...]] = []
    for size in SIZES:
        asked: list[Question] = []
        while len(asked) < ASKED:
            kept = [stored[n] for n in random.permutation(len(stored))[:size]]
            joint = Joint(calibration, sum(one.frames for one in kept))
            some = list(questions(queries, {one.video.path.name for one in kept}, len(rows)))
            present = [one for one in some if one.spans]
            others = [one for one in some if not one.spans]
            most = min(len(present), len(others), max(ASKED // 10, size), ASKED // 2)
            for group in (present, others):
                asked += [group[n] for n in random.permutation(len(group))[:most]]
            every = size >= len(stored)
            names = None if every else [str(one.video.path) for one in kept]
            for one in asked[len(asked) - 2 * most :]:
                found = archive.search(one.sentence, top_k=1, within=WHOLE_VIDEO, video=names)
                if found.moments:
                    p = [part.match_probability or 0.0 for part in found.moments[0].parts]
                    odds = np.log(np.clip(p, 1e-12, None) / (1 - np.clip(p, None, 1 - 1e-12)))
                    e = odds + joint.rivals
                    frames = next(v.frames for v in kept if v.video.path == found.moments[0].video)
                    evidence = e.sum(), e.min(), -joint.rivals, len(p) - 2, np.log(frames)
                    rows.append((*evidence, right(one, found)[1], bool(one.spans)))
        print(json.dumps({"videos": size, "asked": len(asked)}), flush=True)
    table = np.array(rows, float)
    features, is_right, present_one = table[:, :5], table[:, 5] > 0, table[:, 6] > 0
    weights, bias = logistic_fit(features, is_right)
    likely = 1 / (1 + np.exp(-(features @ weights + bias)))
    threshold = float(np.quantile(likely[is_right], 1 - ACCEPTED))
    match = likely >= threshold
    found_all = {
        **dict(zip(("SUM", "LEAST", "SIZE", "MORE", "LENGTH"), weights.tolist(), strict=True)),
        "BIAS": bias,
        "THRESHOLD": threshold,
        "found": (match & is_right)[present_one].mean(),
        "denied": (~match)[~present_one].mean(),
        "precision": is_right[match].mean(),
        "calibration error": expected_calibration_error(likely, is_right),
        "right": is_right[present_one].mean(),
        "queries": len(table),
    }
    print(json.dumps({name: round(float(value), 4) for name, value in found_all.items()}))


WHAT: dict[str, Callable[[Archive, Sequence[Query]], None]] = {
    "parts": partial(measure, literal=False),
    "sentence": partial(measure, literal=True),
    "without": excluded,
    "fit": fit,
}

if __name__ == "__main__":
    read = read_queries(Path(sys.argv[2]), "jsonl")
    with open_archive(Path(sys.argv[1]), threads=1) as opened:
        WHAT[sys.argv[3]](opened, read)
