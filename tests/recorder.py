"""A camera's recorder: writes video files slowly, renames some, deletes some, and keeps a log.

    python -m tests.recorder FOLDER LOG FILES EVERY_SECONDS

A file is begun every so many seconds and takes three quarters of that to be written, in pieces. Its
container can be read, as a shorter video, from early on. What becomes of it goes by its number.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tests.media_files import constant_rate, picture, write_video

Fate = Literal["kept", "part", "cut off", "renamed", "deleted"]
FATES: tuple[Fate, ...] = ("kept", "part", "cut off", "renamed", "kept", "deleted")
PIECES = 30
FRAMES = 60


@dataclass(frozen=True)
class Recorded:
    """One file: where it lies in the end (None: nowhere), its size, and its name while written."""

    fate: Fate
    name: str
    path: str | None
    size: int


def fate_of(number: int) -> Fate:
    return FATES[number % len(FATES)]


def record(folder: Path, log: Path, files: int, every: float) -> None:
    """Returns when all is written; complete files are renamed or deleted when the next one is."""
    later: list[tuple[Path, Path | None]] = []
    with tempfile.TemporaryDirectory() as scratch, log.open("w", encoding="utf-8") as lines:
        for number in range(files):
            began, fate = time.monotonic(), fate_of(number)
            # Numbers of its own, so that no two files are alike.
            draw = partial(_picture, number * FRAMES)
            whole = write_video(Path(scratch, "whole.mkv"), constant_rate(FRAMES), draw=draw)
            content = whole.read_bytes()
            path = folder / f"cam-{number:03d}.mkv"
            ends = write_slowly(path, content, fate, every * 0.75)
            _settle(later)
            if fate == "renamed":
                ends = folder / f"kept-{number:03d}.mkv"
                later.append((path, ends))
            elif fate == "deleted":
                ends = None
                later.append((path, None))
            name = None if ends is None else str(ends)
            done = Recorded(fate, str(path), name, len(content))
            lines.write(json.dumps(asdict(done)) + "\n")
            lines.flush()
            time.sleep(max(every - (time.monotonic() - began), 0))
        _settle(later)


def _settle(later: list[tuple[Path, Path | None]]) -> None:
    for old, new in later:
        old.unlink() if new is None else old.rename(new)
    later.clear()


def write_slowly(path: Path, whole: bytes, fate: Fate, seconds: float) -> Path | None:
    """Write a file piece by piece; returns where it lies then."""
    writing = path.with_name(f"{path.name}.part") if fate == "part" else path
    pieces = PIECES // 2 if fate == "cut off" else PIECES
    with writing.open("wb", buffering=0) as file:
        for piece in range(pieces):
            file.write(whole[piece * len(whole) // PIECES : (piece + 1) * len(whole) // PIECES])
            time.sleep(seconds / PIECES)
    if fate == "cut off":
        writing.unlink()
        return None
    return writing.rename(path) if fate == "part" else path


def recorded(log: Path) -> list[Recorded]:
    return [Recorded(**json.loads(line)) for line in log.read_text("utf-8").splitlines()]


def _picture(first: int, index: int, width: int, height: int) -> NDArray[np.uint8]:
    return picture((first + index) % 4096, width, height)


if __name__ == "__main__":
    record(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
