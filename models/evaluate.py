"""Measure a bundle's encoder with the runtime itself: captions → photos, and class names → photos.

    python -m models.evaluate --bundle lite --data FLICKR8K --split val
    python -m models.evaluate --bundle runs/fp32 --data FLICKR8K --split test --against lite

R@k is the share of captions whose own photo is among the k nearest of the split's photos, in
per cent, with a 95 % bootstrap interval over photos (all captions of a photo go together, as they
are no independent samples). With ``--against`` the same resamples give the interval of the
difference, and the cosines between both bundles' vectors are shown, where they are of one space.
``--without-hubness`` leaves out the last number of every vector (:class:`models.encoder.Hubness`),
of bundles that have it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.photos import read_captions, read_photo
from models.encoder import JOINT
from vsr_edge.bundle.model import Bundle, load_bundle
from vsr_edge.evaluation.bootstrap import Ratio, ratio_intervals

CUTOFFS = (1, 5, 10)


def parse() -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--bundle", default="lite", help="built-in name or folder")
    p.add_argument("--against", help="a second bundle to compare with")
    p.add_argument("--data", type=Path, help="folder with captions.csv and images/")
    p.add_argument("--split", default="val")
    p.add_argument("--without-hubness", action="store_true")
    p.add_argument("--class-photos", type=Path, help="folder of WNID_class_name.jpg photos")
    return p.parse_args()


def main() -> None:
    args = parse()
    names = [args.bundle, *([args.against] if args.against else [])]
    report: dict[str, Any] = {}
    dims = JOINT if args.without_hubness else None
    if args.data:
        found = read_captions(args.data / "captions.csv", args.split)
        photos = [read_photo(args.data / "images" / name) for name in sorted(found)]
        owner = np.repeat(np.arange(len(found)), [len(found[name]) for name in sorted(found)])
        captions = [caption for name in sorted(found) for caption in found[name]]
        report[f"captions, {args.split}"] = measure(names, captions, photos, owner, dims)
    if args.class_photos:
        paths = sorted(args.class_photos.glob("*.jpg"))
        classes = [path.stem.split("_", 1)[1].replace("_", " ") for path in paths]
        photos = [read_photo(path) for path in paths]
        report["class names"] = measure(names, classes, photos, np.arange(len(paths)), dims)
    print(json.dumps(report, indent=1))


def measure(
    names: list[str],
    texts: list[str],
    photos: list[NDArray[np.uint8]],
    owner: NDArray[np.int64],
    dims: int | None = None,
) -> dict[str, Any]:
    """R@k of each bundle, by the first ``dims`` numbers of its vectors; with two, their difference
    and cosines as well.
    """
    encoded = []
    for name in names:
        with load_bundle(name) as bundle:
            encoded.append([part[:, :dims] for part in encode(bundle, texts, photos)])
    found = [hits(queries, gallery, owner) for queries, gallery in encoded]
    report: dict[str, Any] = {
        name: {f"R@{k}": interval(hit[k], owner) for k in CUTOFFS}
        for name, hit in zip(names, found, strict=True)
    }
    if len(names) == 2:
        first, second = found
        report["difference"] = {f"R@{k}": interval(first[k] - second[k], owner) for k in CUTOFFS}
        report["mean cosine"] = {
            side: round(float((a * b).sum(1).mean()), 5)
            for side, a, b in zip(("text", "image"), *encoded, strict=True)
            if a.shape == b.shape
        }
    return report


def encode(
    bundle: Bundle, texts: list[str], photos: list[NDArray[np.uint8]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Text vectors and photo vectors, one sentence at a time as a search would encode it."""
    queries = np.concatenate([bundle.encode_text([text]) for text in texts])
    return queries, bundle.encode_images(photos)


def hits(
    queries: NDArray[np.float32], gallery: NDArray[np.float32], owner: NDArray[np.int64]
) -> dict[int, NDArray[np.float64]]:
    """For each cutoff k: 1.0 where the query's own photo is among the k nearest."""
    scores = queries @ gallery.T
    own = scores[np.arange(len(queries)), owner]
    rank = (scores > own[:, None]).sum(1)
    return {k: (rank < k).astype(np.float64) for k in CUTOFFS}


def interval(values: NDArray[np.float64], owner: NDArray[np.int64]) -> list[float]:
    """Mean of per-query values in per cent, and its 95 % bootstrap interval over photos."""
    (found,) = ratio_intervals([Ratio.mean(values)], owner)
    return [round(100 * x, 2) for x in (found.estimate, found.low, found.high)]


if __name__ == "__main__":
    main()
