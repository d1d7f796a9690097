"""What becomes of an answer: shown, listed, put on pages and on record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from vsr_edge.cli.list_options import ListOptions
from vsr_edge.cli.options import option
from vsr_edge.cli.receipt_commands import ReceiptOptions
from vsr_edge.cli.view_options import ViewOptions
from vsr_edge.errors import UsageError


@dataclass(frozen=True)
class OutputOptions(ViewOptions, ListOptions, ReceiptOptions):
    """What becomes of an answer."""

    PANEL: ClassVar = "What becomes of the answer"

    explain: Annotated[bool, option("Say how the answer was found.", "--explain", "-e")]
    turns: Annotated[bool, option("Every candidate of every turn, in the JSON too.", "--turns")]

    def check(self, as_json: bool) -> None:
        """Raise ``UsageError`` for what cannot be, before any work."""
        self.check_view()
        self.check_list(as_json)
        files = [one for one in (self.sheet, self.html, self.receipt, self.list_out) if one]
        if len({one.absolute() for one in files}) < len(files):
            raise UsageError("two outputs have one name: give each a file")

    def asked_for(self) -> bool:
        """Whether more is wanted than the answer itself."""
        files = (self.sheet, self.html, self.receipt, self.list_out, self.format)
        return self.pictures or self.explain or any(one is not None for one in files)
