"""Which files of the watched folders are to be indexed now: those that have stopped to change.

The scan of :mod:`vsr_edge.ingest.scan` is the truth. What the system tells of changes says when it
is time for one; where it tells nothing, as on network drives, or loses something, a scan comes by
itself. A file is settled when its size and time stamp have stayed the same for a while, and those
of the subtitles beside it: recorders write for minutes, and words may come days later. Times are
seconds of a clock that never goes back.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from vsr_edge.ingest.scan import scan
from vsr_edge.media.sidecars import by_stem
from vsr_edge.media.source import size_and_age, split_stream

FIRST_RETRY, LAST_RETRY = 300.0, 86400.0
# Scanning takes at most one part in so many of the time.
SCAN_SHARE = 20
LEAST_BETWEEN_SCANS = 0.5
# File systems whose other machines' changes the system does not tell of.
_REMOTE = (
    "nfs",
    "cifs",
    "smb",
    "fuse",
    "9p",
    "afs",
    "ceph",
    "glusterfs",
    "lustre",
    "vboxsf",
    "ncp",
)
_FORCED = "WATCHFILES_FORCE_POLLING"

Stamp: TypeAlias = tuple[int, int]
# A file's stamp, and those of the subtitles beside it, each with its name.
Version: TypeAlias = tuple[Stamp, tuple[tuple[str, Stamp], ...]]


@dataclass(frozen=True, slots=True)
class Failure:
    """What failed, how often, and when to try again; another content is another file."""

    version: Version
    times: int
    due: float


@dataclass
class Follower:
    """What is known of each file in ``roots``; the other arguments are those of the scan."""

    roots: Sequence[Path]
    settle: float
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    include_system: bool = False
    # Since when each file that is to be indexed has looked as it does.
    waiting: dict[Path, tuple[Version, float]] = field(default_factory=dict)
    done: dict[Path, Version] = field(default_factory=dict)
    failed: dict[Path, Failure] = field(default_factory=dict)
    # Folders that cannot be read, and why: each is said once.
    problems: dict[Path, str] = field(default_factory=dict)

    def look(self, now: float) -> list[str]:
        """Scan; returns sentences on what has come to be unreadable since the last one."""
        problems: dict[Path, str] = {}
        there: set[Path] = set()
        beside = Beside()
        for file in scan(
            self.roots, self.include, self.exclude, include_system=self.include_system
        ):
            if file.problem is not None:
                problems[file.path] = file.problem
            else:
                there.add(file.path)
                self._see(file.path, now, beside)
        if not problems:
            # What a drive that has gone for a while holds is not forgotten.
            for known in (self.done, self.failed):
                for path in known.keys() - there:
                    del known[path]
        for path in self.waiting.keys() - there:
            del self.waiting[path]
        said = [f"{path}: {why}" for path, why in problems.items() if path not in self.problems]
        self.problems = problems
        return said

    def settled(self, now: float) -> list[Path]:
        """The files to index now, in the order of the scan; looks at none but those that wait."""
        beside = Beside()
        for path in list(self.waiting):
            self._see(path, now, beside)
        return [path for path, (_, since) in self.waiting.items() if now - since >= self.settle]

    def taken(self, paths: Iterable[Path], failed: Iterable[Path], now: float) -> list[Path]:
        """These were indexed but for those that failed; returns which failed for the first time.

        A failed one is tried again after some time, and at once when it changes.
        """
        wrong, new = set(failed), []
        for path in paths:
            version, _ = self.waiting.pop(path, (None, 0.0))
            if version is None:
                continue
            if path not in wrong:
                self.done[path] = version
                self.failed.pop(path, None)
                continue
            before = self.failed.get(path)
            times = before.times + 1 if before is not None and before.version == version else 1
            if times == 1:
                new.append(path)
            wait = min(FIRST_RETRY * 2.0 ** (times - 1), LAST_RETRY)
            self.failed[path] = Failure(version, times, now + wait)
        return new

    def _see(self, path: Path, now: float, beside: Beside) -> None:
        stamp = stamp_of(path)
        if stamp is None:
            self.waiting.pop(path, None)
            return
        version = stamp, beside.stamps(path)
        failure = self.failed.get(path)
        failed = failure is not None and failure.version == version and now < failure.due
        if failed or self.done.get(path) == version:
            self.waiting.pop(path, None)
        elif path not in self.waiting or self.waiting[path][0] != version:
            self.waiting[path] = version, now


@dataclass
class Beside:
    """The subtitles beside videos, as of one look at each folder."""

    _folders: dict[Path, dict[str, list[str]]] = field(default_factory=dict)

    def stamps(self, path: Path) -> tuple[tuple[str, Stamp], ...]:
        """Of each that may belong to the video, by name."""
        file, _ = split_stream(path)
        if file.parent not in self._folders:
            try:
                names = os.listdir(file.parent)  # noqa: PTH208 — names are all that is asked
            except OSError:
                names = []
            self._folders[file.parent] = by_stem(names)
        folder = self._folders[file.parent]
        names = sorted({*folder.get(file.name, ()), *folder.get(file.stem, ())})
        stamps = ((name, stamp_of(file.with_name(name))) for name in names)
        return tuple((name, stamp) for name, stamp in stamps if stamp is not None)


def stamp_of(path: Path) -> Stamp | None:
    """Size and time stamp; None if nothing is there, or it cannot be looked at."""
    try:
        return size_and_age(split_stream(path)[0].stat())
    except OSError:
        return None


def must_poll(roots: Iterable[Path], mounts: str | None = None) -> str | None:
    """Why changes are not waited for but looked for, or None.

    ``mounts``: the text of ``/proc/mounts``, by default this machine's.
    """
    if os.environ.get(_FORCED, "").lower() not in {"", "0", "false", "no"}:
        return f"{_FORCED} is set"
    if mounts is None:
        try:
            mounts = Path("/proc/mounts").read_text("utf-8", "surrogateescape")
        except OSError:
            return None
    for root in roots:
        kind = _file_system(os.path.realpath(root), mounts)
        if kind.startswith(_REMOTE):
            return f"{root} is on a network drive ({kind})"
    return None


def _file_system(path: str, mounts: str) -> str:
    """The type of the file system that a path is on; the last one mounted at a place counts."""
    best, kind = -1, ""
    for line in mounts.splitlines():
        parts = line.split(" ")
        if len(parts) < 3:
            continue
        # Blanks and the like are octal escapes.
        place = parts[1]
        for escape, character in (
            ("\\040", " "),
            ("\\011", "\t"),
            ("\\012", "\n"),
            ("\\134", "\\"),
        ):
            place = place.replace(escape, character)
        inside = path == place or path.startswith(place.rstrip("/") + "/")
        if inside and len(place) >= best:
            best, kind = len(place), parts[2]
    return kind


class Changes:
    """Says that something has changed below the roots, in a thread of its own; a context manager.

    Where the library is missing or the system refuses, it says nothing, and ``notice`` why.
    """

    def __init__(self, roots: Sequence[Path], poll: str | None) -> None:
        self.roots, self.notice = roots, poll
        self._changed, self._stop = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Changes:
        if self.notice is None:
            try:
                import watchfiles
            except ImportError:
                self.notice = "watchfiles is not installed (pip install 'vsr-edge[watch]')"
            else:
                self._thread = threading.Thread(target=self._run, args=(watchfiles.watch,))
                self._thread.daemon = True
                self._thread.start()
        return self

    @property
    def polls(self) -> bool:
        """Whether nothing tells of changes."""
        return self.notice is not None

    def wait(self, seconds: float) -> bool:
        """Whether something changed since the last time; waits at most so long for it."""
        changed = self._changed.wait(seconds)
        self._changed.clear()
        return changed

    def _run(self, watch: Callable[..., Iterable[object]]) -> None:
        try:
            for root in self.roots:
                root.stat()
            for _ in watch(
                *self.roots,
                watch_filter=None,
                debounce=400,
                stop_event=self._stop,
                rust_timeout=500,
                raise_interrupt=False,
                ignore_permission_denied=True,
            ):
                self._changed.set()
            if not self._stop.is_set():
                self.notice = "the system tells of no more changes"
        except Exception as error:  # of the system's limits, too
            self.notice = f"the system does not tell of changes ({error})"
        self._changed.set()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(1.0)
