"""Pictures to calibrate on and, apart from those, pictures to compare on."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.data.photos import read_photo
from vsr_edge.demo import demo_videos
from vsr_edge.errors import MediaError
from vsr_edge.ingest.scan import FoundFile, scan
from vsr_edge.media.decode import read_frames
from vsr_edge.media.plan import plan_video
from vsr_edge.types import Sampling

PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


def load_pictures(folder: Path | None, side: int, count: int) -> NDArray[np.uint8]:
    """``count`` pictures uint8 [n, side, side, 3], spread over a folder or the demo's clips.

    A folder without photos may hold videos: then frames of those.

    Raises:
        FileNotFoundError: neither.
    """
    if folder is None:
        return _spread(_frames(demo_videos(), side, 4.0), count)
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PHOTO_SUFFIXES)
    if not paths:
        videos = [found.path for found in scan([folder]) if isinstance(found, FoundFile)]
        if not videos:
            known = ", ".join(sorted(PHOTO_SUFFIXES))
            raise FileNotFoundError(f"{folder} holds no photo ({known}) and no video")
        return _spread(_frames(videos[:: -(-len(videos) // count)], side, 1.0), count)
    chosen = [paths[i] for i in np.unique(np.linspace(0, len(paths) - 1, count).astype(int))]
    return np.stack([read_photo(path, side) for path in chosen])


def _frames(videos: list[Path], side: int, fps: float) -> NDArray[np.uint8]:
    frames = []
    for path in videos:
        try:
            with read_frames(plan_video(path, Sampling(fps=fps)), size=(side, side)) as reader:
                frames.extend(batch.pixels for batch in reader)
        except MediaError as error:
            print(f"left out: {error}", file=sys.stderr)
    if not frames:
        raise FileNotFoundError("not one frame of these videos can be decoded")
    return np.concatenate(frames)


def _spread(frames: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    return frames[np.unique(np.linspace(0, len(frames) - 1, count).astype(int))]
