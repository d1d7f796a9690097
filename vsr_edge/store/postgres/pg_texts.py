"""Words with their times: what SQLite finds, in PostgreSQL's vectors of words."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from vsr_edge.query import Filter
from vsr_edge.store.base import Texts
from vsr_edge.store.kept import Kept
from vsr_edge.store.postgres.pg_connection import Connection
from vsr_edge.store.postgres.pg_rows import RECORDED, fetch
from vsr_edge.store.postgres.porter import words_of
from vsr_edge.store.texts import BEGIN, END, NEXT, found_by, one_line, passages_of
from vsr_edge.types import Cue, TextHit, TextSource, check_span

Phrase = tuple[tuple[str, ...], bool]  # stems, and whether the last is only how a word begins

# Okapi BM25 as FTS5 has it.
_K1, _B = 1.2, 0.75
_LEAST_IDF = 1e-6
# So many passages are ranked, those first that PostgreSQL finds best; in smaller archives, all.
_RANKED = 1000
# What PostgreSQL counts up to in a passage.
_MOST_WORDS = 16_383


def write_cues(
    connection: Connection, video_id: int, source: TextSource, texts: Texts | None
) -> None:
    """As :meth:`vsr_edge.store.base.Writer.set_texts`, inside its transaction."""
    of_it = [video_id, source]
    connection.execute("DELETE FROM texts WHERE video_id = %s AND source = %s", of_it)
    if texts is None:
        return
    cues = [Cue(cue.start, cue.end, one_line(cue.text)) for cue in texts.cues]
    put_cues(connection, video_id, source, Texts(texts.stamp, tuple(cues)))


def put_cues(connection: Connection, video_id: int, source: TextSource, texts: Texts) -> None:
    """Store words, as they are, where there are none of that source."""
    of_it = [video_id, source]
    passages = list(passages_of(texts.cues, source))
    stems = [[stem for *_, stem in words_of(passage)] for passage in passages]
    connection.execute(
        "INSERT INTO texts VALUES (%s, %s, %s, %s, %s)",
        [*of_it, texts.stamp, len(passages), sum(map(len, stems))],
    )
    with (
        connection.cursor() as cursor,
        cursor.copy(
            "COPY cues (video_id, source, number, start_time, end_time, text, goes_on, words)"
            " FROM STDIN"
        ) as copy,
    ):
        for number, (cue, passage, of) in enumerate(zip(texts.cues, passages, stems, strict=True)):
            goes_on = NEXT in passage
            copy.write_row((*of_it, number, cue.start, cue.end, cue.text, goes_on, _vector(of)))


def checked(texts: Texts | None) -> None:
    """Raise ValueError for a cue that cannot be."""
    for cue in () if texts is None else texts.cues:
        check_span(cue.start, cue.end)


def _vector(stems: Sequence[str]) -> str:
    places: dict[str, list[int]] = {}
    for place, stem in enumerate(stems[:_MOST_WORDS], 1):
        places.setdefault(stem, []).append(place)
    return " ".join(f"'{stem}':{','.join(map(str, at))}" for stem, at in places.items())


def _phrases(expression: str) -> list[Phrase]:
    """Of what :func:`vsr_edge.store.texts.expressions` makes."""
    found = []
    for text, star in re.findall(r'"([^"]*)"(\*?)', expression):
        stems = tuple(stem for *_, stem in words_of(text))
        if stems:
            found.append((stems, bool(star)))
    return found


def _query(phrase: Phrase) -> str:
    stems, begins = phrase
    words = [f"'{stem}'" for stem in stems]
    return "(" + " <-> ".join(words) + (":*)" if begins else ")")


def _marked(passage: str, phrases: Sequence[Phrase]) -> tuple[str, list[int], int]:
    """The passage with marks about what is found, how often each phrase is, and its words."""
    words = words_of(passage)
    counts, spans = [], set()
    for stems, begins in phrases:
        last = len(stems) - 1
        at = [
            start
            for start in range(len(words) - last)
            if all(
                words[start + i][2].startswith(stem)
                if begins and i == last
                else words[start + i][2] == stem
                for i, stem in enumerate(stems)
            )
        ]
        counts.append(len(at))
        spans |= {(start, start + last) for start in at}
    parts, done, reached = [], 0, -1
    begin = end = 0
    for first, last in sorted(spans):
        if first > reached:
            if reached >= 0:
                parts.append(f"{passage[done:begin]}{BEGIN}{passage[begin:end]}{END}")
                done = end
            begin = words[first][0]
        if last > reached:
            reached, end = last, words[last][1]
    if reached >= 0:
        parts.append(f"{passage[done:begin]}{BEGIN}{passage[begin:end]}{END}")
        done = end
    return "".join(parts) + passage[done:], counts, len(words)


def find_words(
    connection: Connection, query: str, k: int, where: Filter | None, kept: Kept | None
) -> list[TextHit]:
    """As :meth:`vsr_edge.store.base.Store.find_text`, among the videos that are kept."""
    ((passages, length),) = fetch(
        connection,
        "SELECT coalesce(sum(passages), 0)::bigint, coalesce(sum(words), 0)::bigint FROM texts",
    )
    if not passages:
        return []
    average = length / passages or 1.0
    narrowed, parameters = "", []
    if kept is not None and not kept.everything:
        narrowed = "AND c.video_id = ANY(%s::bigint[])"
        parameters = [[*kept.videos.tolist(), *kept.partly.tolist()]]

    def matches(expression: str, limit: int) -> list[tuple[Any, ...]]:
        phrases = _phrases(expression)
        if not phrases:
            return []
        weights = []
        for phrase in phrases:
            ((having,),) = fetch(
                connection,
                "SELECT count(*) FROM cues WHERE words @@ %s::tsquery",
                [_query(phrase)],
            )
            idf = math.log((passages - having + 0.5) / (having + 0.5))
            weights.append(idf if idf > 0 else _LEAST_IDF)
        every = " & ".join(map(_query, phrases))
        rows = fetch(
            connection,
            f"""
            SELECT c.video_id, c.source, c.start_time, c.end_time, n.end_time, c.text, n.text,
                   (SELECT {RECORDED} FROM videos WHERE id = c.video_id), c.number
            FROM (SELECT * FROM cues AS c WHERE words @@ %s::tsquery {narrowed}
                  ORDER BY ts_rank(words, %s::tsquery, 1) DESC, video_id, source, number
                  LIMIT %s) AS c
                 LEFT JOIN cues AS n ON c.goes_on AND n.video_id = c.video_id
                      AND n.source = c.source AND n.number = c.number + 1
            """,
            [every, *parameters, every, max(_RANKED, limit)],
        )
        found = []
        for video, source, start, end, next_end, text, behind, recorded, number in rows:
            passage = text if behind is None else f"{text}{NEXT}{behind}"
            marked, counts, words = _marked(passage, phrases)
            rank = -sum(
                weight * often * (_K1 + 1) / (often + _K1 * (1 - _B + _B * words / average))
                for weight, often in zip(weights, counts, strict=True)
            )
            order = (rank, video, source, number)
            found.append((order, (video, source, start, end, next_end, marked, rank, recorded)))
        return [row for _, row in sorted(found, key=lambda pair: pair[0])[:limit]]

    return found_by(matches, query, k, where)


class ServerTexts:
    """What a store says of words; ``_reading`` is that of the store."""

    def _reading(self) -> AbstractContextManager[Connection]:
        raise NotImplementedError

    def _kept(self, connection: Connection, where: Filter) -> Kept:
        raise NotImplementedError

    def find_text(self, query: str, k: int, where: Filter | None = None) -> list[TextHit]:
        with self._reading() as connection:
            kept = None if where is None else self._kept(connection, where)
            return find_words(connection, query, k, where, kept)

    def texts(self, video_id: int) -> dict[TextSource, Texts]:
        cues: dict[str, list[Cue]] = {}
        with self._reading() as connection:
            rows = fetch(
                connection,
                "SELECT source, start_time, end_time, text FROM cues WHERE video_id = %s"
                " ORDER BY source, number",
                [video_id],
            )
            for source, *values in rows:
                cues.setdefault(source, []).append(Cue(*values))
            stamps = self.text_stamps(video_id)
        return {one: Texts(stamp, tuple(cues.get(one, ()))) for one, stamp in stamps.items()}

    def text_stamps(self, video_id: int) -> dict[TextSource, str]:
        with self._reading() as connection:
            rows = fetch(
                connection,
                'SELECT source, stamp FROM texts WHERE video_id = %s ORDER BY source COLLATE "C"',
                [video_id],
            )
        return dict(rows)

    def has_texts(self) -> bool:
        with self._reading() as connection:
            return bool(fetch(connection, "SELECT EXISTS (SELECT 1 FROM cues)")[0][0])
