"""A file, opened once for all that reads it. Loads no FFmpeg.

FFmpeg takes a read that failed for the end of the file, as often as not, and then a share that went
away in the middle of a video looks like a video of half the length. So FFmpeg reads through here,
where each error is kept, and what the system refuses is told from what is damaged.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Self

from vsr_edge.errors import MediaUnavailable, UnreadableMedia, memory_is_short

_NUMBERED = re.compile(r"(?P<file>.+)#(?P<number>\d{1,3})", re.DOTALL)
_HASHED_BYTES = 1 << 20
# What SQLite can hold: a file may claim to be of the year 2300.
_LATEST_NS = 2**63 - 1
# What a folder is searched for. A file that is named outright is tried whatever it is called.
_SUFFIXES = (
    "264|265|3g2|3gp|3gp2|3gpp|360|amv|asf|av1|avc|avi|bik|dav|divx|dv|dvr-ms|evo|f4v|flv|gif|gxf|"
    "h261|h263|h264|h265|hevc|ifv|insv|ivf|lrv|m1v|m2p|m2t|m2ts|m2v|m4v|mj2|mjpeg|mjpg|mk3d|mkv|"
    "mod|mov|mp4|mp4v|mpe|mpeg|mpg|mpv|mqv|mts|mxf|nsv|nut|nuv|obu|ogm|ogv|qt|rm|rmvb|roq|smk|tod|"
    "tp|trp|ts|ty|vc1|vob|vro|webm|wm|wmv|wtv|xvid|y4m"
)
VIDEO_SUFFIXES = frozenset(f".{suffix}" for suffix in _SUFFIXES.split("|"))


def split_stream(path: Path) -> tuple[Path, int | None]:
    """The file that ``path`` names, and which of its video streams, from 0, if it names one.

    ``cars.mp4#1`` is the second video stream of ``cars.mp4``, unless there is a file of that name.
    """
    found = _NUMBERED.fullmatch(path.name)
    try:
        if found is None or path.exists():
            return path, None
    except OSError:
        return path, None  # opening it will say why
    return path.with_name(found["file"]), int(found["number"])


def with_stream(path: Path, number: int) -> Path:
    """The name of a video stream that its file alone does not mean."""
    return path.with_name(f"{path.name}#{number}")


def size_and_age(status: os.stat_result) -> tuple[int, int]:
    """How many bytes a file has, and its time stamp in nanoseconds."""
    return status.st_size, max(-_LATEST_NS, min(status.st_mtime_ns, _LATEST_NS))


class SourceFile:
    """An open file with ``failure``, the first error that reading it met; a context manager.

    ``named`` is the file at ``path``, or the video stream ``number`` of it. Size and time stamp are
    those of when it was opened. ``running``: its video streams, once they were found, that do not
    stand still, the main one first.

    Raises:
        UnreadableMedia: missing, empty, a folder, or not to be read by this user.
        MediaUnavailable: there, but not to be read now.
    """

    def __init__(self, named: Path) -> None:
        self.named = named
        self.path, self.number = split_stream(named)
        # FFmpeg guesses raw streams by their ending; anything else in a name could mean something
        # to it: an address, a pattern, another protocol.
        self.name = f"video{self.path.suffix}"
        self.failure: OSError | None = None
        self.running: list[int] = []
        self._file = _opened(self.path)
        try:
            self.size_bytes, self.modified_ns = size_and_age(os.fstat(self._file.fileno()))
        except OSError as error:
            self._file.close()
            raise unavailable(self.path, error) from error

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes; none at the end, and after an error."""
        try:
            return self._file.read(size) if self.failure is None else b""
        except OSError as error:
            self.failure = error
            return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        """The new place; below 0 where a damaged header asks for one that cannot be."""
        try:
            return self._file.seek(offset, whence)
        except (OSError, OverflowError):
            return -errno.EINVAL

    def tell(self) -> int:
        return self._file.tell()

    def rewind(self) -> int:
        """Go to the beginning; the file's length."""
        size = self.seek(0, os.SEEK_END)
        self.seek(0)
        return size

    def check(self) -> None:
        """Raise ``MediaUnavailable`` if reading failed anywhere."""
        if self.failure is not None:
            raise unavailable(self.path, self.failure) from self.failure

    def fingerprint(self) -> str:
        """Hash of the whole content, and the number of a stream: the same after a rename or a copy.

        Raises:
            MediaUnavailable: the operating system refuses to give all of it.
        """
        self.rewind()
        content = hashlib.blake2b(digest_size=20)
        while piece := self.read(_HASHED_BYTES):
            content.update(piece)
        self.check()
        return content.hexdigest() + ("" if self.number is None else f"#{self.number}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


@contextmanager
def opened(file: Path | SourceFile) -> Iterator[SourceFile]:
    """A file that stays open, as it is; or a path's file, open for so long."""
    if isinstance(file, SourceFile):
        yield file
    else:
        with SourceFile(file) as source:
            yield source


def unavailable(path: Path, error: BaseException) -> MediaUnavailable:
    """The error for what the system refused while ``path`` was read."""
    if memory_is_short():
        return MediaUnavailable(path, "there is not enough memory to read it")
    said = getattr(error, "strerror", None) or str(error)
    return MediaUnavailable(path, f"the file cannot be read now ({said})")


def _opened(path: Path) -> BinaryIO:
    try:
        if path.is_dir():
            raise UnreadableMedia(path, "a folder, not a file")
        file = path.open("rb", buffering=0)  # FFmpeg asks for large pieces itself
    except FileNotFoundError as error:
        raise UnreadableMedia(path, "no such file") from error
    except (PermissionError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableMedia(path, f"the file cannot be opened ({reason})") from error
    except OSError as error:
        raise unavailable(path, error) from error
    try:
        begins = file.read(1)
        file.seek(0)
    except OSError as error:
        file.close()
        raise unavailable(path, error) from error
    if not begins:
        file.close()
        raise UnreadableMedia(path, "the file is empty")
    return file
