"""Hits cut out as files: of an answer, of the last one, or of a span that somebody names."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from vsr_edge.answer import SearchResult
from vsr_edge.errors import MediaError, UsageError
from vsr_edge.hits.names import cut_name
from vsr_edge.media.stream_copy import copy_suffix
from vsr_edge.media.trim import Trimmed, check_target, trim
from vsr_edge.types import Seconds

_NUMBERS = re.compile(r"\d{1,6}(-\d{1,6})?")


@dataclass(frozen=True, slots=True)
class Hit:
    """A span of a video to cut or to list; ``number`` is its rank, ``label`` what it shows."""

    number: int
    video: Path
    start: Seconds
    end: Seconds
    label: str
    score: float | None = None
    match_probability: float | None = None

    def padded(self, seconds: Seconds) -> tuple[Seconds, Seconds]:
        """Its bounds with so much more on both sides, from the beginning of the video at most."""
        return max(self.start - seconds, 0.0), self.end + seconds


@dataclass(frozen=True, slots=True)
class Cut:
    """A hit, and the file that was made of it."""

    hit: Hit
    trimmed: Trimmed


@dataclass(slots=True)
class CutSummary:
    """What came of a run: ``failed`` are files with the reason."""

    cuts: list[Cut] = field(default_factory=list)
    failed: list[tuple[Path, str]] = field(default_factory=list)


def hits_of(
    found: SearchResult, *, guesses: bool = False, min_probability: float | None = None
) -> list[Hit]:
    """The moments of an answer that match, or with ``guesses`` all; where nothing was verified
    nothing tells them apart.
    """
    judged = found.verdict.threshold is not None and not guesses
    least = max(found.verdict.threshold or 0.0 if judged else 0.0, min_probability or 0.0)
    return [
        Hit(m.rank, m.video, m.start, m.end, found.query, m.score, m.match_probability)
        for m in found.moments
        if m.source != "seen"  # words that are there need no probability
        or (not judged if m.match_probability is None else m.match_probability >= least)
    ]


def hits_of_last(answer: dict[str, Any], wanted: str) -> list[Hit]:
    """Moments of the kept answer by their ranks: ``1,3``, ``2-5`` or ``all``.

    Raises:
        UsageError: no such moment, or an answer that is not one.
    """
    try:
        hits = {
            int(one["rank"]): Hit(
                int(one["rank"]),
                Path(one["video"]),
                float(one["start"]),
                float(one["end"]),
                str(answer["query"]),
                one["score"],
                one["match_probability"],
            )
            for one in answer["moments"]
        }
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError("the last answer cannot be read: search again") from error
    if wanted.strip().lower() == "all":
        return list(hits.values())
    numbers: list[int] = []
    for part in wanted.split(","):
        if not _NUMBERS.fullmatch(part := part.strip()):
            raise UsageError(f"{wanted!r} names no moments: say 1,3 or 2-5 or all")
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    if missing := [number for number in numbers if number not in hits]:
        raise UsageError(
            f"the last answer has no moment {missing[0]}: it has {len(hits)}, for "
            f"{answer['query']!r}"
        )
    return [hits[number] for number in dict.fromkeys(numbers)]


def targets_of(
    hits: Sequence[Hit], out: Path, *, pad: Seconds = 0.0, copy: bool = False, force: bool = False
) -> list[Path]:
    """Where each hit's file goes: into a folder, or for one hit into a file of that name.

    A path is a file where it has an ending and no folder lies there.

    Raises:
        UsageError: several hits for one file, or a file that is not to be overwritten: so that no
            work is begun in vain.
    """
    if names_a_file(out):
        if len(hits) > 1:
            raise UsageError(f"{out} is one file for {len(hits)} cuts: name a folder with --out")
        targets = [out]
    else:
        targets = [
            out
            / cut_name(
                hit.number,
                hit.video,
                *hit.padded(pad),
                copy_suffix(hit.video) if copy else ".mp4",
            )
            for hit in hits
        ]
    for target in targets:
        check_target(target, force=force)
    return targets


def names_a_file(out: Path) -> bool:
    """Whether ``--out`` means a file, not a folder."""
    return bool(out.suffix) and not out.is_dir()


def cut_hits(
    hits: Sequence[Hit],
    targets: Sequence[Path],
    *,
    pad: Seconds = 0.0,
    copy: bool = False,
    force: bool = False,
    threads: int = 0,
    on_done: Callable[[int, int], object] | None = None,
    summary: CutSummary | None = None,
) -> CutSummary:
    """Cut each hit into its file; one that fails does not stop the others.

    ``on_done`` is told how many of how many are, also amid each; what it raises ends the run.
    ``summary`` is filled on the way, for who is interrupted.

    Raises:
        OSError: a folder cannot be made.
    """
    summary = summary or CutSummary()
    for number, (hit, target) in enumerate(zip(hits, targets, strict=True)):
        step = None if on_done is None else partial(on_done, number, len(hits))
        if step is not None:
            step()
        target.parent.mkdir(parents=True, exist_ok=True)
        start, end = hit.padded(pad)
        try:
            done = trim(
                *(hit.video, start, end, target),
                copy=copy,
                force=force,
                threads=threads,
                on_step=step,
            )
        except MediaError as error:
            summary.failed.append((error.path, error.reason))
        except OSError as error:
            said = error.strerror or os.strerror(error.errno or 0)
            summary.failed.append((hit.video, f"{target} cannot be written ({said})"))
        else:
            summary.cuts.append(Cut(hit, done))
    return summary
