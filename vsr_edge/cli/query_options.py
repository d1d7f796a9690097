"""What may be asked beside a sentence: options of `search`, and the query that they make."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from vsr_edge.cli.console import say
from vsr_edge.cli.options import option
from vsr_edge.errors import UsageError

if TYPE_CHECKING:
    from vsr_edge.archive import Archive
    from vsr_edge.query import Query


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """What is asked beside the sentence; None where it was not given."""

    PANEL: ClassVar = "What is asked beside the sentence"

    like: Annotated[
        str | None,
        option("What it looks like: a picture's file, or a moment, VIDEO@TIME.", metavar="PHOTO"),
    ]
    weight: Annotated[
        float | None,
        option("Of --like beside the sentence, between 0 and 1. \\[default: 0.5]"),
    ]
    against: Annotated[
        str | None, option("What is not to be seen, in words.", "--not", metavar="SENTENCE")
    ]
    good: Annotated[
        str | None,
        option("Look for more like these of the last answer, as in 1,3.", metavar="RANKS"),
    ]
    bad: Annotated[
        str | None,
        option("Do not show these of the last answer again.", metavar="RANKS"),
    ]
    remember: Annotated[
        str | None,
        option("Save the query with its filters and all that was judged.", metavar="NAME"),
    ]
    queries: Annotated[
        Path | None,
        option(
            "Ask many: a JSON object a line in, a JSON document a line out; - is stdin.",
            metavar="FILE",
            readable=False,
            allow_dash=True,
        ),
    ]


def asked_query(archive: Archive, words: Sequence[str] | None, options: QueryOptions) -> Query:
    """The query that the arguments make, perhaps by way of the last answer.

    Raises:
        UsageError: nothing is asked for, or what does not go together.
    """
    from vsr_edge.hits.asked import settled, with_feedback
    from vsr_edge.hits.last import last_answer
    from vsr_edge.query import Query

    text = " ".join(words) if words else None
    if options.weight is not None and (text is None or options.like is None):
        raise UsageError("--weight is that of --like beside a sentence: give both")
    weight = 0.5 if options.weight is None else options.weight
    query = None
    if text is not None or options.like is not None:
        query = settled(archive, Query(text, options.like, weight, options.against))
    if options.good or options.bad:
        if query is None and options.against is not None:
            raise UsageError("--not needs a sentence or --like beside it")
        folder = archive.settings.archive
        judged = (ranks(options.good), ranks(options.bad))
        query = with_feedback(archive, query, last_answer(folder), *judged)
    return query or Query(against=options.against)


def remember(archive: Archive, name: str, query: Query, said: Mapping[str, Any]) -> None:
    """Save a query that was asked, with what was ``said`` of footage."""
    from vsr_edge.hits.saved import filters_of, save_search

    replaced = save_search(archive.settings.archive, name, query, filters_of(archive, said))
    did = "saved anew" if replaced else "saved"
    say(f"{did} as {name}: vsr-edge saved run {name}")


def ranks(text: str | None) -> list[int]:
    """``1,3`` and ``2-4`` as numbers of moments."""
    found: list[int] = []
    for part in (text or "").replace(" ", "").split(","):
        if not part:
            continue
        span = re.fullmatch(r"([1-9]\d{0,5})(?:-([1-9]\d{0,5}))?", part, re.ASCII)
        if span is None:
            raise UsageError(f"{text!r} names no moments: write their numbers, as in 1,3 or 2-4")
        first, last = int(span[1]), int(span[2] or span[1])
        found += range(first, last + 1)
    return found
