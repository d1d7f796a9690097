"""Which files to index, and which indexed ones are gone.

Folders are searched recursively, files taken as named, globs narrow. Of a file that is not there
any more, what lies in the folder around it tells whether it was deleted or is out of sight, its
drive not mounted, its share down: a folder that is there with something in it has lost a file, one
that is gone or empty may come back with all that was in it.
"""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeAlias

from vsr_edge.errors import UsageError
from vsr_edge.media.sidecars import SIDECAR_SUFFIXES
from vsr_edge.media.source import VIDEO_SUFFIXES, split_stream
from vsr_edge.store.base import Store
from vsr_edge.types import StoredVideo

# TypeScript, translations and Go call their text files so, and trackers their music.
_TEXT_TOO, _MUSIC_TOO = frozenset({".ts", ".mts", ".mod"}), frozenset({".mod"})
_HEAD_BYTES = 4096
_MPEG_STARTS = (b"\x00\x00\x01", b"\x47")
# What storage systems keep beside the videos: thumbnails, previews, what was deleted.
_SYSTEM_FOLDERS = frozenset(
    {"@eadir", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "$recycle.bin"}
    | {"recycler", "lost+found", "system volume information"}
)
# Hidden like others, and wanted with the system's folders.
_HIDDEN_SYSTEM = (".trash", "._", ".@__thumb")

NO_SUFFIX = "(none)"
_NOT_THERE = "no such file or folder"
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/+(.*)", re.IGNORECASE | re.DOTALL)

# Whether it means folders alone; and it as it was given, and as the path that it is from here.
_Glob: TypeAlias = tuple[bool, set[str]]


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file to index. ``size_bytes`` is 0 if it cannot be looked at; opening it will say why.

    ``further``: another video stream of a file that was found before.
    ``problem``: why it cannot be read, or a folder not be walked, where that is known already.
    """

    path: Path
    size_bytes: int = 0
    further: bool = False
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class HeldBack:
    """So many videos whose files are gone and that are kept, for what is said of ``folder``."""

    folder: Path
    reason: str
    videos: int


@dataclass(frozen=True, slots=True)
class PruneSummary:
    """``removed``: the videos that were forgotten, or with ``dry_run`` would be."""

    removed: tuple[StoredVideo, ...]
    held_back: tuple[HeldBack, ...]
    dry_run: bool = False


def scan(
    roots: Iterable[Path],
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    *,
    include_system: bool = False,
    passed_over: Counter[str] | None = None,
) -> Iterator[FoundFile]:
    """Walk the roots in order, each folder by name, every file once.

    Args:
        include: globs; a file in a folder must match one. Without any, its suffix must be a
            video's.
        exclude: globs of files and folders to leave out, even if named outright.
        include_system: also walk what storage systems keep beside the videos (``@eaDir``,
            ``#recycle``, ``$RECYCLE.BIN``, ``.Trash-1000``, ``lost+found``, …).
        passed_over: counts by suffix the files that are not taken for what they are called, and
            by name, with a slash, the system's folders.

    A glob is held against the name, the path below its root, and the whole path: ``*.mkv``,
    ``cam1/*``, ``/srv/*/old/*``; or it names a file or folder from where the program was started,
    with or without a slash at its end. Case does not matter. Hidden files and folders are left out
    unless named. Links to files are files; links to folders are not followed unless named.
    """
    included, excluded = [*map(_glob, include)], [*map(_glob, exclude)]
    counted = Counter[str]() if passed_over is None else passed_over
    seen: set[Path] = set()
    for root in roots:
        start = Path(os.path.abspath(root))  # noqa: PTH100 — resolve() would follow links
        named = _look(start)
        if named.problem is not None:
            yield named
            continue
        is_folder = start.is_dir()
        if _matches(start, start.parent, excluded, is_folder):
            continue
        found: Iterable[FoundFile] = [named]
        if is_folder:
            found = _walk(start, included, excluded, include_system, counted)
        for file in found:
            if file.problem is not None or file.path not in seen:
                yield file
            seen.add(file.path)


def refuse_addresses(paths: Iterable[Path | str]) -> None:
    """Raise UsageError for ``rtsp://…`` and the like, unless a file is really called so."""
    for path in paths:
        found = _ADDRESS.fullmatch(str(path))
        # One letter is a drive.
        if found is None or len(found[1]) < 2 or _look(Path(path)).problem is None:
            continue
        address = f"{found[1]}://{found[2]}"
        raise UsageError(
            f"{address} is an address, and only files are indexed: record it into files first, as "
            f"with `ffmpeg -i {address} -c copy -f segment -segment_time 600 cam-%05d.mkv`, then "
            "index those"
        )


def is_gone(path: Path) -> bool:
    """Whether nothing lies there any more, as far as can be told; what is hidden is not gone.

    A stream of a file, ``cars.mp4#1``, is there as long as its file is.
    """
    return _look(path).problem == _NOT_THERE


def missing_videos(store: Store) -> list[StoredVideo]:
    """The indexed videos whose files are gone; looks once at each."""
    return [stored for stored in store.videos() if is_gone(stored.video.path)]


def plan_prune(missing: Iterable[StoredVideo], *, dry_run: bool = False) -> PruneSummary:
    """Tell videos that were deleted from those that are out of sight; removes nothing."""
    removed: list[StoredVideo] = []
    held: Counter[tuple[Path, str]] = Counter()
    told: dict[Path, tuple[Path, str] | None] = {}
    for stored in missing:
        path = stored.video.path
        # A link may lie in a folder of its own and lead to a drive that is not mounted.
        folders = dict.fromkeys((path.parent, Path(os.path.realpath(path)).parent))
        for folder in folders:
            if folder not in told:
                told[folder] = _out_of_sight(folder)
        why = next((told[folder] for folder in folders if told[folder] is not None), None)
        if why is None:
            removed.append(stored)
        else:
            held[why] += 1
    return PruneSummary(
        tuple(removed),
        tuple(HeldBack(folder, reason, videos) for (folder, reason), videos in held.items()),
        dry_run,
    )


def _walk(
    root: Path,
    include: Sequence[_Glob],
    exclude: Sequence[_Glob],
    include_system: bool,
    passed_over: Counter[str],
) -> Iterator[FoundFile]:
    def hidden(name: str) -> bool:
        wanted = include_system and name.casefold().startswith(_HIDDEN_SYSTEM)
        return name.startswith(".") and not wanted

    failed: list[OSError] = []
    for folder, folders, files in os.walk(root, onerror=failed.append):
        here = Path(folder)
        names, folders[:] = sorted(folders), []
        for name in names:
            if hidden(name) or _matches(here / name, root, exclude, True):
                continue
            if name.casefold() in _SYSTEM_FOLDERS and not include_system:
                passed_over[f"{name}/"] += 1
            else:
                folders.append(name)
        for path in (here / name for name in sorted(files)):
            if hidden(path.name) or _matches(path, root, exclude, False):
                continue
            suffix = path.suffix.lower()
            if include:
                taken = _matches(path, root, include, False)
            else:
                taken = suffix in VIDEO_SUFFIXES and not _is_something_else(path, suffix)
            if taken:
                yield FoundFile(path, _look(path).size_bytes)  # opening it will say why not
            elif suffix not in SIDECAR_SUFFIXES:  # they are read with their videos
                passed_over[suffix or NO_SUFFIX] += 1
    for error in failed:
        yield FoundFile(Path(str(error.filename)), problem=error.strerror or str(error))


def _glob(given: str) -> _Glob:
    text = given.replace("\\", "/") if os.name == "nt" else given
    folders_only = len(text) > 1 and text.endswith("/")
    text = (text.rstrip("/") or "/").removeprefix("./").casefold()
    patterns = {text}
    if "/" in text or text in {".", ".."}:
        here = Path(os.path.abspath(given))  # noqa: PTH100 — resolve() would follow links
        patterns.add(here.as_posix().casefold())
    return folders_only, patterns


def _matches(path: Path, root: Path, globs: Sequence[_Glob], is_folder: bool) -> bool:
    if not globs:
        return False
    below = path.relative_to(root).as_posix()
    spellings = [text.casefold() for text in (path.name, below, path.as_posix())]
    return any(
        # A name with brackets in it does not match itself as a glob.
        spelling == pattern or fnmatchcase(spelling, pattern)
        for folders_only, patterns in globs
        if is_folder or not folders_only
        for pattern in patterns
        for spelling in spellings
    )


def _is_something_else(path: Path, suffix: str) -> bool:
    """Whether a file whose name may be a video's begins as no video does."""
    try:
        if suffix not in _TEXT_TOO or not stat.S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return False  # reading it will say why
    if suffix in _MUSIC_TOO and head and not head.startswith(_MPEG_STARTS):
        return True
    # Every kind of video has bytes that no text has.
    return bool(head) and not any(byte < 9 or 14 <= byte < 27 for byte in head)


def _look(path: Path) -> FoundFile:
    """What lies at this path, or why nothing there can be looked at."""
    try:
        return FoundFile(path, split_stream(path)[0].stat().st_size)
    except (FileNotFoundError, NotADirectoryError):
        return FoundFile(path, problem=_NOT_THERE)
    except OSError as error:
        return FoundFile(path, problem=error.strerror or str(error))


def _out_of_sight(folder: Path) -> tuple[Path, str] | None:
    """The folder that keeps what lay in ``folder`` from being called deleted, and why."""
    lost = None
    while True:
        try:
            names = os.listdir(folder)  # noqa: PTH208 — names are all that is asked for
            break
        except (FileNotFoundError, NotADirectoryError):
            if folder.parent == folder:
                return folder, "is not there"
            lost, folder = folder, folder.parent
        except OSError as error:
            return folder, f"cannot be looked into ({error.strerror or error})"
    # Where a drive is mounted an empty folder lies while it is not, perhaps with hidden marks.
    if all(name.startswith(".") or name.casefold() in _SYSTEM_FOLDERS for name in names):
        return folder, "is empty"
    return None if lost is None else (lost, "is not there")
