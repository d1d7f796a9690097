"""One writer at a time, by a lock of the operating system that ends with its process."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from vsr_edge.errors import ArchiveError, ArchiveLocked

LOCK_FILE = "archive.lock"
INDEXING = "writing"
UPKEEP = "upkeep"

# Making, upgrading or repairing an archive holds the lock for as long as one file takes to write:
# an indexing run that starts at that moment should wait and not fail. Any other holder has a
# moment to say who it is.
_UPKEEP_SECONDS = 60.0
_GRACE_SECONDS = 0.25
_POLL_SECONDS = 0.02
_COMMAND_CHARACTERS = 200

if sys.platform == "win32":
    import msvcrt

    # Windows' locks keep others from reading what is locked: lock a byte beyond the text about
    # the holder.
    _FAR = 1 << 30

    def _try_lock(descriptor: int) -> bool:
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            # flock, not lockf: it also keeps two stores of one process apart.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class WriterLock:
    """Held from :meth:`acquire` or :meth:`try_acquire` until :meth:`release`."""

    def __init__(self, folder: Path, purpose: str = INDEXING) -> None:
        self._folder = folder
        self._purpose = purpose
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock, waiting only for a holder that is about to let go of it.

        Raises:
            ArchiveLocked: another process writes; the message names it.
            ArchiveError: the folder cannot be written or its file system has no locks.
        """
        started = time.monotonic()
        while not self.try_acquire():
            holder = read_holder(self._folder)
            patience = _UPKEEP_SECONDS if holder.get("purpose") == UPKEEP else _GRACE_SECONDS
            if time.monotonic() - started > patience:
                raise ArchiveLocked(
                    f"{self._folder} is being written by {_described(holder)}. Wait for it to "
                    "finish or stop it, then try again; searching works meanwhile."
                )
            time.sleep(_POLL_SECONDS)

    def try_acquire(self) -> bool:
        """Take the lock if nobody holds it; never waits."""
        path = self._folder / LOCK_FILE
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise ArchiveError(
                f"{self._folder} cannot be written ({error.strerror}): change its permissions, or "
                "index into another folder"
            ) from error
        try:
            if _try_lock(descriptor):
                self._write_holder(descriptor)
                self._descriptor = descriptor
        except OSError as error:
            raise ArchiveError(
                f"{path} cannot be locked ({error.strerror}): keep the archive on a local disk"
            ) from error
        finally:
            if self._descriptor != descriptor:
                os.close(descriptor)
        return self._descriptor is not None

    def _write_holder(self, descriptor: int) -> None:
        holder = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": " ".join(sys.orig_argv)[:_COMMAND_CHARACTERS],
            "purpose": self._purpose,
        }
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, json.dumps(holder).encode("utf-8"))

    def release(self) -> None:
        """Let go of it."""
        # The file stays: removing it would split those who wait for it from those who come later.
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        try:
            os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)

    def __enter__(self) -> Self:
        if self._descriptor is None:
            self.acquire()
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


def read_holder(folder: Path) -> dict[str, object]:
    """What the holder wrote about itself; empty while it has not yet."""
    try:
        holder = json.loads((folder / LOCK_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _described(holder: dict[str, object]) -> str:
    """The holder in words: process, host, since when, command."""
    if not holder:
        return "another process"
    return (
        f"process {holder.get('pid')} on {holder.get('host')} since {holder.get('since')} "
        f"({holder.get('command')})"
    )
