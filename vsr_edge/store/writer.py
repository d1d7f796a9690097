"""Writing: one transaction a video, so that a crash loses at most the video in progress."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from vsr_edge.store.connection import transaction, translate_errors
from vsr_edge.store.rows import half, path_value, printable, unit, video_values
from vsr_edge.types import ClipWindow, FrameFeatures, HalfVectors, Sampling, Seconds, Video


class LocalWriter:
    """The writer of an archive folder; the store hands it out and holds the lock for it."""

    def __init__(self, folder: Path, connection: sqlite3.Connection, dim: int) -> None:
        self._folder = folder
        self._connection = connection
        self._dim = dim

    def begin(self, video: Video, sampling: Sampling) -> LocalVideoWriter:
        if self._connection.in_transaction:
            raise RuntimeError("the video before this one was neither finished nor given up")
        with translate_errors(self._folder):
            return LocalVideoWriter(self._folder, self._connection, self._dim, video, sampling)

    def rename(self, video_id: int, path: Path, *, size_bytes: int, modified_ns: int) -> None:
        with (
            translate_errors(self._folder),
            transaction(self._connection, write=True) as connection,
        ):
            connection.execute(
                "DELETE FROM videos WHERE path = ? AND id <> ?", [path_value(path), video_id]
            )
            connection.execute(
                "UPDATE videos SET path = ?, size_bytes = ?, modified_ns = ? WHERE id = ?",
                [path_value(path), size_bytes, modified_ns, video_id],
            )
            bump_generation(connection)

    def touch(self, video_id: int, *, size_bytes: int, modified_ns: int) -> None:
        with (
            translate_errors(self._folder),
            transaction(self._connection, write=True) as connection,
        ):
            connection.execute(
                "UPDATE videos SET size_bytes = ?, modified_ns = ? WHERE id = ?",
                [size_bytes, modified_ns, video_id],
            )

    def remove(self, video_ids: Iterable[int]) -> int:
        removed = 0
        with (
            translate_errors(self._folder),
            transaction(self._connection, write=True) as connection,
        ):
            for video_id in video_ids:
                cursor = connection.execute("DELETE FROM videos WHERE id = ?", [video_id])
                removed += cursor.rowcount
            if removed:
                bump_generation(connection)
        return removed


class LocalVideoWriter:
    """One video's open transaction; rows are written as they come."""

    def __init__(
        self,
        folder: Path,
        connection: sqlite3.Connection,
        dim: int,
        video: Video,
        sampling: Sampling,
    ) -> None:
        self._folder = folder
        self._connection = connection
        self._dim = dim
        self._frames = 0
        self._last_time = -np.inf
        self._region_count: int | None = None
        self._open = True
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute("DELETE FROM videos WHERE path = ?", [path_value(video.path)])
            self._video_id = _insert_video(connection, video, sampling)
        except BaseException:
            connection.execute("ROLLBACK")
            raise

    def add_frames(self, features: FrameFeatures) -> None:
        self._check_open()
        count = len(features)
        times = np.asarray(features.times, np.float64)
        if times.shape != (count,) or not np.isfinite(times).all():
            raise ValueError("frame times must be finite [n]")
        if (np.diff(times, prepend=self._last_time) < 0).any():
            raise ValueError("frame times must not go backwards")
        vectors = half(features.vectors, "frame vectors", (count, self._dim))
        regions = self._check_regions(features)
        if not count:
            return
        first = self._frames
        with translate_errors(self._folder):
            self._connection.executemany(
                "INSERT INTO frames (video_id, number, time, vector) VALUES (?, ?, ?, ?)",
                (
                    (self._video_id, first + i, float(times[i]), vectors[i].tobytes())
                    for i in range(count)
                ),
            )
            if regions is not None:
                self._connection.executemany(
                    "INSERT INTO regions (video_id, number, vectors) VALUES (?, ?, ?)",
                    ((self._video_id, first + i, regions[i].tobytes()) for i in range(count)),
                )
        self._frames += count
        self._last_time = float(times[-1])

    def finish(
        self,
        clips: Sequence[ClipWindow],
        vectors: HalfVectors,
        *,
        duration: Seconds | None = None,
        partial: str | None = None,
    ) -> int:
        self._check_open()
        if not self._frames or not clips:
            raise ValueError("a video needs at least one frame and one clip")
        checked = unit(half(vectors, "clip vectors", (len(clips), self._dim)), "clip vectors")
        for window in clips:
            if not 0 <= window.first <= window.last < self._frames:
                raise ValueError(f"{window} does not lie within the {self._frames} frames")
            if not (np.isfinite([window.start, window.end]).all() and window.start <= window.end):
                raise ValueError(f"{window} does not end after it starts")
        with translate_errors(self._folder):
            self._connection.executemany(
                "INSERT INTO clips (video_id, start_time, end_time, first_frame, last_frame,"
                " vector) VALUES (?, ?, ?, ?, ?, ?)",
                (
                    (self._video_id, float(w.start), float(w.end), w.first, w.last, v.tobytes())
                    for w, v in zip(clips, checked, strict=True)
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
            bump_generation(self._connection)
            self._connection.execute("COMMIT")
        self._open = False
        return self._video_id

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._open:
            self._open = False
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _check_open(self) -> None:
        if not self._open:
            raise RuntimeError("this video is already finished or given up")

    def _check_regions(self, features: FrameFeatures) -> HalfVectors | None:
        given = 0 if features.regions is None else features.regions.shape[1]
        if self._region_count is None:
            self._region_count = given
        if given != self._region_count:
            raise ValueError(
                f"{given} regions a frame after {self._region_count} in the same video"
            )
        if features.regions is None or not given:
            return None
        return half(features.regions, "region vectors", (len(features), given, self._dim))


def bump_generation(connection: sqlite3.Connection) -> None:
    """Tell open readers that clips or paths have changed."""
    connection.execute("UPDATE meta SET generation = generation + 1")


def _insert_video(connection: sqlite3.Connection, video: Video, sampling: Sampling) -> int:
    values: dict[str, Any] = video_values(video, sampling)
    # Filled in when the video is finished; until then nobody else sees the row.
    values |= {"frame_count": 0, "clip_count": 0, "indexed_at": ""}
    cursor = connection.execute(
        f"INSERT INTO videos ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})",
        list(values.values()),
    )
    return int(cursor.lastrowid or 0)
