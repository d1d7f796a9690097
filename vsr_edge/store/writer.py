"""Writing: one transaction a video, so that a crash loses at most the video in progress."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import compress
from pathlib import Path
from typing import Any

from vsr_edge.errors import printable
from vsr_edge.store.base import Texts
from vsr_edge.store.connection import transaction, translate_errors
from vsr_edge.store.corrections import write_correction
from vsr_edge.store.entry import Entry
from vsr_edge.store.recoding import recode
from vsr_edge.store.rows import path_value, video_values
from vsr_edge.store.texts import write_texts
from vsr_edge.types import (
    ClipWindow,
    Correction,
    FrameFeatures,
    HalfVectors,
    Recorded,
    Regions,
    Sampling,
    Seconds,
    TextSource,
    Video,
)

# So that open readers know that clips, or what filters ask of videos, have changed.
_NEXT_GENERATION = "UPDATE meta SET generation = generation + 1"
_TAG = "INSERT OR IGNORE INTO tags (video_id, tag) VALUES (?, ?)"


class LocalWriter:
    """The writer of an archive folder; the store hands it out and holds the lock for it."""

    def __init__(self, folder: Path, connection: sqlite3.Connection, dim: int) -> None:
        self._folder = folder
        self._connection = connection
        self._dim = dim

    def begin(
        self,
        video: Video,
        sampling: Sampling,
        *,
        recorded: Recorded | None = None,
        tags: Iterable[str] = (),
    ) -> LocalVideoWriter:
        if self._connection.in_transaction:
            raise RuntimeError("the video before this one was neither finished nor given up")
        values = video_values(video, sampling)
        if recorded is not None:
            values |= {"recorded_at": recorded.at, "recorded_from": recorded.source}
        return LocalVideoWriter(
            self._folder, self._connection, self._dim, sampling.regions, values, tags
        )

    def rename(self, video_id: int, path: Path, *, size_bytes: int, modified_ns: int) -> None:
        with self._change() as connection:
            where = [path_value(path), video_id]
            connection.execute("DELETE FROM videos WHERE path = ? AND id <> ?", where)
            connection.execute("UPDATE videos SET path = ? WHERE id = ?", where)
            self._touch(video_id, size_bytes, modified_ns)
            connection.execute(_NEXT_GENERATION)

    def touch(self, video_id: int, *, size_bytes: int, modified_ns: int) -> None:
        with self._change() as connection:
            self._touch(video_id, size_bytes, modified_ns)
            connection.execute(_NEXT_GENERATION)

    def record(self, times: Mapping[int, Recorded]) -> None:
        with self._change() as connection:
            connection.executemany(
                "UPDATE videos SET recorded_at = ?, recorded_from = ? WHERE id = ?",
                [(*recorded, video_id) for video_id, recorded in times.items()],
            )
            connection.execute(_NEXT_GENERATION)

    def tag(
        self, video_ids: Iterable[int], add: Iterable[str] = (), drop: Iterable[str] = ()
    ) -> None:
        added, dropped = list(add), list(drop)
        with self._change() as connection:
            for video_id in video_ids:
                connection.executemany(_TAG, [(video_id, tag) for tag in added])
                connection.executemany(
                    "DELETE FROM tags WHERE video_id = ? AND tag = ?",
                    [(video_id, tag) for tag in dropped],
                )
            connection.execute(_NEXT_GENERATION)

    def recode(self, video_id: int, code: Regions) -> None:
        with self._change() as connection:
            recode(connection.cursor(), "?", video_id, code, self._dim)
            connection.execute(_NEXT_GENERATION)

    def compact(self) -> None:
        with translate_errors(self._folder):
            self._connection.execute("VACUUM")
            # All of it is in the log now. Somebody who reads an older state leaves that for later.
            self._connection.execute("PRAGMA busy_timeout = 0")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def remove(self, video_ids: Iterable[int]) -> int:
        with self._change() as connection:
            delete = "DELETE FROM videos WHERE id = ?"
            removed = sum(connection.execute(delete, [one]).rowcount for one in video_ids)
            if removed:
                connection.execute(_NEXT_GENERATION)
        return removed

    def correct(self, name: str, correction: Correction | None) -> None:
        write_correction(self._folder, name, correction)

    def set_texts(self, video_id: int, source: TextSource, texts: Texts | None) -> None:
        with self._change() as connection:
            write_texts(connection, video_id, source, texts)

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        with translate_errors(self._folder), transaction(self._connection, write=True):
            yield self._connection

    def _touch(self, video_id: int, size_bytes: int, modified_ns: int) -> None:
        self._connection.execute(
            "UPDATE videos SET size_bytes = ?, modified_ns = ? WHERE id = ?",
            [size_bytes, modified_ns, video_id],
        )


class LocalVideoWriter(Entry):
    """One video's open transaction; rows are written as they come."""

    def __init__(
        self,
        folder: Path,
        connection: sqlite3.Connection,
        dim: int,
        code: Regions,
        values: dict[str, Any],
        tags: Iterable[str],
    ) -> None:
        super().__init__(dim, code)
        self._folder = folder
        self._connection = connection
        # What is filled in when the video is finished; until then nobody else sees the row.
        values |= {"frame_count": 0, "clip_count": 0, "indexed_at": ""}
        insert = f"INSERT INTO videos ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})"
        with translate_errors(folder):
            connection.execute("BEGIN IMMEDIATE")
            try:
                path, content = values["path"], values["fingerprint"]
                former = connection.execute(
                    "SELECT tag FROM tags JOIN videos ON id = video_id"
                    " WHERE path = ? AND fingerprint = ?",
                    [path, content],
                ).fetchall()
                connection.execute("DELETE FROM videos WHERE path = ?", [path])
                cursor = connection.execute(insert, list(values.values()))
                self._video_id = int(cursor.lastrowid or 0)
                every = {*(tag for (tag,) in former), *tags}
                connection.executemany(_TAG, [(self._video_id, tag) for tag in sorted(every)])
            except BaseException:
                connection.execute("ROLLBACK")
                raise

    def _write(self, frames: FrameFeatures, full: Sequence[bool], regions: Sequence[bytes]) -> None:
        numbers = range(self._frames, self._frames + len(frames))
        with translate_errors(self._folder):
            self._connection.executemany(
                "INSERT INTO frames (video_id, number, time, vector) VALUES (?, ?, ?, ?)",
                (
                    (self._video_id, number, time, vector.tobytes() if whole else b"")
                    for number, time, vector, whole in zip(
                        numbers, frames.times.tolist(), frames.vectors, full, strict=True
                    )
                ),
            )
            if regions:
                self._connection.executemany(
                    "INSERT INTO regions (video_id, number, vectors) VALUES (?, ?, ?)",
                    (
                        (self._video_id, number, row)
                        for number, row in zip(compress(numbers, full), regions, strict=True)
                    ),
                )

    def _commit(
        self,
        clips: Sequence[ClipWindow],
        vectors: HalfVectors,
        duration: Seconds | None,
        partial: str | None,
    ) -> int:
        with translate_errors(self._folder):
            self._connection.executemany(
                "INSERT INTO clips (video_id, start_time, end_time, first_frame, last_frame,"
                " vector) VALUES (?, ?, ?, ?, ?, ?)",
                (
                    (self._video_id, float(w.start), float(w.end), w.first, w.last, v.tobytes())
                    for w, v in zip(clips, vectors, strict=True)
                ),
            )
            self._connection.execute(
                "UPDATE videos SET frame_count = ?, clip_count = ?, region_count = ?, partial = ?,"
                " duration = coalesce(?, duration), indexed_at = ? WHERE id = ?",
                [
                    self._frames,
                    len(clips),
                    self._region_count or 0,
                    None if partial is None else printable(partial),
                    duration,
                    datetime.now(UTC).isoformat(timespec="seconds"),
                    self._video_id,
                ],
            )
            self._connection.execute(_NEXT_GENERATION)
            self._connection.execute("COMMIT")
        return self._video_id

    def _give_up(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
