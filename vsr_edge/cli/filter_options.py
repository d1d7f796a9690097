"""The options that say which footage counts, of `search`, `videos`, `remove` and `tag`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from vsr_edge.cli.options import option

if TYPE_CHECKING:
    from vsr_edge.archive import Archive
    from vsr_edge.query import Filter


def complete_tags(ctx: typer.Context, incomplete: str) -> list[str]:
    """Tags of the archive that begin so."""
    with suppress(Exception):  # a shell that asks wants no tracebacks
        from vsr_edge.store.known import known_tags

        return known_tags(_archive(ctx), incomplete)
    return []


def complete_videos(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of videos and of their folders in the archive that begin so, or paths."""
    with suppress(Exception):
        from vsr_edge.store.known import known_names

        return known_names(_archive(ctx), incomplete)
    return []


def _archive(ctx: typer.Context) -> Path | str:
    from vsr_edge.config import load_settings

    settings = load_settings({"archive": ctx.params.get("archive")})
    return settings.database or settings.archive


@dataclass(frozen=True, slots=True)
class FilterOptions:
    """Which footage counts, of :class:`vsr_edge.query.Filter`; None where it was not given."""

    PANEL: ClassVar = "Which footage counts"

    video: Annotated[
        list[str] | None,
        option(
            "Only these: a path, a folder, a glob such as '*.mkv'. Repeatable.",
            "--video",
            "-v",
            autocompletion=complete_videos,
        ),
    ]
    after: Annotated[
        str | None,
        option(
            "Recorded at or after: 2026-03-04, 2026-03-04T22:00, 22:00, yesterday, 2h (ago), 3d.",
            metavar="TIME",
        ),
    ]
    before: Annotated[str | None, option("Recorded before, said likewise.", metavar="TIME")]
    between: Annotated[
        str | None,
        option("Recorded at this time of day: 22:00-06:00.", metavar="FROM-TO"),
    ]
    min_duration: Annotated[
        str | None, option("Videos of this length or more: 90, 1m30s, 2h.", metavar="LENGTH")
    ]
    max_duration: Annotated[str | None, option("Videos of this length or less.", metavar="LENGTH")]
    tag: Annotated[
        list[str] | None,
        option(
            "Videos with this tag, or without it: -night. Of several, all count. Repeatable.",
            "--tag",
            autocompletion=complete_tags,
        ),
    ]

    def said(self) -> dict[str, Any]:
        """What was typed, by the names of :class:`vsr_edge.query.FilterWords`, and ``video``."""
        typed = {name: getattr(self, name) for name in self.__slots__ if name != "tag"}
        return {name: value for name, value in (typed | {"tags": self.tag}).items() if value}

    def where(self, archive: Archive) -> Filter | None:
        """The filter that was typed, but for its videos; None if nothing was.

        Raises:
            UsageError: something that cannot be.
        """
        words: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("after", "before", "between", "min_duration", "max_duration")
        }
        return archive.where(**words, tags=self.tag)

    def changes(self, archive: Archive) -> dict[str, Any]:
        """As :class:`vsr_edge.query.SearchChanges` has it."""
        return {"video": self.video or None, "where": self.where(archive)}
