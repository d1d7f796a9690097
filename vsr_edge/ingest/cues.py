"""The words of videos, brought up to date in a run of `index`: subtitle files beside a video and
streams inside it; if asked for, what is to be read in its pictures and heard in its sound.

What was read bears a stamp, and is read again when that has changed: files beside a video when one
of them came, went or was written; all else when the video did, or what reads it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from vsr_edge.errors import MediaError, VsrEdgeError
from vsr_edge.ingest.aside import aside
from vsr_edge.ingest.read import unexpected
from vsr_edge.media.sidecars import ReadTexts, read_sidecar, sidecars_of
from vsr_edge.media.source import size_and_age, split_stream
from vsr_edge.media.subtitles import embedded_texts
from vsr_edge.store.base import Store, Texts, Writer
from vsr_edge.types import Cue, Seconds, StoredVideo, TextSource, inside

# Of the way in which streams are read: another number has them read again.
_EMBEDDED_STAMP = "1"
# The same words so soon after one another are still there.
_STILL_THERE: Seconds = 0.5


@dataclass(frozen=True, slots=True)
class Listener:
    """What finds words in a video; ``stamp`` names it and what else decides them. It gives one
    stream of words or several: what is said in one goes on in it.
    """

    source: TextSource
    stamp: str
    read: Callable[[StoredVideo], Iterable[Iterable[Cue]]]


def _tracks(listener: Listener, stored: StoredVideo) -> list[list[Cue]]:
    return [list(track) for track in listener.read(stored)]


@dataclass(slots=True)
class Words:
    """One run's: ``cues`` counts those that were stored, ``problems`` names files with a reason."""

    store: Store
    writer: Writer
    listeners: tuple[Listener, ...] = ()
    cues: int = 0
    problems: list[tuple[Path, str]] = field(default_factory=list)
    # What lies in a folder is looked up once a run.
    _folders: dict[Path, list[str]] = field(default_factory=dict)

    def update(self, path: Path) -> None:
        """Read what is not known yet of the words of a stored video; whatever goes wrong with them
        is named, and what is stored stays.
        """
        stored = self.store.find(path)
        if stored is None:
            return
        known = self.store.text_stamps(stored.video_id)
        self._sidecars(stored, known.get("sidecar"))
        others = (Listener("embedded", _EMBEDDED_STAMP, self._embedded), *self.listeners)
        for one in others:
            if known.get(one.source) == one.stamp:
                continue
            try:
                tracks = aside(partial(_tracks, one, stored))
            except MediaError as error:
                self.problems.append((path, error.reason))
            except VsrEdgeError:
                raise
            except Exception as error:  # as of a model: no reason to lose the video
                self.problems.append((path, unexpected(error)))
            else:
                self._set(stored, one.source, one.stamp, tracks)

    def _sidecars(self, stored: StoredVideo, known: str | None) -> None:
        file, _ = split_stream(stored.video.path)
        try:
            files = sidecars_of(file, self._names(file.parent))
            stamp = json.dumps([(one.name, *size_and_age(one.stat())) for one in files])
        except OSError:
            return  # not to be looked at now: what is known stays
        if not files:
            if known is not None:
                self.writer.set_texts(stored.video_id, "sidecar", None)
            return
        if stamp == known:
            return
        tracks: list[tuple[Cue, ...]] = []
        for one in files:
            try:
                read = read_sidecar(one)
            except OSError as error:
                self.problems.append((one, f"it cannot be read ({error.strerror or error})"))
                return
            tracks += self._tracks(one, read)
        self._set(stored, "sidecar", stamp, tracks)

    def _names(self, folder: Path) -> list[str]:
        if folder not in self._folders:
            self._folders[folder] = sorted(os.listdir(folder))  # noqa: PTH208 — names are enough
        return self._folders[folder]

    def _embedded(self, stored: StoredVideo) -> tuple[tuple[Cue, ...], ...]:
        return self._tracks(stored.video.path, embedded_texts(stored.video.path))

    def _tracks(self, path: Path, read: ReadTexts) -> tuple[tuple[Cue, ...], ...]:
        if read.problem is not None:
            self.problems.append((path, read.problem))
        return read.tracks

    def _set(
        self,
        stored: StoredVideo,
        source: TextSource,
        stamp: str,
        tracks: Iterable[Iterable[Cue]],
    ) -> None:
        tidy = [cue for track in tracks for cue in tidied(track, stored.video.duration)]
        self.writer.set_texts(stored.video_id, source, Texts(stamp, tuple(tidy)))
        self.cues += len(tidy)


def tidied(cues: Iterable[Cue], duration: Seconds) -> list[Cue]:
    """In time order and within the video, the same words in a row as one.

    What begins behind the video's end, or ends before it begins, is of another version of it.
    """
    found: list[Cue] = []
    # What says the same is looked for among those that are still shown, or were just now.
    last: dict[str, int] = {}
    for cue in sorted(cues, key=lambda one: (one.start, one.end)):
        if cue.end < cue.start or cue.end < 0 or cue.start >= max(duration, 0.001):
            continue
        start, end = inside(cue.start, cue.end, duration)
        place = last.get(cue.text)
        if place is not None and start - found[place].end <= _STILL_THERE:
            end = max(end, found[place].end)
            found[place] = Cue(found[place].start, end, cue.text)
        else:
            last[cue.text] = len(found)
            found.append(Cue(start, end, cue.text))
    # Spans of next to no length were moved to where there is room for them.
    return sorted(found, key=lambda one: one.start)
