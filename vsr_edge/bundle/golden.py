"""Golden vectors: does this machine compute what the exporting machine computed?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vsr_edge.bundle.model import Bundle
from vsr_edge.errors import BundleDamaged
from vsr_edge.types import Pixels, Vectors

# Integer kernels round differently from one instruction set to the next; a wrong graph is far below
# this.
GOLDEN_COSINE = 0.98


@dataclass(frozen=True, slots=True)
class GoldenReport:
    """Lowest cosine between what was computed here and what the manifest holds, for each side."""

    text_cosine: float
    image_cosine: float


def golden_picture(seed: int, side: int) -> Pixels:
    """A picture uint8 [side, side, 3] that any machine can make: a few soft coloured blobs."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:side, 0:side] / side
    picture = np.zeros((side, side, 3)) + random.uniform(40, 200, 3)
    for _ in range(6):
        y, x = random.uniform(0, 1, 2)
        width = random.uniform(0.05, 0.3)
        blob = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / width**2)
        picture += blob[..., None] * random.uniform(-150, 150, 3)
    return picture.clip(0, 255).astype(np.uint8)


def check_golden(bundle: Bundle) -> GoldenReport:
    """Encode the golden inputs again.

    Raises:
        BundleDamaged: there are none, or a cosine is below ``GOLDEN_COSINE``.
    """
    manifest = bundle.manifest
    if not (manifest.golden_texts and manifest.golden_images):
        raise BundleDamaged(
            f"{bundle.files.folder} has no golden vectors, so nothing says that it computes what "
            "it should: export the bundle again"
        )
    texts = bundle.encode_text([g.text for g in manifest.golden_texts])
    side = bundle.image_side
    images = bundle.encode_images([golden_picture(g.seed, side) for g in manifest.golden_images])
    report = GoldenReport(
        _lowest(texts, [g.vector for g in manifest.golden_texts]),
        _lowest(images, [g.vector for g in manifest.golden_images]),
    )
    # Asked so that a cosine that is not a number does not pass.
    if not (report.text_cosine >= GOLDEN_COSINE and report.image_cosine >= GOLDEN_COSINE):
        raise BundleDamaged(
            "this machine computes other vectors than the bundle's golden ones (cosine: text "
            f"{report.text_cosine:.4f}, image {report.image_cosine:.4f}; at least {GOLDEN_COSINE} "
            "is expected): try --provider cpu, or export the bundle again on this machine"
        )
    return report


def _lowest(vectors: Vectors, golden: list[tuple[float, ...]]) -> float:
    expected = np.asarray(golden, np.float64)
    norms = np.linalg.norm(vectors, axis=1) * np.linalg.norm(expected, axis=1)
    return float(((vectors * expected).sum(1) / norms).min())
