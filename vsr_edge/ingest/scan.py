"""Which files to index: folders recursively, files as named, globs to narrow."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

# What a folder is searched for. A file that is named outright is tried whatever it is called.
_SUFFIXES = (
    "3gp|asf|avi|dv|f4v|flv|gif|h264|h265|hevc|m2ts|m4v|mjpeg|mjpg|mkv|mov|mp4|mpeg|mpg|mts|mxf|"
    "ogv|rm|rmvb|ts|vob|webm|wmv|y4m"
)
VIDEO_SUFFIXES = frozenset(f".{suffix}" for suffix in _SUFFIXES.split("|"))


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file to index. ``size_bytes`` is 0 if it cannot be looked at; opening it will say why."""

    path: Path
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A path that was named but cannot be walked, and why."""

    path: Path
    reason: str


def scan(
    roots: Iterable[Path], include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> Iterator[FoundFile | Unreachable]:
    """Walk the roots in order, each folder by name, every file once.

    Args:
        include: globs; a file in a folder must match one. Without any, its suffix must be a
            video's.
        exclude: globs of files and folders to leave out, even if named outright.

    A glob is held against the name, the path below its root, and the whole path: ``*.mkv``,
    ``cam1/*``, ``/srv/*/old/*``. Hidden files and folders are left out unless named. Links to
    files are files; links to folders are not followed unless named.
    """
    seen: set[Path] = set()
    for root in roots:
        start = Path(os.path.abspath(root))  # noqa: PTH100 — resolve() would follow links
        problem = _problem(start)
        if problem is not None:
            yield Unreachable(start, problem)
            continue
        if _matches(start, start.parent, exclude):
            continue
        found: Iterable[Path | Unreachable] = (
            _walk(start, include, exclude) if start.is_dir() else [start]
        )
        for item in found:
            if isinstance(item, Unreachable):
                yield item
            elif item not in seen:
                seen.add(item)
                yield FoundFile(item, _size(item))


def _walk(
    root: Path, include: Sequence[str], exclude: Sequence[str]
) -> Iterator[Path | Unreachable]:
    failed: list[OSError] = []
    for folder, folders, files in os.walk(root, onerror=failed.append):
        here = Path(folder)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and not _matches(here / name, root, exclude)
        )
        for name in sorted(files):
            path = here / name
            if name.startswith(".") or _matches(path, root, exclude):
                continue
            wanted = (
                _matches(path, root, include) if include else path.suffix.lower() in VIDEO_SUFFIXES
            )
            if wanted:
                yield path
    for error in failed:
        yield Unreachable(Path(str(error.filename)), error.strerror or str(error))


def _matches(path: Path, root: Path, globs: Sequence[str]) -> bool:
    below = path.relative_to(root).as_posix()
    spellings = (path.name, below, path.as_posix())
    # A name with brackets in it does not match itself as a glob.
    return any(glob in spellings or any(fnmatch(s, glob) for s in spellings) for glob in globs)


def _problem(path: Path) -> str | None:
    """Why nothing at this path can be looked at, if so."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return "no such file or folder"
    except OSError as error:
        return error.strerror or str(error)
    return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
