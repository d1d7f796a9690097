"""Encode captioned photos once: what the loop's training reads instead of pixels.

    vsr-edge export encoder runs/fold0/encoder.safetensors --out runs/fold0/bundle --photos PHOTOS
    python -m models.extract_features --data FLICKR8K --split train --fold 0/2 \\
        --bundle runs/fold0/bundle --out runs/features/fold0.safetensors

It is the exported int8 graph that encodes, several times faster than PyTorch and just as a search
will see it.

The encoder must not have seen these photos: else it finds nearly every one of them, and a verifier
or refiner would learn from mistakes that it does not make on new footage. For photos that it was
trained on, train others without them (``train_encoder --leave-out K/N``) and encode each fold with
the one that left it out.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from models.data.features import PhotoViews, encode_views
from models.data.photos import load_captioned_photos
from vsr_edge.bundle.model import load_bundle


def parse() -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--data", type=Path, required=True, help="folder with captions.csv and images/")
    p.add_argument("--bundle", required=True, help="the encoder as exported")
    p.add_argument("--split", default="train")
    p.add_argument("--fold", metavar="K/N", help="only fold K of N")
    p.add_argument("--limit", type=int, help="photos, for a smoke run")
    p.add_argument("--views", type=int, default=6, help="random views a photo, half mirrored")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--out", type=Path, required=True)
    return p.parse_args()


def main() -> None:
    args = parse()
    photos = load_captioned_photos(args.data, args.split, args.limit)
    if args.fold:
        number, count = map(int, args.fold.split("/"))
        photos = photos.fold(number, count)
    random = np.random.default_rng(args.seed)
    with load_bundle(args.bundle) as bundle:
        views = encode_views(photos.photos, bundle, random, views=args.views)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_file(
        {"vectors": views.vectors, "regions": views.regions},
        args.out,
        {"captions": json.dumps(photos.captions)},
    )
    print(f"{args.out}: {len(views)} photos, {args.views} views each")


def load_features(path: Path) -> tuple[PhotoViews, list[list[str]]]:
    """Views, and the captions of each photo."""
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        metadata = file.metadata()
    arrays = load_file(path)
    views = PhotoViews(arrays["vectors"], arrays["regions"])
    return views, json.loads(metadata["captions"])


if __name__ == "__main__":
    main()
