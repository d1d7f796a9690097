"""The last alerts that fired, and what stands: kept in the archive's folder, for whoever looks
there later. No delivery depends on it; that is the outbox's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from vsr_edge.watch.alerts import Alert

FIRED, STANDING = "alerts-fired.jsonl", "alerts-standing.json"
# So many are kept, and the file grows to twice as many lines.
KEPT = 500


def keep_fired(folder: Path, alerts: Iterable[str]) -> None:
    """Add alerts, a JSON object each, to the last ones. Where nothing can be written, none are."""
    file = folder / FIRED
    with suppress(OSError):
        with file.open("ab+") as lines:
            # What a power cut left half written must not spoil these.
            torn = lines.tell() and (lines.seek(-1, os.SEEK_END), lines.read(1))[1] != b"\n"
            text = "\n" * bool(torn) + "".join(f"{one}\n" for one in alerts)
            lines.write(text.encode("utf-8"))
        every = _lines(file)
        if len(every) > 2 * KEPT:
            _put(file, "".join(f"{one}\n" for one in every[-KEPT:]))


def last_fired(folder: Path) -> list[dict[str, Any]]:
    """The newest first, each once, however often it was told."""
    lines: list[str] = []
    with suppress(OSError):
        lines = _lines(folder / FIRED)
    found: dict[str, dict[str, Any]] = {}
    for line in reversed(lines):
        with suppress(ValueError, KeyError, TypeError):  # what a power cut left half written
            one = json.loads(line)
            found.setdefault(str(one["id"]), one)
    return list(found.values())[:KEPT]


def keep_standing(folder: Path, alerts: Sequence[Alert]) -> None:
    """Keep what is asked of each new video from now on."""
    if not alerts and not (folder / STANDING).exists():
        return
    told = [
        {
            "name": alert.name,
            "query": alert.query,
            "a_day": round(alert.rate * 24, 4),
            "since": None if alert.hours is None else _of_day(alert.hours.since),
            "until": None if alert.hours is None else _of_day(alert.hours.until),
            "videos": list(alert.videos),
        }
        for alert in alerts
    ]
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        _put(folder / STANDING, json.dumps(told))


def standing_alerts(folder: Path) -> list[dict[str, Any]]:
    """What was kept so; none where nobody watched."""
    with suppress(OSError, ValueError):
        found = json.loads((folder / STANDING).read_text("utf-8"))
        return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    return []


def _lines(file: Path) -> list[str]:
    """Apart at line feeds alone, as JSON may hold what else Unicode ends lines with."""
    return [one for one in file.read_text("utf-8", "replace").split("\n") if one]


def _of_day(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}"


def _put(file: Path, text: str) -> None:
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        part.write_text(text, "utf-8")
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
