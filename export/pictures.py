"""Pictures to calibrate on and, apart from those, pictures to compare on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.data.photos import read_photo
from vsr_edge.demo import demo_videos
from vsr_edge.media.decode import read_frames
from vsr_edge.media.plan import plan_video
from vsr_edge.types import Sampling

PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


def load_pictures(folder: Path | None, side: int, count: int) -> NDArray[np.uint8]:
    """``count`` pictures uint8 [n, side, side, 3], spread over a folder or the demo's clips."""
    if folder is None:
        return _spread(_demo_frames(side), count)
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PHOTO_SUFFIXES)
    if not paths:
        raise FileNotFoundError(f"{folder} holds no photo ({', '.join(sorted(PHOTO_SUFFIXES))})")
    chosen = [paths[i] for i in np.unique(np.linspace(0, len(paths) - 1, count).astype(int))]
    return np.stack([read_photo(path, side) for path in chosen])


def _demo_frames(side: int) -> NDArray[np.uint8]:
    frames = []
    for path in demo_videos():
        with read_frames(plan_video(path, Sampling(fps=4.0)), size=(side, side)) as reader:
            frames.extend(batch.pixels for batch in reader)
    return np.concatenate(frames)


def _spread(frames: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    return frames[np.unique(np.linspace(0, len(frames) - 1, count).astype(int))]
