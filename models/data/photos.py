"""Captioned photos: a CSV file of captions and a folder of pictures."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 260  # in pixels, of what the image tower reads
SUFFIXES = {".jpg", ".jpeg", ".png"}


@dataclass(frozen=True)
class CaptionedPhotos:
    """One split: ``photos`` uint8 [n, H, W, 3] and the captions of each."""

    names: list[str]
    photos: NDArray[np.uint8]
    captions: list[list[str]]

    def __len__(self) -> int:
        return len(self.names)

    def fold(self, number: int, count: int, *, left_out: bool = False) -> CaptionedPhotos:
        """Every ``count``-th photo from ``number`` on, or with ``left_out`` all the others.

        Cross-fitting: what is trained on the one part is used, as unseen, on the other.
        """
        chosen = [i for i in range(len(self)) if (i % count == number) != left_out]
        return CaptionedPhotos(
            [self.names[i] for i in chosen],
            self.photos[chosen],
            [self.captions[i] for i in chosen],
        )


def load_captioned_photos(folder: Path, split: str, limit: int | None = None) -> CaptionedPhotos:
    """Read one split of a captioned photo folder, in the order of file names, each photo stretched
    to a square of ``SIDE``.
    """
    captions = read_captions(folder / "captions.csv", split)
    names = sorted(captions)[:limit]
    photos = np.stack([read_photo(folder / "images" / name, SIDE) for name in names])
    return CaptionedPhotos(names, photos, [captions[name] for name in names])


def load_photos(folder: Path, limit: int | None = None) -> NDArray[np.uint8]:
    """The photos of a folder and those in it, by name, as uint8 [n, SIDE, SIDE, 3]."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    return np.stack([read_photo(path, SIDE) for path in files[:limit]])


def merged(parts: Sequence[CaptionedPhotos]) -> CaptionedPhotos:
    """Photos of several folders as one split."""
    return CaptionedPhotos(
        [name for part in parts for name in part.names],
        np.concatenate([part.photos for part in parts]),
        [captions for part in parts for captions in part.captions],
    )


def read_captions(table: Path, split: str | None = None) -> dict[str, list[str]]:
    """Image name → captions, of one split or of all rows.

    The table is CSV with the columns image and caption, one row a caption; split is needed only to
    choose by it.

    Raises:
        ValueError: a column is missing, or no row is left; says which.
    """
    wanted = ["image", "caption", *([] if split is None else ["split"])]
    captions: dict[str, list[str]] = defaultdict(list)
    with table.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        missing = [name for name in wanted if name not in (rows.fieldnames or ())]
        if missing:
            raise ValueError(f"{table} has no column {', '.join(missing)}")
        for row in rows:
            if split is None or row["split"] == split:
                captions[row["image"]].append(row["caption"].strip())
    if not captions:
        raise ValueError(f"{table} has no row" + ("" if split is None else f" of split {split!r}"))
    return dict(captions)


def read_photo(path: Path, side: int | None = None) -> NDArray[np.uint8]:
    """A photo as uint8 [H, W, 3]; with ``side``, stretched to a square of it."""
    image = Image.open(path).convert("RGB")
    if side is not None:
        image = image.resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(image)
