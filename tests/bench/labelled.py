"""A composed benchmark with what people said of every scene: truth for several right answers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from models.data.benchmark import RECORD_FILE, BenchmarkOptions, content_words, plan_benchmark
from models.data.photos import read_captions
from vsr_edge.answer import Moment
from vsr_edge.query import Place
from vsr_edge.types import Seconds


@dataclass(frozen=True, slots=True)
class LabelledScene:
    """A scene of a video of the benchmark, and how many of its captions say each word."""

    video: str
    photo: str
    start: Seconds
    end: Seconds
    words: dict[str, int]


def labelled_scenes(benchmark: Path, captions: Path, split: str) -> list[LabelledScene]:
    """Every scene of a benchmark that was built of these captions, planned once more."""
    said = read_captions(captions, split)
    names = sorted(said)
    options = BenchmarkOptions(**json.loads((benchmark / RECORD_FILE).read_text())["options"])
    plan = plan_benchmark([said[name] for name in names], options)
    scenes = []
    for composition in plan.compositions:
        for scene in composition.scenes:
            name = names[scene.photo]
            counts: dict[str, int] = {}
            for caption in said[name]:
                for word in content_words(caption):
                    counts[word] = counts.get(word, 0) + 1
            scenes.append(
                LabelledScene(f"{composition.name}.mp4", name, scene.start, scene.end, counts)
            )
    return scenes


def scene_of(scenes: list[LabelledScene], moment: Moment | Place) -> LabelledScene | None:
    """The scene that a moment shows: the one in its middle."""
    middle, name = (moment.start + moment.end) / 2, Path(moment.video).name
    return next((s for s in scenes if s.video == name and s.start <= middle < s.end), None)
