"""Restore a backup: into the archive's folder under another name, every byte checked on the way;
only then it takes the place of what was there, the rows in one transaction. A crash amid that
leaves the rows of the former or of the new archive, and beside them perhaps files of the other; new
rows are never there without those who may come in to them. The same again puts all in place.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from vsr_edge.backup.contents import (
    ACCESS,
    DATABASE,
    Backup,
    Progress,
    damaged,
    is_kept,
    kept_files,
    read_backup,
)
from vsr_edge.backup.copying import BackedUp, Step, copied, hashed, on_disk
from vsr_edge.errors import ArchiveError, UsageError
from vsr_edge.store.connection import sync
from vsr_edge.store.lock import LOCK_FILE, WriterLock

STAGED = "archive.restore"


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored, and where; ``replaced`` if an archive was there, ``set_aside`` where the
    former one lies now, which was damaged.
    """

    backup: Backup
    archive: Path
    replaced: bool = False
    set_aside: Path | None = None
    notices: tuple[str, ...] = ()


def check_backup(folder: Path, on_progress: Progress | None = None) -> Backup:
    """Read all of a backup.

    Raises:
        BackupError: it is damaged; the message names the file.
    """
    found = read_backup(folder)
    step = _counted(found, on_progress)
    for file in found.files:
        _check(folder / file.name, file, hashed(folder, file.name, step))
    return found


def restore(
    backup: Path, archive: Path, *, force: bool = False, on_progress: Progress | None = None
) -> Restored:
    """Put a backup in an archive's folder. Until all of it is checked nothing there is changed.

    Args:
        force: put it in the place of an archive that is there. Who searches that one goes on with
            the new one.
        on_progress: told how many bytes of how many are copied; what it raises ends the work, and
            nothing has changed.

    Raises:
        BackupError: the backup is damaged; the message names the file.
        UsageError: an archive is there, and ``force`` is not given.
        ArchiveLocked: somebody writes that archive.
        ArchiveError: the backup is of a newer version, the disk is full, or nothing may be written.
    """
    found = read_backup(backup)
    there = _present(archive)
    if there and not force:
        raise UsageError(
            f"{archive} holds {there[0]}: name another folder with --archive, or say --force to "
            "put the backup in its place"
        )
    new = not archive.exists()
    with on_disk(archive):
        archive.mkdir(parents=True, exist_ok=True)
        try:
            with WriterLock(archive):
                staged = archive / STAGED
                shutil.rmtree(staged, ignore_errors=True)
                try:
                    _stage(found, staged, _counted(found, on_progress))
                    # A Ctrl-C waits until what has begun to take its place has done so.
                    with ThreadPoolExecutor(1) as pool:
                        done = pool.submit(_put, found, staged, archive, bool(there)).result()
                finally:
                    shutil.rmtree(staged, ignore_errors=True)
        except BaseException:
            if new:
                _remove_empty(archive)
            raise
    return done


def _put(found: Backup, staged: Path, archive: Path, replaced: bool) -> Restored:
    """All that was staged, in its place: who may come in, the rows, and what else lies beside."""
    from vsr_edge.store.snapshot import is_vector_file, prepare_rows, put_rows, tidy_vectors

    _, dim, videos = prepare_rows(staged)
    if videos != found.videos:
        raise damaged(found.folder / DATABASE, f"it holds {videos} videos, not {found.videos}")
    for file in found.files:
        if is_vector_file(file.name) and not (archive / file.name).exists():
            (staged / file.name).replace(archive / file.name)
    beside = {file.name for file in found.files if is_kept(file.name)}
    with _guarded(staged, archive):
        aside = put_rows(staged, archive)
    for name in sorted(beside - {ACCESS}):
        (archive / name).parent.mkdir(exist_ok=True)
        (staged / name).replace(archive / name)
    for path in kept_files(archive):
        if path.relative_to(archive).as_posix() not in beside:
            path.unlink(missing_ok=True)
    sync(archive)
    notices = tidy_vectors(archive, dim)
    return Restored(found, archive, replaced, aside, tuple(notices))


@contextmanager
def _guarded(staged: Path, archive: Path) -> Iterator[None]:
    """Who may come in, put in place before the rows that they guard; the former again if those
    cannot be. Where the backup lets nobody in, the former stay until all else is in place.
    """
    new, present, former = staged / ACCESS, archive / ACCESS, staged / f"{ACCESS}.former"
    if not new.exists():
        yield
        return
    if present.exists():
        shutil.copy2(present, former)
    new.replace(present)
    try:
        yield
    except BaseException:
        if former.exists():
            former.replace(present)
        else:
            present.unlink()
        raise


def _stage(found: Backup, staged: Path, step: Step) -> None:
    """Copy a backup, and check every byte."""
    staged.mkdir(mode=0o700)
    for file in found.files:
        place = found.folder / file.name
        try:
            with place.open("rb") as opened:
                took = copied(opened, staged, file.name, file.mode, step)
        except FileNotFoundError as error:
            raise damaged(place, "it is missing") from error
        _check(place, file, took)


def _check(path: Path, told: BackedUp, found: BackedUp) -> None:
    if (found.bytes, found.sha256) != (told.bytes, told.sha256):
        raise damaged(path, "its checksum differs from that of the manifest")


def _present(archive: Path) -> list[str]:
    """What a backup would take the place of."""
    try:
        if archive.exists() and not archive.is_dir():
            raise UsageError(f"{archive} is a file: name a folder with --archive")
        rows = ["an archive"] if (archive / DATABASE).exists() else []
        return rows + [path.relative_to(archive).as_posix() for path in kept_files(archive)]
    except OSError as error:
        raise ArchiveError(
            f"{archive} cannot be looked into ({error.strerror}): change its permissions"
        ) from error


def _counted(found: Backup, on_progress: Progress | None) -> Step:
    done = 0

    def step(count: int) -> None:
        nonlocal done
        done += count
        if on_progress is not None:
            on_progress(done, found.bytes)

    return step


def _remove_empty(folder: Path) -> None:
    """A folder that was made for nothing."""
    with suppress(OSError):
        (folder / LOCK_FILE).unlink(missing_ok=True)
        folder.rmdir()
