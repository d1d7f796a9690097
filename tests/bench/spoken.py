"""What fusing words with pictures does to answers that are seen and to those that are only spoken.

    python -m models.data build-benchmark --split val --videos 60 --present 160 --absent 30 …
    python -m tests.bench.spoken BENCHMARK captions.csv [SEED]

Every video of the benchmark talks all along: beside it lies a subtitle file with captions of other
photos, of the train split, one every few seconds. Half of the questions are the benchmark's own,
for what is seen; the other half are for sentences that are spoken, of which a third of the words is
left out. Both are asked of pictures, of words, and of both.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from models.data.photos import read_captions
from tests.media.subtitle_files import srt
from vsr_edge import open_archive
from vsr_edge.archive import Archive
from vsr_edge.evaluation.benchmarks.queries import read_queries
from vsr_edge.evaluation.records import is_video
from vsr_edge.types import Cue

SECONDS_A_CUE, LEFT_OUT = 4.0, 1 / 3
WAYS = {"pictures": False, "words": True, "both": None}


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
    """A sentence as somebody remembers it."""
    words = sentence.rstrip(" .").split()
    kept = sorted(random.permutation(len(words))[round(LEFT_OUT * len(words)) :].tolist())
    return " ".join(words[place] for place in kept)


def rank(archive: Archive, query: str, video: str, text: bool | None) -> tuple[int, bool]:
    """How many videos come before the right one (100: it does not), and whether it is a match."""
    found = archive.search(query, top_k=10, text=text)
    videos = list(dict.fromkeys(str(moment.video) for moment in found.moments))
    places = [place for place, one in enumerate(videos) if is_video(video, one)]
    return (places or [100])[0], found.verdict.decision == "match"


def main(benchmark: Path, captions: Path, seed: int) -> None:
    seen = [q for q in read_queries(benchmark / "queries.jsonl", "jsonl") if q.present]
    questions = {"seen": [(query.query, str(query.video)) for query in seen]}
    with open_archive(benchmark / "spoken-archive") as archive:
        archive.index(benchmark / "videos")
        lengths = {one.video.path: one.video.duration for one in archive.videos()}
        said = talk(benchmark / "videos", captions, lengths, seed)
        started = time.perf_counter()
        read = archive.index(benchmark / "videos").cues
        seconds = time.perf_counter() - started
        print(f"{len(lengths)} videos, {len(said)} sentences; {read} cues read in {seconds:.1f} s")
        random = np.random.default_rng(seed)
        some = random.permutation(len(said))[: len(seen)].tolist()
        questions["spoken"] = [(partial(said[i][0], random), said[i][1]) for i in some]
        for half, asked in questions.items():
            ranks: dict[str, list[int]] = {}
            for way, text in WAYS.items():
                started = time.perf_counter()
                answers = [rank(archive, query, video, text) for query, video in asked]
                milliseconds = 1000 * (time.perf_counter() - started) / len(asked)
                ranks[way] = [place for place, _ in answers]
                row = {"half": half, "asked of": way, "queries": len(asked)}
                row |= {f"R@{k}": _percent([r < k for r in ranks[way]]) for k in (1, 5)}
                row |= {"match": _percent([match for _, match in answers])}
                print(json.dumps({**row, "ms": round(milliseconds, 1)}))
            alone = ranks["pictures" if half == "seen" else "words"]
            changes = [np.sign(a - b) for a, b in zip(alone, ranks["both"], strict=True)]
            print(f"  both: better in {changes.count(1)}, worse in {changes.count(-1)}")


def _percent(hits: list[bool]) -> float:
    return round(100 * float(np.mean(hits)), 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if sys.argv[3:] else 0)
