"""Subtitle files beside a video: which belong to it, and their words with times.

People's files are of every encoding and broken in every way: what can be read of them is, and the
rest is counted. Loads no FFmpeg.
"""

from __future__ import annotations

import bisect
import codecs
import html
import os
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from vsr_edge.types import Cue

SIDECAR_SUFFIXES = frozenset({".srt", ".vtt", ".ass", ".ssa"})
# ``film.srt``, ``film.en.srt``, ``film.en-GB.forced.srt``.
_INFIX = re.compile(r"(\.[a-z][a-z0-9_-]{0,15}){0,3}", re.IGNORECASE)
# Ten hours of speech take one; all that is typeset in a film, twenty.
MOST_BYTES = 32 << 20

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Where half of the bytes are zeros, the text is UTF-16; in one that is none, any zero is junk.
_WIDE = 0.2
# So much of a file tells its encoding, which is one of those that subtitles were written in.
_GUESSED_BYTES = 1 << 15
_ENCODINGS = (
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "koi8_r"),
    *("gb18030", "big5", "shift_jis", "euc_jp", "euc_kr"),
)

_STAMP = r"\d{1,2}:\d{1,2}:\d{1,2}[.,:]\d{1,3}"
_DIALOGUE = re.compile(rf"Dialogue:[^,\n]*,\s*{_STAMP}\s*,\s*{_STAMP}\s*,(?:[^,\n]*,){{6}}")
_SUBSTATION = re.compile(r"^\s*(?:\[Script Info\]|\[Events\]|Dialogue:)", re.MULTILINE | re.I)
# pysubs2 would read the end of either as a time of its own.
_BEFORE_0 = re.compile(r"(?<![-\d])-\d{1,3}:\d{2}:\d{2}([,.]\d{1,3})")
_BEYOND = re.compile(r"\b\d{3,}:\d{2}:\d{2}([,.]\d{1,3})")
_TAG = re.compile(r"</?[A-Za-z0-9][^<>\n]{0,500}>|\{\\[^{}\n]{0,2000}\}")


@dataclass(frozen=True, slots=True)
class ReadTexts:
    """What was read, of each stream by itself and in its order; ``problem`` says what could not be,
    if anything.
    """

    tracks: tuple[tuple[Cue, ...], ...] = ()
    problem: str | None = None

    @property
    def cues(self) -> tuple[Cue, ...]:
        return tuple(chain.from_iterable(self.tracks))


def sidecars_of(video: Path, names: Sequence[str]) -> list[Path]:
    """Of the sorted ``names`` in a video's folder, its subtitle files, by name.

    ``film.srt``, ``film.en.srt`` and ``film.mp4.srt`` are those of ``film.mp4``; but if there is a
    ``film.part2.mp4``, then ``film.part2.srt`` is not.
    """
    stems = {video.name, video.stem}
    found, others = [], set()
    # Only what begins like the video counts: every video of a large folder asks.
    for place in range(bisect.bisect_left(names, video.stem), len(names)):
        name = names[place]
        if not name.startswith(video.stem):
            break
        stem, suffix = os.path.splitext(name)  # noqa: PTH122 — faster, for whole folders
        if suffix.lower() in SIDECAR_SUFFIXES:
            if any(stem.startswith(one) and _INFIX.fullmatch(stem[len(one) :]) for one in stems):
                found.append(name)
        elif stem not in stems and stem.startswith(video.stem):
            others |= {stem, name}
    mine = (n for n in found if not any(n.startswith(f"{other}.") for other in others))
    return [video.with_name(name) for name in sorted(mine)]


def by_stem(names: Iterable[str]) -> dict[str, list[str]]:
    """The subtitle files of a folder by the names and stems of videos that they may belong to; for
    one look at a whole folder. :func:`sidecars_of` says which really do.
    """
    found: dict[str, list[str]] = {}
    for name in names:
        stem, suffix = os.path.splitext(name)  # noqa: PTH122 — as above
        if suffix.lower() in SIDECAR_SUFFIXES:
            parts = stem.split(".")
            for count in range(max(1, len(parts) - 3), len(parts) + 1):
                found.setdefault(".".join(parts[:count]), []).append(name)
    return found


def read_sidecar(path: Path) -> ReadTexts:
    """The words of a subtitle file: SubRip, WebVTT or SubStation Alpha, whatever it is called.

    Raises:
        OSError: the system does not give it.
    """
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        return ReadTexts(problem=f"it is larger than {MOST_BYTES >> 20} MB, as no subtitles are")
    text = decoded(content)
    if text is None:
        return ReadTexts(problem="it is no text")
    if not text.strip():
        return ReadTexts(problem="it is empty")
    return parsed(text)


def decoded(content: bytes) -> str | None:
    """Text of whatever encoding; None of what is none."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content.decode(encoding, "replace")
    zeros = [content[start::2].count(0) for start in (0, 1)]
    if max(zeros) > _WIDE * len(content):
        return content.decode("utf-16-be" if zeros[0] > zeros[1] else "utf-16-le", "replace")
    if any(zeros):
        return None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start >= len(content) - 3:  # cut off within a letter
            return content[: error.start].decode("utf-8")
    from charset_normalizer import from_bytes

    # The lines with letters beyond ASCII tell what they are in; of too few, nothing does.
    telling = (line for line in content.splitlines() if not line.isascii())
    part = b"\n".join(telling)[:_GUESSED_BYTES]
    guess = from_bytes(part, cp_isolation=list(_ENCODINGS)).best()
    return content.decode(guess.encoding if guess else "cp1252", "replace")


def parsed(text: str) -> ReadTexts:
    """The cues of a file's text."""
    import pysubs2

    text = text.replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff")
    lost = 0
    if _SUBSTATION.search(text[:4096]) or "\nDialogue:" in text:
        kind, lines = "ass", text.split("\n")
        kept = [one for one in lines if not one.startswith("Dialogue:") or _DIALOGUE.match(one)]
        lost, text = len(lines) - len(kept), "\n".join(kept)
        text = text if "[Events]" in text else f"[Events]\n{text}"
    else:
        kind = "vtt" if text.startswith("WEBVTT") else "srt"
        text = _BEFORE_0.sub(r"00:00:00\1", _BEYOND.sub(r"99:59:59\1", text))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            events = list(pysubs2.SSAFile.from_string(text, format_=kind))
    except Exception as error:  # a parser's defect is no reason to lose the video's other words
        return ReadTexts(problem=f"it cannot be read ({type(error).__name__}: {error})")
    cues = []
    for event in events:
        if event.is_comment or event.is_drawing:
            continue
        # Behind a blank line stands what belongs to none: a number, a note, a style.
        words = plain(
            event.plaintext.lstrip("\n").split("\n\n")[0] if kind != "ass" else event.text
        )
        if words:
            cues.append(Cue(event.start / 1000, event.end / 1000, words))
    if not cues:
        return ReadTexts(problem="no subtitles were found in it")
    return ReadTexts((tuple(cues),), f"lines that cannot be read: {lost}" if lost else None)


def plain(text: str) -> str:
    """Words without tags, entities and breaks, on one line."""
    text = _TAG.sub("", text.replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " "))
    return " ".join(html.unescape(text).split())
