"""An answer in words, as pages and sheets say it."""

from __future__ import annotations

from vsr_edge.answer import Moment, SearchResult
from vsr_edge.times import shown
from vsr_edge.types import clock


def percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def verdict_in_words(found: SearchResult) -> str:
    """What was decided, as a sentence."""
    if not found.moments:
        return "Nothing matched."
    likely = percent(found.moments[0].match_probability)
    if found.verdict.decision == "match" and found.moments[0].source != "seen":
        return "Found: the words are there."
    if found.verdict.decision == "match":
        return f"Found: the first moment is right with a probability of {likely}."
    if found.verdict.decision == "no_match":
        return (
            "Nothing found that is likely enough; these are the nearest guesses. The likeliest is "
            f"right with a probability of {likely}, and a match begins at "
            f"{percent(found.verdict.threshold)}."
        )
    return "Nothing was verified: the score orders the moments, it is no probability."


def is_guess(found: SearchResult, moment: Moment) -> bool:
    """Whether it is less likely than what counts as a match."""
    threshold = found.verdict.threshold
    unlikely = threshold is not None and (moment.match_probability or 0.0) < threshold
    return unlikely and moment.source == "seen"


def likelihood(moment: Moment) -> str:
    """Its probability, or its score where nothing was verified, or that its words are there."""
    if moment.source != "seen":
        return {"said": "said", "written": "written there"}.get(moment.source, "said and seen")
    if moment.match_probability is None:
        return f"score {moment.score:.3f}"
    return percent(moment.match_probability)


def recorded(moment: Moment, zone: str) -> str:
    """When a moment was recorded, by the clocks of a zone; empty where no container and no name
    tells it.
    """
    if (at := moment.recorded_at) is None or moment.recorded_from == "file":
        return ""
    try:
        return shown(at, zone)
    except OverflowError:  # the clock of a camera may say anything
        return ""


def span(moment: Moment) -> str:
    return f"{clock(moment.start)}–{clock(moment.end)}"
