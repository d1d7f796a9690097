"""How one of several video streams in a file is named: ``cars.mp4#1``. Loads no FFmpeg."""

from __future__ import annotations

import re
from pathlib import Path

_NUMBERED = re.compile(r"(?P<file>.+)#(?P<number>\d{1,3})", re.DOTALL)


def split_stream(path: Path) -> tuple[Path, int | None]:
    """The file that ``path`` names, and which of its video streams, from 0, if it names one.

    ``cars.mp4#1`` is the second video stream of ``cars.mp4``, unless there is a file of that name.
    """
    found = _NUMBERED.fullmatch(path.name)
    try:
        if found is None or path.exists():
            return path, None
    except OSError:
        return path, None  # opening it will say why
    return path.with_name(found["file"]), int(found["number"])


def with_stream(path: Path, number: int) -> Path:
    """The name of a video stream that its file alone does not mean."""
    return path.with_name(f"{path.name}#{number}")
