"""What must not be seen: is it, in or next to a span?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vsr_edge.answer import Moment
from vsr_edge.bundle.manifest import REACH
from vsr_edge.errors import UsageError
from vsr_edge.search.candidates import FRAMES_PER_CANDIDATE, Asked
from vsr_edge.search.scored import ScoredVideo, scored
from vsr_edge.search.verifier import without_regions

# So many seconds before and after a span belong to it, and at most so many places are verified.
NEAR, MOST_LOOKED_AT = 2.0, 16
# Something is seen from this probability on. On the val split, 95 % of what is there is refused
# then, and 6 % of what is not (python -m tests.bench.chains ARCHIVE QUERIES.jsonl without).
SEEN = 0.6


class Excluded:
    """Sentences for what must not be seen, each asked of the archive."""

    def __init__(self, asked: Sequence[Asked]) -> None:
        self._asked = asked
        self._scored: dict[str, ScoredVideo] = {}

    def why(self, moment: Moment) -> str | None:
        """What is seen that must not be, in words; None where nothing likely is."""
        for number, one in enumerate(self._asked):
            if (likely := self.likely(number, moment)) >= SEEN:
                return f'"{one.query.shown}" is seen there ({likely:.0%})'
        return None

    def likely(self, number: int, moment: Moment) -> float:
        """How likely the sentence of that number is seen in the span of a moment, or next to it."""
        asked, video = self._asked[number], self._video(moment)
        if video is None or asked.verifier is None or not len(video.times):
            return 0.0
        begin, end = moment.start - NEAR, moment.end + NEAR
        within = (video.times >= begin) & (video.times <= end)
        within[np.abs(video.times - (moment.start + moment.end) / 2).argmin()] = True
        wanted = min(1 + int(within.sum()) // FRAMES_PER_CANDIDATE, MOST_LOOKED_AT)
        places: list[int] = []
        for place in np.argsort(-np.where(within, video.scores[number], -np.inf)).tolist():
            if len(places) == wanted or not within[place]:
                break
            if all(abs(place - other) > REACH for other in places):
                places.append(place)
        windows = [video.window(number, place) for place in places]
        read = asked.store.frames_of([one.place for one in windows], regions=True)
        shown = [replace(one, frames=f) for one, f in zip(windows, read, strict=True)]
        if any(one.frames.regions is None for one in shown):
            raise UsageError(
                f"what must not be seen cannot be verified: {without_regions(asked.bundle)}"
            )
        # Only these frames are searched for it.
        judged = asked.verify(asked.verifier, shown, int(within.sum()))
        near = [one for one in judged if one.start < end and one.end > begin]
        return max((one.probability or 0.0 for one in near), default=0.0)

    def _video(self, moment: Moment) -> ScoredVideo | None:
        name = str(moment.video)
        if name not in self._scored:
            store = self._asked[0].store
            if (stored := store.find(moment.video)) is None:
                return None
            vectors = np.stack([one.vector for one in self._asked])
            self._scored = {name: scored(store, stored, vectors)}
        return self._scored[name]
