"""Move an archive between a folder and a server: copy it whole, under the numbers that it has.

The copy is filled where nobody can take it for an archive, some videos a transaction. When all are
there, its rows are read again, and only if their checksums are those of the rows that were copied
does it become an archive. Whatever ends that before, the same again goes on: it reads what is there
already, and passes over what is as it should be.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vsr_edge.backup.contents import ACCESS, Progress, kept_files
from vsr_edge.backup.copying import copied, on_disk
from vsr_edge.config import Settings
from vsr_edge.errors import ArchiveDamaged, ArchiveNotFound, UsageError
from vsr_edge.store import open_settings_store
from vsr_edge.store.connection import sync
from vsr_edge.store.corrections import FILE as CORRECTIONS
from vsr_edge.store.region_codes import regions_in
from vsr_edge.store.transfer import (
    CLIPS_AT,
    FRAMES_AT,
    KINDS,
    LAST_ID,
    Checksums,
    Head,
    Kind,
    Row,
    Staging,
    StoredRows,
)
from vsr_edge.store.transfer_places import staging, stored_rows

# So many frames and clips a transaction: with their regions, some tens of megabytes.
_ROWS = 8192
# What is counted, beside what is said of an archive as a whole.
HEAD = "archive"
KINDS_COUNTED: tuple[str, ...] = (HEAD, *KINDS)

Range = tuple[int, int, int]  # first and last id of a video, and how many frames and clips


@dataclass(frozen=True, slots=True)
class Migration:
    """What was moved. ``copied`` and ``passed_over`` count videos; ``there`` if an archive of these
    rows was there already. ``beside`` are files that came along, ``left`` those that did not, as
    some of that name were there.
    """

    source: Path | str
    target: Path | str
    head: Head
    checksums: Checksums
    copied: int = 0
    passed_over: int = 0
    there: bool = False
    beside: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


def migrate(
    source: Settings,
    target: Settings,
    *,
    restart: bool = False,
    on_progress: Progress | None = None,
    on_sealed: Callable[[], object] = lambda: None,
) -> Migration:
    """Copy the archive that ``source`` names to where ``target`` names none. It is not changed, and
    nobody else may write it meanwhile.

    Args:
        restart: throw away what a migration that did not finish has left there.
        on_progress: told how many rows of how many are copied and checked; what it raises ends the
            work, which the same call goes on with.
        on_sealed: told when it is an archive; what only makes searching faster is made after that.

    Raises:
        UsageError: another archive is there, or the unfinished copy of another.
        ArchiveNotFound: there is nothing to copy.
        ArchiveLocked: somebody writes it, or another migration goes there.
        ArchiveDamaged: its rows cannot be right, or the copy's are others.
        BundleMismatch: it was changed over to another bundle since it was begun to be copied.
        ArchiveError: a disk is full, a connection broke, or something may not be written.
    """
    if source.place == target.place or _same_folder(source, target):
        raise UsageError(f"{source.place} is named twice: name where the archive is to go")
    with stored_rows(source, alone=True) as rows:
        head, ranges = rows.head(), _ranges(rows.videos())
        steps = _Steps(2 * sum(count for *_, count in ranges), on_progress)
        try:
            with stored_rows(target, alone=False) as present:
                checksums = _same(rows, present, ranges, steps, target)
        except ArchiveNotFound:
            pass
        else:
            on_sealed()
            # Perhaps it was ended while that was made.
            with open_settings_store(target) as store, store.writer():
                pass
            return Migration(source.place, target.place, head, checksums, there=True)
        name = str(source.place if source.database else source.archive.resolve())
        with staging(target, head.bundle_id, head.dim, name, restart=restart) as staged:
            if staged.came_from not in (None, name):
                raise UsageError(
                    f"{target.place} holds an unfinished migration of {staged.came_from}: finish "
                    "that one, or say --restart to throw it away"
                )
            checksums, copied_videos, passed_over = _filled(rows, staged, ranges, steps)
            staged.put_head(head)
            _check_copy(staged, rows, ranges, checksums, steps, target)
            beside, left = _files(source.archive, target.archive)
            staged.seal()
            steps.finish()
            on_sealed()
            notices = staged.bring_up()
    return Migration(
        *(source.place, target.place, head, checksums, copied_videos, passed_over),
        beside=beside,
        left=left,
        notices=tuple(notices),
    )


class _Steps:
    """How many rows of how many."""

    def __init__(self, total: int, on_progress: Progress | None) -> None:
        self._total, self._done, self._on_progress = total, 0, on_progress

    def step(self, kind: Kind, count: int) -> None:
        if kind in ("frames", "clips"):
            self._done += count
        if self._on_progress is not None:
            self._on_progress(min(self._done, self._total), self._total)

    def finish(self) -> None:
        if self._on_progress is not None:
            self._on_progress(self._total, self._total)


def _ranges(videos: Sequence[tuple[int, int]]) -> list[Range]:
    """All ids there can be, cut where enough frames and clips are together."""
    found: list[Range] = []
    first = rows = 0
    for number, (_, count) in enumerate(videos):
        rows += count
        if rows >= _ROWS and number + 1 < len(videos):
            following = videos[number + 1][0]
            found.append((first, following - 1, rows))
            first, rows = following, 0
    return [*found, (first, LAST_ID, rows)]


def _filled(
    source: StoredRows, staged: Staging, ranges: Sequence[Range], steps: _Steps
) -> tuple[Checksums, int, int]:
    """Bring all videos; returns their checksums, and how many were copied and passed over."""
    dim = source.head().dim
    present = [video for video, _ in staged.rows.videos()]
    # Removed from the archive since they were copied.
    if strays := set(present).difference(video for video, _ in source.videos()):
        staged.forget(sorted(strays))
    every, copied_videos, passed_over = Checksums(), 0, 0
    for first, last, _ in ranges:
        part = Checksums()

        def read(
            kind: Kind, part: Checksums = part, first: int = first, last: int = last
        ) -> Iterator[Sequence[Row]]:
            part.begin(kind)
            for rows in source.read(kind, first, last):
                _check_rows(kind, rows, dim)
                part.add(kind, rows)
                yield rows
                steps.step(kind, len(rows))

        if bisect_left(present, first) < bisect_right(present, last):
            for kind in KINDS:
                for _ in read(kind):
                    pass
            if part == _checksums(staged.rows, (first, last, 0)):
                passed_over += part.rows("videos")
                every.merge(part)
                continue
        staged.put(first, last, read)
        copied_videos += part.rows("videos")
        every.merge(part)
    every.add(HEAD, source.head().rows())
    return every, copied_videos, passed_over


def _check_rows(kind: Kind, rows: Sequence[Row], dim: int) -> None:
    """That no damage is copied on, as far as it can be seen in single rows."""
    if kind in ("frames", "regions", "clips"):
        for row in rows:
            blob = row[-1] if isinstance(row[-1], bytes) else b"?"
            if kind == "regions":
                sound = regions_in(len(blob), blob[0] if blob else 0, dim) is not None
            else:
                sound = len(blob) == 2 * dim or (kind == "frames" and not blob)
            if not sound:
                raise ArchiveDamaged(
                    f"a vector of the video {row[0]} has the wrong length: `vsr-edge doctor` of "
                    "the archive that is copied names all that is wrong with it"
                )


def _checksums(rows: StoredRows, within: Range, steps: _Steps | None = None) -> Checksums:
    """Of the videos within a range."""
    found = Checksums()
    for kind in KINDS:
        for some in rows.read(kind, *within[:2]):
            found.add(kind, some)
            if steps is not None:
                steps.step(kind, len(some))
    return found


def _check_copy(
    staged: Staging,
    source: StoredRows,
    ranges: Sequence[Range],
    expected: Checksums,
    steps: _Steps,
    target: Settings,
) -> None:
    """Read all that was copied; of what differs nothing stays."""
    for kind, at in (("frames", FRAMES_AT), ("clips", CLIPS_AT)):
        said = sum(row[at] for rows in source.read("videos", 0, LAST_ID) for row in rows)
        if said != expected.rows(kind):
            raise ArchiveDamaged(
                f"the archive that is copied lacks {kind} ({said} there should be, "
                f"{expected.rows(kind)} there are): `vsr-edge doctor` names the videos"
            )
    found = Checksums()
    for within in ranges:
        found.merge(_checksums(staged.rows, within, steps))
    found.add(HEAD, staged.rows.head().rows())
    if found == expected:
        return
    unlike = 0
    for within in ranges:
        if _checksums(staged.rows, within) != _checksums(source, within):
            first, last, _ = within
            videos = [video for video, _ in staged.rows.videos() if first <= video <= last]
            staged.forget(videos)
            unlike += len(videos)
    raise ArchiveDamaged(
        f"what was copied to {target.place} is not what was read ({unlike} videos were thrown "
        "away): run the same command again, and look after the disk if that says the same"
    )


def _same(
    source: StoredRows,
    present: StoredRows,
    ranges: Sequence[Range],
    steps: _Steps,
    target: Settings,
) -> Checksums:
    """The checksums of both, if these are the rows of one archive."""
    if source.head() == present.head() and source.videos() == present.videos():
        found = [Checksums(), Checksums()]
        for within in ranges:
            for one, rows in zip(found, (source, present), strict=True):
                one.merge(_checksums(rows, within, steps))
        if found[0] == found[1]:
            found[0].add(HEAD, source.head().rows())
            return found[0]
    raise UsageError(
        f"{target.place} holds another archive already: name a place that holds none (a folder, "
        "a database or a ?schema=)"
    )


def _files(source: Path, target: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What lies beside the rows: those who may come in first. Nothing that is there is replaced.

    Returns:
        The names of the files that came along, and of those that did not.
    """
    came: list[str] = []
    left: list[str] = []
    files = [path for path in kept_files(source) if path.name != CORRECTIONS]
    for path in sorted(files, key=lambda path: path.name != ACCESS):
        name = path.relative_to(source).as_posix()
        place = target / name
        with on_disk(target):
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.exists():
                if place.read_bytes() != path.read_bytes():
                    left.append(name)
                continue
            part = place.with_name(f".{place.name}.part")
            part.unlink(missing_ok=True)
            mode = path.stat().st_mode & (0o700 if name == ACCESS else 0o777)
            with path.open("rb") as opened:
                copied(opened, part.parent, part.name, mode, _nothing)
            part.replace(place)
            sync(place.parent)
            came.append(name)
    return tuple(came), tuple(left)


def _nothing(_: int) -> None:
    pass


def _same_folder(source: Settings, target: Settings) -> bool:
    if source.database or target.database:
        return False
    return source.archive.resolve() == target.archive.resolve()
