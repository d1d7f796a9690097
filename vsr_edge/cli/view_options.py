"""What `search` makes of its hits to look at: a contact sheet, a page, pictures in the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from vsr_edge.cli.console import counting_progress, say
from vsr_edge.cli.options import option
from vsr_edge.errors import UsageError

if TYPE_CHECKING:
    from vsr_edge.answer import SearchResult
    from vsr_edge.archive import Archive
    from vsr_edge.cli.inline import Terminal


@dataclass(frozen=True)
class ViewOptions:
    """How to see the hits, beside the table of them."""

    sheet: Annotated[
        Path | None,
        option("Write a contact sheet: a .jpg, .png or .webp.", "--sheet", readable=False),
    ]
    html: Annotated[
        Path | None,
        option("Write one page with pictures, that needs no other file.", "--html", readable=False),
    ]
    pictures: Annotated[
        bool, option("Show the hits in the terminal: kitty, iTerm2, Sixel.", "--pictures")
    ]
    force: Annotated[bool, option("Overwrite files that are there already.", "--force")]

    def check_view(self) -> None:
        """Say what cannot be done before anything is searched.

        Raises:
            UsageError: a file is there already, cannot be of its kind, or its folder is not there.
        """
        if self.sheet is not None:
            from vsr_edge.hits.sheet import check_sheet

            check_sheet(self.sheet)
        if self.sheet is not None and self.sheet == self.html:
            raise UsageError(f"--sheet and --html both name {self.sheet}: give each a file")
        for path in filter(None, (self.sheet, self.html)):
            # What is no plain file, as /dev/stdout, cannot be put in place whole.
            if not path.parent.is_dir() or (path.exists() and not path.is_file()):
                raise UsageError(f"{path} cannot be written: name a file in a folder that is there")
            if path.exists() and not self.force:
                raise UsageError(f"{path} is there already: name another, or say --force")

    def show(self, archive: Archive, found: SearchResult, *, as_json: bool) -> None:
        """Make what was asked for of an answer; nothing is cut if nothing was."""
        terminal = None
        if self.pictures:
            terminal = self._terminal(as_json)
        if self.sheet is None and self.html is None and terminal is None:
            return
        from vsr_edge.hits.thumbnails import put, thumbnails_of

        zone = archive.settings.time_zone
        with counting_progress("videos") as on_progress:
            pictures = thumbnails_of(archive, found.moments, on_progress)
        if terminal is not None and found.moments:
            from vsr_edge.cli.inline import print_pictures

            print_pictures(terminal, found, pictures)
        if self.sheet is not None:
            from vsr_edge.hits.sheet import FORMATS, MOST, contact_sheet

            put(
                self.sheet, contact_sheet(found, pictures, FORMATS[self.sheet.suffix.lower()], zone)
            )
            few = f", the first {MOST} moments" if len(found.moments) > MOST else ""
            say(f"contact sheet: {self.sheet}{few}")
        if self.html is not None:
            from vsr_edge.hits.hits_page import hits_page

            put(self.html, hits_page(found, pictures, zone).encode("utf-8"))
            say(f"page: {self.html}")

    def _terminal(self, as_json: bool) -> Terminal | None:
        from vsr_edge.cli.inline import detected

        if as_json:
            say("--pictures shows nothing with --json")
            return None
        terminal = detected()
        if terminal is None:
            say(
                "this terminal shows no pictures, as far as can be told (kitty, iTerm2 and Sixel "
                "are known): --html FILE makes a page of them"
            )
        return terminal
