"""Truth files: queries and where their moments truly are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from vsr_edge.errors import UsageError
from vsr_edge.evaluation.benchmarks.reading import (
    FormatError,
    Row,
    Source,
    json_line,
    unique,
    write_text,
)
from vsr_edge.evaluation.metrics import CLIP_SECONDS
from vsr_edge.evaluation.records import Query, Span

DIDEMO_PIECE: Final = 5.0


def read_queries(path: Path, format: str) -> tuple[Query, ...]:
    """The queries of a file with their truth, in its order.

    Raises ``FormatError`` for a malformed row or a file without queries, and ``UsageError`` for an
    unknown format or a file that cannot be opened.
    """
    queries = tuple(_known(format).read(path))
    if not queries:
        raise FormatError(path, 1, "the file holds no queries")
    return queries


def write_queries(path: Path, queries: Sequence[Query], format: str) -> None:
    """Write queries with their truth. Raises ``UsageError`` for what the format cannot hold."""
    form = _known(format)
    for query in queries:
        for what in filter(None, (_LACKS[lacking](query) for lacking in form.lacks)):
            raise UsageError(
                f'Query {query.qid}: {format} cannot hold {what}; write it as "jsonl".'
            )
    write_text(path, form.write(queries))


# What formats cannot hold, in words; None where a query has nothing of the kind.
_LACKS: Final[Mapping[str, Callable[[Query], str | None]]] = {
    "absence": lambda q: None if q.present else "a query whose video is absent",
    "spans": lambda q: None if len(q.spans) == 1 else f"{len(q.spans)} spans for a query",
    "moments": lambda q: None if q.annotators else _LACKS["spans"](q),
    "marks": lambda q: "several annotators' spans of one moment" if q.annotators else None,
    "no length": lambda q: "a query without the video's duration" if q.duration is None else None,
    "broken pieces": lambda q: (
        None
        if all(not a % 1 and not b % 1 and a <= b for a, b in map(_pieces, q.spans))
        else "a span that is not made of whole pieces of 5 s"
    ),
}


def _several(row: Row, column: str) -> bool:
    """Are there several annotators' spans, where DiDeMo is kept in TVR's form?"""
    stamps = row.items(column)
    return bool(stamps) and isinstance(stamps[0], list)


def _span(row: Row, column: str) -> tuple[Span]:
    return (row.span(column, row.get(column)),)


def _tvr_spans(row: Row, column: str) -> tuple[Span, ...]:
    return row.spans(column) if _several(row, column) else _span(row, column)


def _windows(row: Row, column: str) -> tuple[Span, ...]:
    spans = row.spans(column)
    if not spans:
        raise row.error(f'"{column}" is empty: every query of QVHighlights has a moment')
    return spans


def _saliency(row: Row, _: str) -> dict[int, tuple[float, ...]] | None:
    if not row.has("saliency_scores"):
        return None
    clips, scores = row.items("relevant_clip_ids"), row.table("saliency_scores")
    count = int(row.number("duration") / CLIP_SECONDS)
    if len(clips) != len(scores) or (len(scores) and scores.shape[1] != 3):
        raise row.error('"saliency_scores" must hold three scores for each of "relevant_clip_ids"')
    saliency: dict[int, tuple[float, ...]] = {}
    for clip, values in zip(clips, scores.tolist(), strict=True):
        if not isinstance(clip, int) or not 0 <= clip < count:
            raise row.error(f'"relevant_clip_ids" holds {clip!r}, but the video has {count} clips')
        saliency[clip] = tuple(values)
    return saliency


def _pieces_of_5_s(row: Row, column: str) -> tuple[Span, ...]:
    marks = row.spans(column)
    if not marks:
        raise row.error(f'"{column}" is empty')
    if any(first < 0 or first % 1 or last % 1 for first, last in marks):
        raise row.error(f'"{column}" must hold [first, last], the numbers of pieces from 0')
    return tuple((first * DIDEMO_PIECE, (last + 1) * DIDEMO_PIECE) for first, last in marks)


def _pieces(span: Span) -> Span:
    return span[0] / DIDEMO_PIECE, span[1] / DIDEMO_PIECE - 1


def _own_spans(row: Row, column: str) -> tuple[Span, ...]:
    spans = row.spans(column)
    absent = row.get("video") is None
    if not absent and not row.text("video").strip():
        raise row.error('"video" must be a path, or null where the archive does not hold it')
    if absent and spans:
        raise row.error('"spans" must be empty where "video" is null')
    if not absent and not spans:
        raise row.error('"spans" must hold at least one [start, end] where "video" is named')
    return spans


# Rows of JSON: columns in the originals' order, the fields of a query that they give, and how.
_COLUMNS: Final[Mapping[str, Sequence[tuple[str, str, Callable[[Row, str], Any]]]]] = {
    # tvr_{split}_release.jsonl (Lei et al. 2020); "type" is there in TVR alone.
    "tvr": (
        ("vid_name", "video", Row.text),
        ("duration", "duration", Row.optional_number),
        ("ts", "spans", _tvr_spans),
        ("ts", "annotators", _several),
        ("desc", "query", Row.text),
        ("type", "query_type", Row.optional_text),
        ("desc_id", "qid", Row.identifier),
    ),
    # highlight_{split}_release.jsonl (Lei et al. 2021).
    "qvhighlights": (
        ("qid", "qid", Row.identifier),
        ("query", "query", Row.text),
        ("duration", "duration", Row.number),
        ("vid", "video", Row.text),
        ("relevant_clip_ids", "saliency", _saliency),
        ("saliency_scores", "saliency", _saliency),
        ("relevant_windows", "spans", _windows),
    ),
    # A "-FIG" set (Chen et al. 2024): the coarse "cog_desc" that the fine-grained query was made
    # from and "fig_desc_score" stay in ``extra``.
    "verified": (
        ("video", "video", Row.text),
        ("time", "spans", _span),
        ("desc_id", "qid", Row.identifier),
        ("duration", "duration", Row.number),
        ("fig_desc", "query", Row.text),
    ),
    # DiDeMo (Hendricks et al. 2017): "times" are the annotators' marks of one moment, [first, last]
    # piece of 5 s, both included: [1, 2] is 5 s to 15 s. A video's last piece may be shorter.
    "didemo": (
        ("annotation_id", "qid", Row.identifier),
        ("video", "video", Row.text),
        ("times", "spans", _pieces_of_5_s),
        ("times", "annotators", lambda *_: True),
        ("description", "query", Row.text),
    ),
    # This project's own: "video" is a path or the ending of one, or null where the archive does not
    # hold it; then "spans", [[start, end], …], is empty. With "duration" no span reaches beyond it.
    "jsonl": (
        ("qid", "qid", Row.identifier),
        ("query", "query", Row.text),
        ("video", "video", Row.optional_text),
        ("spans", "spans", _own_spans),
        ("duration", "duration", Row.optional_number),
        ("annotators", "annotators", lambda row, column: row.values.get(column) is True),
        ("type", "query_type", Row.optional_text),
    ),
}
# What a column holds where that is not the field as it is.
_WRITTEN: Final[Mapping[str, Callable[[Query], object]]] = {
    "ts": lambda q: q.spans if q.annotators else q.spans[0],
    "time": lambda q: q.spans[0],
    "times": lambda q: [list(map(int, _pieces(span))) for span in q.spans],
    "relevant_clip_ids": lambda q: None if q.saliency is None else list(q.saliency),
    "saliency_scores": lambda q: None if q.saliency is None else list(q.saliency.values()),
    "annotators": lambda q: q.annotators or None,
}


def _query(format: str, row: Row) -> Query:
    columns = _COLUMNS[format]
    fields = {field: read(row, column) for column, field, read in columns}
    query = Query(**fields, extra=row.extra(*(column for column, *_ in columns)))
    if format == "jsonl" and query.duration is not None:
        return query.clipped(query.duration)
    return query


def _row(format: str, query: Query) -> dict[str, object]:
    """The format's columns, those that are known, and a query's other columns after them."""
    row = {
        column: _WRITTEN[column](query) if column in _WRITTEN else getattr(query, field)
        for column, field, _ in _COLUMNS[format]
    }
    known = {column: value for column, value in row.items() if value is not None}
    extra = {column: value for column, value in query.extra.items() if column not in row}
    return known | extra | ({} if query.present else {"video": None})


def _read_activitynet(path: Path) -> Iterator[Query]:
    """ActivityNet Captions (Krishna et al. 2017): ``{video: {duration, timestamps, sentences}}``.

    A query's id is its place in the file, from 0, sentence by sentence. The set holds spans marked
    from end to start, which are turned round, and spans that reach beyond the duration, which stay.
    """
    source = Source(path)
    count = 0
    for video in source.members():
        row = source.row()
        stamps, sentences = row.items("timestamps"), row.items("sentences")
        if len(stamps) != len(sentences):
            raise row.error(
                f"{video}: {len(stamps)} timestamps for {len(sentences)} sentences; "
                "one is needed for each"
            )
        for stamp, sentence in zip(stamps, sentences, strict=True):
            if not isinstance(sentence, str):
                raise row.error(f'{video}: "sentences" must hold texts')
            span = row.span("timestamps", _in_order(stamp))
            yield Query(count, sentence, video, (span,), duration=row.number("duration"))
            count += 1
    source.end()


def _in_order(stamp: object) -> object:
    if isinstance(stamp, list) and len(stamp) == 2:
        first, second = stamp
        numbers = isinstance(first, int | float) and isinstance(second, int | float)
        return [second, first] if numbers and second < first else stamp
    return stamp


def _activitynet_text(queries: Sequence[Query]) -> str:
    """Ids are not kept: on reading, queries are numbered anew, those of a video together."""
    videos: dict[str | None, list[Query]] = {}
    for query in queries:
        videos.setdefault(query.video, []).append(query)
    document = {
        video: {
            "duration": asked[0].duration,
            "timestamps": [query.spans[0] for query in asked],
            "sentences": [query.query for query in asked],
        }
        for video, asked in videos.items()
    }
    return json_line(document)


def _read_didemo(path: Path) -> tuple[Query, ...]:
    source = Source(path)
    rows = (source.row() for _ in source.elements())
    queries = unique((row, _query("didemo", row)) for row in rows)
    source.end()
    return queries


def _read_charades(path: Path) -> Iterator[Query]:
    """Charades-STA (Gao et al. 2017): lines of ``VIDEO start end##sentence``, times in seconds.

    A query's id is the number of its line among those not empty, from 0.
    """
    source = Source(path)
    for count, (at, line) in enumerate(source.lines()):
        head, mark, sentence = line.strip().partition("##")
        parts = head.rsplit(maxsplit=2)
        if not mark or len(parts) != 3:
            raise source.error(at, "not of the form VIDEO start end##sentence")
        video, *times = parts
        try:
            numbers = [float(time) for time in times]
        except ValueError:
            raise source.error(at, f"no times in seconds: {' '.join(times)}") from None
        span = Row(source, at, {}).span("start end", numbers)
        yield Query(count, sentence, video, (span,))


def _charades_text(queries: Sequence[Query]) -> str:
    """Ids are not kept: on reading, queries are numbered anew."""
    return "".join(
        f"{query.video} {query.spans[0][0]} {query.spans[0][1]}##{' '.join(query.query.split())}\n"
        for query in queries
    )


class _Format(NamedTuple):
    """How a format is read and written, and what it cannot hold: the first that applies is told."""

    read: Callable[[Path], Iterable[Query]]
    write: Callable[[Sequence[Query]], str]
    lacks: tuple[str, ...]


def _lines(format: str, *lacks: str) -> _Format:
    """JSON Lines."""
    return _Format(
        lambda path: unique((row, _query(format, row)) for row in Source(path).rows()),
        lambda queries: "".join(json_line(_row(format, query)) for query in queries),
        lacks,
    )


_FORMATS: Final[Mapping[str, _Format]] = {
    "tvr": _lines("tvr", "absence", "moments"),
    "qvhighlights": _lines("qvhighlights", "marks", "no length", "absence"),
    "verified": _lines("verified", "absence", "spans"),
    "jsonl": _lines("jsonl"),
    "activitynet": _Format(_read_activitynet, _activitynet_text, ("absence", "no length", "spans")),
    "didemo": _Format(
        _read_didemo,
        lambda queries: json_line([_row("didemo", query) for query in queries]),
        ("moments", "broken pieces", "absence"),
    ),
    "charades-sta": _Format(_read_charades, _charades_text, ("spans", "absence")),
}


def _known(format: str) -> _Format:
    if format not in _FORMATS:
        raise UsageError(f'No format "{format}" for queries; there is {", ".join(_FORMATS)}.')
    return _FORMATS[format]
