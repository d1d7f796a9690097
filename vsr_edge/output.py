"""Results as JSON documents and as tables for people."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from vsr_edge.ingest.run import IngestSummary
    from vsr_edge.types import Refinement, SearchResult, StoredVideo

_PIPE_WIDTH = 1_000_000
SHOWN_A_TURN, SHOWN_KINDS = 3, 8
# What a run says of single videos; only a re-index drops any.
_REPORTS = ("partial", "failed", "dropped")

# Results go to stdout, everything said about them to stderr, so that either can be piped.
messages = Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(document: Mapping[str, Any]) -> None:
    """One JSON document on stdout. File names that are no UTF-8 keep their bytes as escapes."""
    sys.stdout.write(json.dumps(document, indent=2, default=_plain) + "\n")
    # Now, and not when Python exits, is the time to learn that the reader has left.
    sys.stdout.flush()


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def clock(seconds: float) -> str:
    """75.5 → ``1:15.5``; hours only where there are some."""
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"


def search_document(result: SearchResult) -> dict[str, Any]:
    """The JSON form of an answer."""
    confidence = result.verdict.confidence
    return {
        "query": result.query,
        "verdict": result.verdict.decision,
        "confidence": None if confidence is None else round(confidence, 4),
        "threshold": result.verdict.threshold,
        "moments": [_rounded(asdict(moment)) for moment in result.moments],
        "turns": [
            {
                "turn": turn.turn,
                "action": turn.action,
                "refinement": _refinement_document(turn.refinement),
                "candidates": [_rounded(asdict(c)) for c in turn.candidates],
                "then": turn.then,
                "latency_ms": turn.latency_ms,
                "encoder_calls": turn.encoder_calls,
                "soft_tokens": turn.soft_tokens,
            }
            for turn in result.turns
        ],
        "timing_ms": result.timing_ms,
        "bundle": result.bundle,
        "notices": list(result.notices),
    }


def _refinement_document(change: Refinement | None) -> dict[str, Any] | None:
    return None if change is None else asdict(change) | {"cosine": round(change.cosine, 4)}


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    digits = {"start": 3, "end": 3, "score": 5, "match_probability": 4}
    return {k: round(v, digits[k]) if k in digits and v is not None else v for k, v in row.items()}


def print_search(result: SearchResult, *, explain: bool) -> None:
    """The moments as a table, under the verdict on them; with ``explain``, how they were found."""
    verdict = result.verdict
    if verdict.decision == "no_match":
        messages.print("nothing found that is likely enough; the nearest guesses:")
    elif verdict.decision == "unverified":
        messages.print(Text(result.turns[0].then))
    judged = verdict.threshold is not None
    titles = ("#", *(["match"] if judged else []), "score", "from", "to", "video")
    table = _table(*titles, right=tuple(range(len(titles) - 1)))
    for m in result.moments:
        match = [_percent(m.match_probability)] if judged else []
        span = clock(m.start), clock(m.end)
        # What is less likely than the threshold is a guess.
        sure_enough = not judged or (m.match_probability or 0.0) >= (verdict.threshold or 0.0)
        rank = str(m.rank) if sure_enough else f"{m.rank}?"
        table.add_row(rank, *match, f"{m.score:.3f}", *span, _name(m.video))
    _show(table)
    if explain:
        _print_path(result)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def _print_path(result: SearchResult) -> None:
    """Turn by turn: what was tried, what came of it, and why it went on."""
    for turn in result.turns:
        messages.print(
            f"turn {turn.turn}: {turn.action}, {len(turn.candidates)} new candidates, "
            f"{turn.latency_ms:.1f} ms"
        )
        if (change := turn.refinement) is not None:
            spent = f"{turn.soft_tokens} soft tokens" if turn.soft_tokens else change.method
            messages.print(
                f"  query refined by {spent}, cosine to the original {change.cosine:.2f}"
                + (f"; towards: {', '.join(change.gained)}" if change.gained else "")
                + (f"; away from: {', '.join(change.lost)}" if change.lost else "")
            )
        for candidate in turn.candidates[:SHOWN_A_TURN]:
            messages.print(
                Text(
                    f"  {_percent(candidate.match_probability):>4}  score {candidate.score:.3f}  "
                    f"{clock(candidate.start)}–{clock(candidate.end)}  "
                    f"{printable(str(candidate.video))}"
                )
            )
        if turn.then:
            messages.print(f"  {turn.then}")
    stages = ", ".join(f"{name} {ms:.1f}" for name, ms in result.timing_ms.items())
    messages.print(f"milliseconds: {stages}; bundle {result.bundle}")
    if result.verdict.decision == "unverified":
        messages.print(
            "verdict: unverified. The score is the inner product of query and footage: it orders "
            "moments, it is no probability."
        )
    else:
        messages.print(_verdict(result))


def _verdict(result: SearchResult) -> str:
    """What was decided, by which numbers."""
    likely = _percent(result.moments[0].match_probability if result.moments else None)
    enough = _percent(result.verdict.threshold)
    if result.verdict.decision == "match":
        return f"verdict: match; the first moment is right with a probability of {likely}"
    return (
        f"verdict: no match; the likeliest guess is right with a probability of {likely}, and a "
        f"match begins at {enough}"
    )


def video_document(stored: StoredVideo) -> dict[str, Any]:
    """The JSON form of an indexed video."""
    video = stored.video
    return {
        "id": stored.video_id,
        "video": str(video.path),
        "duration": round(video.duration, 3),
        "width": video.width,
        "height": video.height,
        "codec": video.codec,
        "container": video.container,
        "frames": stored.frames,
        "clips": stored.clips,
        "partial": stored.partial,
        "indexed_at": stored.indexed_at,
        "fingerprint": video.fingerprint,
    }


def print_videos(videos: Iterable[StoredVideo]) -> None:
    """The indexed videos as a table."""
    table = _table("video", "length", "size", "codec", "frames", "clips", "note", right=(1, 4, 5))
    for stored in videos:
        video = stored.video
        table.add_row(
            _name(video.path),
            clock(video.duration),
            f"{video.width}×{video.height}",
            video.codec,
            str(stored.frames),
            str(stored.clips),
            _name(f"partial: {stored.partial}" if stored.partial else ""),
        )
    _show(table)


def print_pairs(pairs: Mapping[str, object]) -> None:
    """Names and values in two columns on stdout."""
    table = Table.grid(padding=(0, 2))
    for name, value in pairs.items():
        table.add_row(name, _name(value))
    _show(table)


def summary_document(summary: IngestSummary) -> dict[str, Any]:
    """The JSON form of an indexing run."""
    document = asdict(summary)
    document["hours"] = round(summary.hours, 4)
    document["seconds"] = round(summary.seconds, 2)
    for kind in document.keys() & set(_REPORTS):
        document[kind] = [
            {"video": str(report.path), "reason": report.reason}
            for report in getattr(summary, kind)
        ]
    return document


def print_summary(summary: IngestSummary) -> None:
    """What an indexing run did, for people, on stderr."""
    for kind in _REPORTS:
        for report in getattr(summary, kind, ()):
            messages.print(Text(printable(f"{kind}: {report.path}: {report.reason}")))
    if summary.passed_over:
        kinds = list(summary.passed_over.items())
        counted = ", ".join(f"{count} {_plain_kind(kind)}" for kind, count in kinds[:SHOWN_KINDS])
        more = f" and {len(kinds) - SHOWN_KINDS} more kinds" if len(kinds) > SHOWN_KINDS else ""
        messages.print(Text(printable(f"passed over: {counted}{more}")))
    parts = [
        f"{summary.indexed} indexed ({len(summary.partial)} of them partial)",
        f"{summary.skipped} unchanged",
        f"{summary.moved} moved",
        f"{summary.copied} copies",
        f"{len(summary.failed)} failed",
    ]
    rate = summary.hours * 3600 / summary.seconds if summary.seconds else 0.0
    messages.print(
        f"{', '.join(parts)}; {summary.hours:.2f} h of footage in {summary.seconds:.1f} s "
        f"({rate:.0f} × real time)"
    )


def _plain_kind(kind: str) -> str:
    return "without ending" if kind == "(none)" else kind


def _table(*columns: str, right: tuple[int, ...] = ()) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index in right else "left", overflow="fold")
    return table


def printable(text: str) -> str:
    """Text that is safe to show: what is not UTF-8 in a file name, or would command a terminal,
    becomes escapes.
    """
    unfit = {c for c in text if unicodedata.category(c) in {"Cc", "Cs"}} - {"\n"}
    escapes = {ord(c): c.encode("unicode_escape").decode("ascii") for c in unfit}
    return text.translate(escapes)


def _name(value: object) -> Text:
    """As text, never as markup: a file may be called ``[red].mp4``."""
    return Text(printable(str(value)).replace("\n", "\\n"))


Row: TypeAlias = Sequence[str]


def print_table(
    columns: Sequence[str], rows: Iterable[Row], *, right: tuple[int, ...] | None = None
) -> None:
    """Text in columns on stdout, those of ``right`` to the right: all but the first, if None."""
    if right is None:
        right = tuple(range(1, len(columns))) if any(columns) else ()
    table = _table(*columns, right=right)
    table.show_header = any(columns)
    for row in rows:
        table.add_row(*(_name(cell) for cell in row))
    _show(table)


def _show(table: Table) -> None:
    out = Console(highlight=False)
    if not out.is_terminal:
        # A pipe has no width: nothing may be folded or cut for a reader that is a program.
        out = Console(highlight=False, width=_PIPE_WIDTH)
    out.print(table, crop=out.is_terminal)
