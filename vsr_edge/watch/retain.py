"""Forget what was recorded long ago, and do not index it again. No file is touched."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from vsr_edge.archive import Archive
from vsr_edge.errors import UsageError
from vsr_edge.hits.thumbnails import forget_pictures
from vsr_edge.media.source import split_stream
from vsr_edge.types import StoredVideo
from vsr_edge.watch.follow import Stamp, stamp_of

FILE = "retained.json"
LEAST_SECONDS = 3600.0


def recording_ended(stored: StoredVideo) -> float:
    """When a video's recording ended, in seconds since 1970 (UTC): as far as is known, or else when
    its file was last changed.
    """
    if stored.recorded_at is not None:
        return stored.recorded_at + stored.video.duration
    return stored.video.modified_ns / 1e9


class Retention:
    """What is kept: recordings that ended less than so many seconds ago.

    A file whose time stamp is older is not indexed; what was recorded before its file was last
    changed, as a copy was, is learned by indexing it, and remembered in the archive's folder.

    Raises:
        UsageError: less than an hour, which clocks that differ would make of everything.
    """

    def __init__(self, folder: Path, seconds: float) -> None:
        if seconds < LEAST_SECONDS:
            raise UsageError("--retain keeps an hour at least: a camera's clock may be wrong")
        self.seconds, self._file = seconds, folder / FILE
        self._old: dict[str, Stamp] = {}
        with suppress(OSError, ValueError, TypeError, AttributeError):
            for path, (size, modified) in json.loads(self._file.read_text("utf-8")).items():
                self._old[path] = size, modified

    def wants(self, path: Path) -> bool:
        """Whether a file is to be indexed; one that cannot be looked at is, to say why not."""
        stamp = stamp_of(path)
        old = stamp is not None and stamp[1] / 1e9 < time.time() - self.seconds
        return stamp is None or not (old or self._old.get(_key(path)) == stamp)

    def forget(self, archive: Archive, roots: Iterable[Path]) -> list[StoredVideo]:
        """Forget the videos below the roots that ended before; returns them.

        Raises:
            ArchiveLocked: another process is writing.
        """
        # resolve() would follow links, and so does no stored path.
        above = {Path(os.path.abspath(root)) for root in roots}  # noqa: PTH100
        before = time.time() - self.seconds
        gone = archive.forget(
            [
                stored
                for stored in archive.store.videos()
                if recording_ended(stored) < before
                and not above.isdisjoint((stored.video.path, *stored.video.path.parents))
            ]
        )
        if gone:
            forget_pictures(archive, gone)
            for stored in gone:
                path, _ = split_stream(stored.video.path)
                self._old[_key(path)] = stored.video.size_bytes, stored.video.modified_ns
            self._keep()
        return gone

    def _keep(self) -> None:
        """Of what is old, what its time stamp does not say: a short list, or an empty one."""
        before = (time.time() - self.seconds) * 1e9
        self._old = {
            path: stamp
            for path, stamp in self._old.items()
            if stamp[1] >= before and stamp_of(Path(os.fsdecode(path))) == stamp
        }
        part = self._file.with_suffix(".part")
        with suppress(OSError):  # then they are indexed, and forgotten, once more
            part.write_text(json.dumps(self._old), "utf-8")
            part.replace(self._file)


def _key(path: Path) -> str:
    """JSON keeps surrogates, which stand for bytes that are no UTF-8, as escapes."""
    return os.path.abspath(path)  # noqa: PTH100 — as scan does
