"""The loop of `watch`: wait for changes, look, index what settled, ask, forget; until stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vsr_edge.archive import Archive
from vsr_edge.errors import ArchiveLocked, ArchiveNotFound
from vsr_edge.hits.thumbnails import forget_pictures
from vsr_edge.ingest.scan import is_gone
from vsr_edge.media.source import split_stream
from vsr_edge.watch.follow import LEAST_BETWEEN_SCANS, SCAN_SHARE, Changes, Follower
from vsr_edge.watch.retain import Retention
from vsr_edge.watch.standing import Fired, Standing
from vsr_edge.watch.systemd import notify

if TYPE_CHECKING:
    from vsr_edge.ingest.summary import IngestSummary
    from vsr_edge.types import StoredVideo

LOCKED_SECONDS = 2.0
LONGEST_WAIT = 5.0


@dataclass
class Service:
    """What is watched, and whom to tell: ``report`` of each pass, ``fire`` of alerts, ``forgot`` of
    videos; ``say`` takes sentences.

    ``rescan``: look at all again after so many seconds, whatever the system told.
    """

    archive: Archive
    follower: Follower
    standing: Standing
    rescan: float
    report: Callable[[IngestSummary], None]
    fire: Callable[[list[Fired]], None]
    forgot: Callable[[list[StoredVideo]], None]
    say: Callable[[str], None]
    retention: Retention | None = None
    prune: bool = False
    _locked: bool = False
    _resume: float = 0.0
    _notice: str | None = None
    _last_tick: float = field(default_factory=time.monotonic)

    def run(self, changes: Changes) -> None:
        """Until KeyboardInterrupt, which leaves nothing half done.

        Raises:
            VsrEdgeError: of the archive, the bundle or the provider; of a file, never.
        """
        notify(READY=1, STATUS="asking what is there already")
        while not self._unless_locked(self._begin):
            self._tick()
            time.sleep(LOCKED_SECONDS)
        scan_due, least = 0.0, 0.0
        changed = True
        while True:
            self._tick()
            self._told_of(changes)
            now = time.monotonic()
            pause = self.follower.settle / 2 if changes.polls else self.rescan
            if now >= scan_due or (changed and now >= least):
                full = now >= scan_due
                changed = False
                for line in self.follower.look(now):
                    self.say(f"cannot be looked at: {line}")
                took = time.monotonic() - now
                least = now + took + max(LEAST_BETWEEN_SCANS, SCAN_SHARE * took)
                if full:
                    scan_due = max(now + pause, least)
                    self._unless_locked(self._forget)
            settled = self.follower.settled(time.monotonic())
            if settled and now >= self._resume:
                self._unless_locked(partial(self._index, settled))
                continue
            changed |= changes.wait(self._patience(scan_due, least if changed else None))

    def _patience(self, scan_due: float, least: float | None) -> float:
        """How long nothing needs to be done."""
        now = time.monotonic()
        dues = [scan_due, now + LONGEST_WAIT, *([] if least is None else [least])]
        settle = self.follower.settle
        oldest = min((since for _, since in self.follower.waiting.values()), default=None)
        if oldest is not None:  # to settle; each is looked at then
            dues.append(max(oldest + settle, now + min(settle / 10, 1.0)))
        return max(min(dues) - now, 0.01)

    def _begin(self) -> None:
        for line in self.standing.begin(self._tick):
            self.say(line)
        self._ask()

    def _index(self, paths: list[Path]) -> None:
        notify(STATUS=f"indexing {len(paths)} files")
        wants = None if self.retention is None else self.retention.wants
        summary = self.archive.index(paths, wanted=wants, on_progress=lambda _: self._tick())
        if summary.interrupted:
            self.report(summary)
            raise KeyboardInterrupt
        self._locked = False
        wrong = [split_stream(one.path)[0] for one in summary.failed]
        new = set(self.follower.taken(paths, wrong, time.monotonic()))
        # One that was deleted meanwhile has not failed; one that failed before was told of.
        told = [one for one in summary.failed if split_stream(one.path)[0] in new]
        summary = replace(summary, failed=[one for one in told if not is_gone(one.path)])
        done = summary.indexed + summary.moved + summary.copied + len(summary.failed)
        if done or summary.skipped:
            self.report(summary)
        self._ask()
        self._forget()
        notify(STATUS="watching")

    def _ask(self) -> None:
        for fired in self.standing.ask_new(self._tick):
            self.fire(fired)

    def _forget(self) -> None:
        with suppress(ArchiveNotFound):
            if self.retention is not None:
                self._told(self.retention.forget(self.archive, self.follower.roots))
            # A file that was renamed is known by its content while its old name is.
            if self.prune and not self.follower.waiting:
                removed = list(self.archive.prune().removed)
                forget_pictures(self.archive, removed)
                self._told(removed)

    def _told(self, forgotten: list[StoredVideo]) -> None:
        if forgotten:
            self.forgot(forgotten)

    def _unless_locked(self, act: Callable[[], None]) -> bool:
        """Whether it could be done; where another process writes, say so once."""
        try:
            act()
        except ArchiveLocked as error:
            if not self._locked:
                self.say(f"{error} Until then watching waits.")
            self._locked, self._resume = True, time.monotonic() + LOCKED_SECONDS
            return False
        return True

    def _told_of(self, changes: Changes) -> None:
        if changes.notice is not None and changes.notice != self._notice:
            self._notice = changes.notice
            self.say(f"changes are looked for every {self.follower.settle / 2:g} s: {self._notice}")

    def _tick(self) -> None:
        """It is alive; a service manager is told so at most once a second."""
        now = time.monotonic()
        if now - self._last_tick > 1:
            self._last_tick = now
            notify(WATCHDOG=1)
