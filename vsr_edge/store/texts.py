"""Words with their times, found by SQLite's full-text search (FTS5).

What is searched are passages: a cue with the one behind it, as a sentence often goes on in the
next. A passage whose words all stand in its second cue is none: that cue has one of its own.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import pairwise
from typing import Any

from vsr_edge.query import Filter
from vsr_edge.store.base import Texts
from vsr_edge.store.filters import where_video
from vsr_edge.store.rows import RECORDED
from vsr_edge.times import spans_within
from vsr_edge.types import Cue, Seconds, TextHit, TextSource, check_span

# A cue goes on in the next one if that begins so soon. What stands on the screen does not.
GOES_ON: Seconds = 3.0
_ONE_FLOW = frozenset({"sidecar", "embedded", "speech"})
BEGIN, END, NEXT = "\x02", "\x03", "\n"
_MARKED = re.compile(f"{BEGIN}([^{END}]*){END}")
# Forms of a word begin alike: of words that differ in these letters, each is another one.
_STEM = 4
_PART = re.compile(r'"([^"]*)"?|([^\s"]+)')


def expressions(query: str) -> list[tuple[str, int]]:
    """A person's query as FTS5 takes it, the strictest reading first, each with the number of its
    words and phrases; none if it holds no word.

    ``fire door`` is read as the phrase, then as both words; a ``"fire door"`` stays a phrase, and
    ``fire*`` is a prefix. Everything is quoted: no word is an operator.
    """
    parts, plain, stems = [], [], set()
    for quoted, word in _PART.findall(query.replace("\0", " ")):
        text = quoted or word
        if any(c.isalnum() for c in text):
            parts.append(f'"{text}"{"*" if word.endswith("*") else ""}')
            stems.add(text.lower()[:_STEM])
            plain.append(word if word and not word.endswith("*") else "")
    together = [(f'"{" ".join(plain)}"', 1)] if len(plain) > 1 and all(plain) else []
    return [*together, (" AND ".join(parts), len(stems))] if parts else []


def find_text(
    connection: sqlite3.Connection, query: str, k: int, where: Filter | None
) -> list[TextHit]:
    """As :meth:`vsr_edge.store.base.Store.find_text`."""
    if not _has_any(connection):
        return []

    def matches(expression: str, limit: int) -> list[tuple[Any, ...]]:
        return _matches(connection, expression, limit, where)

    return found_by(matches, query, k, where)


def found_by(
    matches: Callable[[str, int], list[tuple[Any, ...]]], query: str, k: int, where: Filter | None
) -> list[TextHit]:
    """Hits by what says which passages match an expression, at most so many, best first.

    Of each passage: video, source, start and end of its cue, end of the next, its text with marks,
    rank (the less, the better), and when its video was recorded.
    """
    found: list[TextHit] = []
    for expression, words in expressions(query):
        limit = 4 * k
        while len(found) < k:
            rows = matches(expression, limit)
            hits = list(found)
            for hit in _hits(rows, words, where):
                _add(hits, hit, len(found))
            if len(hits) >= k or len(rows) < limit:
                found = hits
                break
            limit *= 4
    return found[:k]


def _matches(
    connection: sqlite3.Connection, expression: str, limit: int, where: Filter | None
) -> list[tuple[Any, ...]]:
    condition, parameters = where_video(where)
    narrowed = f"AND c.video_id IN (SELECT id FROM videos WHERE {condition})" if where else ""
    return connection.execute(
        f"""
        SELECT c.video_id, c.source, c.start_time, c.end_time, n.end_time,
               highlight(passages, 0, '{BEGIN}', '{END}'), rank,
               (SELECT {RECORDED} FROM videos WHERE id = c.video_id)
        FROM passages JOIN cues AS c ON c.id = passages.rowid
             LEFT JOIN cues AS n ON n.id = c.id + 1
        WHERE passages MATCH ? {narrowed} ORDER BY rank LIMIT ?
        """,
        [expression, *(parameters if where else ()), limit],
    ).fetchall()


def _hits(
    rows: Sequence[tuple[Any, ...]], words: int, where: Filter | None
) -> list[TextHit | None]:
    """What matches, best first, but what needs two cues behind what one says by itself; None for
    each passage that is another one's, or was recorded at another time than wanted.
    """
    one_cue: list[TextHit | None] = []
    two_cues: list[TextHit | None] = []
    for video_id, source, start, end, next_end, marked, rank, recorded in rows:
        first, _, second = marked.partition(NEXT)
        # A phrase over both cues is marked once, from one into the other.
        here, there = BEGIN in first, END in second
        if len({word.lower()[:_STEM] for word in _MARKED.findall(first)}) >= words:
            there = there and first.count(BEGIN) > first.count(END)
        text = f"{first} {second}" if there else first
        plain = text.replace(BEGIN, "").replace(END, "")
        until = max(end, next_end) if there else end
        if where is not None and where.timed:
            here = here and bool(spans_within(where, recorded + start, recorded + until))
        # A phrase that goes on in the next cue is one for all that.
        apart = there and words > 1
        hit = TextHit(video_id, start, until, plain, source, -rank, 1 + apart) if here else None
        (two_cues if apart else one_cue).append(hit)
    return one_cue + two_cues


def _add(hits: list[TextHit], new: TextHit | None, settled: int) -> None:
    """Add a hit, unless one of the same words is there; the narrower of two stays, but for the
    first so many, which were found by a stricter reading.
    """
    if new is None:
        return
    for place, old in enumerate(hits):
        if old.video_id == new.video_id and old.start < new.end and new.start < old.end:
            within = old.start <= new.start and new.end <= old.end and old.source == new.source
            if within and place >= settled:
                hits[place] = new
            return
    hits.append(new)


def write_texts(
    connection: sqlite3.Connection, video_id: int, source: TextSource, texts: Texts | None
) -> None:
    """As :meth:`vsr_edge.store.base.Writer.set_texts`, inside its transaction."""
    of_it = [video_id, source]
    connection.execute("DELETE FROM cues WHERE video_id = ? AND source = ?", of_it)
    connection.execute("DELETE FROM texts WHERE video_id = ? AND source = ?", of_it)
    if texts is None:
        return
    for cue in texts.cues:
        check_span(cue.start, cue.end)
    cues = [Cue(cue.start, cue.end, one_line(cue.text)) for cue in texts.cues]
    put_texts(connection, video_id, source, Texts(texts.stamp, tuple(cues)))


def put_texts(
    connection: sqlite3.Connection, video_id: int, source: TextSource, texts: Texts
) -> None:
    """Store words, as they are, where there are none of that source."""
    of_it = [video_id, source]
    connection.execute("INSERT INTO texts VALUES (?, ?, ?)", [*of_it, texts.stamp])
    (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM cues").fetchone()
    numbered = list(enumerate(texts.cues, last + 1))
    connection.executemany(
        "INSERT INTO cues VALUES (?, ?, ?, ?, ?, ?)",
        ((number, *of_it, cue.start, cue.end, cue.text) for number, cue in numbered),
    )
    connection.executemany(
        "INSERT INTO passages (rowid, text) VALUES (?, ?)",
        zip((number for number, _ in numbered), passages_of(texts.cues, source), strict=True),
    )


def passages_of(cues: Sequence[Cue], source: TextSource) -> Iterator[str]:
    """The passage of each cue."""
    for one, behind in pairwise((*cues, None)):
        assert one is not None
        # Where time goes back, another stream of words begins.
        goes_on = (
            behind is not None
            and source in _ONE_FLOW
            and one.start <= behind.start <= one.end + GOES_ON
        )
        yield f"{one.text}{NEXT}{behind.text}" if behind is not None and goes_on else one.text


def one_line(text: str) -> str:
    """A text without what marks words and parts here, or would command a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


class TextTables:
    """What a store says of words; ``_reading`` is that of the store."""

    def _reading(self) -> AbstractContextManager[sqlite3.Connection]:
        raise NotImplementedError

    def find_text(self, query: str, k: int, where: Filter | None = None) -> list[TextHit]:
        with self._reading() as connection:
            return find_text(connection, query, k, where)

    def texts(self, video_id: int) -> dict[TextSource, Texts]:
        cues: dict[str, list[Cue]] = {}
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT source, start_time, end_time, text FROM cues WHERE video_id = ?"
                " ORDER BY id",
                [video_id],
            )
            for source, *values in rows:
                cues.setdefault(source, []).append(Cue(*values))
            stamps = self.text_stamps(video_id)
        return {one: Texts(stamp, tuple(cues.get(one, ()))) for one, stamp in stamps.items()}

    def text_stamps(self, video_id: int) -> dict[TextSource, str]:
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT source, stamp FROM texts WHERE video_id = ? ORDER BY source", [video_id]
            )
            return dict(rows.fetchall())

    def has_texts(self) -> bool:
        with self._reading() as connection:
            return _has_any(connection)


def _has_any(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT EXISTS (SELECT 1 FROM cues)").fetchone()[0])
