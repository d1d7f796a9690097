"""An archive on a PostgreSQL server: many read it and many write it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import psycopg

from vsr_edge.errors import ArchiveDamaged, BundleMismatch, UsageError
from vsr_edge.query import Filter
from vsr_edge.store.base import ArchiveStats
from vsr_edge.store.corrections import correction_of
from vsr_edge.store.frames import LAST, Span, read_frames, read_spans
from vsr_edge.store.kept import Kept, KeptCache
from vsr_edge.store.postgres.pg_check import check_tables
from vsr_edge.store.postgres.pg_connection import (
    Address,
    Connection,
    check_server,
    connect,
    is_lost,
    pool_of,
    read_only,
    translate_errors,
)
from vsr_edge.store.postgres.pg_filters import ServerRows
from vsr_edge.store.postgres.pg_generations import (
    ServerShadowArchive,
    is_read_only,
    make_archive,
    open_generation,
    unfinished,
)
from vsr_edge.store.postgres.pg_nearest import build_graph, nearest_rows
from vsr_edge.store.postgres.pg_rows import VIDEO_COLUMNS, fetch, halfvecs, path_bytes
from vsr_edge.store.postgres.pg_sample import Samples
from vsr_edge.store.postgres.pg_shared import ServerShared
from vsr_edge.store.postgres.pg_texts import ServerTexts
from vsr_edge.store.postgres.pg_writer import ServerConnection, ServerWriter
from vsr_edge.store.rows import CLIP_COLUMNS, RowsDamaged, checked_query, clip, stored_video
from vsr_edge.types import (
    Clip,
    ClipHit,
    Correction,
    FrameFeatures,
    HalfVectors,
    StoredVideo,
    Vectors,
)

_TRIES = 3


class ServerStore(ServerTexts):
    """The store of one address. Arguments and errors: :func:`vsr_edge.store.open_store`.

    ``generation`` is that of a shadow archive, which need not be the present one.
    """

    def __init__(
        self,
        url: str | Address,
        *,
        bundle_id: str | None,
        dim: int | None,
        create: bool,
        generation: int | None = None,
    ) -> None:
        self._address = Address.of(url) if isinstance(url, str) else url
        if create and (bundle_id is None or dim is None):
            raise UsageError("creating an archive needs the bundle's id and its dimension")
        with (
            translate_errors(self._address),
            closing(connect(self._address)) as connection,
        ):
            check_server(connection, self._address)
            self._read_only = is_read_only(connection)
            if create and not self._read_only:
                make_archive(connection, self._address, bundle_id or "", dim or 0)
            opened = open_generation(connection, self._address, generation)
        self._number, self._bundle_id, self._dim = opened.number, opened.bundle_id, opened.dim
        self._schemas, self._shadow = opened.schemas, generation is not None
        self._check_bundle(bundle_id, dim)
        self._notices: list[str] = []
        self._of_thread = threading.local()
        self._filters = KeptCache()
        self._samples = Samples(self._dim)
        self._pool = pool_of(self._address, self._schemas)

    @property
    def bundle_id(self) -> str:
        return self._bundle_id

    @property
    def dim(self) -> int:
        return self._dim

    @property
    def notices(self) -> list[str]:
        return list(self._notices)

    @contextmanager
    def reading(self) -> Iterator[None]:
        with self._reading():
            yield

    @contextmanager
    def writer(self) -> Iterator[ServerWriter]:
        with self._writing(alone=False) as connection:
            yield ServerWriter(connection, self._dim)
            connection.run(self._check_current)
            build_graph(connection)

    @contextmanager
    def writer_beside(self) -> Iterator[ServerWriter]:
        """A writer that leaves the upkeep of the archive to another one."""
        with self._writing(alone=False) as connection:
            yield ServerWriter(connection, self._dim)

    def shared(self) -> ServerShared:
        with translate_errors(self._address), closing(connect(self._address)) as connection:
            address = self._address.known_anywhere(connection)
        generation = self._number if self._shadow else None
        of_it = (self._bundle_id, self._dim, self._number, generation)
        return ServerShared(ServerStore, address, *of_it)

    @contextmanager
    def shadow_archive(self) -> Iterator[ServerShadowArchive]:
        def open_store(number: int, bundle_id: str, dim: int) -> ServerStore:
            return ServerStore(
                self._address, bundle_id=bundle_id, dim=dim, create=False, generation=number
            )

        with self._writing(alone=True) as connection, translate_errors(self._address):
            yield ServerShadowArchive(self._address, connection.locked, open_store, self._notices)

    @contextmanager
    def _writing(self, *, alone: bool) -> Iterator[ServerConnection]:
        if self._read_only:
            raise read_only(self._address)
        connection = ServerConnection(self._address, self._schemas, alone=alone)
        try:
            connection.run(self._check_current)
            yield connection
        finally:
            connection.close()

    def videos(self, where: Filter | None = None) -> list[StoredVideo]:
        if where is None:
            return self._videos("true", [])
        with self._reading() as connection:
            kept = self._kept(connection, where)
            ids = [*kept.videos.tolist(), *kept.partly.tolist()]
            return self._videos("id = ANY(%s::bigint[])", [ids])

    def untimed(self) -> list[StoredVideo]:
        return self._videos("recorded_from IS NULL", [])

    def tags(self) -> dict[str, int]:
        with self._reading() as connection:
            counted = 'SELECT tag, count(*) FROM tags GROUP BY tag ORDER BY tag COLLATE "C"'
            return dict(fetch(connection, counted))

    def videos_of(self, video_ids: Iterable[int]) -> dict[int, StoredVideo]:
        found = self._videos("id = ANY(%s::bigint[])", [sorted(set(video_ids))])
        return {stored.video_id: stored for stored in found}

    def find(self, path: Path) -> StoredVideo | None:
        found = self._videos("sha256(path) = sha256(%s)", [path_bytes(path)])
        return next(iter(found), None)

    def find_fingerprint(self, fingerprint: str) -> list[StoredVideo]:
        return self._videos("fingerprint = %s", [fingerprint])

    def _videos(self, condition: str, parameters: Sequence[Any]) -> list[StoredVideo]:
        with self._reading() as connection:
            rows = fetch(
                connection,
                f"SELECT {VIDEO_COLUMNS} FROM videos WHERE {condition} ORDER BY path, id",
                parameters,
            )
        return [stored_video(row) for row in rows]

    def search(self, vector: Vectors, k: int, where: Filter | None = None) -> list[ClipHit]:
        query = checked_query(vector, k, self._dim)
        with self._reading() as connection:
            kept = None if where is None else self._kept(connection, where)
            rows = nearest_rows(connection, query, k, kept)
        vectors = halfvecs([row[-1] for row in rows], self._dim)
        # In float64 and not rounded, as in the other store: equal clips get equal scores.
        scores = (vectors.astype(np.float64) * query.astype(np.float64)).sum(axis=1)
        best = sorted(range(len(rows)), key=lambda i: (-scores[i], rows[i][0]))[:k]
        return [ClipHit(clip(rows[i][:6]), float(scores[i])) for i in best]

    def sample(self, count: int, where: Filter | None = None) -> HalfVectors:
        if count < 1:
            raise ValueError(f"count must be at least 1, not {count}")
        with self._reading() as connection:
            if where == Filter():
                where = None
            kept = None if where is None else self._kept(connection, where)
            return self._samples.of(connection, self._of_thread.state, count, where, kept)

    def frames(
        self,
        video_id: int,
        first: int | None = None,
        last: int | None = None,
        *,
        regions: bool = False,
    ) -> FrameFeatures:
        span = (video_id, first or 0, LAST if last is None else last)
        return self.frames_of([span], regions=regions)[0]

    def frames_of(
        self, spans: Sequence[tuple[int, int, int]], *, regions: bool = False
    ) -> list[FrameFeatures]:
        def read(whole: Sequence[Span]) -> list[FrameFeatures]:
            with self._reading() as connection:
                rows = ServerRows(connection, self._of_thread.state)
                return [read_frames(rows, span, regions, self._dim) for span in whole]

        return read_spans(spans, read)

    def frame_count(self, where: Filter | None = None) -> int:
        with self._reading() as connection:
            if where is not None:
                return self._kept(connection, where).frames
            counted = "SELECT coalesce(sum(frame_count), 0)::bigint FROM videos"
            return int(fetch(connection, counted)[0][0])

    def correction(self, name: str) -> Correction | None:
        with self._reading() as connection:
            rows = fetch(connection, "SELECT content FROM corrections WHERE name = %s", [name])
        return correction_of(rows[0][0]) if rows else None

    def clips(self, video_id: int) -> list[Clip]:
        with self._reading() as connection:
            rows = fetch(
                connection,
                f"SELECT {CLIP_COLUMNS} FROM clips WHERE video_id = %s ORDER BY start_time, id",
                [video_id],
            )
        return [clip(row) for row in rows]

    def stats(self) -> ArchiveStats:
        with self._reading() as connection:
            (row,) = fetch(
                connection,
                "SELECT count(*), count(partial), coalesce(sum(frame_count), 0)::bigint,"
                " coalesce(sum(clip_count), 0)::bigint, coalesce(sum(duration), 0.0) / 3600,"
                " coalesce(max(region_count), 0) > 0, (SELECT count(*) FROM cues) FROM videos",
            )
            ((rows_bytes, index_bytes),) = fetch(
                connection,
                "SELECT sum(pg_table_size(c.oid))::bigint, sum(pg_indexes_size(c.oid))::bigint"
                " FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace"
                " WHERE nspname::text = current_schema() AND relkind = 'r'",
            )
            state = self._of_thread.state
            reindex = None if self._shadow else unfinished(connection, self._address)
        videos, partial, frames, clips, hours, regions, cues = row
        return ArchiveStats(
            *(videos, partial, frames, clips, hours, bool(regions), self._bundle_id, self._dim),
            database_bytes=rows_bytes,
            cache_bytes=index_bytes,
            reindex=reindex,
            cues=cues,
            generation=state,
        )

    def check(self) -> list[str]:
        with self._reading() as connection:
            return check_tables(connection, self._dim)

    def close(self) -> None:
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _kept(self, connection: Connection, where: Filter) -> Kept:
        return self._filters.of(ServerRows(connection, self._of_thread.state), where)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """A transaction of this thread, which sees one state of the archive."""
        inside: Connection | None = getattr(self._of_thread, "connection", None)
        if inside is not None:
            yield inside
            return
        with self._errors(), self._begun() as connection:
            self._of_thread.connection = connection
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                self._of_thread.connection = None
                if connection.info.transaction_status and not connection.closed:
                    connection.execute("ROLLBACK")

    @contextmanager
    def _begun(self) -> Iterator[Connection]:
        """A connection on which such a transaction has begun; it is made anew if it broke."""
        for tries_left in reversed(range(_TRIES)):
            connection = self._pool.getconn()
            try:
                connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                self._of_thread.state = self._check_current(connection)
            except psycopg.Error as error:
                self._pool.putconn(connection)
                if not tries_left or not is_lost(error):
                    raise
                self._pool.check()  # the others may have broken with it
            except BaseException:
                self._pool.putconn(connection)
                raise
            else:
                break
        try:
            yield connection
        finally:
            self._pool.putconn(connection)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            with translate_errors(self._address):
                yield
        except RowsDamaged as error:
            raise ArchiveDamaged(
                f"{self._address.shown} is damaged ({error}): restore it from a copy, or index the "
                "videos again; the videos themselves are not affected"
            ) from error

    def _check_bundle(self, bundle_id: str | None, dim: int | None) -> None:
        if bundle_id in (None, self._bundle_id) and dim in (None, self._dim):
            return
        raise BundleMismatch(
            f"{self._address.shown} was indexed with the bundle {self._bundle_id!r} ({self._dim} "
            f"dimensions), not with {bundle_id or self._bundle_id!r} ({dim or self._dim}): use "
            "that bundle, or change the archive over to this one with "
            "`vsr-edge reindex --bundle BUNDLE`"
        )

    def _check_current(self, connection: Connection) -> int:
        """The state of the archive; BundleMismatch if it was switched since this store was opened.

        Its first look is at tables of this generation, which therefore stay until it has ended.
        """
        try:
            ((state, present),) = fetch(
                connection,
                "SELECT generation, (SELECT present FROM archive) FROM meta",
            )
        except psycopg.errors.UndefinedTable as error:
            raise self._switched() from error
        if present != self._number and not self._shadow:
            raise self._switched()
        return int(state)

    def _switched(self) -> BundleMismatch:
        with closing(connect(self._address)) as connection:
            present = open_generation(connection, self._address).bundle_id
        return BundleMismatch(
            f"{self._address.shown} was re-indexed with the bundle {present!r} since it was opened "
            f"with {self._bundle_id!r}: open it again with that bundle"
        )
