"""Truth in files of their own shape: ActivityNet Captions, DiDeMo and Charades-STA."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from vsr_edge.evaluation.benchmarks.rows import cannot_hold, present_video, single_span
from vsr_edge.evaluation.reading import (
    FormatError,
    JsonDocument,
    Row,
    read_text,
    unique,
    write_json,
    write_text,
)
from vsr_edge.evaluation.records import Query, Span

DIDEMO_PIECE: Final = 5.0


def read_activitynet(path: Path) -> Iterator[Query]:
    """ActivityNet Captions (Krishna et al. 2017): ``{video: {duration, timestamps, sentences}}``.

    A query's id is its place in the file, from 0, sentence by sentence. The set holds spans marked
    from end to start, which are turned round, and spans that reach beyond the duration, which stay.
    """
    document = JsonDocument(path)
    count = 0
    for video in document.members():
        row = document.row()
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
    document.end()


def _in_order(stamp: object) -> object:
    if isinstance(stamp, list) and len(stamp) == 2:
        first, second = stamp
        numbers = isinstance(first, int | float) and isinstance(second, int | float)
        return [second, first] if numbers and second < first else stamp
    return stamp


def write_activitynet(path: Path, queries: Sequence[Query]) -> None:
    """Ids are not kept: on reading, queries are numbered anew, those of a video together."""
    videos: dict[str, tuple[float, list[Span], list[str]]] = {}
    for query in queries:
        video = present_video(query, "activitynet")
        if query.duration is None:
            raise cannot_hold(query, "activitynet", "a query without the video's duration")
        _, spans, sentences = videos.setdefault(video, (query.duration, [], []))
        spans.append(single_span(query, "activitynet"))
        sentences.append(query.query)
    write_json(
        path,
        {
            video: {
                "duration": duration,
                "timestamps": [list(span) for span in spans],
                "sentences": sentences,
            }
            for video, (duration, spans, sentences) in videos.items()
        },
    )


def read_didemo(path: Path) -> tuple[Query, ...]:
    """DiDeMo (Hendricks et al. 2017): a list of ``{annotation_id, description, video, times, …}``.

    ``times`` are the annotators' marks of one moment, [first, last] piece of 5 s, both included:
    [1, 2] is 5 s to 15 s. A video's last piece may be shorter than that; the spans do not know.
    """
    document = JsonDocument(path)
    queries = unique((row, _didemo_query(row)) for row in _elements(document))
    document.end()
    return queries


def _elements(document: JsonDocument) -> Iterator[Row]:
    for _ in document.elements():
        yield document.row()


def _didemo_query(row: Row) -> Query:
    spans = tuple(_pieces_to_span(row, mark) for mark in row.items("times"))
    if not spans:
        raise row.error('"times" is empty')
    return Query(
        qid=row.identifier("annotation_id"),
        query=row.text("description"),
        video=row.text("video"),
        spans=spans,
        annotators=True,
        extra=row.extra("annotation_id", "description", "video", "times"),
    )


def _pieces_to_span(row: Row, mark: object) -> Span:
    first, last = row.span("times", mark)
    if first < 0 or first % 1 or last % 1:
        raise row.error('"times" must hold [first, last], the numbers of pieces from 0')
    return first * DIDEMO_PIECE, (last + 1) * DIDEMO_PIECE


def write_didemo(path: Path, queries: Sequence[Query]) -> None:
    write_json(path, [_didemo_row(query) for query in queries])


def _didemo_row(query: Query) -> dict[str, object]:
    if not query.annotators:
        single_span(query, "didemo")
    marks = [(start / DIDEMO_PIECE, end / DIDEMO_PIECE - 1) for start, end in query.spans]
    if any(first % 1 or last % 1 or last < first for first, last in marks):
        raise cannot_hold(query, "didemo", "a span that is not made of whole pieces of 5 s")
    return {
        **query.extra,
        "annotation_id": query.qid,
        "video": present_video(query, "didemo"),
        "times": [[int(first), int(last)] for first, last in marks],
        "description": query.query,
    }


def read_charades(path: Path) -> Iterator[Query]:
    """Charades-STA (Gao et al. 2017): lines of ``VIDEO start end##sentence``, times in seconds.

    A query's id is the number of its line among those not empty, from 0.
    """
    count = 0
    for line, text in enumerate(read_text(path).split("\n"), start=1):
        if not text.strip():
            continue
        head, mark, sentence = text.strip().partition("##")
        parts = head.rsplit(maxsplit=2)
        if not mark or len(parts) != 3:
            raise FormatError(path, line, "not of the form VIDEO start end##sentence")
        video, *times = parts
        try:
            numbers = [float(time) for time in times]
        except ValueError:
            raise FormatError(path, line, f"no times in seconds: {' '.join(times)}") from None
        span = Row(path, line, {}).span("start end", numbers)
        yield Query(count, sentence, video, (span,))
        count += 1


def write_charades(path: Path, queries: Sequence[Query]) -> None:
    """Ids are not kept: on reading, queries are numbered anew."""
    lines = []
    for query in queries:
        start, end = single_span(query, "charades-sta")
        video = present_video(query, "charades-sta")
        lines.append(f"{video} {start} {end}##{' '.join(query.query.split())}\n")
    write_text(path, "".join(lines))
