"""Thumbnails of moments: cut from the video when they are asked for, and kept in the archive.

A file's name in there says of which content, when, and within what size; so a copy or a renamed
video has its pictures already, and one that was changed shows none of before. What was used longest
ago goes first when the folder grows above its cap. Processes may share it: a file is put in place
whole, and one that another has removed is cut again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vsr_edge.answer import Moment
from vsr_edge.errors import MediaError
from vsr_edge.media.cut import pictures_at
from vsr_edge.media.picture import jpeg
from vsr_edge.media.source import size_and_age, split_stream
from vsr_edge.types import Seconds, StoredVideo, Video

if TYPE_CHECKING:
    from vsr_edge.archive import Archive

FOLDER = "thumbnails"
CAP_BYTES = 200_000_000
# Sharp on a page at 390 px, and on a sheet of three columns.
WITHIN = (480, 360)
GONE, CHANGED = "the file is gone", "the file changed"
_BEGIN, _END = b"\xff\xd8", b"\xff\xd9"


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A picture as JPEG, None if there is none; ``remark`` says why, or what else is to know."""

    jpeg: bytes | None
    remark: str = ""


class Thumbnails:
    """The thumbnails in an archive's folder, at most ``cap_bytes`` of them, made when needed.

    Where nothing can be written, as in an archive that is only read, none are kept.
    """

    def __init__(self, archive: Path, cap_bytes: int = CAP_BYTES) -> None:
        self._folder = archive / FOLDER
        self._cap = cap_bytes

    def of(self, video: Video, times: Sequence[Seconds]) -> list[Thumbnail]:
        """A thumbnail for each time of an indexed video."""
        try:
            before = _state(video.path)
        except OSError as error:
            lost = isinstance(error, FileNotFoundError | NotADirectoryError)
            return [Thumbnail(None, GONE if lost else error.strerror or GONE)] * len(times)
        known = before == (video.size_bytes, video.modified_ns)
        # Of a file that is not as it was indexed, nothing is known without reading all of it.
        files = [self._file(video, time) if known else None for time in times]
        found = [None if file is None else _read(file) for file in files]
        wanting = [place for place, picture in enumerate(found) if picture is None]
        try:
            cut = pictures_at(video.path, [times[at] for at in wanting], WITHIN) if wanting else []
        except MediaError as error:
            return [Thumbnail(one, "" if one else error.reason) for one in found]
        for place, pixels in zip(wanting, cut, strict=True):
            found[place] = jpeg(pixels)
        with suppress(OSError):
            if wanting and known and _state(video.path) == before:
                self._keep((files[place], found[place]) for place in wanting)
        return [Thumbnail(picture, "" if known else CHANGED) for picture in found]

    def forget(self, fingerprints: Iterable[str]) -> None:
        """Remove all pictures of videos that had these contents."""
        gone = set(fingerprints)
        with suppress(OSError):
            for file in list(self._folder.iterdir()):
                if file.name.partition("-")[0] in gone:
                    file.unlink(missing_ok=True)

    def _file(self, video: Video, time: Seconds) -> Path:
        width, height = WITHIN
        return self._folder / f"{video.fingerprint}-{round(time * 1000)}-{width}x{height}.jpg"

    def _keep(self, made: Iterable[tuple[Path | None, bytes | None]]) -> None:
        self._folder.mkdir(exist_ok=True)
        for file, content in made:
            if file is not None and content is not None:
                put(file, content)
        self._trim()

    def _trim(self) -> None:
        """Remove what was used longest ago, until the rest is below the cap."""
        files: list[tuple[float, int, str]] = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with suppress(OSError):  # another process was faster
                    status = entry.stat()
                    files.append((status.st_mtime, status.st_size, entry.path))
        spare = self._cap - sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if spare >= 0:
                break
            with suppress(OSError):
                Path(path).unlink(missing_ok=True)
                spare += size


def thumbnails_of(
    archive: Archive,
    moments: Sequence[Moment],
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Thumbnail]:
    """A thumbnail of each moment, at the time that stands for it; reads each video once."""
    kept = Thumbnails(archive.settings.archive)
    places: dict[Path, list[int]] = {}
    for place, moment in enumerate(moments):
        places.setdefault(moment.video, []).append(place)
    found = [Thumbnail(None)] * len(moments)
    for done, (path, asked) in enumerate(places.items()):
        if on_progress is not None:
            on_progress(done, len(places))
        stored = archive.store.find(path)
        if stored is None:  # forgotten since it was found
            pictures = [Thumbnail(None, "not indexed any more")] * len(asked)
        else:
            pictures = kept.of(stored.video, [moments[place].shown_at for place in asked])
        for place, picture in zip(asked, pictures, strict=True):
            found[place] = picture
    return found


def forget_pictures(archive: Archive, removed: Iterable[StoredVideo]) -> None:
    """Remove the thumbnails of what was forgotten."""
    Thumbnails(archive.settings.archive).forget({one.video.fingerprint for one in removed})


def put(file: Path, content: bytes) -> None:
    """Write a file whole or not at all, in place of what lay there."""
    part = file.with_name(f"{file.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        part.write_bytes(content)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def _state(path: Path) -> tuple[int, int]:
    return size_and_age(split_stream(path)[0].stat())


def _read(file: Path) -> bytes | None:
    """A kept picture, which is used now; None if there is none, or none that is whole."""
    try:
        content = file.read_bytes()
    except OSError:
        return None
    with suppress(OSError):
        os.utime(file)
    return content if content.startswith(_BEGIN) and content.endswith(_END) else None
