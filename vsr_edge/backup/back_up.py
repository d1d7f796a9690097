"""Back an archive up: beside its place while others search and write the archive, and renamed when
it is whole. No backup is ever written over.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from io import BytesIO
from pathlib import Path

from vsr_edge.backup.contents import (
    ACCESS,
    DATABASE,
    MANIFEST,
    Backup,
    Progress,
    kept_files,
    write_manifest,
)
from vsr_edge.backup.copying import BackedUp, Step, copied, hashed, on_disk
from vsr_edge.errors import ArchiveError, UsageError
from vsr_edge.store.connection import sync
from vsr_edge.store.lock import LOCK_FILE, WriterLock

_STAGING, _SUFFIX = ".backup-", ".partial"
# Another backup may be about to take the lock of a folder that it has just made.
_LEFT_SECONDS = 60.0


def back_up(archive: Path, out: Path, on_progress: Progress | None = None) -> Backup:
    """Back an archive up into a new folder ``out``, or one named by the time in a folder that is
    there. Others may search and write it meanwhile: the backup is of the moment when it was begun.

    Args:
        on_progress: told how many bytes of how many are written; what it raises ends the work, and
            nothing of it is left.

    Raises:
        UsageError: a file or another backup lies there.
        ArchiveNotFound: there is no archive.
        ArchiveDamaged: it is not sound; nothing is backed up.
        ArchiveError: the disk is full, or nothing may be written there.
    """
    from vsr_edge.store.snapshot import copied_rows

    begun = datetime.now(UTC)
    target = _target(out, archive, begun)
    with on_disk(target.parent), _staging(target.parent) as folder:
        total = _expected_bytes(archive)
        written = 0

        def step(count: int) -> None:
            nonlocal written
            written += count
            if on_progress is not None:
                on_progress(min(written, total), total)

        step(0)
        with copied_rows(archive, folder / DATABASE, step) as rows:
            (folder / DATABASE).chmod(rows.mode)
            files = [hashed(folder, DATABASE, step)]
            if rows.vectors is not None and rows.opened is not None:
                name, size = rows.vectors
                files.append(copied(rows.opened, folder, name, rows.mode, step, size))
        files += _beside(archive, folder, step)
        about = Backup(
            folder=target,
            archive=str(archive.absolute()),
            made_at=begun.isoformat(timespec="seconds"),
            made_by=_release(),
            bundle_id=rows.bundle_id,
            dim=rows.dim,
            schema=rows.schema,
            generation=rows.generation,
            videos=rows.videos,
            files=tuple(files),
        )
        write_manifest(folder, about)
        if on_progress is not None:
            on_progress(total, total)
        try:
            folder.rename(target)
        except OSError as error:
            if os.path.lexists(target):
                raise UsageError(f"{target} came to be meanwhile: name another folder") from error
            raise
        sync(target.parent)
    return about


def _beside(archive: Path, folder: Path, step: Step) -> Iterator[BackedUp]:
    for path in kept_files(archive):
        try:
            content, mode = path.read_bytes(), path.stat().st_mode & 0o777
        except FileNotFoundError:  # forgotten meanwhile
            continue
        if path.suffix == ".jsonl":  # the last line may be being written
            content = content[: content.rfind(b"\n") + 1]
        name = path.relative_to(archive).as_posix()
        if name == ACCESS:
            mode &= 0o700
        yield copied(BytesIO(content), folder, name, mode, step)


def _target(out: Path, archive: Path, begun: datetime) -> Path:
    """The folder that the backup is to be."""
    if (out / MANIFEST).exists():
        raise UsageError(f"{out} is a backup already: name another folder, or the one around it")
    if out.is_dir():
        name = re.sub(r"[^A-Za-z0-9._+@-]", "_", archive.absolute().name) or "archive"
        out = out / f"{name}-{begun:%Y%m%dT%H%M%SZ}"
    if os.path.lexists(out):
        raise UsageError(f"{out} is there already: name a folder that is not")
    return out


@contextmanager
def _staging(parent: Path) -> Iterator[Path]:
    """A new folder on the disk of a backup's place; what kills have left of others is removed,
    once it is a minute old.

    The folder around it has the lock that tells the others that it is in use.
    """
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob(f"{_STAGING}*{_SUFFIX}"):
        with suppress(OSError, ArchiveError):
            if time.time() - left.stat().st_mtime < _LEFT_SECONDS:
                continue
            if not (left / LOCK_FILE).exists():  # then it is empty, or it is let alone
                left.rmdir()
            elif (lock := WriterLock(left)).try_acquire():
                with lock:
                    shutil.rmtree(left, ignore_errors=True)
    around = Path(tempfile.mkdtemp(prefix=_STAGING, suffix=_SUFFIX, dir=parent))
    try:
        with WriterLock(around):
            folder = around / "new"
            folder.mkdir(mode=0o700)
            yield folder
    finally:
        shutil.rmtree(around, ignore_errors=True)


def _expected_bytes(archive: Path) -> int:
    """Rows are written and then read again."""
    total = 0
    for pattern, times in (("archive.db*", 2), ("clips.*.codes", 1)):
        for path in archive.glob(pattern):
            with suppress(OSError):
                total += times * path.stat().st_size
    return total


def _release() -> str:
    try:
        return f"vsr-edge {version('vsr-edge')}"
    except PackageNotFoundError:
        return "vsr-edge"
