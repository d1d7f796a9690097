"""Between rows and values: paths, videos, vectors."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsr_edge.errors import printable
from vsr_edge.types import (
    Clip,
    ClipWindow,
    HalfVectors,
    Regions,
    Sampling,
    StoredVideo,
    Vectors,
    Video,
)

VIDEO_FIELDS = tuple(field.name for field in fields(Video))
_STORED = ("sampling", "frame_count", "clip_count", "partial", "indexed_at")
# When a video began, in seconds since 1970. A file was last changed when its recording ended: that
# is what is known of one whose container was not asked yet, as when an earlier version indexed it.
RECORDED = "coalesce(recorded_at, modified_ns / 1e9 - duration)"
_TIMES_AND_TAGS = (
    *(RECORDED, "coalesce(recorded_from, 'file')"),
    "(SELECT group_concat(tag, ' ') FROM tags WHERE video_id = videos.id)",
)
VIDEO_COLUMNS = ", ".join(("id", *VIDEO_FIELDS, *_STORED, *_TIMES_AND_TAGS))
CLIP_COLUMNS = "id, video_id, start_time, end_time, first_frame, last_frame"

# What the settings that an archive of before does not know of were then.
_FORMERLY = {"granularity": "clip", "fold": False}

# How regions were stored when they either were or not.
_CODES: dict[Any, Regions] = {True: "float16", False: "none"}

# How far from 1 a clip vector's length may be: an encoder may carry a picture's hubness as one more
# number, some tenths at most; float16 rounding stays far within.
_LENGTH_TOLERANCE = 0.1


class RowsDamaged(sqlite3.DatabaseError):
    """A row is not what was stored, which only damage can bring about."""


def path_value(path: Path) -> str | bytes:
    """A path as stored: text, or its bytes where a file name is not UTF-8."""
    text = os.fspath(path)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return os.fsencode(path)
    return text


def video_values(video: Video, sampling: Sampling) -> dict[str, Any]:
    """The columns of a video that are known before its frames."""
    return asdict(video) | {
        "path": path_value(video.path),
        "codec": printable(video.codec),
        "container": printable(video.container),
        "sampling": json.dumps(asdict(sampling)),
    }


def stored_video(row: Sequence[Any]) -> StoredVideo:
    """From the columns ``VIDEO_COLUMNS``."""
    video_id, path, *values = row
    video = Video(Path(os.fsdecode(path)), *values[: len(VIDEO_FIELDS) - 1])
    sampling, *rest, recorded_at, recorded_from, tags = values[len(VIDEO_FIELDS) - 1 :]
    known = {field.name for field in fields(Sampling)}
    settings = {name: value for name, value in json.loads(sampling).items() if name in known}
    if isinstance(regions := settings.get("regions"), bool):
        settings["regions"] = _CODES[regions]
    stored = StoredVideo(video_id, video, Sampling(**(_FORMERLY | settings)), *rest)
    every = tuple(sorted((tags or "").split()))
    return replace(stored, recorded_at=recorded_at, recorded_from=recorded_from, tags=every)


def clip(row: Sequence[Any]) -> Clip:
    """From the columns ``CLIP_COLUMNS``."""
    clip_id, video_id, start, end, first, last = row
    return Clip(clip_id, video_id, ClipWindow(start, end, first, last))


def half(vectors: NDArray[Any], what: str, shape: tuple[int, ...]) -> HalfVectors:
    """Check and convert to contiguous float16.

    Raises:
        ValueError: not of that shape, or not finite in float16.
    """
    if vectors.shape != shape:
        raise ValueError(f"{what} must be {list(shape)}, not {list(vectors.shape)}")
    with np.errstate(over="ignore"):
        result = np.ascontiguousarray(vectors, dtype=np.float16)
    if not np.isfinite(result).all():
        raise ValueError(f"{what} hold NaN or infinite values: the encoder's output is broken")
    return result


def unit(vectors: HalfVectors, what: str) -> HalfVectors:
    """Check that every row has length 1, without which inner products do not compare."""
    lengths = np.linalg.norm(vectors.astype(np.float32), axis=-1)
    wrong = np.flatnonzero(np.abs(lengths - 1) > _LENGTH_TOLERANCE)
    if len(wrong):
        raise ValueError(f"{what} must have length 1; row {wrong[0]} has {lengths[wrong[0]]:.3g}")
    return vectors


def checked_query(vector: Vectors, k: int, dim: int) -> Vectors:
    """A query as float32 [D].

    Raises:
        ValueError: not of that shape, not finite, or ``k`` below 1.
    """
    query = np.asarray(vector, np.float32)
    if query.shape != (dim,):
        raise ValueError(f"a query must be [{dim}], not {list(query.shape)}")
    if not np.isfinite(query).all():
        raise ValueError("a query holds NaN or infinite values")
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    return query


def matrix(blobs: Sequence[bytes], dim: int) -> HalfVectors:
    """Blobs of float16 [D] as float16 [n, D].

    Raises:
        RowsDamaged: a blob of another length.
    """
    if not set(map(len, blobs)) <= {2 * dim}:
        raise RowsDamaged("a stored vector has the wrong length")
    return np.frombuffer(b"".join(blobs), dtype=np.float16).reshape(len(blobs), dim)
