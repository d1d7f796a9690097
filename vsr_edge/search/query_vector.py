"""A query of a sentence, pictures and examples as the one vector that retrieval takes.

Inner products of pictures with pictures spread otherwise than those with sentences. So each part
counts by how many standard deviations footage lies above what is usual for it: divided by its
deviation over a sample of the archive, parts add up in one vector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from vsr_edge.bundle.model import Bundle
from vsr_edge.errors import UsageError
from vsr_edge.query import Place, Query
from vsr_edge.search.places import Stretch, named_frame, scene_around, stretch_of
from vsr_edge.store.base import Store
from vsr_edge.types import Vectors

# Beside a sentence of weight 1, chosen on val photos (models/LOG.md).
AGAINST, GOOD, BAD = 0.5, 1.0, 0.25
LEAST_DEVIATION = 1e-3  # of one frame, or of many that are the same


class Mixture:
    """What of a query is no sentence that is looked for, and where it lies in the archive.

    ``left_out`` are moments that are not to be shown: the one that the query is like, and what was
    rejected. ``notices`` are for the user.

    Args:
        sample: gives float32 [n, D], what footage is usual.

    Raises:
        UsageError: a place that there is not, or nothing left of what is asked for.
        UnreadableMedia: the file of a picture holds none.
    """

    def __init__(
        self,
        store: Store,
        bundle: Bundle,
        query: Query,
        against: Vectors | None,
        sample: Callable[[], Vectors],
    ) -> None:
        self.left_out: list[Stretch] = []
        self.notices: list[str] = []
        self._store, self._bundle, self._sample = store, bundle, sample
        alone = query.text is None
        parts: list[tuple[float, Vectors]] = []
        if query.like is not None:
            parts.append((1.0 if alone else query.weight / (1 - query.weight), self._like(query)))
        self.good, self.bad = (self._stretches(places) for places in (query.good, query.bad))
        self.left_out += self.bad
        if self.good:
            parts.append((GOOD if parts or not alone else 1.0, self._mean(self.good)))
        if self.good and self.bad:
            # By itself, what is wrong says little of what is right (models/LOG.md): it is left out.
            parts.append((-BAD, self._mean(self.bad)))
        if against is not None:
            parts.append((-AGAINST, against))
        if alone and not any(weight > 0 for weight, _ in parts):
            raise UsageError("none of the liked moments is in the archive: say what is to be seen")
        scaled = [weight / self.deviation(vector) * vector for weight, vector in parts]
        self._rest = np.sum(scaled, axis=0) if scaled else None

    @property
    def plain(self) -> bool:
        """Whether there is nothing but the sentence."""
        return self._rest is None

    def deviation(self, vector: Vectors) -> float:
        """Of the inner products of usual footage with a query float32 [D]."""
        return max(float((self._sample() @ vector).std()), LEAST_DEVIATION)

    def __call__(self, sentence: Vectors | None) -> tuple[Vectors, float]:
        """The unit vector [D] of the whole, with a sentence's; and what to multiply its inner
        products by so that they spread as those of the sentence alone, plus the rest.
        """
        if self._rest is None:
            assert sentence is not None
            return sentence, 1.0
        own = 1.0 if sentence is None else self.deviation(sentence)
        whole = self._rest if sentence is None else sentence / own + self._rest
        length = float(np.linalg.norm(whole))
        return np.asarray(whole / length, np.float32), length * own

    def _like(self, query: Query) -> Vectors:
        like = query.like
        if not isinstance(like, Place):
            return self._encoded(like)
        found = named_frame(self._store, like)
        if found is None:
            from vsr_edge.media.cut import picture_at

            return self._encoded(picture_at(Path(like.video), like.start))
        video, frame = found
        vectors = self._store.frames(video.video_id, frame, frame).vectors
        vector: Vectors = self._bundle.as_query(vectors)[0]
        scene = scene_around(self._store, video, frame, vector)
        self.left_out.append(scene)
        place = Place(video.video.path, scene.start, scene.end)
        self.notices.append(f"left out is the moment itself: {place}")
        return vector

    def _encoded(self, picture: object) -> Vectors:
        pictures = self._bundle.encode_images([picture])  # type: ignore[list-item]
        return np.asarray(self._bundle.as_query(pictures)[0])

    def _stretches(self, places: Sequence[Place]) -> list[Stretch]:
        found = []
        for place in places:
            stretch = stretch_of(self._store, place)
            if stretch is None:
                self.notices.append(f"passed over: {place} is not in the archive any more")
            else:
                found.append(stretch)
        return found

    def _mean(self, stretches: Sequence[Stretch]) -> Vectors:
        read = self._store.frames_of([one.place for one in stretches])
        means = [self._bundle.as_query(frames.vectors).mean(axis=0) for frames in read]
        mean: Vectors = np.mean(means, axis=0)
        return mean / np.linalg.norm(mean)
