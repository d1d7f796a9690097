"""When a recorder says that it made a file: what the container tells, not one frame decoded."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from vsr_edge.media.opening import container_tags
from vsr_edge.media.source import SourceFile

# Phones write the second in local time with its offset, beside the first in UTC.
_KEYS = ("com.apple.quicktime.creationdate", "creation_time")


def created_at(file: Path | SourceFile) -> datetime | None:
    """The time in a container's head, whatever it is worth; without a zone where it gives none.

    Raises:
        MediaError: the file cannot be opened as media.
    """
    tags = container_tags(file)
    for key in _KEYS:
        try:
            return datetime.fromisoformat(tags[key].strip())
        except (KeyError, ValueError):
            continue
    return None
