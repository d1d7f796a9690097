"""Which files to index: folders recursively, files as named, globs to narrow."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from vsr_edge.errors import UsageError
from vsr_edge.media.source import split_stream

# What a folder is searched for. A file that is named outright is tried whatever it is called.
_SUFFIXES = (
    "264|265|3g2|3gp|3gp2|3gpp|360|amv|asf|av1|avc|avi|bik|dav|divx|dv|dvr-ms|evo|f4v|flv|gif|gxf|"
    "h261|h263|h264|h265|hevc|ifv|insv|ivf|lrv|m1v|m2p|m2t|m2ts|m2v|m4v|mj2|mjpeg|mjpg|mk3d|mkv|"
    "mod|mov|mp4|mp4v|mpe|mpeg|mpg|mpv|mqv|mts|mxf|nsv|nut|nuv|obu|ogm|ogv|qt|rm|rmvb|roq|smk|tod|"
    "tp|trp|ts|ty|vc1|vob|vro|webm|wm|wmv|wtv|xvid|y4m"
)
VIDEO_SUFFIXES = frozenset(f".{suffix}" for suffix in _SUFFIXES.split("|"))
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
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/+(.*)", re.IGNORECASE | re.DOTALL)


def is_system(name: str) -> bool:
    """Whether a file or folder of this name is the storage's own, or hidden."""
    return name.startswith(".") or name.casefold() in _SYSTEM_FOLDERS


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file to index. ``size_bytes`` is 0 if it cannot be looked at; opening it will say why.

    ``further``: another video stream of a file that was found before.
    """

    path: Path
    size_bytes: int
    further: bool = False


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A path that was named but cannot be walked, and why."""

    path: Path
    reason: str


def scan(
    roots: Iterable[Path],
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    *,
    include_system: bool = False,
    passed_over: Counter[str] | None = None,
) -> Iterator[FoundFile | Unreachable]:
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
    chosen = _Choice(
        [_Glob(glob) for glob in include],
        [_Glob(glob) for glob in exclude],
        include_system,
        Counter() if passed_over is None else passed_over,
    )
    seen: set[Path] = set()
    for root in roots:
        start = Path(os.path.abspath(root))  # noqa: PTH100 — resolve() would follow links
        problem = _problem(start)
        if problem is not None:
            yield Unreachable(start, problem)
            continue
        is_folder = start.is_dir()
        if _matches(start, start.parent, chosen.exclude, is_folder):
            continue
        found: Iterable[Path | Unreachable] = _walk(start, chosen) if is_folder else [start]
        for item in found:
            if isinstance(item, Unreachable):
                yield item
            elif item not in seen:
                seen.add(item)
                yield FoundFile(item, _size(item))


def refuse_addresses(paths: Iterable[Path | str]) -> None:
    """Raise UsageError for ``rtsp://…`` and the like, unless a file is really called so."""
    for path in paths:
        found = _ADDRESS.fullmatch(str(path))
        # One letter is a drive.
        if found is None or len(found[1]) < 2 or _problem(Path(path)) is None:
            continue
        address = f"{found[1]}://{found[2]}"
        raise UsageError(
            f"{address} is an address, and only files are indexed: record it into files first, as "
            f"with `ffmpeg -i {address} -c copy -f segment -segment_time 600 cam-%05d.mkv`, then "
            "index those"
        )


class _Glob:
    """A glob as it was given, and as the path that it is from here."""

    def __init__(self, given: str) -> None:
        text = given.replace("\\", "/") if os.name == "nt" else given
        self.folders_only = len(text) > 1 and text.endswith("/")
        text = (text.rstrip("/") or "/").removeprefix("./").casefold()
        self._patterns = {text}
        if "/" in text or text in {".", ".."}:
            here = Path(os.path.abspath(given))  # noqa: PTH100 — resolve() would follow links
            self._patterns.add(here.as_posix().casefold())

    def matches(self, spellings: Sequence[str]) -> bool:
        # A name with brackets in it does not match itself as a glob.
        return any(
            glob in spellings or any(fnmatchcase(spelling, glob) for spelling in spellings)
            for glob in self._patterns
        )


@dataclass(frozen=True, slots=True)
class _Choice:
    include: Sequence[_Glob]
    exclude: Sequence[_Glob]
    include_system: bool
    passed_over: Counter[str]

    def enters(self, name: str) -> bool:
        """Whether a folder of this name is walked; counts it if it is the system's."""
        if name.startswith("."):
            return self.include_system and name.casefold().startswith(_HIDDEN_SYSTEM)
        if name.casefold() not in _SYSTEM_FOLDERS or self.include_system:
            return True
        self.passed_over[f"{name}/"] += 1
        return False

    def takes(self, path: Path, root: Path) -> bool:
        """Whether a file is one to index; counts it if it is called otherwise."""
        if path.name.startswith(".") and not (
            self.include_system and path.name.casefold().startswith(_HIDDEN_SYSTEM)
        ):
            return False
        if _matches(path, root, self.exclude, False):
            return False
        if self.include:
            taken = _matches(path, root, self.include, False)
        else:
            suffix = path.suffix.lower()
            taken = suffix in VIDEO_SUFFIXES and not (
                suffix in _TEXT_TOO and _is_something_else(path, suffix)
            )
        if not taken:
            self.passed_over[path.suffix.lower() or NO_SUFFIX] += 1
        return taken


def _walk(root: Path, chosen: _Choice) -> Iterator[Path | Unreachable]:
    failed: list[OSError] = []
    for folder, folders, files in os.walk(root, onerror=failed.append):
        here = Path(folder)
        folders[:] = sorted(
            name
            for name in folders
            if not _matches(here / name, root, chosen.exclude, True) and chosen.enters(name)
        )
        for name in sorted(files):
            if chosen.takes(here / name, root):
                yield here / name
    for error in failed:
        yield Unreachable(Path(str(error.filename)), error.strerror or str(error))


def _matches(path: Path, root: Path, globs: Sequence[_Glob], is_folder: bool) -> bool:
    if not globs:
        return False
    below = path.relative_to(root).as_posix()
    spellings = [text.casefold() for text in (path.name, below, path.as_posix())]
    return any(glob.matches(spellings) for glob in globs if is_folder or not glob.folders_only)


def _is_something_else(path: Path, suffix: str) -> bool:
    """Whether a file whose name may be a video's begins as no video does."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return False  # reading it will say why
    if suffix in _MUSIC_TOO and head and not head.startswith(_MPEG_STARTS):
        return True
    # Every kind of video has bytes that no text has.
    return bool(head) and not any(byte < 9 or 14 <= byte < 27 for byte in head)


def _problem(path: Path) -> str | None:
    """Why nothing at this path can be looked at, if so."""
    try:
        split_stream(path)[0].stat()
    except (FileNotFoundError, NotADirectoryError):
        return "no such file or folder"
    except OSError as error:
        return error.strerror or str(error)
    return None


def _size(path: Path) -> int:
    try:
        return split_stream(path)[0].stat().st_size
    except OSError:
        return 0
