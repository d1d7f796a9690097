"""Hits and moments where only footage of some time counts, as of a night or of the last two days.

A hit is cut to that time, so that its best frame is looked for there. What the verifier sees around
it, and the moment in the end, may reach out of it: an event that began before is shown whole. But
every moment has a part in that time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from vsr_edge.query import Filter
from vsr_edge.search.spans import Window
from vsr_edge.times import spans_within
from vsr_edge.types import LEAST_SECONDS, Seconds, StoredVideo, Times, inside

Span = tuple[Seconds, Seconds]


class InTime:
    """The time that a filter means, in seconds of each video; ``read`` gives frames' times."""

    def __init__(self, where: Filter | None, read: Callable[[tuple[int, int, int]], Times]) -> None:
        self._where = where if where is not None and where.timed else None
        self._read = read
        self._known: dict[int, list[Span]] = {}

    def cut(self, hit: Window) -> Window:
        """The hit as far as it lies in that time.

        Of one that enters it more than once, as a clip may that lasts a day, the longest stretch.
        """
        spans = [_shared(span, (hit.start, hit.end)) for span in self._spans(hit.video)]
        start, end = max(spans, key=lambda span: span[1] - span[0], default=(hit.start, hit.end))
        if (start, end) == (hit.start, hit.end) or end <= start:
            return hit
        times = self._read(hit.place)
        within = np.flatnonzero((times >= start) & (times < end))
        if not len(within):
            # A frame is shown up to half-way to the next: the time begins or ends in between.
            within = np.array([np.abs(times - (start + end) / 2).argmin()])
        first, last = hit.first + int(within[0]), hit.first + int(within[-1])
        count = 1 if hit.unit_frames == 1 else last - first + 1
        start, end = inside(start, end, hit.end)
        middle = (first + last) // 2
        return replace(
            hit, start=start, end=end, first=first, last=last, unit_frames=count, best=middle
        )

    def reaching(self, moment: Window) -> Window:
        """The moment, widened to the nearest of that time if it has no part in it."""
        spans = self._spans(moment.video)
        here = moment.start, moment.end
        if not spans or any(_length(_shared(span, here)) > 0 for span in spans):
            return moment
        start, end = min(spans, key=lambda span: -_length(_shared(span, here)))
        return replace(
            moment,
            start=max(min(moment.start, end - LEAST_SECONDS), 0.0),
            end=max(moment.end, start + LEAST_SECONDS),
        )

    def _spans(self, video: StoredVideo) -> list[Span]:
        """The stretches of a video that count; none if all of it does."""
        if self._where is None or (at := video.recorded_at) is None:
            return []
        if video.video_id not in self._known:
            end = at + max(video.video.duration, LEAST_SECONDS)
            found = spans_within(self._where, at, end)
            whole = any(start <= at and stop >= end for start, stop in found)
            spans = [] if whole else [(start - at, stop - at) for start, stop in found]
            self._known[video.video_id] = spans
        return self._known[video.video_id]


def _shared(one: Span, other: Span) -> Span:
    """What two spans share; one that ends before it starts, by how far they are apart."""
    return max(one[0], other[0]), min(one[1], other[1])


def _length(span: Span) -> Seconds:
    return span[1] - span[0]
