"""Results for people: tables on stdout, what is said of them on stderr; and printing of JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from vsr_edge.bundle.locate import bundle_name, bundle_title, name_of_id
from vsr_edge.cli.tables import Column, print_pairs, print_table
from vsr_edge.errors import printable
from vsr_edge.types import clock

if TYPE_CHECKING:
    from vsr_edge.bundle.manifest import Manifest
    from vsr_edge.document_fields import Part
    from vsr_edge.ingest.run import IngestSummary
    from vsr_edge.store.base import ArchiveStats
    from vsr_edge.types import SearchResult, StoredVideo

SHOWN_A_TURN, SHOWN_KINDS = 3, 8
# What a run says of single videos; only a re-index drops any.
_REPORTS = ("partial", "failed", "dropped")

# Results go to stdout, everything said about them to stderr, so that either can be piped.
messages = Console(stderr=True, highlight=False, soft_wrap=True)


# Has stdout its JSON document? It never gets a second one.
printed = False


def print_json(document: Part) -> None:
    """One JSON document on stdout. File names that are no UTF-8 keep their bytes as escapes."""
    global printed
    printed = True
    sys.stdout.write(json.dumps(document.model_dump(by_alias=True), indent=2) + "\n")
    # Now, and not when Python exits, is the time to learn that the reader has left.
    sys.stdout.flush()


def print_search(result: SearchResult, *, explain: bool, trace: bool = False) -> None:
    """The moments as a table, under the verdict on them; with ``explain``, how they were found, and
    with ``trace``, all that was looked at.
    """
    verdict = result.verdict
    if verdict.decision == "no_match":
        messages.print("nothing found that is likely enough; the nearest guesses:")
    elif verdict.decision == "unverified":
        messages.print(Text(result.turns[0].then))
    judged = verdict.threshold is not None
    figures = ("#", *(["match"] if judged else []), "score", "from", "to")
    # A file that is gone is told apart where there is one.
    noted = any(m.missing for m in result.moments)
    rows = []
    for m in result.moments:
        match = [_percent(m.match_probability)] if judged else []
        span = clock(m.start), clock(m.end)
        # What is less likely than the threshold is a guess.
        sure_enough = not judged or (m.match_probability or 0.0) >= (verdict.threshold or 0.0)
        rank = str(m.rank) if sure_enough else f"{m.rank}?"
        note = ["missing" if m.missing else ""] if noted else []
        rows.append((rank, *match, f"{m.score:.3f}", *span, *note, str(m.video)))
    notes = [Column("note")] if noted else []
    columns = (*(Column(title, "number") for title in figures), *notes, Column("video", "path"))
    print_table(columns, rows, named_by=(0, len(columns) - 1))
    if explain or trace:
        _print_path(result, None if trace else SHOWN_A_TURN)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def _print_path(result: SearchResult, shown: int | None) -> None:
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
        for candidate in turn.candidates[:shown]:
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
    bundle = bundle_title(name_of_id(result.bundle), result.bundle)
    messages.print(f"milliseconds: {stages}; bundle {bundle}")
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


def print_videos(videos: Iterable[StoredVideo]) -> None:
    """The indexed videos as a table."""
    rows = [
        (
            str(stored.video.path),
            clock(stored.video.duration),
            f"{stored.video.width}×{stored.video.height}",
            stored.video.codec,
            str(stored.frames),
            str(stored.clips),
            _note(stored),
        )
        for stored in videos
    ]
    columns = (
        Column("video", "path"),
        Column("length", "number"),
        Column("size"),
        Column("codec"),
        Column("frames", "number"),
        Column("clips", "number"),
        Column("note", "text"),
    )
    print_table(columns, rows)


def _note(stored: StoredVideo) -> str:
    partial = [f"partial: {stored.partial}"] if stored.partial else []
    return "; ".join([*(["missing"] if stored.missing else []), *partial])


def print_stats(stats: ArchiveStats, folder: Path) -> None:
    """What an archive holds, in two columns."""
    partial = f", {stats.partial_videos} of them partial" if stats.partial_videos else ""
    pairs = {
        "archive": str(folder),
        "videos": f"{stats.videos}{partial}",
        "footage": f"{stats.hours:.2f} h",
        "frames": f"{stats.frames}, {'with' if stats.regions else 'without'} regions",
        "clips": str(stats.clips),
        "encoders": f"{bundle_title(name_of_id(stats.bundle_id), stats.bundle_id)}, "
        f"{stats.dim} dimensions",
        "database": megabytes(stats.database_bytes),
        "cache": megabytes(stats.cache_bytes),
    }
    if (unfinished := stats.reindex) is not None:
        pairs["reindex"] = (
            f"{unfinished.videos} of {stats.videos} videos are encoded with the bundle "
            f"{unfinished.bundle_id!r}; `vsr-edge reindex` with it goes on"
        )
    print_pairs(pairs)


def print_manifest(folder: Path, manifest: Manifest) -> None:
    """A bundle: what it is and where it lies, its files, and what else its manifest says."""
    raw = manifest.raw
    print_pairs(
        {
            "bundle": bundle_title(bundle_name(folder), manifest.bundle_id),
            "folder": str(folder),
            "encoders": manifest.encoders_id,
            "licence": manifest.licence,
        }
    )
    print_blank()
    columns = (
        Column("part"),
        Column("file", "path"),
        Column("size", "number"),
        Column("precision"),
    )
    files = [
        (_words(role), one.file, megabytes(one.size_bytes), one.precision or "")
        for role, one in manifest.named_files
    ]
    print_table(columns, files)
    for part in ("dims", "preprocessing", "text", "calibration", "parity", "provenance"):
        if raw.get(part):
            print_blank()
            title = "dimensions" if part == "dims" else part
            print_table((Column(title), Column("", "text")), flat(raw[part]))


def print_blank() -> None:
    """An empty line between two tables."""
    print_table((Column(""),), [[""]])


def print_summary(summary: IngestSummary) -> None:
    """What an indexing run did, for people, on stderr."""
    for kind in _REPORTS:
        for report in getattr(summary, kind, ()):
            messages.print(Text(printable(f"{kind}: {report.path}: {report.reason}")))
    for report in summary.left_out:
        said = f"left out of {report.path}: {report.reason}; index --stream all takes them too"
        messages.print(Text(printable(said)))
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


def flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Nested mappings as rows of names and values: numbers rounded, lists in one row."""
    if isinstance(value, Mapping):
        return [
            row
            for key, inner in value.items()
            for row in flat(inner, f"{name}, {_words(key)}" if name else _words(key))
        ]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [(name, ", ".join(map(_plain, value)))]
    return [(name, _plain(value))]


def _words(key: object) -> str:
    return str(key).replace("_", " ")


def _plain(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
