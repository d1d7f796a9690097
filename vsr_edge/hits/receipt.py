"""A receipt: what was asked of which footage, how, and what came of it, so that "it is not there"
says what was looked through. A plain JSON document with a sha256 of itself; pure data.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vsr_edge.answer import Moment, SearchResult, TurnListener
from vsr_edge.archive import Archive
from vsr_edge.bundle.locate import bundle_name
from vsr_edge.bundle.manifest import SEAL, digest_of
from vsr_edge.errors import ReceiptError, UsageError
from vsr_edge.ingest.failures import failed_files
from vsr_edge.ingest.scan import is_gone
from vsr_edge.query import Daily, Filter, SearchOptions
from vsr_edge.search.parts import Parts
from vsr_edge.search.video_names import named
from vsr_edge.times import spans_within
from vsr_edge.types import StoredVideo

SCHEMA = "vsr-edge/receipt/1"
# Of videos, and of moments, so many are named; the rest is counted, and in the sha256.
NAMED, MOMENTS = 100, 10
# What was calibrated is a search with the defaults of these.
CALIBRATED = ("min_score", "max_turns", "candidates", "max_ms", "one_shot", "rocchio")
# Of a receipt, what another run of it is held against.
_COMPARED = ("program", "bundle", "archive", "searched", "answer", "calibration")


_NOTE = (
    "of queries for what is there, such a search found and accepted this share on parts of the "
    "calibration archive of all sizes; of queries for what is not, it denied that one"
)


def with_receipt(
    archive: Archive,
    query: str,
    options: SearchOptions,
    *,
    most_ms: float | None = None,
    on_turn: TurnListener | None = None,
) -> tuple[SearchResult, dict[str, Any]]:
    """Search, and the receipt of it, of one state of the archive.

    ``most_ms`` ends the search as ``max_ms`` does, but nobody asked for it: the receipt does not
    name it, so whoever gives it keeps no receipt of a search that it cut short.
    """
    limits = [limit for limit in (options.max_ms, most_ms) if limit is not None]
    with archive.store.reading():
        limited = replace(options, max_ms=min(limits, default=None))
        found = archive.search(query, limited, on_turn=on_turn)
        return found, _sealed(_receipt(archive, query, options, found))


def _receipt(
    archive: Archive, query: str, options: SearchOptions, found: SearchResult
) -> dict[str, Any]:
    manifest, stats = archive.bundle.manifest, archive.stats()
    where = named(archive.store, options.video, options.where) or Filter()
    videos = archive.store.videos(where)
    failed = failed_files(archive.settings.archive, archive.store)
    document = {
        "schema": SCHEMA,
        "program": version("vsr-edge"),
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "query": query,
        "read_as": found.read_as,
        # As patterns, which mean the same wherever it is checked from.
        "options": asdict(options) | {"video": None, "where": None},
        "filter": asdict(where),
        "bundle": None
        if options.text
        else {
            "id": manifest.bundle_id,
            "name": bundle_name(manifest.folder),
            "encoders": manifest.encoders_id,
            "manifest_sha256": manifest.raw[SEAL],
        },
        "archive": {
            "folder": archive.settings.place
            if archive.settings.database
            else archive.settings.archive.absolute(),
            "generation": stats.generation,
            "videos": stats.videos,
            "hours": round(stats.hours, 4),
        },
        "searched": _searched(videos, where, archive.store.frame_count(where), failed),
        "answer": {
            "verdict": found.verdict.decision,
            "threshold": found.verdict.threshold,
            "notices": found.notices,
            "moments": [_moment(one) for one in found.moments[:MOMENTS]],
        },
        "calibration": _calibration(manifest.raw.get("calibration"), query, options, found),
    }
    plain: dict[str, Any] = json.loads(json.dumps(document, default=_plain))
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted(value)
    return os.fspath(value) if isinstance(value, os.PathLike) else str(value)


def _searched(
    videos: Sequence[StoredVideo], where: Filter, frames: int, failed: Iterable[Any]
) -> dict[str, Any]:
    """How much of what was searched, and what of it was not whole."""
    cameras: dict[Path, list[StoredVideo]] = defaultdict(list)
    for one in videos:
        cameras[one.video.path.parent].append(one)
    return {
        **_amount(videos, where),
        "frames": frames,
        "listed": _listed((one.video.path, one.video.fingerprint) for one in videos),
        "cameras": [{"folder": folder, **_amount(some, where)} for folder, some in cameras.items()],
        "partial": _listed((one.video.path, one.partial) for one in videos if one.partial),
        "missing": _listed((one.video.path, None) for one in videos if is_gone(one.video.path)),
        "failed": _listed((one.path, one.reason) for one in failed),
    }


def _amount(videos: Sequence[StoredVideo], where: Filter) -> dict[str, Any]:
    """Videos, hours, and the times of recording as far as they are known, in a filter's time."""
    spans, seconds, known = [], 0.0, 0
    for one in videos:
        if (at := one.recorded_at) is None:
            seconds += one.video.duration
            continue
        end = at + one.video.duration
        within = [(max(begin, at), min(stop, end)) for begin, stop in spans_within(where, at, end)]
        spans += within
        seconds += sum(stop - begin for begin, stop in within)
        known += 1
    return {
        "videos": len(videos),
        "hours": round(seconds / 3600, 4),
        "from": _time(min((start for start, _ in spans), default=None)),
        "to": _time(max((end for _, end in spans), default=None)),
        "times_known": known,
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def _listed(videos: Iterable[tuple[Path, str | None]]) -> dict[str, Any]:
    every = sorted((os.fspath(path), about or "") for path, about in videos)
    return {
        "count": len(every),
        "sha256": _sha256(f"{path} {about}" for path, about in every),
        "first": [{"video": path, "about": about} for path, about in every[:NAMED]],
    }


def _sha256(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _moment(one: Moment) -> dict[str, Any]:
    """To the digits that are the same on every machine."""
    likely = one.match_probability
    return {
        "video": one.video,
        "start": round(one.start, 2),
        "end": round(one.end, 2),
        "score": round(one.score, 2),
        "match_probability": None if likely is None else round(likely, 2),
        "parts": [
            {"sentence": part.sentence, "start": round(part.start, 2), "end": round(part.end, 2)}
            for part in one.parts
        ],
    }


def _calibration(
    raw: Mapping[str, Any] | None, query: str, options: SearchOptions, found: SearchResult
) -> dict[str, Any]:
    """How often such a search finds what is there, and denies what is not, as it was measured when
    the bundle was calibrated; nulls where nobody measured it.
    """
    parts = Parts.of(query, options)
    shares: dict[str, Any] = dict.fromkeys(("found", "denied", "precision"))
    queries = None
    default = SearchOptions()
    changed = [name for name in CALIBRATED if getattr(options, name) != getattr(default, name)]
    changed += ["without"] if parts.without else []
    if changed:
        note = f"measured with other settings than these: {', '.join(changed)}"
    elif options.text or len(parts.sentences) > 1:
        note = f"not measured for {'words' if options.text else 'queries of several parts'}"
    elif found.verified_by is not None and "universal" in found.verified_by:
        note = "not measured for this bundle, which universal heads verify"
    elif found.verified_by is not None and "corrected" in found.verified_by:
        note = "not measured with what is known of this archive"
    elif raw and raw.get("accepted") is not None and raw.get("denied") is not None:
        # Half of the questions, asked of parts of the calibration archive of all sizes, could be
        # answered (export/calibrate.py).
        shares["found"] = round(2 * raw["loop"] * raw["accepted"], 4)
        shares |= {name: raw.get(name) for name in ("denied", "precision")}
        queries = raw.get("queries")
        note = _NOTE
    else:
        note = "the bundle's calibration recorded no shares"
    if found.verified_by is not None and "corrected" in found.verified_by:
        note += f"; verified by {found.verified_by}"
    return {**shares, "queries": queries, "note": note}


def _sealed(document: Mapping[str, Any]) -> dict[str, Any]:
    return {**document, SEAL: digest_of(document)}


def write_receipt(path: Path, receipt: Mapping[str, Any], *, force: bool = False) -> None:
    """Write a receipt, wholly or not at all.

    Raises:
        UsageError: the file exists, and ``force`` is false.
        OSError: it cannot be written.
    """
    refuse_existing(path, force=force)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(json.dumps(receipt, indent=1) + "\n", "utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def refuse_existing(path: Path, *, force: bool) -> None:
    """Raises ``UsageError`` for a file that exists, unless ``force``."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder: name a file for the receipt")
    if path.exists() and not force:
        raise UsageError(f"{path} exists: name another file, or overwrite it with --force")


def read_receipt(path: Path) -> dict[str, Any]:
    """A receipt, as it was written.

    Raises:
        ReceiptError: it cannot be read, is none, or was altered.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ReceiptError(f"{path} cannot be read as a receipt: {error}") from error
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise ReceiptError(
            f"{path} is no receipt of {SCHEMA}: write one with vsr-edge search … --receipt FILE"
        )
    if found.get(SEAL) != digest_of(found):
        raise ReceiptError(
            f"{path} was altered since it was written (its {SEAL} differs from that of its "
            "fields): take the original"
        )
    return found


def run_again(archive: Archive, receipt: Mapping[str, Any]) -> dict[str, Any]:
    """The receipt of the same search, now.

    Raises:
        ReceiptError: it was written by a version whose options this one does not know.
    """
    known = {field.name for field in fields(SearchOptions)}
    if unknown := receipt["options"].keys() - known:
        raise ReceiptError(
            f"this version does not know the options {', '.join(sorted(unknown))}: check the "
            f"receipt with vsr-edge {receipt['program']}"
        )
    given: dict[str, Any] = {**receipt["options"], "where": _filter(receipt["filter"])}
    return with_receipt(archive, receipt["query"], SearchOptions(**given))[1]


def _filter(said: Mapping[str, Any]) -> Filter:
    found: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in said.items()
    }
    if found["between"] is not None:
        found["between"] = Daily(**found["between"])
    return Filter(**found)


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What differs between two receipts of one search: names with dots, values before and after.

    When they were made counts for nothing.
    """
    found: list[dict[str, Any]] = []
    for name in _COMPARED:
        _compare(name, before.get(name), after.get(name), found)
    return found


def _compare(name: str, before: Any, after: Any, found: list[dict[str, Any]]) -> None:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        there = len(found)
        for key in sorted({*before, *after} - {SEAL}):
            _compare(f"{name}.{key}", before.get(key), after.get(key), found)
        # What is not among the first of a list changes its sum alone.
        if len(found) == there and before.get(SEAL) != after.get(SEAL):
            found.append({"what": name, "before": before.get(SEAL), "after": after.get(SEAL)})
    elif isinstance(before, list) and isinstance(after, list):
        _compare(name, _by_name(before), _by_name(after), found)
    elif before != after:
        found.append({"what": name, "before": before, "after": after})


def _by_name(some: Sequence[Any]) -> dict[str, Any]:
    """What has a place in an order by that, and videos and folders by their names."""
    named = all(isinstance(one, Mapping) and one.keys() & {"about", "folder"} for one in some)
    return {
        str(one.get("folder") or one.get("video")) if named else str(number): one
        for number, one in enumerate(some, 1)
    }
