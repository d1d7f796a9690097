"""The sound of a video, as whoever recognises speech wants it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from vsr_edge.media.opening import open_video, rational
from vsr_edge.types import Seconds

# Ten minutes take 38 MB.
MOST_SECONDS: Seconds = 600.0
# Where the sound's clock is off by more than this, something is missing.
_GAP: Seconds = 0.5


def sound_pieces(path: Path, rate: int) -> Iterator[tuple[Seconds, NDArray[np.float32]]]:
    """The first sound track in pieces of at most ten minutes, none over a gap: when each begins, in
    seconds from the first frame, and its samples float32 [n], mono, within ±1.

    Of a damaged track comes what can be decoded; of a video without sound, nothing.

    Raises:
        MediaError: the file cannot be read.
    """
    with open_video(path) as opened:
        if not opened.container.streams.audio:
            return
        first, base = opened.stream.start_time, rational(opened.stream.time_base)
        begin = float(first * base) if first is not None and base else 0.0
        resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
        parts: list[NDArray[np.float32]] = []
        start, length = 0.0, 0
        frames = opened.container.decode(opened.container.streams.audio[0])
        while True:
            try:
                frame = next(frames, None)
            except (av.FFmpegError, ValueError, MemoryError) as error:
                opened.check(error)
                break
            if frame is None:
                break
            at = start + length / rate if frame.time is None else frame.time - begin
            gap = abs(at - start - length / rate) > _GAP
            if parts and (gap or length >= MOST_SECONDS * rate):
                yield start, np.concatenate(parts)
                parts, length = [], 0
            if not parts:
                start = at
            for one in resampler.resample(frame):
                parts.append(one.to_ndarray().reshape(-1).astype(np.float32))
                length += len(parts[-1])
        if parts:
            yield start, np.concatenate(parts)
