"""Asks the standing queries: the past once, to learn what is usual; then each new video, once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vsr_edge.archive import Archive
from vsr_edge.errors import ArchiveNotFound, UsageError
from vsr_edge.query import Filter
from vsr_edge.runtime.heads import TextEncoding
from vsr_edge.search.video_names import named
from vsr_edge.store.base import Store
from vsr_edge.times import spans_within
from vsr_edge.types import LEAST_SECONDS, StoredVideo
from vsr_edge.watch.alerts import Alert, Answer, ask, began
from vsr_edge.watch.journal import History, Journal
from vsr_edge.watch.thresholds import LEAST_PAST, Threshold, threshold


@dataclass(frozen=True, slots=True)
class Fired:
    """An alert that fired. ``id`` is the same whenever it is told of this moment.

    ``recorded_at`` is when the moment began, as ISO 8601 in UTC; ``recorded_from`` is "file" where
    that goes by the time of the file's last change. ``past_hours``: the footage the threshold is
    of, which is ``extrapolated`` if that is too little.
    """

    id: str
    alert: str
    query: str
    video: Path
    start: float
    end: float
    score: float
    threshold: float
    extrapolated: bool
    past_hours: float
    probability: float | None
    recorded_at: str
    recorded_from: str


class Standing:
    """The alerts of an archive, whose journal lies in its folder.

    Raises:
        UsageError: two alerts of one name.
    """

    def __init__(self, archive: Archive, alerts: Sequence[Alert]) -> None:
        names = [alert.name for alert in alerts]
        if doubled := {name for name in names if names.count(name) > 1}:
            raise UsageError(f"two alerts are called {', '.join(sorted(doubled))}")
        self._archive, self._alerts = archive, alerts
        self._texts: dict[str, TextEncoding] = {}
        self._journal: Journal | None = None

    def begin(self, tick: Callable[[], object] = lambda: None) -> Iterator[str]:
        """Ask the archive's past of alerts that are new; yields a sentence on each alert.

        Before anything is indexed: what comes later is new. What is new already, as what was
        indexed while nobody watched, is left to :meth:`ask_new`.
        """
        store = self._store()
        videos = [] if store is None else store.videos()
        last = max((stored.video_id for stored in videos), default=0)
        for alert in self._alerts:
            key, history = self._known(alert)
            # Of another archive at this place, or one that was made anew.
            if history.past is None or history.past > last:
                self._open_journal().begin(key, last)
            for stored in self._matching(alert, videos):
                if stored.video_id <= (history.past or 0):
                    self._score(alert, stored)
                    tick()
            yield self._state(alert, self._threshold(alert, history))

    def ask_new(self, tick: Callable[[], object] = lambda: None) -> Iterator[list[Fired]]:
        """Ask the new videos; yields what fired of each, if any, before it is noted as asked."""
        store = self._store()
        if store is None:
            return
        videos = sorted(store.videos(), key=lambda stored: stored.video_id)
        for alert in self._alerts:
            _, history = self._known(alert)
            past = history.past
            for stored in self._matching(alert, videos):
                if past is None or stored.video_id <= past:
                    continue
                if stored.video.fingerprint in history.asked:
                    continue
                limit = self._threshold(alert, history)
                answer = self._answer(alert, stored)
                if answer and limit.value is not None and answer.score > limit.value:
                    yield [self._fired(alert, stored, answer, limit)]
                self._note(alert, stored, answer)
                tick()

    def _store(self) -> Store | None:
        try:
            return self._archive.encoded_store()
        except ArchiveNotFound:
            return None

    def _open_journal(self) -> Journal:
        folder = self._archive.settings.archive
        if self._journal is None:
            folder.mkdir(parents=True, exist_ok=True)
            self._journal = Journal(folder)
        return self._journal

    def _known(self, alert: Alert) -> tuple[str, History]:
        key = alert.key(self._archive.bundle.bundle_id)
        return key, self._open_journal().of(key)

    def _matching(self, alert: Alert, videos: Sequence[StoredVideo]) -> Iterator[StoredVideo]:
        """Those that the alert is about, which were recorded at its hours in part at least."""
        store, wanted = self._store(), None
        if alert.videos and store is not None:
            where = named(store, alert.videos, required=False)
            wanted = {stored.video_id for stored in store.videos(where)}
        for stored in videos:
            if (wanted is None or stored.video_id in wanted) and _seconds(alert, stored):
                yield stored

    def _answer(self, alert: Alert, stored: StoredVideo) -> Answer | None:
        store, bundle = self._store(), self._archive.bundle
        if store is None:
            return None
        if alert.query not in self._texts:
            self._texts[alert.query] = bundle.encode_queries([alert.query])
        return ask(store, bundle, alert, self._texts[alert.query], stored)

    def _score(self, alert: Alert, stored: StoredVideo) -> None:
        _, history = self._known(alert)
        if stored.video.fingerprint not in history.asked:
            self._note(alert, stored, self._answer(alert, stored))

    def _note(self, alert: Alert, stored: StoredVideo, answer: Answer | None) -> None:
        key, _ = self._known(alert)
        score, hours = (None if answer is None else answer.score), _seconds(alert, stored) / 3600
        self._open_journal().record(key, stored.video.fingerprint, score, hours)

    def _threshold(self, alert: Alert, history: History) -> Threshold:
        scores = [score for score, _ in history.scores]
        return threshold(scores, sum(hours for _, hours in history.scores), alert.rate)

    def _fired(self, alert: Alert, stored: StoredVideo, answer: Answer, limit: Threshold) -> Fired:
        moment, start = answer.moment, began(stored) + answer.moment.start
        key, _ = self._known(alert)
        at = f"{key}\0{stored.video.fingerprint}\0{moment.start:.3f}"
        return Fired(
            id=hashlib.sha256(at.encode("utf-8")).hexdigest()[:16],
            alert=alert.name,
            query=alert.query,
            video=stored.video.path,
            start=moment.start,
            end=moment.end,
            score=answer.score,
            threshold=limit.value or 0.0,
            extrapolated=limit.extrapolated,
            past_hours=limit.hours,
            probability=moment.match_probability,
            recorded_at=datetime.fromtimestamp(start, UTC).isoformat(timespec="milliseconds"),
            recorded_from=stored.recorded_from or "file",
        )

    @staticmethod
    def _state(alert: Alert, limit: Threshold) -> str:
        past = f"{limit.videos} videos, {limit.hours:.2f} h of past footage"
        if limit.value is None:
            return f"alert {alert.name}: {past}; it is silent until there are {LEAST_PAST} videos"
        guess = "; too short for so rare a score: the threshold is extrapolated"
        return f"alert {alert.name}: above {limit.value:.3f}, by {past}{guess * limit.extrapolated}"


def _seconds(alert: Alert, stored: StoredVideo) -> float:
    """How much of a video was recorded at the alert's hours."""
    start, duration = began(stored), max(stored.video.duration, LEAST_SECONDS)
    if alert.hours is None:
        return duration
    spans = spans_within(Filter(between=alert.hours), start, start + duration)
    return sum(min(end, start + duration) - max(begin, start) for begin, end in spans)
