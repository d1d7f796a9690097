"""When a video was recorded: its container says it, or its name, or when its file was last changed.

Recorders that set the time in their container set it right, as a rule, and in UTC; those that do
not leave 0 there, which is 1904 or 1970. Names are by the clocks of the site.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from pathlib import Path
from typing import Final

from vsr_edge.errors import MediaError, UsageError
from vsr_edge.ingest.aside import aside
from vsr_edge.ingest.scan import is_gone
from vsr_edge.media.created import created_at
from vsr_edge.media.source import SourceFile
from vsr_edge.store.base import Store
from vsr_edge.times import zone_of
from vsr_edge.types import Recorded, Seconds, StoredVideo

# No recorder of files is older, and no clock is ahead by more than this.
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC).timestamp()
MOST_AHEAD = timedelta(days=1).total_seconds()
# Containers are asked so many at a time; what was found is kept then.
ASKED_AT_ONCE = 64

# What stands for a field of a pattern, as in strptime; "*" for anything within a name.
_FIELDS: Final = {
    "Y": r"(?P<Y>\d{4})",
    "y": r"(?P<y>\d{2})",
    "m": r"(?P<m>\d{2})",
    "d": r"(?P<d>\d{2})",
    "H": r"(?P<H>\d{2})",
    "M": r"(?P<M>\d{2})",
    "S": r"(?P<S>\d{2})",
    "f": r"(?P<f>\d{1,6})",
    "s": r"(?P<s>\d{9,10})",
    "%": "%",
}
_DATE = r"(?<!\d)(?P<Y>(?:19|20)\d\d){0}(?P<m>\d\d){0}(?P<d>\d\d)"
_MINUTES = r"(?P<H>\d\d)[-_.:h]?(?P<M>\d\d)"
# Followed by no further digit, but perhaps by milliseconds.
_TIME = rf"{_MINUTES}[-_.:m]?(?P<S>\d\d)(?:[.]?(?P<f>\d{{3}}))?(?P<z>Z(?![a-zA-Z]))?(?!\d)"
_DASHED = _DATE.format("[-_.]?")
# Names that recorders give, the commonest first:
PRESETS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        # cam1_20260304_101500, VID_20260304_101500, PXL_20260304_101500123, RLC_20260304101500,
        # 2026-03-04_10-15-00-front, 2026-03-04 10-15-00, 20260304T101500Z, 2026_0304_101500_001
        rf"{_DASHED}(?:[-_ .T]|_?at_?|__)?{_TIME}[^/]*",
        # 2026-03-04/10-15-00
        rf"{_DASHED}/(?:[^/]*?[-_])??{_TIME}[^/]*",
        # 2026/03/04/10-15-00, 2026/03/04/cam1-101500
        rf"{_DATE.format('/')}/(?:[^/]*?[-_])??{_TIME}[^/]*",
        # 2026-03-04/001/dav/10/10.15.00-10.20.00[M][0@0][0]
        rf"{_DASHED}/(?:[^/]+/){{1,3}}{_TIME}[^/]*",
        # 2026-03-04/10/front/15.00
        rf"{_DASHED}/(?P<H>\d\d)/(?:[^/]+/)?(?P<M>\d\d)[-_.](?P<S>\d\d)[^/\d]*",
    )
)


@dataclass(frozen=True, slots=True)
class Site:
    """How a place names its recordings: the zone of its clocks (as in :mod:`vsr_edge.times`), and
    patterns of its own, which are tried before those of the common recorders (``PRESETS``).

    A pattern is looked for at the end of a path, in as many of its parts as it has itself:
    ``%Y``, ``%m``, ``%d``, ``%H``, ``%M``, ``%S`` as in strptime, ``%y``, ``%f``, ``%s`` for
    seconds since 1970, ``*`` for anything but a slash. What follows it in the name may be anything
    that does not begin with a digit: ``door-%d%m%Y-%H%M``.

    Raises:
        UsageError: a pattern that names no date, or an unknown zone.
    """

    zone: str = ""
    patterns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        zone_of(self.zone)
        for pattern in self.patterns:
            _compiled(pattern)

    def recorded(
        self,
        path: Path,
        modified_ns: int,
        duration: Seconds,
        created: datetime | None = None,
    ) -> Recorded:
        """When a video began: ``created`` is what its container says (:func:`created_at`)."""
        if created is not None and (at := self._plausible(created)) is not None:
            return Recorded(at, "container")
        if (at := self._named(path)) is not None:
            return Recorded(at, "name")
        # A file was last changed when its recording ended.
        return Recorded(modified_ns / 1e9 - duration, "file")

    def again(self, stored: StoredVideo, path: Path, modified_ns: int) -> Recorded:
        """The same for content that is stored, as a file of this name and age; its container has
        said what it says.
        """
        if stored.recorded_from == "container" and stored.recorded_at is not None:
            return Recorded(stored.recorded_at, "container")
        return self.recorded(path, modified_ns, stored.video.duration)

    def _named(self, path: Path) -> float | None:
        name = path.as_posix()
        for pattern in (*map(_compiled, self.patterns), *PRESETS):
            found = pattern.search(name)
            while found is not None:
                # Only the last parts of a path are its name.
                at = None if "/" in name[found.end() :] else self._read(found)
                if at is not None:
                    return at
                found = pattern.search(name, found.start() + 1)
        return None

    def _read(self, found: re.Match[str]) -> float | None:
        parts = found.groupdict()
        if parts.get("s"):
            return self._plausible(datetime.fromtimestamp(int(parts["s"]), UTC))
        year = int(parts["Y"]) if parts.get("Y") else 2000 + int(parts["y"])
        month, day, hour, minute, second = (int(parts.get(field) or 0) for field in "mdHMS")
        fraction = int((parts.get("f") or "0").ljust(6, "0"))
        try:
            when = datetime(year, month, day, hour, minute, second, fraction)
            return self._plausible(when.replace(tzinfo=UTC) if parts.get("z") else when)
        except (ValueError, OverflowError, OSError):
            return None  # digits that are no date

    def _plausible(self, when: datetime) -> float | None:
        try:
            known = when if when.tzinfo else when.replace(tzinfo=zone_of(self.zone))
            at = known.timestamp()
        except (ValueError, OverflowError, OSError):
            return None
        return at if EARLIEST <= at <= time.time() + MOST_AHEAD else None


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> re.Pattern[str]:
    """A site's own pattern.

    Raises:
        UsageError: it has a field that is not known or stands twice, or no date.
    """
    parts = re.findall(r"%.?|\*|[^%*]+", pattern.strip().replace("\\", "/").strip("/"), re.DOTALL)
    fields = [part[1:] for part in parts if part.startswith("%")]
    known = [field for field in fields if field != "%"]
    dated = "s" in known or ({"m", "d"} <= set(known) and set(known) & {"Y", "y"})
    if not (dated and set(fields) <= _FIELDS.keys() and len(set(known)) == len(known)):
        raise UsageError(
            f"recorded_pattern {pattern!r} gives no date: it needs %Y, %m and %d (or %s), each "
            f"once, and knows {' '.join(f'%{field}' for field in _FIELDS)} and *"
        )
    body = "".join(
        "[^/]*" if part == "*" else _FIELDS[part[1:]] if part.startswith("%") else re.escape(part)
        for part in parts
    )
    return re.compile(rf"(?<!\d){body}(?!\d)[^/]*")


def ask_containers(store: Store, site: Site) -> int:
    """Find out when videos were recorded that an earlier version indexed, without decoding a frame
    of them; returns how many were asked.

    A file that is gone cannot be asked: its name, if that says it, has to do. Otherwise it may come
    back, and is asked then.
    """
    waiting = store.untimed()
    asked = 0
    for some in _batches(waiting, ASKED_AT_ONCE):
        found = aside(partial(_asked_all, some, site))
        known = {video_id: one for video_id, one in found.items() if one is not None}
        if known:
            with store.writer() as writer:
                writer.record(known)
        asked += len(known)
    return asked


def _asked_all(some: Sequence[StoredVideo], site: Site) -> dict[int, Recorded | None]:
    return {one.video_id: _asked(one, site) for one in some}


def _asked(stored: StoredVideo, site: Site) -> Recorded | None:
    path, modified_ns = stored.video.path, stored.video.modified_ns
    created = None
    missing = is_gone(path)
    if not missing:
        created = container_time(path)
    found = site.recorded(path, modified_ns, stored.video.duration, created)
    return None if missing and found.source == "file" else found


def container_time(file: Path | SourceFile) -> datetime | None:
    """What the container says; None too where it cannot be opened, which decoding it will tell."""
    try:
        return created_at(file)
    except (MediaError, OSError):
        return None


def _batches(videos: Sequence[StoredVideo], size: int) -> Iterator[Sequence[StoredVideo]]:
    for first in range(0, len(videos), size):
        yield videos[first : first + size]
