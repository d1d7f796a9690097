"""What the encoders are fed with: pictures and sentences to calibrate on and, apart from those, to
compare on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from export.contract import ExportError, Source
from models.data.batches import class_names
from vsr_edge.bundle.manifest import IMAGE_ENCODER, SOFT_TOKENS, TEXT_ENCODER
from vsr_edge.cli.demo import demo_videos
from vsr_edge.errors import MediaError
from vsr_edge.ingest.scan import scan
from vsr_edge.making.gate import Feeds
from vsr_edge.media.decode import FrameReader
from vsr_edge.media.plan import plan_video
from vsr_edge.media.probe import probe
from vsr_edge.runtime.preprocess import to_input
from vsr_edge.types import Pixels, Sampling

BATCH = 8
# Of the class names, as sentences: for the gate, and apart from them for calibration.
GATE_NAMES, CALIBRATION_NAMES = slice(0, None, 5), slice(2, None, 25)
# Of the demo's clips, which are short.
MOST_FPS = 12.0
PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
T = TypeVar("T")


@dataclass(frozen=True)
class EncoderFeeds:
    """What both sides are fed with, by role, and of what the calibration's pictures are."""

    calibration: dict[str, Feeds]
    gate: dict[str, Feeds]
    calibrated_on: str


def encoder_feeds(
    source: Source, photos: Path | None, calibration_count: int, parity_count: int
) -> EncoderFeeds:
    """Pictures and sentences, each in two parts that share none.

    Raises:
        ExportError: there are too few pictures.
    """
    crop = source.preprocessing.fit == "crop"
    pictures = load_pictures(photos, source.side, calibration_count + parity_count, crop=crop)
    if len(pictures) < 4:
        raise ExportError(f"{photos} holds {len(pictures)} pictures: too few to tell anything by")
    order = np.random.default_rng(0).permutation(len(pictures))
    share = calibration_count / (calibration_count + parity_count)
    calibration, held_out = np.split(pictures[order], [int(share * len(order))])

    def both(shown: Pixels, names: slice) -> dict[str, Feeds]:
        return {
            IMAGE_ENCODER: image_feeds(source, shown),
            TEXT_ENCODER: list(text_feeds(source, names)),
        }

    origin = "the demo's footage" if photos is None else "the folder given with --photos"
    return EncoderFeeds(
        both(calibration, CALIBRATION_NAMES),
        both(held_out, GATE_NAMES),
        f"{len(calibration)} pictures of {origin}",
    )


def image_feeds(source: Source, pictures: Pixels) -> Feeds:
    """Pictures uint8 [n, S, S, 3] as batches of what the image side takes."""
    pixels = to_input(pictures, source.side, source.preprocessing)
    return [{"pixels": pixels[i : i + BATCH]} for i in range(0, len(pixels), BATCH)]


def sentences(part: slice) -> list[str]:
    """Class names as queries."""
    return [f"a photo of a {names[0]}" for names in class_names()[part]]


def text_feeds(source: Source, part: slice) -> Iterator[dict[str, NDArray[Any]]]:
    """Sentences without soft tokens and, every other batch, with as many as the loop uses."""
    texts = sentences(part)
    random = np.random.default_rng(0)
    for start in range(0, len(texts), BATCH):
        some = texts[start : start + BATCH]
        soft = SOFT_TOKENS if (start // BATCH) % 2 else 0
        yield text_feed(source, some, random.normal(0, 0.05, (len(some), soft, source.hidden)))


def text_feed(
    source: Source, texts: Sequence[str], soft_tokens: NDArray[np.float64]
) -> dict[str, NDArray[Any]]:
    """n sentences with soft tokens [n, N, H] as what the text side takes."""
    tokens = source.tokens(texts, soft_tokens.shape[1])
    return {
        "input_ids": tokens.ids,
        "attention_mask": tokens.mask,
        "soft_tokens": soft_tokens.astype(np.float32),
    }


def load_pictures(folder: Path | None, side: int, count: int, *, crop: bool = False) -> Pixels:
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


def _frames(videos: Sequence[Path], side: int, count: int, crop: bool) -> Pixels:
    """As many frames of each video, spread over its length."""
    each = -(-count // len(videos))
    frames: list[Pixels] = []
    for path in videos:
        try:
            video, _ = probe(path)
            # Rounded: a last digit would decide which of two frames next to a wanted time is taken.
            fps = min(each / max(round(video.duration, 6), 1e-3), MOST_FPS)
            plan = plan_video(path, Sampling(fps=fps))
            with FrameReader(plan, size=(side, side), crop=crop) as reader:
                frames.extend(picture for batch in reader for picture in batch.pixels)
        except MediaError as error:
            print(f"left out: {error}", file=sys.stderr)
    if not frames:
        raise FileNotFoundError("not one frame of these videos can be decoded")
    return np.stack(_spread(frames, count))


def _spread(values: Sequence[T], count: int) -> list[T]:
    places = np.unique(np.linspace(0, len(values) - 1, count).astype(int))
    return [values[place] for place in places]
