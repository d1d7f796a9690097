"""What fusing words with pictures does to answers that are seen and to those that are only spoken.

    python -m models.data build-benchmark --split val --videos 60 --present 600 --absent 30 …
    python -m tests.bench.spoken BENCHMARK captions.csv [--talks 4] [--questions 150] [--seen 600]

Every video of the benchmark talks all along: beside it lies a subtitle file with captions of other
photos, of the train split, one every four seconds. The benchmark's own questions are for what is
seen, and asked beside each of the talks; as many others are for sentences that are spoken, of which
a third of the words is left out. In half of these the small words, which tell nothing, are others
too, as people remember them.

All are asked of pictures, of words (where small words are others, of those that tell something),
and of both. In per cent of the questions whose right video is the first, or among the first five;
differences to the list that knows, with 95 % intervals by bootstrap over questions: what becomes of
one question beside several talks counts as one.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from models.data.photos import read_captions
from tests.media.subtitle_files import srt
from vsr_edge import SearchResult, open_archive
from vsr_edge.archive import Archive
from vsr_edge.evaluation.benchmarks.queries import read_queries
from vsr_edge.evaluation.bootstrap import Ratio, ratio_intervals
from vsr_edge.evaluation.records import is_video
from vsr_edge.query import SearchOptions
from vsr_edge.search.fusion import UNTELLING, telling_words, text_search, with_texts
from vsr_edge.types import Cue

SECONDS_A_CUE, LEFT_OUT = 4.0, 1 / 3
SMALL_WORDS = ("some", "this", "that", "near", "by", "there")
PLACES, NOWHERE = (1, 5), 100
OPTIONS = SearchOptions(top_k=10)
# So many of each talk's questions are also asked in one go, which must answer the same.
CHECKED = 5


@dataclass(frozen=True)
class Question:
    """``words`` is what is asked of words alone, ``number`` which answers are of one question."""

    number: int
    query: str
    words: str
    video: str


@dataclass
class Half:
    """The places of the right video, by who was asked, and the list that knows of it."""

    knows: str
    numbers: list[int] = field(default_factory=list)
    places: dict[str, list[int]] = field(default_factory=dict)

    def add(self, question: Question, found: dict[str, SearchResult]) -> None:
        self.numbers.append(question.number)
        for way, answer in found.items():
            self.places.setdefault(way, []).append(place(answer, question.video))

    def found(self, way: str, within: int) -> Ratio:
        return Ratio.mean([place < within for place in self.places[way]])


def talk(
    folder: Path, captions: Path, lengths: dict[Path, float], seed: int
) -> list[tuple[str, str]]:
    """Write the subtitle files; all that is said, each with its video's name."""
    random = np.random.default_rng(seed)
    groups = [group for _, group in sorted(read_captions(captions, "train").items())]
    order = iter(random.permutation(len(groups)).tolist())
    said = []
    for video, length in sorted(lengths.items()):
        cues = []
        for number in range(int(length // SECONDS_A_CUE)):
            start = number * SECONDS_A_CUE
            sentence = str(random.choice(groups[next(order)]))
            cues.append(Cue(start, start + SECONDS_A_CUE - 0.5, sentence))
            said.append((sentence, video.name))
        (folder / video.name).with_suffix(".srt").write_text(srt(cues), "utf-8")
    return said


def partial(sentence: str, random: np.random.Generator) -> str:
    """A sentence of which a third of the words is forgotten."""
    words = sentence.rstrip(" .").split()
    kept = sorted(random.permutation(len(words))[round(LEFT_OUT * len(words)) :].tolist())
    return " ".join(words[place] for place in kept)


def otherwise(sentence: str, random: np.random.Generator) -> str:
    """A sentence with other small words."""
    words = sentence.split()
    return " ".join(str(random.choice(SMALL_WORDS)) if w.lower() in UNTELLING else w for w in words)


def place(found: SearchResult, video: str) -> int:
    """How many videos come before the right one."""
    videos = list(dict.fromkeys(str(moment.video) for moment in found.moments))
    return next((n for n, one in enumerate(videos) if is_video(video, one)), NOWHERE)


def by_pictures(archive: Archive, questions: Iterable[Question], name: str) -> list[SearchResult]:
    asked, started = list(questions), time.perf_counter()
    found = []
    for number, one in enumerate(asked):
        found.append(archive.search(one.query, OPTIONS, text=False))
        print(f"{name}: {number + 1} of {len(asked)}", end="\r", file=sys.stderr, flush=True)
    each = 1000 * (time.perf_counter() - started) / max(len(asked), 1)
    print(f"{name}: {len(asked)} questions by pictures, {each:.0f} ms each", file=sys.stderr)
    return found


def ask(
    archive: Archive, questions: Sequence[Question], seen: list[SearchResult], half: Half
) -> None:
    """Ask words, and fuse with what pictures answered, as a plain search does."""
    for number, (question, pictures) in enumerate(zip(questions, seen, strict=True)):
        words = text_search(archive.store, question.words, OPTIONS)
        both = with_texts(archive.store, pictures, OPTIONS)
        if number < CHECKED:
            assert archive.search(question.query, OPTIONS).moments == both.moments, question
        half.add(question, {"pictures": pictures, "words": words, "both": both})


def spoken_questions(said: Sequence[tuple[str, str]], count: int, seed: int) -> list[Question]:
    """The first half of them with the small words that were said, the others with others."""
    random = np.random.default_rng(seed)
    questions = []
    for number, which in enumerate(random.permutation(len(said))[:count].tolist()):
        sentence, video = said[which]
        query = words = partial(sentence, random)
        if number >= count // 2:
            query = otherwise(query, random)
            words = " ".join(telling_words(query)) or query
        questions.append(Question(seed * count + number, query, words, video))
    return questions


def main(benchmark: Path, captions: Path, talks: int, count: int, most_seen: int) -> None:
    present = [q for q in read_queries(benchmark / "queries.jsonl", "jsonl") if q.present]
    chosen = np.random.default_rng(0).permutation(len(present))[:most_seen].tolist()
    asked = [present[n] for n in sorted(chosen)]
    wanted = [Question(n, q.query, q.query, str(q.video)) for n, q in enumerate(asked)]
    halves = {"seen": Half("pictures"), "spoken": Half("words"), "said otherwise": Half("words")}
    with open_archive(benchmark / "spoken-archive", threads=1) as archive:
        archive.index(benchmark / "videos")
        lengths = {one.video.path: one.video.duration for one in archive.videos()}
        seen = by_pictures(archive, wanted, "seen")
        for seed in range(talks):
            said = talk(benchmark / "videos", captions, lengths, seed)
            read = archive.index(benchmark / "videos").cues
            assert read >= 0.99 * len(said), f"{read} of {len(said)} sentences were read"
            ask(archive, wanted, seen, halves["seen"])
            spoken = spoken_questions(said, count, seed)
            pictures = by_pictures(archive, spoken, f"talk {seed}, {len(said)} sentences")
            half = count // 2
            ask(archive, spoken[:half], pictures[:half], halves["spoken"])
            ask(archive, spoken[half:], pictures[half:], halves["said otherwise"])
    print(f"{len(lengths)} videos, {talks} talks; R@{' / R@'.join(map(str, PLACES))}")
    for name, one in halves.items():
        print(f"{name}: {len(one.numbers)} answers to {len(set(one.numbers))} questions")
        groups = np.unique(one.numbers, return_inverse=True)[1]
        for way in one.places:
            figures = [one.found(way, k).value for k in PLACES]
            print(f"  {way:9}", " / ".join(f"{100 * figure:.1f}" for figure in figures))
        for k in PLACES:
            both, alone = one.found("both", k), one.found(one.knows, k)
            (found,) = ratio_intervals([both], groups, minus=[alone])
            better, worse = (
                int((side > 0).sum()) for side in (both.hits - alone.hits, alone.hits - both.hits)
            )
            low, high = 100 * found.low, 100 * found.high
            print(
                f"  both against {one.knows}, R@{k}: {100 * found.estimate:+.2f} "
                f"[{low:+.2f}, {high:+.2f}], {better} better, {worse} worse"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("benchmark", type=Path)
    parser.add_argument("captions", type=Path)
    parser.add_argument("--talks", type=int, default=4, help="how many, each of other sentences")
    parser.add_argument("--questions", type=int, default=150, help="for what a talk says")
    parser.add_argument("--seen", type=int, default=600, help="at most so many of the benchmark's")
    said = parser.parse_args()
    main(said.benchmark, said.captions, said.talks, said.questions, said.seen)
