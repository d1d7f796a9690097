"""Pictures to calibrate on and, apart from those, pictures to compare on."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from vsr_edge.cli.demo import demo_videos
from vsr_edge.errors import MediaError
from vsr_edge.ingest.scan import scan
from vsr_edge.media.decode import FrameReader
from vsr_edge.media.plan import plan_video
from vsr_edge.media.probe import probe
from vsr_edge.types import Sampling

# Of the demo's clips, which are short.
MOST_FPS = 12.0
T = TypeVar("T")

PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


def load_pictures(
    folder: Path | None, side: int, count: int, *, crop: bool = False
) -> NDArray[np.uint8]:
    """``count`` pictures uint8 [n, side, side, 3], spread over a folder or the demo's clips.

    They are stretched to the square, or with ``crop`` their middle is seen. A folder without photos
    may hold videos: then frames of those. What cannot be read is named and left out.

    Raises:
        FileNotFoundError: neither photos nor videos.
    """
    if folder is None:
        return _frames(demo_videos(), side, count, crop)
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PHOTO_SUFFIXES)
    if not paths:
        videos = [found.path for found in scan([folder]) if found.problem is None]
        if not videos:
            known = ", ".join(sorted(PHOTO_SUFFIXES))
            raise FileNotFoundError(f"{folder} holds no photo ({known}) and no video")
        return _frames(_spread(videos, count), side, count, crop)
    read = [_photo(path, side, crop) for path in _spread(paths, count)]
    pictures = [np.asarray(photo) for photo in read if photo is not None]
    if not pictures:
        raise FileNotFoundError(f"not one photo in {folder} can be read")
    return np.stack(pictures)


def _photo(path: Path, side: int, crop: bool) -> Image.Image | None:
    try:
        photo = Image.open(path).convert("RGB")
    except OSError as error:  # Pillow's errors are among these
        print(f"left out: {path}: {error}", file=sys.stderr)
        return None
    if crop:
        return ImageOps.fit(photo, (side, side), Image.Resampling.BILINEAR)
    return photo.resize((side, side), Image.Resampling.BILINEAR)


def _frames(videos: Sequence[Path], side: int, count: int, crop: bool) -> NDArray[np.uint8]:
    """As many frames of each video, spread over its length."""
    each = -(-count // len(videos))
    frames = []
    for path in videos:
        try:
            video, _ = probe(path)
            fps = min(each / max(video.duration, 1e-3), MOST_FPS)
            with FrameReader(
                plan_video(path, Sampling(fps=fps)), size=(side, side), crop=crop
            ) as reader:
                frames.extend(picture for batch in reader for picture in batch.pixels)
        except MediaError as error:
            print(f"left out: {error}", file=sys.stderr)
    if not frames:
        raise FileNotFoundError("not one frame of these videos can be decoded")
    return np.stack(_spread(frames, count))


def _spread(values: Sequence[T], count: int) -> list[T]:
    places = np.unique(np.linspace(0, len(values) - 1, count).astype(int))
    return [values[place] for place in places]
