"""Files copied with their checksums, and what the system says when it cannot."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vsr_edge.errors import ArchiveError

Step = Callable[[int], object]

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class BackedUp:
    """A file of a backup: its size, checksum and permissions."""

    name: str
    bytes: int
    sha256: str
    mode: int


def copied(
    source: BinaryIO,
    folder: Path,
    name: str,
    mode: int,
    step: Step,
    size: int | None = None,
) -> BackedUp:
    """Copy a file, or the first ``size`` bytes of it, and sync it."""
    path, digest, written = folder / name, hashlib.sha256(), 0
    path.parent.mkdir(exist_ok=True)
    # Not for a moment is it for others to read, if it was not.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as target:
        while piece := source.read(_PIECE if size is None else min(_PIECE, size - written)):
            target.write(piece)
            digest.update(piece)
            written += len(piece)
            step(len(piece))
        target.flush()
        os.fsync(target.fileno())
    path.chmod(mode)
    return BackedUp(name, written, digest.hexdigest(), mode)


def hashed(folder: Path, name: str, step: Step) -> BackedUp:
    """What a file holds, read from its beginning to its end; synced, if it may be written."""
    digest, size = hashlib.sha256(), 0
    with (folder / name).open("rb") as opened:
        with suppress(OSError):
            os.fsync(opened.fileno())
        while piece := opened.read(_PIECE):
            digest.update(piece)
            size += len(piece)
            step(len(piece))
        mode = os.fstat(opened.fileno()).st_mode & 0o777
    return BackedUp(name, size, digest.hexdigest(), mode)


@contextmanager
def on_disk(folder: Path) -> Iterator[None]:
    """What the system refuses, in words that say what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise ArchiveError(
                f"there is no room in {folder} ({error.strerror}): free some, and run it again"
            ) from error
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise ArchiveError(
                f"{error.filename or folder} cannot be used ({error.strerror}): change its "
                "permissions, or name another folder"
            ) from error
        raise
