"""When footage was recorded, as tables show it, and why a filter found none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vsr_edge.answer import Moment
    from vsr_edge.archive import Archive
    from vsr_edge.query import Filter, VideoNames


def recorded_cell(at: float | None, source: str | None, zone: str) -> str:
    """``2026-03-04 10:15:07``; with a ``~`` before it where only the file's age tells it."""
    from vsr_edge.times import shown

    return "" if at is None else f"{'~' if source == 'file' else ''}{shown(at, zone)}"


def recorded_column(moments: Sequence[Moment], zone: str) -> list[str]:
    """A cell for each moment; none where no container and no name tells of any."""
    if all(moment.recorded_from in (None, "file") for moment in moments):
        return []
    return [recorded_cell(one.recorded_at, one.recorded_from, zone) for one in moments]


def nothing_in(archive: Archive, names: VideoNames | None, where: Filter | None) -> str | None:
    """Which condition of a filter nothing meets; None if something is let through."""
    from vsr_edge.search.nothing import why_nothing
    from vsr_edge.search.video_names import named

    both = named(archive.store, names or None, where)
    zone = archive.settings.time_zone
    return None if both is None else why_nothing(archive.store, both, zone)
