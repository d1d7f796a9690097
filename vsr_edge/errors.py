"""Every error that this package raises on purpose.

    VsrEdgeError
    ├── UsageError               an option or an argument that cannot be right
    ├── MediaError               about one video file; `path` names it
    │   ├── UnreadableMedia      not a media file, empty, or damaged beyond its first frame
    │   ├── NoVideoStream        audio or data only
    │   └── MediaUnavailable     the system refuses to give it now; the file may be sound
    ├── BundleError              about the model files
    │   ├── BundleNotFound       no bundle of that name or path
    │   ├── BundleDamaged        a file is missing, altered or not what the manifest says
    │   ├── BundleMismatch       intact, but not the one this archive was encoded with
    │   ├── BundleExists         something else lies where this one was to be installed
    │   ├── NoDualEncoder        what a bundle was to be made of is none, or lacks something
    │   ├── ParityError          a graph differs from its source by more than the tolerance
    │   └── HubError             the hub does not give the bundle
    │       ├── HubUnreachable   no connection, or one that broke, or the service fails
    │       ├── HubForbidden     the repository wants a token or its terms accepted
    │       └── HubNotFound      no such repository or revision, or no bundle in it
    ├── ProviderError            the execution provider asked for is not available
    ├── WorkerError              those that were to decode and encode cannot, or are gone
    ├── ReceiptError             a receipt that cannot be read, or was altered
    ├── BackupError              a backup that is damaged, or none
    └── ArchiveError             about the archive's folder
        ├── ArchiveNotFound      nothing was indexed there yet
        ├── ArchiveLocked        another process is writing
        └── ArchiveDamaged       the database cannot be read

Each message says what is wrong and what to do next. The command line turns them into exit codes;
nothing below it exits or prints.
"""

from __future__ import annotations

import mmap
import unicodedata
from pathlib import Path


class VsrEdgeError(Exception):
    """Base of everything expected."""


class UsageError(VsrEdgeError):
    """An option or an argument that cannot be right."""


class ReceiptError(VsrEdgeError):
    """A receipt that cannot be read, or was altered."""


class BackupError(VsrEdgeError):
    """A backup that is damaged, or none."""


class MediaError(VsrEdgeError):
    """About one video file."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class UnreadableMedia(MediaError):
    """Not a media file, empty, or damaged beyond its first frame."""


class NoVideoStream(MediaError):
    """A media file without pictures."""


class MediaUnavailable(MediaError):
    """The system refuses to give it now, for a share that went away or want of memory perhaps.

    The file may be sound: nothing of it is to be stored, and it is to be tried again.
    """


class BundleError(VsrEdgeError):
    """About the model files."""


class BundleNotFound(BundleError):
    """No bundle of that name or path."""


class BundleDamaged(BundleError):
    """A file is missing, altered or not what the manifest says."""


class BundleMismatch(BundleError):
    """Intact, but not the bundle that this archive was encoded with."""


class BundleExists(BundleError):
    """Something else lies where this bundle was to be installed."""


class NoDualEncoder(BundleError):
    """What a bundle was to be made of is no dual encoder that can be, or lacks something."""


class ParityError(BundleError):
    """A graph differs from its source by more than the tolerance."""


class HubError(BundleError):
    """The hub does not give the bundle."""


class HubUnreachable(HubError):
    """No connection to the hub, or one that broke, or the service fails."""


class HubForbidden(HubError):
    """The repository wants a token, or its terms accepted."""


class HubNotFound(HubError):
    """No such repository or revision, or no bundle in it."""


class ProviderError(VsrEdgeError):
    """The execution provider asked for is not available on this machine."""


class WorkerError(VsrEdgeError):
    """The processes or the cluster that were to decode and encode cannot, or are gone."""


class ArchiveError(VsrEdgeError):
    """About the archive's folder."""


class ArchiveNotFound(ArchiveError):
    """Nothing was indexed there yet."""


class ArchiveLocked(ArchiveError):
    """Another process is writing to the archive."""


class ArchiveDamaged(ArchiveError):
    """The database cannot be read."""


def printable(text: str) -> str:
    """Text that is safe to show: what is not UTF-8 in a file name, or would command a terminal,
    becomes escapes.
    """
    unfit = {c for c in text if unicodedata.category(c) in {"Cc", "Cs"}} - {"\n"}
    escapes = {ord(c): c.encode("unicode_escape").decode("ascii") for c in unfit}
    return text.translate(escapes)


# Is it memory that was wanted? Libraries say so in many words, and some in none.
# More than any picture of the largest size takes in a decoder that keeps a few of them.
_PROBED_BYTES = 64 << 20

# onnxruntime's own allocator, C++, the system, usearch, Python's threads, the loader of libraries.
_WORDS = (
    "bad_alloc",
    "Failed to allocate memory",
    "Cannot allocate memory",
    "Out of memory",
    "can't start new thread",
    "failed to map segment",
)


def memory_is_short() -> bool:
    """Whether little is left.

    Damaged headers that ask for gigabytes fail in the same way, but leave enough.
    """
    try:
        # Not touched, so that it costs nothing.
        mmap.mmap(-1, _PROBED_BYTES).close()
    except OSError:
        return True
    return False


def wanted_memory(error: BaseException) -> bool:
    """Whether an error came about for want of memory.

    By now what failed may have given back what it had, so its words count as well.
    """
    said = str(error)
    return isinstance(error, MemoryError) or any(w in said for w in _WORDS) or memory_is_short()
