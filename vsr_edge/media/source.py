"""A file as FFmpeg reads it: what the operating system refuses is told from what is damaged.

FFmpeg takes a read that failed for the end of the file, as often as not, and then a share that went
away in the middle of a video looks like a video of half the length. So FFmpeg reads through here,
where each error is kept.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import BinaryIO

from vsr_edge.errors import MediaUnavailable, UnreadableMedia, memory_is_short


class SourceFile:
    """An open file with ``failure``, the first error that reading it met; a context manager.

    Raises:
        UnreadableMedia: missing, empty, a folder, or not to be read by this user.
        MediaUnavailable: there, but not to be read now.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # FFmpeg guesses raw streams by their ending; anything else in a name could mean something
        # to it: an address, a pattern, another protocol.
        self.name = f"video{path.suffix}"
        self.failure: OSError | None = None
        self._file = _opened(path)

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

    def check(self) -> None:
        """Raise ``MediaUnavailable`` if reading failed anywhere."""
        if self.failure is not None:
            raise unavailable(self.path, self.failure) from self.failure

    def close(self) -> None:
        self._file.close()


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
        # Unbuffered: FFmpeg asks for large pieces itself.
        file = path.open("rb", buffering=0)
    except FileNotFoundError as error:
        raise UnreadableMedia(path, "no such file") from error
    except (PermissionError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableMedia(path, f"the file cannot be opened ({reason})") from error
    except OSError as error:
        raise unavailable(path, error) from error
    try:
        if not file.read(1):
            raise UnreadableMedia(path, "the file is empty")
        file.seek(0)
    except OSError as error:
        file.close()
        raise unavailable(path, error) from error
    except BaseException:
        file.close()
        raise
    return file
