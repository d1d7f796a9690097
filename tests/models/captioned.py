"""Real photos with captions, as scikit-image ships them."""

from __future__ import annotations

import csv
from pathlib import Path

from PIL import Image
from skimage import data

PHOTOS = {
    "astronaut": ["an astronaut in an orange suit", "a woman smiles before a flag"],
    "camera": ["a man with a camera on a tripod", "a photographer in a long coat on grass"],
    "chelsea": ["a ginger cat looks up", "the face of a tabby kitten"],
    "coffee": ["a cup of coffee on a saucer", "a spoon beside an espresso"],
    "rocket": ["a rocket on its launch pad", "floodlights shine on a spacecraft at night"],
    "coins": ["many old coins on a dark cloth", "rows of Roman money"],
    "page": ["a page of printed text", "black letters on white paper"],
    "moon": ["the surface of the moon", "craters seen through a telescope"],
}


def write_photos(folder: Path, side: int | None = None) -> tuple[Path, Path]:
    """A folder of photos, stretched to squares if a side is given, and a table of captions."""
    images = folder / "images"
    images.mkdir(parents=True)
    table = folder / "captions.csv"
    with table.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "split", "caption"])
        for name, captions in PHOTOS.items():
            photo = Image.fromarray(getattr(data, name)()).convert("RGB")
            if side is not None:
                photo = photo.resize((side, side))
            photo.save(images / f"{name}.png")
            rows.writerows([[f"{name}.png", "test", caption] for caption in captions])
    return images, table
