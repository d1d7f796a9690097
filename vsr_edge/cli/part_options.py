"""Options for queries of several parts, and how their answers are shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from vsr_edge.cli.options import option

if TYPE_CHECKING:
    from vsr_edge.answer import Moment


@dataclass(frozen=True, slots=True)
class PartOptions:
    """What else is to be seen, and when, or must not be; None where it was not given."""

    PANEL: ClassVar = "Several parts"

    then: Annotated[
        list[str] | None, option("What is to be seen after that. Repeatable.", "--then")
    ]
    also: Annotated[
        list[str] | None,
        option("What is to be seen near it, before, after or with it. Repeatable.", "--and"),
    ]
    without: Annotated[
        list[str] | None, option("What must not be seen meanwhile. Repeatable.", "--without")
    ]
    within: Annotated[
        str | None,
        option("What follows begins so much later at most: 10s, 2m, 1h. \\[default: 30s]"),
    ]
    literal: Annotated[
        bool, option("Look for no parts in the sentence: ask it as it is.", "--literal")
    ]

    def given(self) -> bool:
        """Whether there are parts."""
        return bool(self.then or self.also or self.without)

    def changes(self) -> dict[str, Any]:
        """As :class:`vsr_edge.query.SearchChanges` has it."""
        from vsr_edge.times import seconds_of

        within = None if self.within is None else seconds_of(self.within, "--within")
        return {
            "then": self.then or None,
            "also": self.also or None,
            "without": self.without or None,
            "within": within,
            "literal": self.literal,
        }


def part_rows(moment: Moment, *, judged: bool, blanks: int) -> Iterator[tuple[str, ...]]:
    """Below a moment, where each of its parts is, in the columns of a moment."""
    from vsr_edge.types import clock

    for one in moment.parts:
        likely = "–" if one.match_probability is None else f"{one.match_probability:.0%}"
        yield (
            "",
            *([likely] if judged else []),
            f"{one.score:.3f}",
            clock(one.start),
            clock(one.end),
            *[""] * blanks,
            f"  {one.sentence}",
        )
