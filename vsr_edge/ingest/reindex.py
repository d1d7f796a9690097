"""Encode an archive anew with another bundle: into a shadow archive, then switch to that.

The archive is searched as before until the switch, which is one transaction. Whatever ends the run
before it, all videos that were encoded stay in the shadow archive, and the next run with the
same bundle skips them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args

from vsr_edge.bundle.model import Bundle
from vsr_edge.ingest.executor import Executor, Local
from vsr_edge.ingest.recorded import Site
from vsr_edge.ingest.run import Run
from vsr_edge.ingest.scan import FoundFile, scan
from vsr_edge.ingest.summary import FileReport, IngestSummary, Progress
from vsr_edge.media.hwaccel import Device
from vsr_edge.store.base import ShadowArchive, Store
from vsr_edge.types import Recorded, Regions, Sampling


@dataclass(slots=True)
class ReindexSummary(IngestSummary):
    """What a run did. ``skipped`` are the videos that an earlier run had encoded.

    ``bundle_id`` names the encoders of the archive as the run left it. ``failed`` are the videos
    that keep it from being ``switched``, ``dropped`` those that it was switched without.
    ``waiting`` names another bundle that an unfinished run had begun with. ``recoded`` counts the
    videos whose regions were stored in a coarser code, without encoding them anew.
    """

    bundle_id: str = ""
    switched: bool = False
    up_to_date: bool = False
    waiting: str | None = None
    recoded: int = 0
    dropped: list[FileReport] = field(default_factory=list)


def reindex(
    store: Store,
    bundle: Bundle,
    *,
    threads: int = 0,
    device: Device | None = None,
    executor: Executor | None = None,
    drop_missing: bool = False,
    regions: Regions | None = None,
    site: Site = Site(),  # noqa: B008 — frozen
    on_progress: Callable[[Progress], None] | None = None,
) -> ReindexSummary:
    """Replace what ``store`` holds by the same videos, each with its sampling, of ``bundle``.

    Nobody else can write meanwhile. If it switches, ``store`` is of no use any more: open it
    again. It does not while a video is missing, unless ``drop_missing``; and never if all are.

    ``regions`` is the code that all of them are to have, in place of each its own; where ``store``
    is of that bundle already, as by :func:`recode`.

    ``executor`` is that of :func:`vsr_edge.ingest.run.ingest`. An interruption (Ctrl-C) is no
    error: the summary says so.

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
                executor = executor or Local(bundle, threads, device)
                run = Run(bundle, summary, executor, on_progress, site)
                _replace(store, shadow, run, summary, drop_missing, regions)
            except KeyboardInterrupt:
                summary.interrupted = True
            # The switch itself cannot be interrupted: Ctrl-C amid it is heard when it is done.
            summary.switched = shadow.bundle_id == bundle.encoders_id
            if summary.switched and summary.interrupted:
                summary.interrupted = False
                shadow.tidy()
        summary.bundle_id = shadow.bundle_id
    if summary.up_to_date and regions is not None:
        _recode(store, regions, summary, on_progress)
    summary.seconds = time.monotonic() - started
    return summary


def recode(
    store: Store, code: Regions, on_progress: Callable[[Progress], None] | None = None
) -> ReindexSummary:
    """Store the regions of all videos in a coarser code, from what is stored, whatever bundle it is
    of. Those that are coarser already stay as they are. Each video is one transaction, and an
    interruption as in :func:`reindex`.

    Raises:
        ArchiveLocked: another process is writing.
        ArchiveError: the archive cannot be written.
    """
    summary = ReindexSummary(bundle_id=store.bundle_id, up_to_date=True)
    _recode(store, code, summary, on_progress)
    return summary


def _recode(
    store: Store,
    code: Regions,
    summary: ReindexSummary,
    on_progress: Callable[[Progress], None] | None = None,
) -> None:
    started = time.monotonic()
    coarseness = get_args(Regions).index
    finer = [one for one in store.videos() if coarseness(one.sampling.regions) < coarseness(code)]
    done, every = 0, sum(one.frames for one in finer)
    try:
        with store.writer() as writer:
            for number, one in enumerate(finer, 1):
                writer.recode(one.video_id, code)
                summary.recoded += 1
                done += one.frames
                if on_progress is not None:
                    files, took = (number, len(finer)), time.monotonic() - started
                    on_progress(Progress(one.video.path, *files, done, every, done, 0.0, took))
            # Also of what an earlier run recoded before it was interrupted.
            writer.compact()
    except KeyboardInterrupt:
        summary.interrupted = True
    summary.seconds = time.monotonic() - started


def _replace(
    store: Store,
    shadow: ShadowArchive,
    run: Run,
    summary: ReindexSummary,
    drop_missing: bool,
    regions: Regions | None,
) -> None:
    stored = store.videos()
    work: dict[Sampling, list[FoundFile]] = {}
    for one in stored:
        sampling = replace(one.sampling, regions=regions or one.sampling.regions)
        work.setdefault(sampling, []).append(_file(one.video.path))
    with shadow.open(run.bundle.encoders_id, run.bundle.dim) as successor:
        run.encode(successor, list(work.items()))
        codes = {one.sampling.regions for one in successor.videos()}
        if regions is not None and codes != {regions} and not summary.interrupted:
            _recode(successor, regions, summary)  # what an unfinished run encoded
        reasons = {report.path: report.reason for report in summary.failed}
        summary.failed, summary.left_out = [], []
        if summary.interrupted:
            return
        wanted = {one.video.path for one in stored}
        encoded = {one.video.path: one.video_id for one in successor.videos()}
        _bring_over(store, successor)
        # Removed from the archive since an unfinished run encoded them.
        obsolete = [video_id for path, video_id in encoded.items() if path not in wanted]
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


def _bring_over(store: Store, successor: Store) -> None:
    """What is known of the videos beside what they show: when they were recorded, their tags, and
    their words, which are the same whatever encodes pictures and may have taken hours to read.

    A file whose content has changed since has none of it. Containers that were not asked before
    were now, to encode them. An unfinished run may have brought over what is not so any more.
    """
    successors = {(one.video.path, one.video.fingerprint): one for one in successor.videos()}
    pairs = [
        (one, successors[key])
        for one in store.videos()
        if (key := (one.video.path, one.video.fingerprint)) in successors
    ]
    unasked = {one.video_id for one in store.untimed()}
    times = {
        new.video_id: Recorded(one.recorded_at, one.recorded_from)
        for one, new in pairs
        if one.video_id not in unasked
        if one.recorded_at is not None and one.recorded_from is not None
    }
    with successor.writer() as writer:
        writer.record(times)
        for one, new in pairs:
            if set(one.tags) != set(new.tags):
                writer.tag([new.video_id], one.tags, set(new.tags) - set(one.tags))
            texts = store.texts(one.video_id)
            for source in {*texts, *successor.texts(new.video_id)}:
                writer.set_texts(new.video_id, source, texts.get(source))


def _file(path: Path) -> FoundFile:
    # A folder would be searched for videos that the archive never had.
    if os.path.isdir(path):  # noqa: PTH112 — never raises
        return FoundFile(path, problem="a folder lies there now")
    (file,) = scan([path])
    return file
