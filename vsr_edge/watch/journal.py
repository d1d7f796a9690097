"""Which videos each alert was asked of, and what they scored: its past, and what is not new to it.

A file of JSON lines in the archive's folder, only ever added to, so that a kill costs one line.
A line with ``past`` begins an alert: videos up to that id were there before it. A line with
``content``, the fingerprint of a video, says that it was asked; another copy of it is not.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from vsr_edge.errors import ArchiveError

FILE = "alerts.jsonl"
# So many of the latest scores are an alert's past.
KEPT = 20_000


@dataclass
class History:
    """One alert's: the highest id that was there before it; what was asked; (score, hours)."""

    past: int | None = None
    asked: set[str] = field(default_factory=set)
    scores: list[tuple[float, float]] = field(default_factory=list)


class Journal:
    """The lines of an archive's folder, by the alert's key; one process writes them."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._histories: dict[str, History] = {}
        lines: list[bytes] = []
        with suppress(FileNotFoundError):
            lines = self._file.read_bytes().splitlines()
        read = [one for one in map(_read, lines) if one is not None]
        for one in self._shortened(read, len(lines)):
            self._apply(one)

    def of(self, key: str) -> History:
        """What is known of an alert."""
        return self._histories.setdefault(key, History())

    def begin(self, key: str, past: int) -> None:
        """An alert begins: videos with higher ids are new to it."""
        self._add({"alert": key, "past": past})

    def record(self, key: str, content: str, score: float | None, hours: float) -> None:
        """A video was asked; ``score`` is None if it had nothing to be judged."""
        self._add({"alert": key, "content": content, "score": score, "hours": hours})

    def _apply(self, one: dict[str, object]) -> None:
        history = self.of(str(one["alert"]))
        if isinstance(past := one.get("past"), int):
            history.past = past
        if (content := one.get("content")) is None or content in history.asked:
            return
        history.asked.add(str(content))
        score, hours = one.get("score"), one.get("hours")
        if isinstance(score, float | int) and isinstance(hours, float | int):
            history.scores.append((float(score), float(hours)))
            del history.scores[:-KEPT]

    def _add(self, one: dict[str, object]) -> None:
        try:
            with self._file.open("ab+") as file:
                # What a power cut left half written must not spoil this one.
                torn = file.tell() and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n"
                file.write(b"\n" * bool(torn) + json.dumps(one).encode("ascii") + b"\n")
        except OSError as error:
            raise ArchiveError(
                f"{self._file} cannot be written ({error.strerror}): make room, or change its "
                "permissions"
            ) from error
        self._apply(one)

    def _shortened(self, read: list[dict[str, object]], lines: int) -> list[dict[str, object]]:
        """The lines that count, written anew if there are far more than those."""
        seen: Counter[str] = Counter()
        kept = []
        for one in reversed(read):
            seen[str(one["alert"])] += "past" not in one
            if "past" in one or seen[str(one["alert"])] <= KEPT:
                kept.append(one)
        kept.reverse()
        if lines > 2 * len(kept):
            part = self._file.with_suffix(".part")
            with suppress(OSError):  # it is only longer than it need be
                part.write_text("".join(json.dumps(one) + "\n" for one in kept), "ascii")
                part.replace(self._file)
        return kept


def _read(line: bytes) -> dict[str, object] | None:
    try:
        one = json.loads(line)
    except ValueError:
        return None
    return one if isinstance(one, dict) and "alert" in one else None
