"""Further words of a video: what is to be read in its pictures, and what is heard in its sound."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from vsr_edge.ingest.cues import Listener
from vsr_edge.media.cut import frames_near
from vsr_edge.media.samples import sound_pieces
from vsr_edge.runtime.speech import SOUND_RATE, Transcriber, WhisperTranscriber
from vsr_edge.store.base import Store
from vsr_edge.types import Cue, Pixels, Seconds, StoredVideo, Times

# What is to be read stands for longer than this, and reading takes as long as encoding a minute.
READ_EVERY: Seconds = 2.0
# Wide enough for the text of a caption or a sign; larger pictures take longer.
LONGEST_SIDE = 1280


def listeners(
    store: Store, ocr: bool, speech: Transcriber | Path | str | None, threads: int
) -> list[Listener]:
    """Those that are asked for: ``speech`` is a model's folder, or what transcribes.

    Raises:
        UsageError: an extra is not installed, or the folder holds no model.
    """
    found = []
    if ocr:
        from vsr_edge.runtime.ocr import ScreenReader

        reader = ScreenReader(threads)
        found.append(screen_listener(store, reader.name, reader.read))
    if isinstance(speech, str | Path):
        found.append(speech_listener(WhisperTranscriber(Path(speech), threads)))
    elif speech is not None:
        found.append(speech_listener(speech))
    return found


def screen_listener(store: Store, name: str, read: Callable[[Pixels], str]) -> Listener:
    """Reads pictures uint8 [H, W, 3] by ``read``: of frames that look like the one before it, none,
    and of the others one every ``READ_EVERY`` seconds.
    """

    def words(stored: StoredVideo) -> Iterator[list[Cue]]:
        frames = store.frames(stored.video_id)
        times = spread(frames.times[frames.changes], READ_EVERY)
        found: list[tuple[Seconds, str]] = []
        for batch in frames_near(stored.video.path, times, LONGEST_SIDE):
            for time, picture in zip(batch.times.tolist(), batch.pixels, strict=True):
                found.append((time, " ".join(read(picture).split())))
        ends = [*found, (stored.video.duration, "")]
        # It stands there until another picture was read.
        yield [Cue(time, max(end, time), text) for (time, text), (end, _) in pairwise(ends) if text]

    return Listener("ocr", name, words)


def speech_listener(transcriber: Transcriber) -> Listener:
    """Hears what is said."""

    def words(stored: StoredVideo) -> Iterator[list[Cue]]:
        heard = []
        for start, sound in sound_pieces(stored.video.path, SOUND_RATE):
            for cue in transcriber.transcribe(sound):
                heard.append(Cue(start + cue.start, start + cue.end, cue.text))
        yield heard

    return Listener("speech", transcriber.name, words)


def spread(times: Times, apart: Seconds) -> Times:
    """Of times float64 [n], increasing, the first, and each that is so far from the last taken."""
    taken: list[float] = []
    for time in times.tolist():
        if not taken or time - taken[-1] >= apart:
            taken.append(time)
    return np.array(taken, np.float64)
