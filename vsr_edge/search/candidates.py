"""Retrieve and verify: the windows that hits point at, what they show, how likely they match."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from vsr_edge.bundle.manifest import REACH
from vsr_edge.bundle.model import Bundle
from vsr_edge.query import Query, SearchOptions
from vsr_edge.runtime.heads import Footage, Judgements, TextEncoding
from vsr_edge.search.explain import Clock, notices_about
from vsr_edge.search.guide import guide
from vsr_edge.search.in_time import InTime
from vsr_edge.search.places import CONTEXT_SECONDS, Stretch, kept
from vsr_edge.search.query_vector import LEAST_DEVIATION, Mixture
from vsr_edge.search.spans import ScoredFrames, Window, moments
from vsr_edge.search.verifier import SAMPLE, Verifier, verifier_of
from vsr_edge.search.video_names import named
from vsr_edge.store.base import Store
from vsr_edge.types import ClipHit, FrameFeatures, StoredVideo, Vectors, stretch

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
# Behind all that is wanted.
UNWANTED = -1000.0


class Asked:
    """One query to one archive, and what was seen of the archive for it.

    ``text`` is the query, where it was encoded before.

    Raises:
        UsageError: an empty query, or a video is named that is not there.
    """

    def __init__(
        self,
        store: Store,
        bundle: Bundle,
        query: str | Query,
        options: SearchOptions | None = None,
        text: TextEncoding | None = None,
    ) -> None:
        self.store, self.bundle = store, bundle
        self.query = query if isinstance(query, Query) else Query(query)
        self.options = options or SearchOptions()
        self.clock = Clock()
        self.where = named(store, self.options.video, self.options.where)
        self.in_time = InTime(self.where, lambda place: store.frames(*place).times)
        with self.clock.stage("encode"):
            self.text = self._encoded(self.query.text) if text is None else text
            self.against = self._encoded(self.query.against)
            unlike = None if self.against is None else self.against.vectors[0]
            self.mixture = Mixture(store, bundle, self.query, unlike, lambda: self._sample)
            self.vector, self._scale = self.mixed(self.text)
        self.verifier = verifier_of(store, bundle, self.options)
        self._videos: dict[int, StoredVideo] = {}
        # The best frames of each clip, with their scores; those that were candidates, by video.
        self._peaks: dict[int, list[tuple[int, float]]] = {}
        self._centres: dict[int, list[int]] = {}
        # Whether the latest retrieval gave all that there is.
        self.exhausted = False

    def _encoded(self, sentence: str | None) -> TextEncoding | None:
        return None if sentence is None else self.bundle.encode_queries([sentence])

    def mixed(self, text: TextEncoding | None) -> tuple[Vectors, float]:
        """What is retrieved by with this sentence, and its scale (see :class:`Mixture`)."""
        return self.mixture(None if text is None else text.vectors[0])

    def guided(self) -> Vectors:
        """What to retrieve by next where no refiner was trained, float32 [D]."""
        assert self.text is not None
        space = self.bundle.universal.space(self.store.sample(SAMPLE))
        guided = guide(space, self.text.vectors[0])
        return self.mixture(guided)[0]

    @property
    def left_out(self) -> list[Stretch]:
        """What is not to be shown."""
        return self.mixture.left_out

    @property
    def notices(self) -> tuple[str, ...]:
        """What is to be said of the query."""
        sentences = (self.query.text, self.query.against)
        about = [one for said in sentences if said for one in notices_about(self.bundle, said)]
        return (*about, *self.mixture.notices)

    def retrieve(self, vector: Vectors, wanted: int) -> list[Window]:
        """The clips nearest to a query float32 [D], best first, enough for so many moments."""
        with self.clock.stage("retrieve"):
            spare = sum(one.last + 1 - one.first for one in self.left_out)
            few, many = (wanted * each + spare for each in (CLIPS_PER_MOMENT, FRAMES_IN_REACH))
            # To compare all of them twice takes longer than to ask for more at once.
            hits = self.store.search(vector, many, self.where)
            found, self.exhausted = self._windows(hits[:few]), len(hits) < few
            if not self.exhausted and sum(1 for _ in _apart(found)) < wanted:
                found, self.exhausted = self._windows(hits), len(hits) < many
            least = self.options.min_score
            return [one for one in found if least is None or one.score >= least]

    def _windows(self, hits: Sequence[ClipHit]) -> list[Window]:
        unknown = {hit.clip.video_id for hit in hits} - self._videos.keys()
        if unknown:
            self._videos |= self.store.videos_of(unknown)
        windows = (Window.of(hit, self._videos[hit.clip.video_id]) for hit in hits)
        found = map(self.in_time.cut, windows)
        # Of more frames than one, some may count.
        return [one for one in found if one.unit_frames > 1 or self._counts(one.video, one.best)]

    def _counts(self, video: StoredVideo, frame: int) -> bool:
        return not any(one.holds(video, frame) for one in self.left_out)

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
                    reach = max(best - REACH, 0), min(best + REACH, hit.video.frames - 1)
                    first, last = self._allowed(hit.video, best, *reach)
                    found.append(replace(hit, best=best, first=first, last=last, score=score))
        return found

    def _allowed(self, video: StoredVideo, best: int, first: int, last: int) -> tuple[int, int]:
        """The part of frames ``first`` to ``last`` around one of them of which none is left out."""
        others = [one for one in self.left_out if one.video.video_id == video.video_id]
        first = max([first, *(one.last + 1 for one in others if one.last < best)])
        return first, min([last, *(one.first - 1 for one in others if one.first > best)])

    def _look_at(self, hits: Sequence[Window]) -> None:
        """In a clip, however long, it is the frames most like the query that count."""
        unseen = [hit for hit in _apart(hits) if hit.clip_id not in self._peaks]
        frames = np.cumsum([hit.unit_frames for hit in unseen])
        ahead = unseen[: max(1, int(np.searchsorted(frames, FRAMES_AT_ONCE, "right")))]
        for hit, read in zip(ahead, self.store.frames_of([a.seen for a in ahead]), strict=True):
            scores = read.vectors.astype(np.float32) @ self.vector
            most = min(1 + len(scores) // FRAMES_PER_CANDIDATE, MOST_CANDIDATES_A_CLIP)
            _, first, _ = hit.seen
            for one in self.left_out:
                if one.video.video_id == hit.video.video_id:
                    scores[max(one.first - first, 0) : max(one.last + 1 - first, 0)] = -np.inf
            peaks = (peak for peak in _peaks(scores, most) if np.isfinite(scores[peak]))
            self._peaks[hit.clip_id] = [(first + peak, float(scores[peak])) for peak in peaks]

    def verify(
        self, verifier: Verifier, windows: Sequence[Window], frames_searched: int
    ) -> list[Window]:
        """Judge windows with their frames, all in one batch; in their order.

        How likely each matches is told of the sentence alone, less how likely it shows what is not
        to be seen; the order counts all that was asked.
        """
        if not windows or self.text is None or self.query.text is None:
            return []
        shown, calibration = footage([one.frames for one in windows]), verifier.calibration
        sentence = self.query.text, self.text
        found, likely = self._probabilities(verifier, *sentence, windows, shown, frames_searched)
        scores = np.array([one.score for one in windows])
        order = found.match + calibration.score_weight * self._scale * scores
        unwanted = np.zeros(len(windows), bool)
        if self.against is not None and self.query.against is not None:
            sentence = self.query.against, self.against
            _, other = self._probabilities(verifier, *sentence, windows, shown, frames_searched)
            unwanted, likely = other >= calibration.threshold, likely * (1 - other)
            order = order + UNWANTED * unwanted
        numbers = (found.match, order, likely, *found.spans(), unwanted)
        rows = zip(*(column.tolist() for column in numbers), strict=True)
        return [_judged(one, *row) for one, row in zip(windows, rows, strict=True)]

    def _probabilities(
        self,
        verifier: Verifier,
        sentence: str,
        text: TextEncoding,
        windows: Sequence[Window],
        shown: Footage,
        frames_searched: int,
    ) -> tuple[Judgements, NDArray[np.floating]]:
        """What the heads say of a sentence and each window, and how likely it matches [K]."""
        calibration, vector = verifier.calibration, text.vectors[0]
        scores = np.array([one.score for one in windows])
        if text is not self.text or not self.mixture.plain:
            best = np.concatenate([one.best_frame.vectors for one in windows])
            scores = best.astype(np.float32) @ vector
        found = verifier.judge(sentence, text, shown, scores)
        order = found.match + calibration.score_weight * scores
        z = verifier.standardised(sentence, scores)
        z = self.standardised(scores, vector) if z is None else z
        return found, calibration.probability(order, z, frames_searched)

    def verified_by(self, shown: Sequence[Window]) -> str | None:
        """Who judged these, in words; None where nobody did."""
        judged = self.verifier is not None and any(one.probability is not None for one in shown)
        return self.verifier.told if judged and self.verifier is not None else None

    def standardised(
        self, scores: NDArray[np.floating], vector: Vectors | None = None
    ) -> NDArray[np.floating]:
        """How many standard deviations scores lie above what footage has for this query, or for
        another one's ``vector``.
        """
        usual = self._sample @ (self.vector if vector is None else vector)
        deviation = max(float(usual.std()), LEAST_DEVIATION)
        return np.asarray((scores - float(usual.mean())) / deviation)

    @cached_property
    def _sample(self) -> Vectors:
        """What footage is usual: a sample of the archive's and, because that may be little and all
        alike, the bundle's background.
        """
        parts = (self.store.sample(SAMPLE, self.where), self.bundle.background)
        return np.concatenate([part.astype(np.float32) for part in parts])

    def ground(self, judged: Sequence[Window], hits: Sequence[Sequence[Window]]) -> list[Window]:
        """At most ``options.top_k`` moments (:func:`vsr_edge.search.spans.moments`), none of which
        is left out.
        """
        most, left_out = self.options.top_k, self.left_out
        return kept(moments(judged, hits, self.around, most + len(left_out)), left_out)[:most]

    def around(self, windows: Sequence[Window]) -> list[Callable[[], ScoredFrames]]:
        """The frames in and around each window, read at once; their scores when asked for."""
        places = []
        for one in windows:
            context = round(CONTEXT_SECONDS * one.video.sampling.fps)
            first, last = max(one.first - context, 0), one.last + context
            if one.unit_frames == 1 or len(one.frames):
                first, last = self._allowed(one.video, one.best, first, last)
            places.append((one.video.video_id, first, last))
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
    window: Window,
    match: float,
    order: float,
    probability: float,
    begins: int,
    ends: int,
    unwanted: bool,
) -> Window:
    """With its verdict and the span that the grounder chose, as far as it saw the video."""
    times, video = window.frames.times, window.video
    more_before, more_behind = window.first > 0, window.last + 1 < video.frames
    begin = float(times[0]) if more_before else 0.0
    end = float(times[-1]) if more_behind else video.video.duration
    start, stop = stretch(times, begins, ends, begin, end)
    open_ended = (more_before and begins == 0) or (more_behind and ends + 1 == len(times))
    verdict = replace(window, match=match, order=order, probability=probability, unwanted=unwanted)
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
