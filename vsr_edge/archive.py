"""An archive and a bundle together: what the command line and other programs use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from vsr_edge.config import Settings, load_settings
from vsr_edge.errors import UsageError
from vsr_edge.store.base import ArchiveStats, Filter, Store, open_store
from vsr_edge.types import SearchResult, StoredVideo

if TYPE_CHECKING:
    from vsr_edge.ingest.run import IngestSummary, Progress
    from vsr_edge.runtime.encoder import Bundle


class Archive:
    """A folder of indexed videos; a context manager. Nothing is opened before it is needed."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._bundle: Bundle | None = None
        self._store: Store | None = None

    @property
    def bundle(self) -> Bundle:
        """The encoders, verified and loaded at first use."""
        if self._bundle is None:
            # onnxruntime takes long to import: not for listing videos.
            from vsr_edge.runtime.encoder import load_bundle

            settings = self.settings
            self._bundle = load_bundle(
                settings.bundle, provider=settings.provider, threads=settings.threads
            )
        return self._bundle

    def index(
        self,
        paths: Iterable[Path | str] | Path | str,
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        on_progress: Callable[[Progress], None] | None = None,
    ) -> IngestSummary:
        """Bring the archive up to date with files and folders (:mod:`vsr_edge.ingest.run`).

        Raises:
            ArchiveLocked: another process is writing.
            BundleMismatch: the archive was encoded with another bundle.
        """
        from vsr_edge.ingest.run import ingest

        named = [paths] if isinstance(paths, str | Path) else list(paths)
        return ingest(
            self._encoded_store(create=True),
            self.bundle,
            [Path(path) for path in named],
            self.settings.sampling,
            threads=self.settings.threads,
            include=include,
            exclude=exclude,
            on_progress=on_progress,
        )

    def search(
        self,
        query: str,
        *,
        top_k: int = 10,
        min_score: float | None = None,
        video: str | None = None,
    ) -> SearchResult:
        """Find moments by a sentence; ``video`` is a glob that narrows the search.

        Raises:
            ArchiveNotFound: nothing was indexed here yet.
            BundleMismatch: the archive was encoded with another bundle.
            UsageError: an empty query.
        """
        from vsr_edge.search.loop import search

        store = self._encoded_store(create=False)
        where = None if video is None else Filter(video=video)
        return search(store, self.bundle, query, top_k=top_k, min_score=min_score, where=where)

    def videos(self, video: str | None = None) -> list[StoredVideo]:
        """The indexed videos by path, or those that a glob matches."""
        return self.store.videos(None if video is None else Filter(video=video))

    def remove(self, videos: Iterable[str | Path]) -> list[StoredVideo]:
        """Forget videos, named by path or glob, with all their features; the files are not touched.

        Raises:
            UsageError: a name that matches nothing; then nothing is removed.
        """
        found: dict[int, StoredVideo] = {}
        for name in map(str, videos):
            matched = self.videos(name) or self.videos(str(Path(name).absolute()))
            if not matched:
                raise UsageError(f"no indexed video matches {name!r}; `vsr-edge videos` lists them")
            found |= {stored.video_id: stored for stored in matched}
        with self.store.writer() as writer:
            writer.remove(found)
        return list(found.values())

    def stats(self) -> ArchiveStats:
        """Counts and sizes."""
        return self.store.stats()

    def check(self) -> list[str]:
        """Problems of the archive, each with what to do; empty if it is sound."""
        return self.store.check()

    @property
    def notices(self) -> list[str]:
        """What the archive repaired by itself, in sentences for the user."""
        return [] if self._store is None else self._store.notices

    @property
    def store(self) -> Store:
        """The rows and vectors, whatever bundle encoded them."""
        if self._store is None:
            settings = self.settings
            self._store = open_store(
                settings.archive, exact_limit=settings.exact_limit, threads=settings.threads
            )
        return self._store

    def _encoded_store(self, *, create: bool) -> Store:
        """The store, after making sure that this archive and this bundle belong together."""
        if self._store is not None and self._store.bundle_id != self.bundle.bundle_id:
            self._store.close()
            self._store = None
        if self._store is None:
            settings = self.settings
            self._store = open_store(
                settings.archive,
                bundle_id=self.bundle.bundle_id,
                dim=self.bundle.dim,
                create=create,
                exact_limit=settings.exact_limit,
                threads=settings.threads,
            )
        return self._store

    def close(self) -> None:
        """Release files and graphs."""
        if self._store is not None:
            self._store.close()
            self._store = None
        if self._bundle is not None:
            self._bundle.close()
            self._bundle = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_archive(folder: Path | str | None = None, **settings: Any) -> Archive:
    """Open an archive folder, or name one that the first ``index`` will make.

    Args:
        folder: None takes the configured or the platform's default.
        settings: any field of :class:`vsr_edge.config.Settings`, such as ``fps=2`` or
            ``threads=1``.

    Raises:
        UsageError: an unknown or unusable setting.
    """
    merged = load_settings(settings)
    return Archive(merged if folder is None else replace(merged, archive=Path(folder)))
