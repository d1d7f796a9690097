"""Archives with made-up vectors, and what is in them."""

from __future__ import annotations

import fnmatch
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsr_edge.store import open_store
from vsr_edge.store.base import Store, Writer
from vsr_edge.types import (
    ClipHit,
    ClipWindow,
    FrameFeatures,
    HalfVectors,
    Sampling,
    Vectors,
    Video,
)

DIM = 16
BUNDLE = "lite-test"
REGIONS = 9


@dataclass(frozen=True)
class Footage:
    """A video as the encoder would hand it over."""

    video: Video
    batches: list[FrameFeatures]
    windows: list[ClipWindow]
    vectors: HalfVectors
    sampling: Sampling = field(default_factory=Sampling)


def unit_vectors(rng: np.random.Generator, *shape: int) -> HalfVectors:
    vectors = rng.standard_normal(shape)
    lengths: NDArray[np.float64] = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / lengths).astype(np.float16)


def a_video(path: str, **changes: Any) -> Video:
    values: dict[str, Any] = {
        "path": Path(path),
        "fingerprint": f"fingerprint-{zlib.crc32(path.encode('utf-8', 'surrogateescape')):08x}",
        "size_bytes": 12_345,
        "modified_ns": 1_700_000_000_123_456_789,
        "duration": 10.04,
        "width": 720,
        "height": 1280,
        "rotation": 270,
        "codec": "h264",
        "container": "mov,mp4",
        "frame_rate": 29.97,
        "audio_streams": 1,
    }
    return Video(**(values | changes))


def footage(
    path: str,
    *,
    seed: int | None = None,
    clips: int = 4,
    batches: int = 3,
    regions: bool = True,
    dim: int = DIM,
) -> Footage:
    """The same path and seed always give the same footage."""
    video = a_video(path)
    rng = np.random.default_rng(zlib.crc32(video.fingerprint.encode()) if seed is None else seed)
    size, parts = clips, []
    for number in range(batches):
        parts.append(
            FrameFeatures(
                times=np.arange(number * size, (number + 1) * size, dtype=np.float64) * 1.001,
                vectors=unit_vectors(rng, size, dim),
                regions=unit_vectors(rng, size, REGIONS, dim) if regions else None,
            )
        )
    windows = [ClipWindow(2.0 * i, 2.0 * i + 4.0, i, i + batches - 1) for i in range(clips)]
    return Footage(video, parts, windows, unit_vectors(rng, clips, dim))


def store_footage(writer: Writer, made: Footage) -> int:
    with writer.begin(made.video, made.sampling) as entry:
        for batch in made.batches:
            entry.add_frames(batch)
        return entry.finish(made.windows, made.vectors)


def open_archive(folder: Path | str, **options: Any) -> Store:
    defaults: dict[str, Any] = {"bundle_id": BUNDLE, "dim": DIM, "create": True}
    return open_store(folder, **(defaults | options))


def fill(folder: Path | str, *paths: str, **options: Any) -> None:
    """Index made-up footage under these paths."""
    with open_archive(folder, **options) as store, store.writer() as writer:
        for path in paths:
            store_footage(writer, footage(path))


@dataclass(frozen=True)
class Another:
    """Another bundle: its encoders make other vectors of the same footage, here by a seed."""

    bundle_id: str
    dim: int = DIM
    clips: int = 4

    def footage(self, path: str) -> Footage:
        seed = zlib.crc32(f"{self.bundle_id} {path}".encode())
        return footage(path, seed=seed, dim=self.dim, clips=self.clips)


def fill_up(
    store: Store, paths: Sequence[str], other: Another, told: Callable[[], None] = lambda: None
) -> None:
    """Index what is not there yet."""
    with store.writer() as writer:
        for path in paths:
            if store.find(Path(path)) is None:
                store_footage(writer, other.footage(path))
                told()


def a_query(seed: int = 0, dim: int = DIM) -> Vectors:
    return unit_vectors(np.random.default_rng(seed), dim).astype(np.float32)


def rows(folder: Path | str, sql: str) -> list[tuple[Any, ...]]:
    """Read past the store."""
    if isinstance(folder, str):
        return of_server(folder, sql)
    connection = sqlite3.connect(folder / "archive.db")
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def vector_file(folder: Path) -> Path:
    """The one file of the clips' vectors."""
    (file,) = folder.glob("clips.*")
    return file


def of_server(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Look into an archive on a server past the store; what the last statement finds."""
    from vsr_edge.store.postgres.pg_connection import Address, connect
    from vsr_edge.store.postgres.pg_generations import open_generation

    address = Address.of(url)
    with closing(connect(address)) as connection:
        schemas = ", ".join(open_generation(connection, address).schemas)
        connection.execute(f"SET search_path TO {schemas}")
        with connection.cursor(binary=True) as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []


def change(folder: Path | str, *statements: str) -> None:
    """Write past the store."""
    if isinstance(folder, str):
        of_server(folder, *statements)
        return
    connection = sqlite3.connect(folder / "archive.db")
    try:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    finally:
        connection.close()


def vectors_of(folder: Path | str, condition: str = "true") -> list[tuple[int, NDArray[Any]]]:
    """The clips that meet a condition, by id: id and vector float16 [D]."""
    read = rows(folder, f"SELECT id, vector FROM clips WHERE {condition} ORDER BY id")
    kind, skipped = (">f2", 4) if isinstance(folder, str) else ("<f2", 0)
    return [(one, np.frombuffer(blob, kind, offset=skipped).astype("<f2")) for one, blob in read]


def content(folder: Path | str) -> dict[Path, Any]:
    """All that is stored, by path: nothing in it depends on ids or on when it was written."""
    found: dict[Path, Any] = {}
    with open_store(folder) as store:
        for stored in store.videos():
            frames = store.frames(stored.video_id, regions=True)
            clips = [clip.window for clip in store.clips(stored.video_id)]
            vectors = vectors_of(folder, f"video_id = {stored.video_id}")
            found[stored.video.path] = (
                stored.video,
                stored.sampling,
                stored.frames,
                stored.clips,
                stored.partial,
                frames.times.tobytes(),
                frames.vectors.tobytes(),
                None if frames.regions is None else frames.regions.tobytes(),
                clips,
                [vector.tobytes() for _, vector in vectors],
            )
    return found


def found_places(store: Store, hits: list[ClipHit]) -> list[tuple[Path, ClipWindow, float]]:
    """Hits without ids."""
    places = []
    for hit in hits:
        stored = store.videos_of([hit.clip.video_id])[hit.clip.video_id]
        places.append((stored.video.path, hit.clip.window, hit.score))
    return places


def brute_force(
    folder: Path | str, query: Vectors, k: int, pattern: str | None = None
) -> list[Any]:
    """(clip id, score) as numpy finds them in the rows."""
    scored = []
    with open_store(folder) as store:
        for stored in store.videos():
            if pattern is None or any(_matches(str(stored.video.path), pattern)):
                for clip_id, vector in vectors_of(folder, f"video_id = {stored.video_id}"):
                    score = (vector.astype(np.float64) * query.astype(np.float64)).sum()
                    scored.append((clip_id, float(score)))
    return sorted(scored, key=lambda pair: (-pair[1], pair[0]))[:k]


def _matches(path: str, pattern: str) -> Iterator[bool]:
    yield path == pattern
    yield fnmatch.fnmatchcase(path, pattern)
    yield fnmatch.fnmatchcase(path, "*/" + pattern)


def index(store: Store, *paths: str) -> list[int]:
    """Store footage for each path; returns the ids."""
    with store.writer() as writer:
        return [store_footage(writer, footage(path)) for path in paths]
