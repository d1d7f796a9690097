"""Truth in JSON Lines: TVR, QVHighlights, VERIFIED and this project's own queries."""

from __future__ import annotations

from vsr_edge.errors import UsageError
from vsr_edge.evaluation.reading import Row
from vsr_edge.evaluation.records import Query, Span
from vsr_edge.evaluation.saliency import CLIP_SECONDS


def tvr_query(row: Row) -> Query:
    """A row of TVR's ``tvr_{split}_release.jsonl`` (Lei et al. 2020).

    ``ts`` is [start, end], or a list of several annotators' spans where DiDeMo is kept in this
    form. ``type`` is there in TVR alone.
    """
    stamps = row.items("ts")
    several = bool(stamps) and isinstance(stamps[0], list)
    spans = row.spans("ts") if several else (row.span("ts", stamps),)
    return Query(
        qid=row.identifier("desc_id"),
        query=row.text("desc"),
        video=row.text("vid_name"),
        spans=spans,
        annotators=several,
        duration=row.optional_number("duration"),
        query_type=row.text("type") if row.has("type") else None,
        extra=row.extra("desc_id", "desc", "vid_name", "ts", "duration", "type"),
    )


def tvr_row(query: Query) -> dict[str, object]:
    several = query.annotators
    return _row(
        query,
        vid_name=present_video(query, "tvr"),
        duration=query.duration,
        ts=[list(span) for span in query.spans] if several else list(single_span(query, "tvr")),
        desc=query.query,
        type=query.query_type,
        desc_id=query.qid,
    )


def qvhighlights_query(row: Row) -> Query:
    """A row of QVHighlights' ``highlight_{split}_release.jsonl`` (Lei et al. 2021)."""
    spans = row.spans("relevant_windows")
    if not spans:
        raise row.error('"relevant_windows" is empty: every query of QVHighlights has a moment')
    return Query(
        qid=row.identifier("qid"),
        query=row.text("query"),
        video=row.text("vid"),
        spans=spans,
        duration=row.number("duration"),
        saliency=_saliency(row) if row.has("saliency_scores") else None,
        extra=row.extra(
            *("qid", "query", "vid", "duration", "relevant_windows"),
            *("relevant_clip_ids", "saliency_scores"),
        ),
    )


def _saliency(row: Row) -> dict[int, tuple[float, ...]]:
    clips, scores = row.items("relevant_clip_ids"), row.rows("saliency_scores")
    count = int(row.number("duration") / CLIP_SECONDS)
    if len(clips) != len(scores) or (len(scores) and scores.shape[1] != 3):
        raise row.error('"saliency_scores" must hold three scores for each of "relevant_clip_ids"')
    saliency: dict[int, tuple[float, ...]] = {}
    for clip, values in zip(clips, scores.tolist(), strict=True):
        if not isinstance(clip, int) or not 0 <= clip < count:
            raise row.error(f'"relevant_clip_ids" holds {clip!r}, but the video has {count} clips')
        saliency[clip] = tuple(values)
    return saliency


def qvhighlights_row(query: Query) -> dict[str, object]:
    if query.annotators:
        raise cannot_hold(query, "qvhighlights", "several annotators' spans of one moment")
    if query.duration is None:
        raise cannot_hold(query, "qvhighlights", "a query without the video's duration")
    saliency = query.saliency
    return _row(
        query,
        qid=query.qid,
        query=query.query,
        duration=query.duration,
        vid=present_video(query, "qvhighlights"),
        relevant_clip_ids=None if saliency is None else list(saliency),
        saliency_scores=None if saliency is None else [list(row) for row in saliency.values()],
        relevant_windows=[list(span) for span in query.spans],
    )


def verified_query(row: Row) -> Query:
    """A row of a VERIFIED "-FIG" set (Chen et al. 2024).

    The query is the fine-grained ``fig_desc``; the coarse ``cog_desc`` that it was made from and
    ``fig_desc_score`` stay in ``extra``.
    """
    return Query(
        qid=row.identifier("desc_id"),
        query=row.text("fig_desc"),
        video=row.text("video"),
        spans=(row.span("time", row.get("time")),),
        duration=row.number("duration"),
        extra=row.extra("desc_id", "fig_desc", "video", "time", "duration"),
    )


def verified_row(query: Query) -> dict[str, object]:
    return _row(
        query,
        video=present_video(query, "verified"),
        time=list(single_span(query, "verified")),
        desc_id=query.qid,
        duration=query.duration,
        fig_desc=query.query,
    )


def own_query(row: Row) -> Query:
    """A row of this project's queries: ``{"qid", "query", "video", "spans": [[start, end], …]}``.

    ``video`` is a path or the ending of one, or null where the archive does not hold it; then
    ``spans`` is empty. Three columns are optional: with ``duration`` no span reaches beyond it,
    ``annotators`` true and ``type`` are what ``Query`` says of them.
    """
    spans = row.spans("spans")
    absent = row.get("video") is None
    if not absent and not row.text("video").strip():
        raise row.error('"video" must be a path, or null where the archive does not hold it')
    if absent and spans:
        raise row.error('"spans" must be empty where "video" is null')
    if not absent and not spans:
        raise row.error('"spans" must hold at least one [start, end] where "video" is named')
    query = Query(
        qid=row.identifier("qid"),
        query=row.text("query"),
        video=None if absent else row.text("video"),
        spans=spans,
        annotators=row.values.get("annotators") is True,
        query_type=row.text("type") if row.has("type") else None,
        extra=row.extra("qid", "query", "video", "spans", "duration", "annotators", "type"),
    )
    duration = row.optional_number("duration")
    return query if duration is None else query.clipped(duration)


def own_row(query: Query) -> dict[str, object]:
    row = _row(
        query,
        qid=query.qid,
        query=query.query,
        video=query.video,
        spans=[list(span) for span in query.spans],
        duration=query.duration,
        annotators=query.annotators or None,
        type=query.query_type,
    )
    return row if query.present else row | {"video": None}


def present_video(query: Query, form: str) -> str:
    """The query's video. Raises ``UsageError`` for an absent one: few formats know of that."""
    if query.video is None:
        raise cannot_hold(query, form, "a query whose video is absent")
    return query.video


def single_span(query: Query, form: str) -> Span:
    """The query's span. Raises ``UsageError`` where there are several."""
    if len(query.spans) != 1:
        raise cannot_hold(query, form, f"{len(query.spans)} spans for a query")
    return query.spans[0]


def cannot_hold(query: Query, form: str, what: str) -> UsageError:
    return UsageError(f'Query {query.qid}: {form} cannot hold {what}; write it as "jsonl".')


def _row(query: Query, /, **values: object) -> dict[str, object]:
    """The format's columns, those that are known, and the query's other columns after them."""
    known = {key: value for key, value in values.items() if value is not None}
    return known | {key: value for key, value in query.extra.items() if key not in values}
