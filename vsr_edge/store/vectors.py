"""The clips' vectors in one file, which is mapped and never read whole; and which are nearest.

The vectors in SQLite are the truth, the file is a cache of them: their codes, one after the other,
and nothing else. What lies where is in SQLite (``vector_segments``), a row a segment:
its clips, as runs of (video, first clip, how many), and its checksum. A segment is appended and
synced before its row is committed. So whatever a crash leaves behind the last segment does not
count, and what a reader was told of stays where it is. Removed videos are left out by whoever
searches; once they are a third, all is written anew, to a file of another name.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vsr_edge.query import Filter
from vsr_edge.store.connection import sync, transaction
from vsr_edge.store.filters import FilterCache
from vsr_edge.store.nearest import Ids, Part, nearest, sampled
from vsr_edge.store.rows import matrix
from vsr_edge.store.vector_codes import Codes, Rows, encode, row_bytes
from vsr_edge.types import HalfVectors, Vectors

VECTOR_SUFFIX = ".codes"
# The files of all versions; at most one is in use. The user may keep a clips.mp4 beside them.
CACHE_FILES = (
    *(f"clips.{'[0-9a-f]' * 8}{suffix}" for suffix in (VECTOR_SUFFIX, ".vectors")),
    *("clips.usearch", "clips.usearch.*.tmp"),
)

_PAGE_BYTES = 4096
# How many are read from SQLite, and written, at a time.
_BATCH = 8192


@dataclass(frozen=True, slots=True)
class _State:
    """The file as of one state of the archive, and the videos that it lacks.

    ``problem`` says why the file cannot be used, if so: then it lacks all.
    """

    key: tuple[int, int]
    file: str | None
    stamp: tuple[int, ...] | None
    rows: int
    part: Part
    missing: Ids
    problem: str | None


class VectorFile:
    """The clip vectors of an open archive, for any number of threads and states of the archive.

    What it repaired, or could not save, it tells in ``notices``.
    """

    def __init__(self, folder: Path, dim: int, threads: int, notices: list[str]) -> None:
        self._folder = folder
        self._dim = dim
        self._threads = threads
        self._notices = notices
        self._guard = threading.RLock()
        self._state: _State | None = None
        # What the file lacks, in memory.
        self._rest = self._nothing = Part(
            Codes.of(encode(np.empty((0, dim), np.float16))), np.empty((0, 4), np.int64)
        )
        self._sampled: tuple[tuple[Any, ...], HalfVectors] | None = None
        self.filters = FilterCache()
        self._told: str | None = None
        self._unsaved = False

    def candidates(
        self, connection: sqlite3.Connection, query: Vectors, k: int, where: Filter | None
    ) -> Ids:
        """The clips that the ``k`` nearest are surely among. Inside a read transaction."""
        _, parts = self._parts(connection, where)
        blocks = [block for part in parts for block in part.blocks()]
        return nearest(blocks, query, k, self._threads)

    def sample(
        self, connection: sqlite3.Connection, count: int, where: Filter | None
    ) -> HalfVectors:
        """At most ``count`` vectors, evenly spaced by clip. Inside a read transaction."""
        with self._guard:
            state, parts = self._parts(connection, where)
            asked = (state.key, count, where)
            if self._sampled is None or self._sampled[0] != asked:
                rows = connection.execute(
                    "SELECT vector FROM clips WHERE id IN (SELECT value FROM json_each(?))"
                    " ORDER BY id",
                    [json.dumps(sampled(parts, count).tolist())],
                ).fetchall()
                self._sampled = (asked, matrix([row[0] for row in rows], self._dim))
            return self._sampled[1]

    def _parts(
        self, connection: sqlite3.Connection, where: Filter | None
    ) -> tuple[_State, list[Part]]:
        """The present state, and what it has of the videos that count."""
        with self._guard:
            state = self._present(connection)
            parts = [state.part, self._lacking(connection, state)]
        if where is not None and where != Filter():
            kept = self.filters.kept(connection, where)
            if not kept.everything:
                parts = [part.of(kept.videos, kept.clips) for part in parts]
        return state, parts

    def behind(self, connection: sqlite3.Connection) -> bool:
        """Whether there is something to :meth:`save`. Inside a read transaction."""
        with self._guard:
            state = self._present(connection)
            return not self._unsaved and (state.problem is not None or len(state.missing) > 0)

    def check(self, connection: sqlite3.Connection) -> str | None:
        """What is wrong with the file, read anew; inside a read transaction."""
        with self._guard:
            self._state = None
            state = self._present(connection)
        return None if state.problem is None else f"{state.file} {state.problem}"

    def save(self, connection: sqlite3.Connection) -> None:
        """Append what the file lacks, or write it anew. The caller holds the writer's lock.

        Whether what the file has is whole, those who search in it look.
        """
        started = time.perf_counter()
        with transaction(connection, write=False), self._guard:
            state = self._state
            if state is None or state.key != self._key(connection):
                state = self._as_told(connection, self._file_alone)
            removed = state.rows - int(state.part.runs[:, 2].sum())
            file, first, videos = state.file or "", state.rows, state.missing
            anew = not first or state.problem is not None or 3 * removed > first
            if anew:
                file, first = f"clips.{secrets.token_hex(4)}{VECTOR_SUFFIX}", 0
                videos = _videos(connection)
        failure = None
        try:
            if len(videos) or anew:
                self._write(connection, file, first, videos)
            for pattern in CACHE_FILES:
                for leftover in self._folder.glob(pattern):
                    # What somebody reads cannot be removed everywhere: the next one does it.
                    with suppress(OSError):
                        if leftover.name != file:
                            leftover.unlink()
        except (OSError, sqlite3.OperationalError) as error:
            # Once is enough: what could not be saved now is tried again by the next process.
            failure, self._unsaved = error, True
        self._tell(state, started)
        if failure is not None:
            self._notices.append(
                f"{file} could not be saved ({failure}): searching starts more slowly"
            )

    def _write(self, connection: sqlite3.Connection, file: str, first: int, videos: Ids) -> None:
        """Store the clips of these videos from row ``first`` on; a new file, if that is 0."""
        path, segments = self._folder / file, []
        try:
            with path.open("r+b" if first else "xb") as opened:
                opened.seek(row_bytes(self._dim) * first)
                for runs, vectors in _stored(connection, videos, self._dim):
                    coded, blob = encode(vectors), runs.tobytes()
                    opened.write(coded.data)
                    segments.append((file, len(coded), blob, _checksum(coded, blob)))
                opened.flush()
                os.fsync(opened.fileno())
            if not first:
                sync(self._folder)
            with transaction(connection, write=True):
                if not first:
                    connection.execute("DELETE FROM vector_segments")
                connection.executemany(
                    "INSERT INTO vector_segments (file, rows, clips, checksum) VALUES (?, ?, ?, ?)",
                    segments,
                )
            if not segments:
                path.unlink()
        except BaseException:
            if not first:
                path.unlink(missing_ok=True)
            raise

    def _present(self, connection: sqlite3.Connection) -> _State:
        """The state of the present transaction; its file is verified when it was changed."""
        state = self._state
        if state is None or state.key != self._key(connection) or self._changed(state):
            state = self._state = self._as_told(connection, self._mapped)
        return state

    def _key(self, connection: sqlite3.Connection) -> tuple[int, int]:
        """What the state of the present transaction goes by."""
        key: tuple[int, int] = connection.execute(
            "SELECT generation, (SELECT coalesce(max(id), 0) FROM vector_segments) FROM meta"
        ).fetchone()
        return key

    def _as_told(
        self,
        connection: sqlite3.Connection,
        opened: Callable[[str, Sequence[Any]], tuple[tuple[int, ...], Part]],
    ) -> _State:
        """The state of the present transaction, its file ``opened`` as the segments say."""
        segments = connection.execute(
            "SELECT file, rows, CAST(clips AS BLOB), checksum FROM vector_segments ORDER BY id"
        ).fetchall()
        if segments and not segments[-1][0].endswith(VECTOR_SUFFIX):
            segments = []  # An earlier version wrote them: the file is written anew.
        file = segments[-1][0] if segments else None
        rows = sum(segment[1] for segment in segments)
        stamp, part, problem = None, self._nothing, None
        if file is not None:
            try:
                stamp, part = opened(file, segments)
            except FileNotFoundError:
                problem = "was missing"
            except OSError as error:
                problem = f"could not be read ({error.strerror})"
            except ValueError as error:
                problem = str(error)
        live = _videos(connection)
        missing = _others(live, part)
        key = self._key(connection)
        return _State(key, file, stamp, rows, part.of(live), missing, problem)

    def _file_alone(self, file: str, segments: Sequence[Any]) -> tuple[tuple[int, ...], Part]:
        """The file with its stamp, which is as long as it should be; its content is not read.

        Raises:
            OSError, ValueError: as :meth:`_mapped`.
        """
        status = (self._folder / file).stat()
        _check_size(status, segments, self._dim)
        return _stamp(status), Part(self._nothing.codes, _with_rows(_runs(segments), 0))

    def _changed(self, state: _State) -> bool:
        """Whether the file is no longer what was verified.

        One that is gone is still mapped, and cannot change any more.
        """
        if state.file is None or state.stamp is None:
            return False
        try:
            return _stamp((self._folder / state.file).stat()) != state.stamp
        except OSError:
            return False

    def _mapped(self, file: str, segments: Sequence[Any]) -> tuple[tuple[int, ...], Part]:
        """The file with its stamp, verified unless the former state has verified just this.

        Raises:
            OSError: it cannot be read.
            ValueError: it is damaged; the error says how.
        """
        rows, former = [segment[1] for segment in segments], self._state
        with (self._folder / file).open("rb") as opened:
            status = os.fstat(opened.fileno())
            size = _check_size(status, segments, self._dim)
            codes, stamp = self._nothing.codes, _stamp(status)
            if former and (former.file, former.stamp, former.rows) == (file, stamp, sum(rows)):
                codes = former.part.codes
            elif size:
                content: mmap.mmap | bytes
                try:
                    content = mmap.mmap(opened.fileno(), size, access=mmap.ACCESS_READ)
                except OSError:
                    # Not every file system can; and of want of memory, reading tells as well.
                    content = opened.read(size)
                coded = np.frombuffer(content, np.uint8).reshape(-1, row_bytes(self._dim))
                parts = np.split(coded, np.cumsum(rows[:-1]))
                with ThreadPoolExecutor(self._threads) as pool:
                    sums = list(pool.map(_checksum, parts, [segment[2] for segment in segments]))
                if sums != [segment[3] for segment in segments]:
                    raise ValueError("was damaged or belongs to another archive (checksum differs)")
                codes = Codes.of(coded)
        return stamp, Part(codes, _with_rows(_runs(segments), 0))

    def _lacking(self, connection: sqlite3.Connection, state: _State) -> Part:
        """What the file lacks: read from SQLite once, and kept as long as the file lacks it."""
        if not len(state.missing):
            self._rest = self._nothing
            return self._rest
        kept = self._rest.of(state.missing)
        new = _others(state.missing, kept)
        if len(new):
            started = time.perf_counter()
            codes, runs = [kept.codes], [kept.runs]
            for more_runs, vectors in _stored(connection, new, self._dim):
                runs.append(_with_rows(more_runs, sum(map(len, codes))))
                codes.append(Codes.of(encode(vectors)))
            kept = Part(Codes.joined(codes), np.concatenate(runs))
            self._tell(state, started)
        self._rest = kept
        return kept

    def _tell(self, state: _State, started: float) -> None:
        if state.problem is not None and self._told != f"{state.file} {state.problem}":
            self._told = f"{state.file} {state.problem}"
            seconds = time.perf_counter() - started
            self._notices.append(f"{self._told}: rebuilt from archive.db in {seconds:.1f} s")


def _stored(
    connection: sqlite3.Connection, videos: Ids, dim: int
) -> Iterator[tuple[Ids, HalfVectors]]:
    """The clips of these videos from SQLite, some thousands at a time: the vectors, and whose they
    are as int64 [m, 3] of video, first clip, how many."""
    runs: list[Ids] = []
    blobs: list[bytes] = []
    for video in videos.tolist():
        rows = connection.execute(
            "SELECT id, vector FROM clips WHERE video_id = ? ORDER BY id", [video]
        )
        some = rows.fetchmany(_BATCH)
        if not some:
            # Worth to know too: it need not be looked for again.
            runs.append(np.array([[video, 0, 0]]))
        while some:
            ids = np.array([row[0] for row in some])
            firsts = np.flatnonzero(np.diff(ids, prepend=ids[0] - 2) != 1)
            counts = np.diff(firsts, append=len(ids))
            runs.append(np.column_stack([np.full_like(firsts, video), ids[firsts], counts]))
            blobs += [row[1] for row in some]
            if len(blobs) >= _BATCH:
                yield np.concatenate(runs), matrix(blobs, dim)
                runs, blobs = [], []
            some = rows.fetchmany(_BATCH)
    if runs:
        yield np.concatenate(runs), matrix(blobs, dim)


def _runs(segments: Sequence[Any]) -> Ids:
    """The runs of all segments, int64 [m, 3]."""
    return np.frombuffer(b"".join(segment[2] for segment in segments), np.int64).reshape(-1, 3)


def _check_size(status: os.stat_result, segments: Sequence[Any], dim: int) -> int:
    """How many bytes of a file count.

    Raises:
        ValueError: it has fewer.
    """
    size: int = row_bytes(dim) * sum(segment[1] for segment in segments)
    if status.st_size < size:
        raise ValueError(f"was damaged ({'truncated' if status.st_size else 'empty'})")
    return size


def _with_rows(runs: Ids, first: int) -> Ids:
    """Runs with the rows in which their vectors lie, one after the other."""
    return np.column_stack([runs, first + np.cumsum(runs[:, 2]) - runs[:, 2]])


def _checksum(coded: Rows, runs: bytes) -> bytes:
    """64 bits over both. Each page counts as the sum of its words, which any flipped bit changes:
    ten times as fast as a CRC, so that every process can afford to verify a million vectors."""
    content = coded.reshape(-1)
    whole = len(content) - len(content) % _PAGE_BYTES
    sums = content[:whole].view(np.uint64).reshape(-1, _PAGE_BYTES // 8).sum(axis=1)
    parts = sums.tobytes() + content[whole:].tobytes() + runs
    return hashlib.blake2b(parts, digest_size=8).digest()


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _others(videos: Ids, part: Part) -> Ids:
    """Those of the videos, ascending, that a part knows nothing of."""
    # NumPy's differences of sets import its masked arrays, which takes longer.
    return videos[~np.isin(videos, part.runs[:, 0])]


def _videos(connection: sqlite3.Connection) -> Ids:
    """All there are, ascending; told in one row, as a row each takes ten times as long."""
    (told,) = connection.execute("SELECT group_concat(id) FROM videos").fetchone()
    return np.sort(np.fromstring(told, np.int64, sep=",") if told else np.empty(0, np.int64))
