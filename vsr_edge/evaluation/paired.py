"""What two runs over the same queries tell, in words: which is better, and what is too little to
say so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

# Which figures of :func:`vsr_edge.evaluation.archive_scores.compare` decide between two bundles.
TELLING: Final = {
    "VR": ("r1", "r5"),
    "VCMR": ("0.5-r1", "0.5-r5"),
    "grounding": ("mean_iou",),
    "not_there": ("recall", "precision"),
    "confidence": ("accuracy",),
}
_TITLES: Final = {
    ("VR", "r1"): "the right video first",
    ("VCMR", "0.5-r1"): "the right moment first (IoU 0.5)",
    ("not_there", "recall"): "“not there” of what is absent",
}
# The main figure of the queries that are about something, and of those that are not.
_PRESENT, _ABSENT = ("VR", "r1"), ("not_there", "recall")
# How fine a difference one would like to see, in points.
WANTED: Final = 5.0

Document: TypeAlias = Mapping[str, Any]


def telling(document: Document) -> dict[str, Any]:
    """The comparison with the figures alone that decide."""
    difference = {
        table: {name: found[name] for name in names if name in found}
        for table, names in TELLING.items()
        if (found := document["difference"].get(table))
    }
    return {**document, "difference": difference}


def resolution(document: Document) -> dict[str, float | None]:
    """The least difference, in points, that these queries can tell from chance, for those that are
    ``present`` and ``absent``: half of the interval's width, and by the rule of three (Hanley and
    Lippman-Hand 1983) no less than 3 / n, because the bootstrap sees no failure that did not
    happen. None where there is nothing to tell.
    """
    halves, counts = _halves(document), document["a"]["queries"]
    return {
        kind: None if half is None else round(min(max(half, 300 / counts[kind]), 100), 1)
        for kind, half in halves.items()
    }


def _halves(document: Document) -> dict[str, float | None]:
    """Half the width of the intervals of the main figures, in points."""
    halves: dict[str, float | None] = {}
    for kind, (table, name) in (("present", _PRESENT), ("absent", _ABSENT)):
        value = document["difference"].get(table, {}).get(name)
        known = value is not None and None not in value and document["a"]["queries"][kind]
        halves[kind] = (value[2] - value[1]) / 2 if known else None
    return halves


def said_of(document: Document, names: Sequence[str]) -> list[str]:
    """Sentences for people: what is certain, and what these queries are too few for."""
    said, undecided = [], []
    for (table, figure), title in _TITLES.items():
        value = document["difference"].get(table, {}).get(figure)
        if value is None or None in value:
            continue
        if value[1] > 0 or value[2] < 0:
            better, worse = names if value[0] > 0 else (names[1], names[0])
            said.append(f"{title}: {better} more often than {worse}, by {abs(value[0]):.1f} points")
        else:
            undecided.append(title)
    if undecided:
        said.append(f"no certain difference in {'; '.join(undecided)}")
    counts = document["a"]["queries"]
    least = resolution(document)
    for kind, half in _halves(document).items():
        found = least[kind]
        if half is not None and found is not None and found > WANTED:
            # An interval narrows with the root of how many were asked, the rule of three with them.
            needed = max(counts[kind] * (half / WANTED) ** 2, 300 / WANTED)
            said.append(
                f"too few queries for fine differences: {counts[kind]} about what is {kind} tell "
                f"{found:.0f} points or more from chance; for {WANTED:.0f} points it takes about "
                f"{math.ceil(needed / 10) * 10}"
            )
    if not counts["absent"]:
        said.append("no query is about what is absent: nothing tells how well either denies it")
    elif "recall" not in document["difference"].get("not_there", {}):
        said.append("one of them has no verifier: how well absence is told cannot be compared")
    return said
