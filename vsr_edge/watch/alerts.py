"""Standing queries: what is asked of each new video, and how alike the answer is."""

from __future__ import annotations

import hashlib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vsr_edge.answer import Candidate
from vsr_edge.bundle.model import Bundle
from vsr_edge.errors import UsageError
from vsr_edge.query import Daily, Filter, SearchOptions
from vsr_edge.runtime.heads import TextEncoding
from vsr_edge.search.candidates import Asked, likeliest_first
from vsr_edge.search.spans import Window, moments
from vsr_edge.store.base import Store
from vsr_edge.times import daily_of, holds
from vsr_edge.types import StoredVideo

BUDGET = "1/day"
_KEYS = {"query", "between", "video", "false_alarms"}
_HOURS = {"hour": 1, "day": 24, "week": 168}
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*(hour|day|week)")


@dataclass(frozen=True, slots=True)
class Alert:
    """A sentence that stands. ``rate``: so many false alarms may come of an hour of footage.

    ``hours``: only what was recorded then. ``videos``: only those, as for `search --video`.
    """

    name: str
    query: str
    rate: float
    hours: Daily | None = None
    videos: tuple[str, ...] = ()

    def key(self, bundle_id: str) -> str:
        """Names whatever its scores depend on: another query has another past."""
        parts = [self.query, str(self.hours), *sorted(self.videos), bundle_id]
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def alerts_of(
    given: list[str],
    false_alarms: str | None,
    between: str | None,
    videos: list[str],
    zone: str = "",
) -> list[Alert]:
    """The alerts that are typed as ``NAME=QUERY``, all with the same limits, by a zone's clocks.

    Raises:
        UsageError: one without a name or a query, a name twice, or limits that cannot be.
    """
    found = []
    for text in given:
        name, equals, query = text.partition("=")
        if not (equals and name.strip() and query.strip()):
            raise UsageError(f'--alert is NAME="what is to be seen", not {text!r}')
        about = {"query": query.strip(), "between": between, "video": videos}
        about["false_alarms"] = false_alarms
        found.append(_alert(name.strip(), {k: v for k, v in about.items() if v}, zone))
    return found


def alerts_in(file: Path, zone: str = "") -> list[Alert]:
    """The alerts of a TOML file, a table each: ``query``, ``between``, ``video``, ``false_alarms``.

    Raises:
        UsageError: it cannot be read, or says what cannot be.
    """
    try:
        tables = tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read as TOML: {error}") from error
    found = []
    for name, about in tables.items():
        if not isinstance(about, dict) or not isinstance(about.get("query"), str):
            raise UsageError(f'{file}: [{name}] needs query = "what is to be seen"')
        if unknown := about.keys() - _KEYS:
            raise UsageError(f"{file}: [{name}] knows no {', '.join(sorted(unknown))}")
        found.append(_alert(name, about, zone))
    return found


def _alert(name: str, about: dict[str, Any], zone: str) -> Alert:
    videos = about.get("video", [])
    videos = [videos] if isinstance(videos, str) else videos
    texts = [about["query"], about.get("between", ""), about.get("false_alarms", BUDGET)]
    if not all(isinstance(text, str) for text in [*texts, *videos]):
        raise UsageError(f"alert {name}: texts are needed, not {about}")
    if not about["query"].strip():
        raise UsageError(f"alert {name}: the query is empty")
    hours = daily_of(about["between"], zone) if about.get("between") else None
    return Alert(name, about["query"], rate_of(texts[2]), hours, tuple(videos))


def rate_of(text: str) -> float:
    """``1/day``, ``0.5/hour``, ``2/week`` → how many in an hour.

    Raises:
        UsageError: anything else, or none at all.
    """
    found = _RATE.fullmatch(text.strip())
    if found is None or not float(found[1]):
        raise UsageError(
            f"false alarms are so many an hour, a day or a week, such as 1/day; not {text!r}"
        )
    return float(found[1]) / _HOURS[found[2]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one video has to say to an alert: its best moment, and how alike that is."""

    score: float
    moment: Candidate


def began(stored: StoredVideo) -> float:
    """When a video was begun, in seconds since 1970 (UTC); its file was last changed at its end."""
    if stored.recorded_at is not None:
        return stored.recorded_at
    return stored.video.modified_ns / 1e9 - stored.video.duration


def ask(
    store: Store, bundle: Bundle, alert: Alert, text: TextEncoding, stored: StoredVideo
) -> Answer | None:
    """Ask one video, in one turn; None if it has nothing to be judged, or not at these hours.

    The score is what the search orders by: the verifier's logit with the inner product; where
    nothing is verified, the inner product.
    """
    exactly = SearchOptions(video=str(stored.video.path))
    with store.reading():
        if store.find(stored.video.path) is None:  # removed meanwhile
            return None
        asked = Asked(store, bundle, alert.query, exactly, text)
        hits = asked.retrieve(asked.vector, exactly.candidates)
        found = asked.candidates(hits)
        judged = hits
        if asked.verifier is not None and found:  # none where no regions were stored
            judged = likeliest_first(asked.verify(asked.verifier, found, stored.frames))
        judged = [one for one in judged if _at_its_hours(alert, stored, one)]
        if not judged:
            return None
        best = judged[0]
        score = best.score if best.probability is None else best.order
        fitted = moments([best], [], asked.around, 1)
    return Answer(score, (fitted or [best])[0].told())


def _at_its_hours(alert: Alert, stored: StoredVideo, window: Window) -> bool:
    if alert.hours is None:
        return True
    instant = np.array([began(stored) + window.start])
    return bool(holds(Filter(between=alert.hours), instant)[0])
