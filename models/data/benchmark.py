"""The benchmark archive: composed videos of captioned photos, and queries with exact truth.

What it is: real photos and people's captions of them; the videos around them are composed, so the
only motion is that of the view. What it measures is finding a picture of what a sentence says in
footage, when it begins and ends, and whether it is there at all. It says nothing about actions.

An absent query is a caption whose photo is in no video. So that "not there" is true of what is to
be seen, and not of one photo alone, such a caption shares at most half of its content words with
any caption of any photo that is there.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from models.data.composition import Composition, Scene, compose
from models.data.footage import film
from vsr_edge.evaluation.benchmarks import write_queries
from vsr_edge.evaluation.records import Query

QUERIES_FILE, RECORD_FILE, VIDEOS_FOLDER = "queries.jsonl", "benchmark.json", "videos"
# The shares of photos that are in no video, and of videos that no query asks for.
ABSENT_PHOTOS, DISTRACTOR_VIDEOS = 0.2, 0.2
LONG_VIDEO_SCENES = 10
MOST_SHARED_WORDS = 0.5
_UNTELLING_TEXT = """
a an the of in on at with and or is are be being to it its his her their there two three some while
by from as another that this for into through over under up down out off onto one who which near
next
"""
UNTELLING = frozenset(_UNTELLING_TEXT.split())


@dataclass(frozen=True, slots=True)
class BenchmarkOptions:
    """What, with the photos, decides everything about a benchmark."""

    videos: int = 200
    present: int = 1000
    absent: int = 200
    seed: int = 0
    side: int = 224


@dataclass(frozen=True, slots=True)
class Benchmark:
    """The plan: videos and queries. Photos are numbered as the names they were planned from."""

    compositions: tuple[Composition, ...]
    queries: tuple[Query, ...]

    @property
    def seconds(self) -> float:
        return sum(composition.duration for composition in self.compositions)


def plan_benchmark(captions: Sequence[Sequence[str]], options: BenchmarkOptions) -> Benchmark:
    """Plan videos and queries for photos with these captions.

    Raises:
        ValueError: too few photos or captions for so many videos and queries.
    """
    random = np.random.default_rng(options.seed)
    order = random.permutation(len(captions)).tolist()
    cut = round(ABSENT_PHOTOS * len(order)) if options.absent else 0
    compositions = compose(order[cut:], options.videos, random)
    distractors = round(DISTRACTOR_VIDEOS * len(compositions))
    asked = sorted(random.permutation(len(compositions))[distractors:].tolist())
    present = _present(
        [(compositions[i], scene) for i in asked for scene in compositions[i].scenes],
        captions,
        options.present,
        random,
    )
    absent = _absent(order[:cut], order[cut:], captions, options.absent, random)
    return Benchmark(tuple(compositions), (*present, *absent))


def _present(
    scenes: Sequence[tuple[Composition, Scene]],
    captions: Sequence[Sequence[str]],
    count: int,
    random: np.random.Generator,
) -> Iterator[Query]:
    """Ask for every scene once before any is asked for twice."""
    chosen = _in_rounds([len(captions[scene.photo]) for _, scene in scenes], random)[:count]
    if len(chosen) < count:
        raise ValueError(f"there are captions for {len(chosen)} present queries, not {count}")
    for number, (place, caption) in enumerate(sorted(chosen)):
        composition, scene = scenes[place]
        is_long = len(composition.scenes) >= LONG_VIDEO_SCENES
        yield Query(
            qid=f"p{number:04d}",
            query=captions[scene.photo][caption],
            video=f"{composition.name}.mp4",
            spans=((scene.start, scene.end),),
            duration=composition.duration,
            extra={"kind": "long" if is_long else "present"},
        )


def _absent(
    photos: Sequence[int],
    archived: Sequence[int],
    captions: Sequence[Sequence[str]],
    count: int,
    random: np.random.Generator,
) -> Iterator[Query]:
    """Ask for what no video shows, going by the captions of all that is shown."""
    there = [content_words(caption) for photo in archived for caption in captions[photo]]
    usable = [
        [caption for caption in captions[photo] if not _said(content_words(caption), there)]
        for photo in photos
    ]
    chosen = _in_rounds([len(group) for group in usable], random)[:count]
    if len(chosen) < count:
        raise ValueError(f"there are captions for {len(chosen)} absent queries, not {count}")
    for number, (place, caption) in enumerate(sorted(chosen)):
        yield Query(
            qid=f"a{number:04d}",
            query=usable[place][caption],
            video=None,
            spans=(),
            extra={"kind": "absent"},
        )


def content_words(caption: str) -> frozenset[str]:
    """The words of a caption that say something about the picture."""
    return frozenset(re.findall(r"[^\W\d_]+", caption.lower())) - UNTELLING


def _said(words: frozenset[str], there: Iterable[frozenset[str]]) -> bool:
    return any(len(words & other) > MOST_SHARED_WORDS * len(words) for other in there) or not words


def _in_rounds(sizes: Sequence[int], random: np.random.Generator) -> list[tuple[int, int]]:
    """(group, item) for all items, in rounds: one random item of each group, then the next."""
    shuffled = [random.permutation(size).tolist() for size in sizes]
    rounds: list[tuple[int, int]] = []
    for turn in range(max(sizes, default=0)):
        groups = [group for group, size in enumerate(sizes) if turn < size]
        rounds += [(group, shuffled[group][turn]) for group in random.permutation(groups).tolist()]
    return rounds


def build_benchmark(
    images: Path,
    captions: Mapping[str, Sequence[str]],
    out: Path,
    options: BenchmarkOptions,
    *,
    on_progress: Callable[[int, int], None],
    on_unreadable: Callable[[str, str], None],
) -> Benchmark:
    """Write a benchmark into the new folder ``out``: videos, queries, and a record of both.

    A photo that cannot be read is reported and left out. The folder appears when it is complete; an
    interrupted run leaves nothing.

    Raises:
        ValueError: ``out`` exists, or what ``plan_benchmark`` raises.
    """
    if out.exists():
        raise ValueError(f"{out} exists: remove it or name another folder")
    names = [name for name in sorted(captions) if _readable(images / name, on_unreadable)]
    benchmark = plan_benchmark([captions[name] for name in names], options)
    unfinished = out.with_name(f"{out.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    folder = unfinished / VIDEOS_FOLDER
    folder.mkdir(parents=True)
    try:
        for done, composition in enumerate(benchmark.compositions):
            on_progress(done, len(benchmark.compositions))
            film(
                folder / f"{composition.name}.mp4",
                composition,
                lambda photo: Image.open(images / names[photo]),
                options.side,
            )
        write_queries(unfinished / QUERIES_FILE, benchmark.queries, "jsonl")
        (unfinished / RECORD_FILE).write_text(json.dumps(_record(benchmark, options), indent=1))
        unfinished.replace(out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    on_progress(len(benchmark.compositions), len(benchmark.compositions))
    return benchmark


def _readable(path: Path, report: Callable[[str, str], None]) -> bool:
    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, ValueError) as error:
        report(path.name, str(error))
        return False
    return True


def _record(benchmark: Benchmark, options: BenchmarkOptions) -> dict[str, object]:
    kinds = [str(query.extra["kind"]) for query in benchmark.queries]
    return {
        "what": "composed footage: real photos, people's captions, moving views, no real motion",
        "options": asdict(options),
        "videos": len(benchmark.compositions),
        "scenes": sum(len(composition.scenes) for composition in benchmark.compositions),
        "hours": round(benchmark.seconds / 3600, 3),
        "queries": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
    }
