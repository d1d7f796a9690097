"""A sentence → its parts: "A, then B", "A before B", "after A, B", "A without B", "A, but no B".

Conservative: what may be one picture stays one. "before" and "after" split only where a clause with
a verb of the list stands on either side ("a man walks before a car" is a place), "without" only at
the end and not before what is worn, and nothing splits inside quotation marks. "and" never splits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_VERBS = """
appears arrives barks begins bows breaks brings burns carries catches chases cleans climbs closes
comes crosses cries cuts dances dives does drinks drives drops eats enters exits falls fights
finishes flies gets gives goes grabs greets has hides hits holds hugs is are jogs jumps kicks kisses
kneels knocks laughs leaps leaves lies lifts lights locks looks moves opens parks passes pays picks
plays points pours pulls pushes puts reaches reads returns rides rolls runs says screams sees shakes
shoots shows shuts sings sits skates skis sleeps slides smiles smokes speaks spills stands starts
steals stops swims swings takes talks throws touches turns unlocks waits wakes walks washes watches
waves wears works writes
"""
_VERB = re.compile(rf"\b({'|'.join(_VERBS.split())})\b", re.IGNORECASE)
_DETERMINER = r"(?:an?|the|one|two|three|four|five|some|another|his|her|its|their|someone|somebody)"
# Words that begin a clause of its own; a noun follows, and then a verb.
_CLAUSE = re.compile(rf"{_DETERMINER}\b", re.IGNORECASE)
_PRONOUN = re.compile(r"(he|she|it|they)\b\s*", re.IGNORECASE)
_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”|„[^“]*“|«[^»]*»|(?<!\w)['‘][^'’]*['’](?!\w)")
_THEN = re.compile(
    r"\s*(?:[,;.]\s*(?:and\s+)?(?:then|afterwards|after\s+that)\b|\sand\s+then\b)\s*,?\s+",
    re.IGNORECASE,
)
_BARE_THEN = re.compile(r"\s+then\s+", re.IGNORECASE)
_ORDER = re.compile(r"\s*,?\s+(before|after)\s+", re.IGNORECASE)
_LEADING = re.compile(r"(before|after)\s+(.+?),\s+(.+)", re.IGNORECASE | re.DOTALL)
_WITHOUT = re.compile(
    r"(?:\s*,\s*|\s+)(but\s+(?:with\s+)?no|but\s+not|but\s+without|without)\s+(?:any\s+)?"
    r"((?:(?!\b(?:but|without)\b)[^,;.])+?)\s*\.?\s*$",
    re.IGNORECASE,
)
# "runs after" is a chase, "one without his bicycle" one of several people.
_CHASE = re.compile(
    r"\b(runs|goes|comes|walks|jumps|looks|swims|flies|leaps|reaches)$", re.IGNORECASE
)
_DOING = re.compile(r"^\w+ing\b|ing$", re.IGNORECASE)
_OWNED = re.compile(r"(his|her|its|their)\b", re.IGNORECASE)
# What comes behind these says more of the subject, or is another clause.
_RELATIVE = re.compile(r"\b(that|who|which|where|while|but|behind)\b|[,;]", re.IGNORECASE)
# Longer ends are clauses, and what is worn belongs to who wears it.
_LONGEST_WITHOUT = 4
_WORN = re.compile(
    r"\b(shirts?|tops?|hats?|caps?|helmets?|shoes?|socks?|clothes|clothing|jackets?|coats?|pants|"
    r"trousers|gloves?|glasses|goggles|sleeves?|hair|beard|harness|ropes?|leash|saddles?|hands?|"
    r"feet|arms?|legs?|head|wheels?|lids?|handles?|training|support|masks?|bras?|swimsuits?)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a sentence asks for: its parts in order of time, and what must not be seen."""

    parts: tuple[str, ...]
    without: tuple[str, ...] = ()


def read(sentence: str) -> Reading:
    """The parts of a sentence; of one that has none, the sentence itself, unchanged."""
    text, quoted = _masked(sentence)
    without: list[str] = []
    while (found := _excluded(text)) is not None:
        text, what = found
        without.insert(0, what)
    parts = [one for step in _split(text, _THEN) for one in _by_order(step)]
    if len(parts) == 1 and not without:
        return Reading((sentence,))
    named = [parts[0], *(_with_subject(one, parts[0]) for one in parts[1:])]
    return Reading(
        tuple(_restored(one, quoted) for one in named),
        tuple(_restored(one, quoted) for one in without),
    )


def _masked(sentence: str) -> tuple[str, list[str]]:
    """With each quotation as one word that no rule knows."""
    quoted: list[str] = []

    def mask(found: re.Match[str]) -> str:
        quoted.append(found[0])
        return f"\0{len(quoted) - 1}\0"

    return _QUOTED.sub(mask, sentence.replace("\0", " ")), quoted


def _restored(text: str, quoted: list[str]) -> str:
    return re.sub(r"\0(\d+)\0", lambda found: quoted[int(found[1])], text)


def _excluded(text: str) -> tuple[str, str] | None:
    found = _WITHOUT.search(text)
    if found is None or not text[: found.start()].strip(" ,;."):
        return None
    joint, what = found[1].lower(), found[2].strip()
    but = joint.startswith("but")
    long = len(what.split()) > _LONGEST_WITHOUT
    if (
        long
        or _OWNED.match(what)
        or _WORN.search(what)
        or _DOING.search(what)
        or _VERB.search(what)
    ):
        return None
    if joint == "but not" and not _CLAUSE.match(what):
        return None
    bare = not but and not _CLAUSE.match(what) and len(what.split()) > 2
    return None if bare else (text[: found.start()].rstrip(" ,;"), what)


def _split(text: str, joint: re.Pattern[str]) -> list[str]:
    """At the joints that have words on both sides."""
    parts = [part.strip(" ,;.") for part in joint.split(text)]
    if len(parts) == 1 or not all(parts):
        parts = [text.strip()]
    return [half for part in parts for half in _by_bare_then(part)]


def _by_bare_then(text: str) -> list[str]:
    """ "then" alone, between two clauses."""
    for found in _BARE_THEN.finditer(text):
        before, after = text[: found.start()].strip(), text[found.end() :].strip()
        if _VERB.search(before) and _is_clause(after):
            return [before, *_by_bare_then(after)]
    return [text]


def _by_order(text: str) -> Iterator[str]:
    """The clauses around "before" and "after", the earlier first."""
    leading = _LEADING.fullmatch(text)
    if leading and _is_clause(leading[2]) and _is_clause(leading[3]):
        word, one, other = leading[1].lower(), leading[2], leading[3]
        yield from (one, other) if word == "after" else (other, one)
        return
    for found in _ORDER.finditer(text):
        before, after = text[: found.start()].strip(), text[found.end() :].strip()
        chase = found[1].lower() == "after" and "," not in found[0] and _CHASE.search(before)
        if not chase and _is_clause(before) and _is_clause(after):
            if found[1].lower() == "before":
                yield from (before, *_by_order(after))
            else:
                yield from (*_by_order(after), before)
            return
    yield text


def _is_clause(text: str) -> bool:
    """Somebody or something, and a verb behind it, perhaps a word or a few later."""
    verb = _VERB.search(text)
    begins = _CLAUSE.match(text) or _PRONOUN.match(text)
    subject = text[: verb.start()] if verb else ""
    return bool(begins and 0 < len(subject.split()) <= 4 and not _RELATIVE.search(subject))


def _with_subject(part: str, first: str) -> str:
    """ "runs away" and "he runs away" behind "a man opens a door": it is the man who does."""
    pronoun, verb = _PRONOUN.match(part), _VERB.search(first)
    subject = first[: verb.start()].strip() if verb else ""
    if subject.lower() in ("", "there") or not (pronoun or _VERB.match(part)):
        return part
    return f"{subject} {part[pronoun.end() :] if pronoun else part}"
