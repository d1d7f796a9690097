"""A sample of the clips' vectors: rows of videos are read for it, and of clips those alone that are
chosen, however many there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from vsr_edge.query import Filter
from vsr_edge.store.kept import Ids, Kept
from vsr_edge.store.postgres.pg_connection import Connection
from vsr_edge.store.postgres.pg_rows import fetch, halfvecs
from vsr_edge.types import HalfVectors

# The first and the last clip of each video, by the index of clips' times.
_ENDS = """
    SELECT videos.id, clip_count, first.id, last.id FROM videos,
        LATERAL (SELECT clips.id FROM clips WHERE video_id = videos.id ORDER BY
            start_time, end_time, first_frame, last_frame, clips.id LIMIT 1) AS first,
        LATERAL (SELECT clips.id FROM clips WHERE video_id = videos.id ORDER BY
            start_time DESC, end_time DESC, first_frame DESC, last_frame DESC, clips.id DESC
            LIMIT 1) AS last
"""


class Samples:
    """The last sample of all clips, and the last of those that a filter lets through."""

    def __init__(self, dim: int) -> None:
        self._dim = dim
        self._runs: tuple[int, Ids] | None = None
        self._known: dict[bool, tuple[tuple[int, int, Filter | None], HalfVectors]] = {}

    def of(
        self,
        connection: Connection,
        state: int,
        count: int,
        where: Filter | None,
        kept: Kept | None,
    ) -> HalfVectors:
        """At most ``count`` vectors of what ``kept`` lets through, evenly spaced by clip; ``state``
        and ``where`` tell it from others. Inside a read transaction.
        """
        asked = (state, count, where)
        known = self._known.get(where is None)
        if known is None or known[0] != asked:
            if (read := self._runs) is None or read[0] != state:
                read = self._runs = (state, _runs(connection))
            clips = _chosen(_kept_of(read[1], kept), count)
            rows = fetch(
                connection,
                "SELECT vector FROM clips WHERE id = ANY(%s::bigint[]) ORDER BY id",
                [clips.tolist()],
            )
            known = asked, halfvecs([row[0] for row in rows], self._dim)
            self._known[where is None] = known
        return known[1]


def _runs(connection: Connection) -> Ids:
    """The clips of all videos as int64 [m, 3] of video, first clip, how many that follow it one by
    one, ascending by clip.
    """
    read = np.array(fetch(connection, _ENDS), np.int64).reshape(-1, 4)
    together = read[:, 3] - read[:, 2] + 1 == read[:, 1]
    runs = [read[together][:, [0, 2, 1]]]
    # Of several writers at once, earlier versions mixed the numbers that they gave.
    if apart := read[~together][:, 0].tolist():
        of_clips = "SELECT video_id, id FROM clips WHERE video_id = ANY(%s::bigint[]) ORDER BY id"
        runs.append(_together(fetch(connection, of_clips, [apart])))
    every = np.concatenate(runs)
    return every[np.argsort(every[:, 1])]


def _together(clips: Sequence[tuple[int, int]]) -> Ids:
    """Runs of clips by id, (video, clip) each."""
    runs = []
    numbered = enumerate(clips)
    for (video, _), run in groupby(numbered, lambda pair: (pair[1][0], pair[1][1] - pair[0])):
        found = list(run)
        runs.append((video, found[0][1][1], len(found)))
    return np.array(runs, np.int64).reshape(-1, 3)


def _kept_of(runs: Ids, kept: Kept | None) -> Ids:
    """Those that a filter lets through."""
    if kept is None or kept.everything:
        return runs
    singly = np.column_stack([kept.clips, kept.clips, np.ones_like(kept.clips)])
    both = np.concatenate([runs[np.isin(runs[:, 0], kept.videos)], singly])
    return both[np.argsort(both[:, 1])]


def _chosen(runs: Ids, count: int) -> Ids:
    """At most ``count`` of the clips of some runs, evenly spaced."""
    ends = np.cumsum(runs[:, 2])
    total = int(ends[-1]) if len(ends) else 0
    places = np.arange(min(count, total)) * total // max(min(count, total), 1)
    run = np.searchsorted(ends, places, side="right")
    return np.asarray(runs[run, 1] + places - (ends - runs[:, 2])[run], np.int64)
