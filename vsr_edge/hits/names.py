"""Names of the files that are written for hits, which every system takes."""

from __future__ import annotations

import re
from pathlib import Path

from vsr_edge.types import Seconds

# Of 255 bytes a name may have on most systems; some need room for what they add.
_MOST_BYTES = 120
_ODD = re.compile(r"[^\w.+-]+")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def safe_name(text: str, most_bytes: int = _MOST_BYTES) -> str:
    """Letters and digits of any script, and ``_ . + -``; never empty, hidden or reserved."""
    name = _ODD.sub("_", text).strip("._-")
    name = name.encode("utf-8", "ignore")[:most_bytes].decode("utf-8", "ignore").strip("._-")
    return f"_{name}" if not name or _RESERVED.fullmatch(name) else name


def cut_name(number: int, video: Path, start: Seconds, end: Seconds, suffix: str) -> str:
    """Such as ``01_bikes_1m23.0s-1m30.0s.mp4``."""
    stem, _, stream = video.name.rpartition("#")
    named = f"{Path(stem).stem}_{stream}" if stem and stream.isdigit() else video.stem
    span = f"{_clock(start)}-{_clock(end)}"
    return f"{number:02}_{safe_name(named)}_{span}{suffix}"


def _clock(seconds: Seconds) -> str:
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}h{minutes:02}m{rest:04.1f}s" if hours else f"{minutes}m{rest:04.1f}s"
