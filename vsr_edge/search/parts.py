"""What a query of several parts asks for: by options, or in the sentence itself."""

from __future__ import annotations

from dataclasses import dataclass

from vsr_edge.errors import UsageError
from vsr_edge.query import SearchOptions
from vsr_edge.search.grammar import Reading, read
from vsr_edge.types import Seconds

# The parts of one step are put together in every way.
MOST_PARTS = 6


@dataclass(frozen=True, slots=True)
class Parts:
    """Sentences by step: steps follow one another, each at most ``within`` seconds later; those of
    one step lie in a stretch of so many. ``without``: what is not to be seen meanwhile.
    """

    by_step: tuple[tuple[str, ...], ...]
    without: tuple[str, ...] = ()
    within: Seconds = 30.0

    @classmethod
    def of(cls, query: str, options: SearchOptions) -> Parts:
        """Read a sentence and the options beside it.

        Raises:
            UsageError: more parts than can be searched for, or a part without words.
        """
        reading = Reading((query,)) if options.literal else read(query)
        first, *rest = reading.parts
        then = ((sentence,) for sentence in (*rest, *options.then))
        without = (*reading.without, *options.without)
        found = cls(((first, *options.also), *then), without, options.within)
        if len(found.sentences) > MOST_PARTS:
            raise UsageError(
                f"{len(found.sentences)} parts are too many: ask for {MOST_PARTS} at most"
            )
        if not all(sentence.strip() for sentence in (*found.sentences, *without)):
            raise UsageError("a part is empty: say in a few words what is to be seen")
        return found

    @property
    def sentences(self) -> list[str]:
        return [sentence for step in self.by_step for sentence in step]

    @property
    def steps(self) -> list[list[int]]:
        """The numbers of the sentences, by step."""
        numbers = iter(range(len(self.sentences)))
        return [[next(numbers) for _ in step] for step in self.by_step]

    def told(self) -> str | None:
        """As it was understood; None where it is one sentence."""
        if len(self.sentences) == 1 and not self.without:
            return None
        steps = [" and ".join(map(_quoted, step)) for step in self.by_step]
        within = f" within {self.within:g} s" if len(self.sentences) > 1 else ""
        return f", then{within} ".join(steps) + self._beside(within)

    def _beside(self, within: str) -> str:
        near = within if len(self.by_step) == 1 else ""
        return near + "".join(f", without {_quoted(sentence)}" for sentence in self.without)

    def relation(self, part: int, anchor: int) -> str:
        """Where a part should be, seen from another."""
        of = {number: place for place, step in enumerate(self.steps) for number in step}
        later = of[part] - of[anchor]
        where = "near" if later == 0 else "after" if later > 0 else "before"
        return f"{where} it within {self.within:g} s"


def _quoted(sentence: str) -> str:
    return f'"{sentence.strip()}"'
