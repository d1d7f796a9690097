"""The package's own encoder as two towers of the universal heads' kind: its vectors as they are.

    python -m models.universal_built_in --data FLICKR8K COCO OPENSTAX --out runs/towers

It was trained on the train photos, so it looks at those of val alone; texts are read from where
``models.universal_texts`` wrote them, ``OUT/texts``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from safetensors.numpy import save_file

from models.data.features import encoded
from models.towers import VIEWS, photo_parts, read_texts, views_of
from models.universal_encoders import BUILT_IN_RECIPE
from models.universal_texts import BANK
from vsr_edge.bundle.model import Bundle, load_bundle


def write_pictures(bundle: Bundle, folders: list[Path], out: Path) -> None:
    """``val`` as ``models.towers`` writes it, of unit vectors: ``whole`` [n + 1, 2, D], ``regions``
    [n + 1, 2, R, D] and the captions.
    """
    photos = photo_parts(folders, ["val"])["val"]
    pictures = views_of(photos.photos, bundle.image_side, mirror=False)
    seen = encoded(pictures, bundle, VIEWS)
    arrays = {"whole": seen.vectors, "regions": seen.regions}
    out.mkdir(parents=True, exist_ok=True)
    save_file(arrays, out / "val.safetensors", {"captions": json.dumps(photos.captions)})


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--data", type=Path, nargs="+", required=True)
    p.add_argument("--bundle", default="lite")
    p.add_argument("--out", type=Path, required=True)
    args = p.parse_args()
    with load_bundle(args.bundle) as bundle:
        write_pictures(bundle, args.data, args.out / BUILT_IN_RECIPE.picture)
        texts_out = args.out / BUILT_IN_RECIPE.text
        texts_out.mkdir(parents=True, exist_ok=True)
        for part in ("val", "common"):
            texts = json.loads((args.out / "texts" / f"{part}.json").read_text("utf-8"))
            if part == "common":
                texts = texts[-2 * BANK :]  # the bank; encoders are not trained on top of these
            vectors = read_texts(bundle.encode_text, texts)
            save_file({"vectors": vectors}, texts_out / f"{part}.safetensors")


if __name__ == "__main__":
    main()
