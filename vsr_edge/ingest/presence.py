"""Which indexed videos have lost their files, and which of those may be forgotten.

A file can be deleted, or out of sight: its drive is not mounted, its share is down. What lies in
the folder around it tells them apart: a folder that is there with something in it has lost a file,
one that is gone or empty may come back with all that was in it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vsr_edge.ingest.scan import is_system
from vsr_edge.media.source import split_stream
from vsr_edge.store.base import Store
from vsr_edge.types import StoredVideo


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


def is_gone(path: Path) -> bool:
    """Whether nothing lies there any more, as far as can be told; what is hidden is not gone.

    A stream of a file, ``cars.mp4#1``, is there as long as its file is.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        file, stream = split_stream(path)
        return stream is None or is_gone(file)
    except OSError:
        return False
    return False


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


def _out_of_sight(folder: Path) -> tuple[Path, str] | None:
    """The folder that keeps what lay in ``folder`` from being called deleted, and why."""
    lost = None
    while True:
        try:
            names = os.listdir(folder)  # noqa: PTH208 — names are all that is asked for
        except (FileNotFoundError, NotADirectoryError):
            lost, parent = folder, folder.parent
            if parent == folder:
                return folder, "is not there"
            folder = parent
        except OSError as error:
            return folder, f"cannot be looked into ({error.strerror or error})"
        else:
            break
    # Where a drive is mounted an empty folder lies while it is not, perhaps with hidden marks.
    if all(is_system(name) for name in names):
        return folder, "is empty"
    return None if lost is None else (lost, "is not there")
