"""Hits as a list for other programs: spreadsheets, players, editors. Times are whole frames."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence

from vsr_edge.errors import UsageError, printable
from vsr_edge.hits.listed import Listed
from vsr_edge.hits.names import safe_name
from vsr_edge.hits.timecode import frame_of, timecode
from vsr_edge.hits.timelines import fcpxml, otio
from vsr_edge.media.source import split_stream
from vsr_edge.types import clock

# What spreadsheets would take for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def _csv(hits: Sequence[Listed], _: str) -> str:
    """Bounds as seconds, frames and timecode; ends are those of the first frame behind."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(
        (
            *("number", "video", "start", "end", "start_frame", "end_frame", "frame_rate"),
            *("start_timecode", "end_timecode", "match_probability", "score", "label"),
        )
    )
    for one in hits:
        hit = one.hit
        row = (
            *(hit.number, str(hit.video), f"{one.at(one.first):.6f}", f"{one.at(one.behind):.6f}"),
            *(one.first, one.behind, str(one.rate), one.code(one.first), one.code(one.behind)),
            *(_rounded(hit.match_probability), _rounded(hit.score), printable(hit.label)),
        )
        rows.writerow(
            f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
            for cell in row
        )
    return text.getvalue()


def _rounded(value: float | None) -> str | float:
    return "" if value is None else round(value, 5)


def _m3u(hits: Sequence[Listed], _: str) -> str:
    """A playlist; VLC plays the spans alone, others whole files."""
    lines = ["#EXTM3U"]
    for one in hits:
        start, end = one.at(one.first), one.at(one.behind)
        lines += [
            f"#EXTINF:{max(round(end - start), 1)},{one.title} {one.name} {clock(start)}",
            f"#EXTVLCOPT:start-time={start:.6f}",
            f"#EXTVLCOPT:stop-time={end:.6f}",
        ]
        if (stream := split_stream(one.hit.video)[1]) is not None:
            lines.append(f"#EXTVLCOPT:video-track={stream}")
        path = str(one.file)
        lines.append(path if printable(path) == path and "\n" not in path else one.file.as_uri())
    return "\n".join(lines) + "\n"


def _chapters(hits: Sequence[Listed], _: str) -> str:
    """FFmpeg's metadata file: ``ffmpeg -i VIDEO -i FILE -map_chapters 1 -codec copy OUT``."""
    lines = [";FFMETADATA1"]
    for one in sorted(hits, key=lambda listed: listed.first):
        lines += [
            "[CHAPTER]",
            f"TIMEBASE={one.rate.denominator}/{one.rate.numerator}",
            f"START={one.first}",
            f"END={one.behind}",
            f"title={_escaped(one.title)}",
        ]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return re.sub(r"([=;#\\])", r"\\\1", text)


def _edl(hits: Sequence[Listed], title: str) -> str:
    """CMX 3600: the hits one behind the other, from one hour on by custom; all of one rate."""
    rate, drop = hits[0].rate, hits[0].drop
    place = frame_of(f"01:00:00{';' if drop else ':'}00", rate)
    lines = [f"TITLE: {printable(title)[:70]}", _fcm(drop), ""]
    said = drop
    for number, one in enumerate(hits, 1):
        if one.drop != said:
            lines.append(_fcm(said := one.drop))
        behind = place + one.behind - one.first
        codes = (
            *(one.code(one.first), one.code(one.behind)),
            *(timecode(place, rate, drop=drop), timecode(behind, rate, drop=drop)),
        )
        channels = "B" if one.video.audio_streams else "V"
        lines += [
            f"{number:03}  AX       {channels:<5} C        {' '.join(codes)}",
            f"* FROM CLIP NAME: {one.name}",
            f"* SOURCE FILE: {printable(str(one.file))}",
            f"* COMMENT: {one.title}",
            "",
        ]
        place = behind
    return "\n".join(lines)


def _fcm(drop: bool) -> str:
    return f"FCM: {'DROP FRAME' if drop else 'NON-DROP FRAME'}"


# By the name of the format: what makes it, its ending, and what all hits of one file must share.
FORMATS: dict[str, tuple[Callable[[Sequence[Listed], str], str], str, str | None]] = {
    "edl": (_edl, ".edl", "frame rate"),
    "csv": (_csv, ".csv", None),
    "m3u": (_m3u, ".m3u", None),
    "otio": (otio, ".otio", None),
    "fcpxml": (fcpxml, ".fcpxml", None),
    "chapters": (_chapters, ".chapters.txt", "video"),
}


def lists(hits: Sequence[Listed], kind: str, title: str) -> dict[str, str]:
    """The list of a format in FORMATS as text, by a name for its file.

    More than one where a list cannot hold them all: an EDL has one frame rate, and chapters are
    those of one video.

    Raises:
        UsageError: no such format, or one that needs a library that is not installed.
    """
    if kind not in FORMATS:
        raise UsageError(f"{kind!r} is no format of a list: {', '.join(FORMATS)}")
    make, suffix, shared = FORMATS[kind]
    groups: dict[str, list[Listed]] = {}
    for one in hits:
        key = ""
        if shared == "frame rate":
            key = f"_{float(one.rate):.3f}".rstrip("0").rstrip(".")
        elif shared == "video":
            key = str(one.hit.video)
        groups.setdefault(key, []).append(one)
    stem = safe_name(title, 60)
    if shared == "video":
        stems = {key: safe_name(group[0].hit.video.name) for key, group in groups.items()}
        taken = list(stems.values())
        names = {
            key: f"{number}_{name}" if taken.count(name) > 1 else name
            for number, (key, name) in enumerate(stems.items(), 1)
        }
    else:
        names = {key: f"{stem}{key if len(groups) > 1 else ''}" for key in groups}
    return {f"{names[key]}{suffix}": make(group, title) for key, group in groups.items()}
