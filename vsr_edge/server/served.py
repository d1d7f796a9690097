"""What the routes share: the archive, opened once, and what bounds its use."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

from vsr_edge.archive import Archive
from vsr_edge.config import usable_threads
from vsr_edge.server.access import AccessFile
from vsr_edge.server.jobs import Jobs
from vsr_edge.server.pool import Pool
from vsr_edge.server.prometheus import Metrics
from vsr_edge.server.sessions import Failures, Sessions

# A picture takes a moment; a clip or a stream is decoded and encoded, so few at a time.
PICTURES, WAITING_PICTURES, PICTURE_SECONDS = 2, 256, 60.0
CLIPS, WAITING_CLIPS, CLIP_SECONDS = 1, 8, 300.0
STREAMS, STREAM_SECONDS = 2, 3600.0
LOGINS_WAITING, LOGIN_SECONDS = 16, 30.0


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How to serve; ``workers`` 0 is as many searches at once as there are threads to use.

    ``queue`` more searches wait. None takes longer than ``max_seconds``, but for its last turn.
    ``roots``: the folders below which files may be indexed.
    """

    host: str = "127.0.0.1"
    port: int = 8200
    workers: int = 0
    queue: int = 32
    max_seconds: float = 30.0
    certfile: Path | None = None
    keyfile: Path | None = None
    roots: tuple[Path, ...] = ()
    log_json: bool = False
    log_queries: bool = False
    insecure: bool = False
    allow_hosts: tuple[str, ...] = ()


@dataclass
class Served:
    """An archive that is served. ``locked``: who comes in must say who they are."""

    archive: Archive
    options: ServeOptions
    locked: bool
    metrics: Metrics = field(default_factory=Metrics)
    failures: Failures = field(default_factory=Failures)
    stopping: bool = False
    _opening: threading.Lock = field(default_factory=threading.Lock)
    _opened: bool = False

    def __post_init__(self) -> None:
        options, folder = self.options, self.archive.settings.archive
        workers = options.workers or usable_threads()
        self.access = AccessFile(folder)
        self.sessions = Sessions(self.access)
        self.searches = Pool("search", workers, options.queue, options.max_seconds)
        self.pictures = Pool("picture", PICTURES, WAITING_PICTURES, PICTURE_SECONDS)
        # A container of PyAV and its streams hold one another, and with them the threads and
        # pictures of decoders and encoders.
        self.clips = Pool("clip", CLIPS, WAITING_CLIPS, CLIP_SECONDS, tidy=True)
        self.streams = Pool("stream", STREAMS, 0, STREAM_SECONDS, tidy=True)
        self.logins = Pool("log-in", 1, LOGINS_WAITING, LOGIN_SECONDS)
        self.jobs = Jobs(self.archive.settings, options.roots)
        self.metrics.watch({pool.name: pool for pool in self.pools}, self.jobs)

    @property
    def pools(self) -> tuple[Pool, ...]:
        return (self.searches, self.pictures, self.clips, self.streams, self.logins)

    def opened(self) -> Archive:
        """The archive, its index and its encoders loaded, whichever thread asks first.

        Raises:
            ArchiveNotFound: nothing was indexed there yet.
            BundleMismatch: it was encoded with another bundle.
        """
        with self._opening:
            if not self._opened:
                self.archive.encoded_store()
                self._opened = True
        return self.archive

    def close(self) -> None:
        """Take in nothing more, and end what can be ended; what runs is not waited for."""
        self.stopping = True
        for pool in self.pools:
            pool.close()
        self.jobs.close()
