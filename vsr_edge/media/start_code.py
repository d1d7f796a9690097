"""The timecode that a camera began a recording with, which editors find its frames by."""

from __future__ import annotations

from pathlib import Path

from vsr_edge.media.opening import open_video


def start_timecode(path: Path) -> str | None:
    """Such as ``10:23:45:00``, or None where the file says none.

    Raises:
        MediaError: the file cannot be opened.
    """
    with open_video(path) as video:
        streams = [video.stream, *video.container.streams]
        for tags in (*(one.metadata for one in streams), video.container.metadata):
            if found := tags.get("timecode"):
                return str(found)
    return None
