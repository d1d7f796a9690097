"""`watch` under a recorder, and killed: what must be in the archive in the end."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.command import COMMAND, TIMEOUT
from tests.ingest.archives import paths_in
from tests.recorder import Recorded, recorded
from vsr_edge.errors import ArchiveError
from vsr_edge.store import open_store
from vsr_edge.types import StoredVideo


class Watching:
    """A `watch` that is killed and started again; stdout and stderr of all of them in files."""

    def __init__(self, scratch: Path, *arguments: str | Path) -> None:
        self._arguments = arguments
        self.out, self.err = scratch / "out", scratch / "err"
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.out.open("ab") as out, self.err.open("ab") as err:
            return subprocess.Popen(
                [*COMMAND, "watch", *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    def killed(self) -> None:
        """Kill it amid whatever it does, and start it again."""
        assert self.process.poll() is None, self.said()
        self.process.kill()
        self.process.wait()
        self.process = self._start()

    def ended(self) -> tuple[int, float]:
        """Tell it to end; its exit code, and the seconds that it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(TIMEOUT)
        return code, time.monotonic() - began

    def said(self) -> str:
        return self.err.read_text("utf-8")

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.out.read_text("utf-8").splitlines()]

    def __enter__(self) -> Watching:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


@dataclass(frozen=True)
class Outcome:
    """``stored`` counts how often a video was stored, ``ended`` is exit code and seconds."""

    files: list[Recorded]
    videos: list[StoredVideo]
    stored: int
    ended: tuple[int, float]
    said: str


def under_a_recorder(
    folder: Path, *, files: int, every: float, settle: float, kills: int, seed: int = 0
) -> Outcome:
    """Record, watch, and kill the watching so often; in the end all has settled."""
    videos, archive, log = folder / "videos", folder / "archive", folder / "log"
    videos.mkdir()
    arguments = (videos, "--archive", archive, "--settle", f"{settle:g}s", "--rescan", "30s")
    recorder: list[str | Path] = [
        sys.executable,
        "-m",
        "tests.recorder",
        videos,
        log,
        str(files),
        str(every),
    ]
    chance, began = random.Random(seed), time.monotonic()
    with ExitStack() as stack:
        recording = stack.enter_context(subprocess.Popen(recorder))
        stack.callback(recording.kill)
        watching = stack.enter_context(Watching(folder, *arguments, "--prune", "--json"))
        for part in range(kills):
            # At any moment of each part of the time.
            due = (part + chance.random()) * files * every / kills
            time.sleep(max(began + due - time.monotonic(), 0))
            watching.killed()
        assert recording.wait(TIMEOUT + files * every) == 0
        expected = {one.path for one in recorded(log) if one.path is not None}
        deadline = time.monotonic() + TIMEOUT
        while _paths(archive) != expected:
            assert watching.process.poll() is None, watching.said()
            assert time.monotonic() < deadline, (_paths(archive) ^ expected, watching.said())
            time.sleep(0.2)
        ended = watching.ended()
    with open_store(archive) as store:
        found = store.videos()
    return Outcome(recorded(log), found, times_stored(archive), ended, watching.said())


def times_stored(archive: Path) -> int:
    """How often a video was stored: ids never come back, and one that is dropped takes none."""
    with closing(sqlite3.connect(archive / "archive.db")) as database:
        (row,) = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'videos'")
    return int(row[0])


def _paths(archive: Path) -> set[str]:
    try:
        return {os.fspath(path) for path in paths_in(archive)}
    except ArchiveError:  # not there yet, or just being made
        return set()
