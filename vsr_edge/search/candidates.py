"""Retrieve and verify: the windows that hits point at, what they show, how likely they match."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from vsr_edge.bundle.manifest import REACH, Calibration
from vsr_edge.bundle.model import Bundle
from vsr_edge.errors import UsageError
from vsr_edge.query import SearchOptions
from vsr_edge.runtime.heads import Footage
from vsr_edge.search.explain import Clock
from vsr_edge.search.in_time import InTime
from vsr_edge.search.spans import ScoredFrames, Window
from vsr_edge.search.video_names import named
from vsr_edge.store.base import Store
from vsr_edge.types import FrameFeatures, StoredVideo, Vectors, stretch

# Enough clips that overlapping ones, which merge, still leave the moments or candidates wanted.
CLIPS_PER_MOMENT = 8
# So many frames are within reach of one: of more hits than that, some lead to another candidate.
FRAMES_IN_REACH = 2 * REACH + 1
# A clip of more frames than this may hold several moments, and yields a candidate for every so many
# of its frames, but never more than a few: one long video must not fill a turn.
FRAMES_PER_CANDIDATE = 128
MOST_CANDIDATES_A_CLIP = 4
# Clips are looked at together up to so many frames: where they are long, few may be enough.
FRAMES_AT_ONCE = 1024
# So many of an archive's vectors tell what footage scores for a query.
SAMPLE = 4096
LEAST_DEVIATION = 1e-3  # of one frame, or of many that are the same
# Frames so many seconds around a hit say where its scene begins and ends, however long the video.
CONTEXT_SECONDS = 120.0


class Asked:
    """One query to one archive, and what was seen of the archive for it.

    Raises:
        UsageError: an empty query, or a video is named that is not there.
    """

    def __init__(
        self, store: Store, bundle: Bundle, query: str, options: SearchOptions | None = None
    ) -> None:
        if not query.strip():
            raise UsageError("the query is empty: say in a few words what is to be seen")
        self.store, self.bundle, self.query = store, bundle, query
        self.options = options or SearchOptions()
        self.clock = Clock()
        with self.clock.stage("encode"):
            self.text = bundle.encode_queries([query])
        self.vector: Vectors = self.text.vectors[0]
        self.where = named(store, self.options.video, self.options.where)
        self.in_time = InTime(self.where, lambda place: store.frames(*place).times)
        self._videos: dict[int, StoredVideo] = {}
        # The best frames of each clip, with their scores; those that were candidates, by video.
        self._peaks: dict[int, list[tuple[int, float]]] = {}
        self._centres: dict[int, list[int]] = {}
        # Whether the latest retrieval gave all that there is.
        self.exhausted = False

    def retrieve(self, vector: Vectors, wanted: int) -> list[Window]:
        """The clips nearest to a query float32 [D], best first, enough for so many moments."""
        with self.clock.stage("retrieve"):
            found = self._nearest(vector, wanted * CLIPS_PER_MOMENT)
            if not self.exhausted and sum(1 for _ in _apart(found)) < wanted:
                found = self._nearest(vector, wanted * FRAMES_IN_REACH)
            least = self.options.min_score
            return [one for one in found if least is None or one.score >= least]

    def _nearest(self, vector: Vectors, count: int) -> list[Window]:
        hits = self.store.search(vector, count, self.where)
        self.exhausted = len(hits) < count
        unknown = {hit.clip.video_id for hit in hits} - self._videos.keys()
        if unknown:
            self._videos |= self.store.videos_of(unknown)
        found = (Window.of(hit, self._videos[hit.clip.video_id]) for hit in hits)
        return [self.in_time.cut(hit) for hit in found]

    def candidates(self, hits: Sequence[Window]) -> list[Window]:
        """At most ``options.candidates`` windows with their frames, best hit first, none within
        reach of an earlier one; those without region vectors are left out.
        """
        chosen = self._choose(hits)
        read = self.store.frames_of([one.place for one in chosen], regions=True)
        shown = [replace(one, frames=frames) for one, frames in zip(chosen, read, strict=True)]
        return [one for one in shown if one.frames.regions is not None]

    def _choose(self, hits: Sequence[Window]) -> list[Window]:
        found: list[Window] = []
        for place, hit in enumerate(hits):
            others = self._centres.setdefault(hit.video.video_id, [])
            if hit.unit_frames == 1 and not _out_of_reach(hit.best, others):
                continue
            if hit.clip_id not in self._peaks:
                self._look_at(hits[place:])
            for best, score in self._peaks[hit.clip_id]:
                if _out_of_reach(best, others):
                    if len(found) == self.options.candidates:
                        return found
                    others.append(best)
                    first, last = max(best - REACH, 0), min(best + REACH, hit.video.frames - 1)
                    found.append(replace(hit, best=best, first=first, last=last, score=score))
        return found

    def _look_at(self, hits: Sequence[Window]) -> None:
        """In a clip, however long, it is the frames most like the query that count."""
        unseen = [hit for hit in _apart(hits) if hit.clip_id not in self._peaks]
        frames = np.cumsum([hit.unit_frames for hit in unseen])
        ahead = unseen[: max(1, int(np.searchsorted(frames, FRAMES_AT_ONCE, "right")))]
        for hit, read in zip(ahead, self.store.frames_of([a.seen for a in ahead]), strict=True):
            scores = read.vectors.astype(np.float32) @ self.vector
            most = min(1 + len(scores) // FRAMES_PER_CANDIDATE, MOST_CANDIDATES_A_CLIP)
            peaks, (_, first, _) = _peaks(scores, most), hit.seen
            self._peaks[hit.clip_id] = [(first + peak, float(scores[peak])) for peak in peaks]

    def verify(
        self, calibration: Calibration, windows: Sequence[Window], frames_searched: int
    ) -> list[Window]:
        """Judge windows with their frames, all in one batch; in their order."""
        if not windows:
            return []
        found = self.bundle.judge(self.text, footage([one.frames for one in windows]))
        scores = np.array([one.score for one in windows])
        order = found.match + calibration.score_weight * scores
        probabilities = calibration.probability(order, self.standardised(scores), frames_searched)
        numbers = (found.match, order, probabilities, *found.spans())
        rows = zip(*(column.tolist() for column in numbers), strict=True)
        return [_judged(one, *row) for one, row in zip(windows, rows, strict=True)]

    def standardised(self, scores: NDArray[np.floating]) -> NDArray[np.floating]:
        """How many standard deviations scores lie above what footage has for this query: a sample
        of the archive's and, because that may be little and all alike, the bundle's background.
        """
        usual = self._usual
        deviation = max(float(usual.std()), LEAST_DEVIATION)
        return np.asarray((scores - float(usual.mean())) / deviation)

    @cached_property
    def _usual(self) -> Vectors:
        parts = (self.store.sample(SAMPLE, self.where), self.bundle.background)
        return np.concatenate([part.astype(np.float32) @ self.vector for part in parts])

    def around(self, windows: Sequence[Window]) -> list[Callable[[], ScoredFrames]]:
        """The frames in and around each window, read at once; their scores when asked for."""
        places = []
        for one in windows:
            context = round(CONTEXT_SECONDS * one.video.sampling.fps)
            places.append((one.video.video_id, max(one.first - context, 0), one.last + context))
        read = zip(windows, places, self.store.frames_of(places), strict=True)
        return [partial(self._scored, one, place[1:], frames) for one, place, frames in read]

    def _scored(
        self, window: Window, place: tuple[int, int], frames: FrameFeatures
    ) -> ScoredFrames:
        first, last = place
        scores = frames.vectors.astype(np.float32) @ self.vector
        all_read = last + 1 >= window.video.frames
        end = window.video.video.duration if all_read else float(frames.times[-1])
        begin = 0.0 if first == 0 else float(frames.times[0])
        return ScoredFrames(frames.times, scores, end, begin, first)


def _apart(hits: Iterable[Window]) -> Iterator[Window]:
    """The hits of one frame that are out of reach of earlier ones, and all of more frames."""
    found: dict[int, list[int]] = {}
    for hit in hits:
        others = found.setdefault(hit.video.video_id, [])
        if hit.unit_frames > 1 or _out_of_reach(hit.best, others):
            others.append(hit.best)
            yield hit


def _out_of_reach(frame: int, others: Iterable[int]) -> bool:
    return all(abs(frame - other) > REACH for other in others)


def _peaks(scores: Vectors, most: int) -> list[int]:
    """The best frame, then the best out of its reach, and so on."""
    peaks: list[int] = []
    for place in np.argsort(-scores, kind="stable").tolist():
        if len(peaks) < most and _out_of_reach(place, peaks):
            peaks.append(place)
    return peaks


def _judged(
    window: Window, match: float, order: float, probability: float, begins: int, ends: int
) -> Window:
    """With its verdict and the span that the grounder chose, as far as it saw the video."""
    times, video = window.frames.times, window.video
    more_before, more_behind = window.first > 0, window.last + 1 < video.frames
    begin = float(times[0]) if more_before else 0.0
    end = float(times[-1]) if more_behind else video.video.duration
    start, stop = stretch(times, begins, ends, begin, end)
    open_ended = (more_before and begins == 0) or (more_behind and ends + 1 == len(times))
    verdict = replace(window, match=match, order=order, probability=probability)
    return replace(verdict, start=start, end=stop, open_ended=open_ended)


def likeliest_first(judged: Sequence[Window]) -> list[Window]:
    return sorted(judged, key=lambda one: -one.order)


def footage(shown: Sequence[FrameFeatures]) -> Footage:
    """Frames with their regions as one batch for a head, the shorter ones filled up and masked."""
    cells = [one.regions for one in shown if one.regions is not None]
    size = len(shown), max(map(len, shown))
    frames = np.zeros((*size, *shown[0].vectors.shape[1:]), np.float32)
    regions = np.zeros((*size, *cells[0].shape[1:]), np.float32)
    mask = np.zeros(size, np.float32)
    for row, one in enumerate(shown):
        part = row, slice(len(one))
        frames[part], regions[part], mask[part] = one.vectors, cells[row], 1
    return Footage(frames, regions, mask)
