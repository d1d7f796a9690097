"""Encode an archive anew with another bundle: into a shadow archive, then switch to that.

The archive is searched as before until the switch, which is one transaction. Whatever ends the run
before it, all videos that were encoded stay in the shadow archive, and the next run with the
same bundle skips them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from vsr_edge.bundle.model import Bundle
from vsr_edge.ingest.run import FileReport, IngestSummary, Progress, ingest
from vsr_edge.media.hwaccel import Device
from vsr_edge.store.base import ShadowArchive, Store
from vsr_edge.types import Sampling, StoredVideo


@dataclass(slots=True)
class ReindexSummary(IngestSummary):
    """What a run did. ``skipped`` are the videos that an earlier run had encoded.

    ``bundle_id`` names the encoders of the archive as the run left it. ``failed`` are the videos
    that keep it from being ``switched``, ``dropped`` those that it was switched without.
    ``waiting`` names another bundle that an unfinished run had begun with.
    """

    bundle_id: str = ""
    switched: bool = False
    up_to_date: bool = False
    waiting: str | None = None
    dropped: list[FileReport] = field(default_factory=list)


def reindex(
    store: Store,
    bundle: Bundle,
    *,
    threads: int = 0,
    device: Device | None = None,
    drop_missing: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> ReindexSummary:
    """Replace what ``store`` holds by the same videos, each with its sampling, of ``bundle``.

    Nobody else can write meanwhile. If it switches, ``store`` is of no use any more: open it
    again. It does not while a video is missing, unless ``drop_missing``; and never if all are.

    An interruption (Ctrl-C) is no error: the summary says so.

    Raises:
        ArchiveLocked: another process is writing.
        ArchiveError: the archive cannot be written, or the disk cannot hold both generations.
    """
    started = time.monotonic()
    summary = ReindexSummary()
    with store.shadow_archive() as shadow:
        if store.bundle_id == bundle.encoders_id:
            waiting = shadow.tidy()
            summary.waiting = None if waiting is None else waiting.bundle_id
            summary.up_to_date = True
        else:
            try:
                _replace(store, bundle, shadow, summary, threads, device, drop_missing, on_progress)
            except KeyboardInterrupt:
                summary.interrupted = True
            # The switch itself cannot be interrupted: Ctrl-C amid it is heard when it is done.
            summary.switched = shadow.bundle_id == bundle.encoders_id
            if summary.switched and summary.interrupted:
                summary.interrupted = False
                shadow.tidy()
        summary.bundle_id = shadow.bundle_id
    summary.seconds = time.monotonic() - started
    return summary


def _replace(
    store: Store,
    bundle: Bundle,
    shadow: ShadowArchive,
    summary: ReindexSummary,
    threads: int,
    device: Device | None,
    drop_missing: bool,
    on_progress: Callable[[Progress], None] | None,
) -> None:
    stored = store.videos()
    with shadow.open(bundle.encoders_id, bundle.dim) as successor:
        reasons = _encode(stored, bundle, successor, summary, threads, device, on_progress)
        if summary.interrupted:
            return
        wanted = {one.video.path for one in stored}
        encoded = {one.video.path: one.video_id for one in successor.videos()}
        # Removed from the archive since an unfinished run encoded them.
        obsolete = [video_id for path, video_id in encoded.items() if path not in wanted]
        if obsolete:
            with successor.writer() as writer:
                writer.remove(obsolete)
    missing = [
        FileReport(one.video.path, reasons.get(one.video.path, "it is not there any more"))
        for one in stored
        if one.video.path not in encoded
    ]
    # If none can be read, a drive is not mounted rather than every file lost.
    if missing and (not drop_missing or len(missing) == len(stored)):
        summary.failed = missing
        return
    summary.dropped = missing
    shadow.switch()


def _encode(
    stored: list[StoredVideo],
    bundle: Bundle,
    successor: Store,
    summary: ReindexSummary,
    threads: int,
    device: Device | None,
    on_progress: Callable[[Progress], None] | None,
) -> dict[Path, str]:
    """Bring the shadow archive up to the videos; returns why some could not be read."""
    groups: dict[Sampling, list[StoredVideo]] = {}
    for one in stored:
        groups.setdefault(one.sampling, []).append(one)
    overall = _OverallProgress(stored, on_progress)
    reasons: dict[Path, str] = {}
    for sampling, group in groups.items():
        paths = [one.video.path for one in group]
        # A folder would be searched for videos that the archive never had.
        folders = {path for path in paths if _is_folder(path)}
        reasons |= dict.fromkeys(folders, "a folder lies there now")
        done = ingest(
            successor,
            bundle,
            [path for path in paths if path not in folders],
            sampling,
            threads=threads,
            device=device,
            on_progress=overall,
        )
        reasons |= {report.path: report.reason for report in done.failed}
        _add(summary, done)
        overall.finish(group, done)
        if done.interrupted:
            break
    return reasons


def _add(summary: ReindexSummary, done: IngestSummary) -> None:
    for name in ("indexed", "skipped", "moved", "copied", "frames", "hours"):
        setattr(summary, name, getattr(summary, name) + getattr(done, name))
    summary.partial += done.partial
    summary.interrupted = done.interrupted


class _OverallProgress:
    """One progress over the runs of all samplings."""

    def __init__(
        self, stored: list[StoredVideo], on_progress: Callable[[Progress], None] | None
    ) -> None:
        self._on_progress = on_progress
        self._started = time.monotonic()
        self._total_files = len(stored)
        self._total_bytes = sum(one.video.size_bytes for one in stored)
        self._files = self._bytes = self._frames = 0
        self._media_seconds = 0.0

    def __call__(self, now: Progress) -> None:
        if self._on_progress is None:
            return
        self._on_progress(
            replace(
                now,
                done_files=self._files + now.done_files,
                total_files=self._total_files,
                done_bytes=min(self._bytes + now.done_bytes, self._total_bytes),
                total_bytes=self._total_bytes,
                frames=self._frames + now.frames,
                media_seconds=self._media_seconds + now.media_seconds,
                elapsed=time.monotonic() - self._started,
            )
        )

    def finish(self, group: list[StoredVideo], done: IngestSummary) -> None:
        """Count a run as done."""
        self._files += len(group)
        self._bytes += sum(one.video.size_bytes for one in group)
        self._frames += done.frames
        self._media_seconds += done.hours * 3600


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False
