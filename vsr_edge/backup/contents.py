"""What a backup holds, and the manifest that tells of it, written last and sealed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from vsr_edge.backup.copying import BackedUp
from vsr_edge.bundle.manifest import SEAL, digest_of
from vsr_edge.errors import BackupError
from vsr_edge.store.connection import sync
from vsr_edge.store.lock import LOCK_FILE

Progress = Callable[[int, int], object]

MANIFEST, FORMAT = "backup.json", "vsr-edge/backup/1"
DATABASE = "archive.db"
# Who may come in: for nobody else to read.
ACCESS = "access.json"
# What lies in an archive's folder beside its rows and vectors, and is backed up with them.
KEPT = (
    ACCESS,
    "alerts-fired.jsonl",
    "alerts-standing.json",
    "alerts-unsent.json",
    "alerts.jsonl",
    "calibration.json",
    "failed.json",
    "jobs/*.json",
    "last-answer.json",
    "retained.json",
    "saved/*.json",
)
# What is made again when it is needed, or is of a run that is not finished.
LEFT_OUT = ("thumbnails", "compare", LOCK_FILE, "archive.next", "archive.next.discarded")
_NAME = re.compile(r"(?:(?:jobs|saved)/)?[A-Za-z0-9][A-Za-z0-9._+@-]*")


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup, as its manifest tells of it. ``schema`` is the version of the archive's tables."""

    folder: Path
    archive: str
    made_at: str
    made_by: str
    bundle_id: str
    dim: int
    schema: int
    generation: int
    videos: int
    files: tuple[BackedUp, ...]

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)


def read_backup(folder: Path) -> Backup:
    """A backup's manifest, checked, and that its files are there with their sizes.

    Raises:
        BackupError: it is none, or damaged.
    """
    path = folder / MANIFEST
    try:
        raw = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        inside = sorted(one.parent.name for one in folder.glob(f"*/{MANIFEST}"))
        more = f"it holds {', '.join(inside[-5:])}" if inside else "make one with vsr-edge backup"
        raise BackupError(f"{folder} is no backup ({MANIFEST} is missing): {more}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, str(error)) from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise BackupError(f"{path} is not of the format {FORMAT}: it is no backup of this program")
    if raw.get(SEAL) != digest_of(raw):
        raise damaged(path, "its checksum differs")
    try:
        files = tuple(BackedUp(**one) for one in raw["files"])
        rest = {name: raw[name] for name in Backup.__slots__ if name not in ("folder", "files")}
        found = Backup(folder=folder, files=files, **rest)
        _check_names(path, found)
        _check_modes(path, found)
    except (KeyError, TypeError) as error:
        raise damaged(path, f"a field is wrong: {error}") from error
    for file in files:
        place = folder / file.name
        try:
            size = place.stat().st_size
        except OSError as error:
            raise damaged(place, error.strerror or "it is missing") from error
        if size != file.bytes:
            raise damaged(place, f"it has {size} bytes instead of {file.bytes}")
    return found


def write_manifest(folder: Path, about: Backup) -> None:
    """Last, as the mark that it is whole."""
    rest = {name: getattr(about, name) for name in Backup.__slots__ if name != "folder"}
    files = [{name: getattr(one, name) for name in BackedUp.__slots__} for one in about.files]
    fields: dict[str, Any] = {"format": FORMAT, **rest, "files": files}
    text = json.dumps({**fields, SEAL: digest_of(fields)}, indent=1)
    with (folder / MANIFEST).open("w", encoding="utf-8") as opened:
        opened.write(text + "\n")
        opened.flush()
        os.fsync(opened.fileno())
    sync(folder)


def _check_names(path: Path, found: Backup) -> None:
    """A backup names no file that lies elsewhere, or that no archive has."""
    from vsr_edge.store.snapshot import is_vector_file

    names = [file.name for file in found.files]
    known = [
        name == DATABASE or is_vector_file(name) or (bool(_NAME.fullmatch(name)) and is_kept(name))
        for name in names
    ]
    if not all(known) or DATABASE not in names or len(set(names)) < len(names):
        raise BackupError(f"{path} names files that are no archive's: it is no backup to restore")


def _check_modes(path: Path, found: Backup) -> None:
    """A backup gives no file permissions that would not be taken from an archive's."""
    for file in found.files:
        mode: object = file.mode
        # Not only an int, as True is one.
        if type(mode) is not int or mode & (0o700 if file.name == ACCESS else 0o777) != mode:
            told = f"{mode:#o}" if type(mode) is int else repr(mode)
            raise BackupError(
                f"{path} gives {file.name} the permissions {told}, which no backup does: it is no "
                "backup to restore"
            )


def is_kept(name: str) -> bool:
    return any(
        fnmatchcase(name, pattern) and name.count("/") == pattern.count("/") for pattern in KEPT
    )


def kept_files(archive: Path) -> list[Path]:
    return sorted(path for pattern in KEPT for path in archive.glob(pattern) if path.is_file())


def damaged(path: Path, reason: str) -> BackupError:
    return BackupError(f"{path} is damaged ({reason}): restore another backup; nothing has changed")
