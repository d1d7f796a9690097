"""An archive and a bundle together: what the command line and other programs use."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

from vsr_edge.answer import SearchResult, TurnListener
from vsr_edge.config import Settings, load_settings
from vsr_edge.errors import UsageError
from vsr_edge.ingest.scan import PruneSummary, is_gone, missing_videos, plan_prune
from vsr_edge.query import Filter, FilterWords, Query, SearchChanges, SearchOptions, VideoNames
from vsr_edge.search.ask import asked
from vsr_edge.search.video_names import named
from vsr_edge.store import open_settings_store
from vsr_edge.store.base import ArchiveStats, Store
from vsr_edge.times import filter_of, tag_of
from vsr_edge.types import Pixels, Regions, Seconds, StoredVideo

if TYPE_CHECKING:
    from vsr_edge.bundle.model import Bundle
    from vsr_edge.ingest.recorded import Site
    from vsr_edge.ingest.reindex import ReindexSummary
    from vsr_edge.ingest.summary import IngestSummary, Progress
    from vsr_edge.runtime.speech import Transcriber


class Archive:
    """A folder of indexed videos; a context manager. Nothing is opened before it is needed."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._bundle: Bundle | None = None
        self._store: Store | None = None
        self._notices: list[str] = []

    @property
    def bundle(self) -> Bundle:
        """The encoders, verified and loaded at first use."""
        if self._bundle is None:
            # onnxruntime takes long to import: not for listing videos.
            from vsr_edge.bundle.model import load_bundle

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
        stream: int | Literal["all"] | None = None,
        tags: Iterable[str] = (),
        wanted: Callable[[Path], bool] | None = None,
        ocr: bool = False,
        speech: Transcriber | Path | str | None = None,
        processes: int | None = None,
        ray: str | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> IngestSummary:
        """Bring the archive up to date with files and folders (:mod:`vsr_edge.ingest.run`).

        Args:
            stream: which video stream of files that have several, counted from 0, or "all", each
                as a video of its own, ``path#1``; None is the one that the file alone means.
            tags: given to all videos that are named, known or new.
            wanted: whether a file that was found is to be looked at; all are without it.
            ocr: also read text in the pictures (``pip install 'vsr-edge[ocr]'``).
            speech: also hear what is said: the folder of a Whisper model for CTranslate2
                (``pip install 'vsr-edge[speech]'``), or whatever else transcribes.
            processes: decode and encode in so many processes of this machine.
            ray: or in tasks of a Ray cluster (``pip install 'vsr-edge[ray]'``): "auto" or HOST:PORT
                of one that runs, or "local" for one that is started here for so long.

        Raises:
            ArchiveLocked: another process is writing.
            BundleMismatch: the archive was encoded with another bundle.
            WorkerError: the processes or the cluster cannot work.
            UsageError: a path that is the address of a stream, or what cannot be a tag.
            ArchiveError: the archive was removed or replaced meanwhile.
        """
        from vsr_edge.ingest.choose import executing
        from vsr_edge.ingest.failures import keep_failed
        from vsr_edge.ingest.listen import listeners
        from vsr_edge.ingest.run import ingest
        from vsr_edge.ingest.scan import refuse_addresses
        from vsr_edge.search.verifier import first_time

        named = [paths] if isinstance(paths, str | Path) else list(paths)
        refuse_addresses(named)
        who = (self.settings, self.bundle, self._notices, processes, ray)
        with executing(*who) as executor:
            summary = ingest(
                store := self.encoded_store(create=True),
                self.bundle,
                [Path(path) for path in named],
                self.settings.sampling,
                executor=executor,
                include=include,
                exclude=exclude,
                include_system=self.settings.include_system,
                stream=stream,
                site=self._site(),
                tags=[tag_of(tag) for tag in tags],
                listeners=listeners(store, ocr, speech, self.settings.threads),
                wanted=wanted,
                on_progress=on_progress,
            )
        whole = not (include or exclude or wanted or summary.interrupted)
        tried = [Path(path) for path in named] if whole else []
        keep_failed(self.settings.archive, self.store, summary.failed, tried)
        if summary.indexed and not summary.interrupted and first_time(self.bundle, SearchOptions()):
            try:  # What the universal verifier needs once: no search should wait for it.
                _ = self.bundle.universal.bank
            except KeyboardInterrupt:  # what was done is told all the same
                summary.interrupted = True
        return summary

    def reindex(
        self,
        *,
        drop_missing: bool = False,
        regions: Regions | None = None,
        processes: int | None = None,
        ray: str | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> ReindexSummary:
        """Encode the archive anew with the bundle of the settings (:mod:`vsr_edge.ingest.reindex`).

        The archive is searched with its former bundle until all of it is encoded, and with the
        new one from then on.

        Args:
            drop_missing: change over even if some videos cannot be read any more, without them.
            regions: the code that all region vectors are to have; None: each video its own.
            processes, ray: who decodes and encodes, as in :meth:`index`.

        Raises:
            ArchiveNotFound: nothing was indexed here yet.
            ArchiveLocked: another process is writing.
        """
        from vsr_edge.ingest.choose import executing
        from vsr_edge.ingest.reindex import reindex

        bundle = self.bundle
        self._close_store()  # It may be one of before the archive was last changed over.
        try:
            with executing(self.settings, bundle, self._notices, processes, ray) as executor:
                return reindex(
                    self.store,
                    bundle,
                    executor=executor,
                    drop_missing=drop_missing,
                    regions=regions,
                    site=self._site(),
                    on_progress=on_progress,
                )
        finally:
            self._close_store()

    def _site(self) -> Site:
        """How recordings are named here."""
        from vsr_edge.ingest.recorded import Site

        return Site(self.settings.time_zone, self.settings.recorded_pattern)

    def search(
        self,
        query: str | Query,
        options: SearchOptions | None = None,
        *,
        on_turn: TurnListener | None = None,
        **changes: Unpack[SearchChanges],
    ) -> SearchResult:
        """Find moments by a sentence, or what else :class:`vsr_edge.query.Query` may ask for.

        Args:
            options: how; the defaults if None.
            on_turn: told of each turn that verifies, as soon as it is over.
            changes: single fields of :class:`vsr_edge.query.SearchOptions`, such as ``top_k=3``,
                in place of those in ``options``; None leaves a field as it is. ``video`` narrows
                the search as in :meth:`videos`.

        Raises:
            ArchiveNotFound: nothing was indexed here yet.
            BundleMismatch: the archive was encoded with another bundle, or anew with one since it
            was opened.
            UsageError: a query that is empty or no text, a limit that cannot be, or a ``video``
            that matches nothing; the message names what is called nearly so.
            MediaError: what the query is like cannot be read.
        """
        options = (options or SearchOptions()).changed(**changes)
        found = self._found(asked(query, options), options, on_turn)
        gone = {path: is_gone(path) for path in {moment.video for moment in found.moments}}
        moments = tuple(replace(moment, missing=gone[moment.video]) for moment in found.moments)
        return replace(found, moments=moments)

    def _found(
        self, query: Query, options: SearchOptions, on_turn: TurnListener | None
    ) -> SearchResult:
        """By pictures, words or both."""
        from vsr_edge.search.fusion import text_search, with_texts

        if options.text:
            if query.sentence is None or options.then or options.also or options.without:
                raise UsageError("--text looks for words alone: say them, and nothing beside them")
            if options.min_score is not None:
                raise UsageError("words have no score: leave out --min-score, or --text")
            # With no model, whatever encoded the archive.
            return text_search(self.store, query.sentence, options)
        from vsr_edge.search.several import search

        store = self.encoded_store(create=False)
        with store.reading():  # pictures and words of one state
            found = search(store, self.bundle, query, options, on_turn)
            asks_words = options.text is not False and query.sentence is not None
            return with_texts(store, found, options) if asks_words and store.has_texts() else found

    def where(self, **said: Unpack[FilterWords]) -> Filter | None:
        """The filter that somebody means, by the clocks of the setting ``time_zone``; None if
        nothing is said: ``where(after="2d", between="22:00-06:00", tags=["door", "-test"])``.

        Raises:
            UsageError: what cannot be, by the name of the condition.
        """
        return filter_of(self.settings.time_zone, **said)

    def videos(
        self, video: VideoNames | None = None, where: Filter | None = None
    ) -> list[StoredVideo]:
        """The indexed videos by path, or those that a path, a folder or a glob names, and that have
        a part in what ``where`` lets through.

        The path of an indexed video means that one alone, though as a glob it may match its
        namesakes in other folders, or not even itself; so does the path of a folder that holds
        some. Looks at each file once, to tell which are ``missing``.
        """
        found = self.store.videos(named(self.store, video, where, required=False))
        return [replace(stored, missing=is_gone(stored.video.path)) for stored in found]

    def select(
        self, videos: Iterable[str | Path] = (), where: Filter | None = None
    ) -> list[StoredVideo]:
        """The indexed videos that any of the names means and the filter lets through, as in
        :meth:`videos`, each once; none if neither is given.

        Raises:
            UsageError: a name that matches nothing; the message says what is called nearly so.
        """
        names = list(videos) or None
        if names is None and where is None:
            return []
        return self.store.videos(named(self.store, names, where))

    def tag(
        self,
        videos: Iterable[str | Path] = (),
        where: Filter | None = None,
        *,
        add: Iterable[str] = (),
        drop: Iterable[str] = (),
    ) -> list[StoredVideo]:
        """Give the videos that :meth:`select` means tags, take others from them; returns them.

        Raises:
            UsageError: a name that matches nothing, or what cannot be a tag; nothing is changed.
        """
        added, dropped = ([tag_of(tag) for tag in tags] for tags in (add, drop))
        chosen = self.select(videos, where)
        if not chosen or not (added or dropped):
            return chosen
        ids = [stored.video_id for stored in chosen]
        with self.store.writer() as writer:
            writer.tag(ids, added, dropped)
        now = self.store.videos_of(ids)
        return [now[video_id] for video_id in ids if video_id in now]

    def frame(self, video: str | Path, seconds: Seconds) -> Pixels:
        """The frame of a video that is nearest to a time: upright, uint8 [H, W, 3], RGB.

        The picture comes from the file, in its full size; the video need not be indexed.

        Raises:
            UsageError: a time that is no number.
            MediaError: the file is gone, or nothing of it can be decoded.
        """
        from vsr_edge.media.cut import picture_at

        if not math.isfinite(seconds):
            raise UsageError(f"a time must be a number of seconds, not {seconds}")
        return picture_at(Path(video), seconds)

    def remove(
        self, videos: Iterable[str | Path] = (), where: Filter | None = None
    ) -> list[StoredVideo]:
        """Forget videos, named as in :meth:`select`, with all their features.

        The files are not touched.

        Raises:
            UsageError: a name that matches nothing; then nothing is removed.
        """
        return self.forget(self.select(videos, where))

    def prune(self, *, dry_run: bool = False) -> PruneSummary:
        """Forget the videos whose files were deleted (:mod:`vsr_edge.ingest.scan`).

        Held back are those whose folder is gone or empty, as where a drive is not mounted:
        :meth:`remove` forgets them too.

        Args:
            dry_run: remove nothing, and return what would be.

        Raises:
            ArchiveLocked: another process is writing.
        """
        plan = plan_prune(missing_videos(self.store), dry_run=dry_run)
        if not dry_run:
            self.forget(plan.removed)
        return plan

    def forget(self, videos: Sequence[StoredVideo]) -> list[StoredVideo]:
        """Forget these, as :meth:`remove` does."""
        if videos:
            with self.store.writer() as writer:
                writer.remove([stored.video_id for stored in videos])
        return list(videos)

    def stats(self) -> ArchiveStats:
        """Counts and sizes."""
        return self.store.stats()

    def check(self) -> list[str]:
        """Problems of the archive, each with what to do; empty if it is sound."""
        return self.store.check()

    @property
    def notices(self) -> list[str]:
        """What the archive repaired by itself, and what runs the models: for the user."""
        parts = [part for part in (self._bundle, self._store) if part is not None]
        return [*self._notices, *(notice for part in parts for notice in part.notices)]

    @property
    def store(self) -> Store:
        """The rows and vectors, whatever bundle encoded them."""
        if self._store is None:
            self._store = open_settings_store(self.settings)
        return self._store

    def encoded_store(self, *, create: bool = False) -> Store:
        """The store, after making sure that this archive and this bundle belong together."""
        if self._store is not None and self._store.bundle_id != self.bundle.encoders_id:
            self._close_store()
        if self._store is None:
            encoders, dim = self.bundle.encoders_id, self.bundle.dim
            self._store = open_settings_store(
                self.settings, bundle_id=encoders, dim=dim, create=create
            )
        return self._store

    def _close_store(self) -> None:
        if self._store is not None:
            self._notices += self._store.notices
            self._store.close()
            self._store = None

    def close(self) -> None:
        """Release files and graphs."""
        self._close_store()
        self._notices.clear()
        if self._bundle is not None:
            self._bundle.close()
            self._bundle = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
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
    return Archive(load_settings(settings if folder is None else settings | {"archive": folder}))
