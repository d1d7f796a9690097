"""Rows as they are in every store: what moves an archive from one to another, and their checksums.

The store's own interface hands out numbers to videos and clips; answers, receipts and baskets know
them by those. So an archive is moved by its rows, each of which is the same values in any store.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, Literal, Protocol, TypeAlias, get_args

from vsr_edge.errors import ArchiveDamaged, BundleMismatch
from vsr_edge.store.base import Texts
from vsr_edge.types import Correction, Cue, TextSource

Kind = Literal["videos", "frames", "regions", "clips", "tags", "texts", "cues"]
# In the order in which a store can take them.
KINDS: tuple[Kind, ...] = get_args(Kind)

Row: TypeAlias = tuple[Any, ...]  # of int, float, str, bytes and None; the id of its video first
Rows: TypeAlias = Iterator[Sequence[Row]]  # some at a time
LAST_ID = 2**62

# Of videos: a path is its bytes. Of frames: number, time, vector (float16, little-endian; empty
# where it is that of the frame before). Of regions: number, vectors. Of clips: id, start, end,
# first and last frame, vector. Of texts: source, stamp. Of cues: source, number, start, end, text.
VIDEO_ROW = (
    *("id", "path", "fingerprint", "size_bytes", "modified_ns", "duration", "width", "height"),
    *("rotation", "codec", "container", "frame_rate", "audio_streams", "sampling", "frame_count"),
    *("clip_count", "region_count", "partial", "indexed_at", "recorded_at", "recorded_from"),
)
PATH_AT, FRAMES_AT, CLIPS_AT = map(VIDEO_ROW.index, ("path", "frame_count", "clip_count"))
# So many rows are read, and written, at a time: those of regions weigh some kilobytes each.
SOME_ROWS = 512


@dataclass(frozen=True, slots=True)
class Head:
    """What is said of an archive as a whole. ``last_video`` and ``last_clip`` are the highest
    numbers that were handed out, perhaps to what is gone: they never come back.
    """

    bundle_id: str
    dim: int
    created_at: str
    generation: int
    last_video: int
    last_clip: int
    corrections: dict[str, Correction]

    def rows(self) -> list[Row]:
        """It as rows."""
        numbers = (self.dim, self.generation, self.last_video, self.last_clip)
        return [
            (0, self.bundle_id, self.created_at, *numbers),
            *(
                (1, name, json.dumps(asdict(one), sort_keys=True))
                for name, one in sorted(self.corrections.items())
            ),
        ]


class StoredRows(Protocol):
    """The rows of an archive, in one state of it."""

    def head(self) -> Head: ...

    def videos(self) -> list[tuple[int, int]]:
        """The ids of all videos, ascending, each with how many frames and clips it has."""

    def read(self, kind: Kind, first: int, last: int) -> Rows:
        """The rows of the videos from one id to another, both included, ordered by their keys."""


class Staging(Protocol):
    """An archive on its way in, which nobody can take for one before it is sealed.

    Each call is one transaction.
    """

    @property
    def came_from(self) -> str | None:
        """Of which archive it is the copy; None if that is not known any more."""

    @property
    def rows(self) -> StoredRows:
        """What is there by now."""

    def put(self, first: int, last: int, read: Callable[[Kind], Rows]) -> None:
        """Have these rows, of every kind, in place of all that is there of the videos from one id
        to another. It may be read more than once.
        """

    def forget(self, video_ids: Iterable[int]) -> None:
        """Take these videos out."""

    def put_head(self, head: Head) -> None:
        """Have what is said of the archive as a whole."""

    def seal(self) -> None:
        """From now on it is the archive."""

    def bring_up(self) -> list[str]:
        """Make what searching is faster with, after it was sealed; returns what went wrong."""


class Checksums:
    """Of rows of each kind: how many there are, and the sum of their hashes, by which neither the
    order counts nor the store.
    """

    def __init__(self) -> None:
        self._of: dict[str, tuple[int, int]] = {}

    def begin(self, kind: str) -> None:
        """Forget what was added of a kind."""
        self._of.pop(kind, None)

    def add(self, kind: str, rows: Iterable[Row]) -> None:
        count, total = self._of.get(kind, (0, 0))
        for row in rows:
            count += 1
            total += int.from_bytes(hashlib.blake2b(_encoded(row), digest_size=16).digest(), "big")
        self._of[kind] = count, total % 2**128

    def merge(self, other: Checksums) -> None:
        for kind, (count, total) in other._of.items():
            before = self._of.get(kind, (0, 0))
            self._of[kind] = before[0] + count, (before[1] + total) % 2**128

    def rows(self, kind: str) -> int:
        return self._of.get(kind, (0, 0))[0]

    def checksum(self, kind: str) -> str:
        return f"{self._of.get(kind, (0, 0))[1]:032x}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Checksums):
            return NotImplemented
        every = self._of.keys() | other._of.keys()
        return all(self._of.get(one, (0, 0)) == other._of.get(one, (0, 0)) for one in every)

    __hash__ = None  # type: ignore[assignment]


_HEAD = struct.Struct(">cI").pack
_WHOLE = struct.Struct(">cq").pack
_REAL = struct.Struct(">cd").pack


def _encoded(row: Row) -> bytes:
    """A row as bytes, and no other row as the same."""
    parts: list[bytes] = []
    for value in row:
        if isinstance(value, bytes):
            parts += (_HEAD(b"b", len(value)), value)
        elif isinstance(value, float):
            parts.append(_REAL(b"r", value + 0.0))  # -0.0 is 0.0 to SQLite
        elif isinstance(value, int):
            parts.append(_WHOLE(b"i", value))
        elif value is None:
            parts.append(b"n")
        else:
            text = value.encode("utf-8", "surrogatepass")
            parts += (_HEAD(b"t", len(text)), text)
    return b"".join(parts)


def texts_of(read: Callable[[Kind], Rows]) -> Iterator[tuple[int, TextSource, Texts]]:
    """Words by video and source, of the rows of texts and of cues."""
    stamps: dict[tuple[int, TextSource], str] = {}
    for rows in read("texts"):
        stamps |= {(video, source): stamp for video, source, stamp in rows}
    every = (row for rows in read("cues") for row in rows)
    for of_it, cues in groupby(every, lambda row: row[:2]):
        yield *of_it, Texts(stamps.pop(of_it, ""), tuple(Cue(*row[3:]) for row in cues))
    for of_it, stamp in stamps.items():
        yield *of_it, Texts(stamp, ())


def other_bundle(where: object, found: str, wanted: str) -> BundleMismatch:
    """The error for a copy that was begun when the archive was of another bundle."""
    return BundleMismatch(
        f"the unfinished migration in {where} is of vectors of the bundle {found!r}, and the "
        f"archive is of {wanted!r} now: run the same command again with --restart, which throws "
        "it away"
    )


def unfit(first: int, last: int, error: Exception) -> ArchiveDamaged:
    """The error for rows that no store takes: where they come from, they cannot be right."""
    return ArchiveDamaged(
        f"rows of the videos {first} to {last} do not belong together ({error}): `vsr-edge doctor` "
        "of the archive that is copied names all that is wrong with it"
    )
