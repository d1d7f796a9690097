"""Does a bundle compute what its manifest says, on this machine? Golden vectors tell, and each
graph run once.
"""

from __future__ import annotations

import numpy as np

from vsr_edge.bundle.golden import GOLDEN_COSINE, GoldenReport, golden_picture, lowest_cosine
from vsr_edge.bundle.manifest import GROUNDING, REFINER
from vsr_edge.bundle.model import Bundle
from vsr_edge.errors import BundleDamaged, VsrEdgeError
from vsr_edge.runtime.heads import Footage

# The longest query that is tried; no encoder here takes as many tokens.
LONGEST_QUERY = 4096


def check_golden(bundle: Bundle) -> GoldenReport:
    """Encode the golden inputs again.

    Raises:
        BundleDamaged: there are none, or a cosine is below ``GOLDEN_COSINE``.
    """
    golden = bundle.manifest.golden
    if not (golden.texts and golden.images):
        raise BundleDamaged(
            f"{bundle.manifest.folder} has no golden vectors, so nothing says that it computes "
            "what it should: export the bundle again"
        )
    texts = bundle.encode_text([one.text for one in golden.texts])
    pictures = [golden_picture(one.seed, bundle.image_side) for one in golden.images]
    images = bundle.encode_images(pictures)
    report = GoldenReport(lowest_cosine(texts, golden.texts), lowest_cosine(images, golden.images))
    # Asked so that a cosine that is not a number does not pass.
    if not (report.text_cosine >= GOLDEN_COSINE and report.image_cosine >= GOLDEN_COSINE):
        raise BundleDamaged(
            "this machine computes other vectors than the bundle's golden ones (cosine: text "
            f"{report.text_cosine:.4f}, image {report.image_cosine:.4f}; at least {GOLDEN_COSINE} "
            "is expected): try --provider cpu, or export the bundle again on this machine"
        )
    return report


def check_sound(bundle: Bundle) -> None:
    """Run every graph on a small input, hold the shapes against the manifest, and check the golden
    vectors; once more for each further precision.

    What no computation shows (a longer ``max_tokens`` cut short, a calibration, the provenance) is
    vouched for by the manifest's sha256 alone.

    Raises:
        BundleDamaged: something fails, or gives what the manifest does not say.
    """
    manifest = bundle.manifest
    further = {a.precision for entry in manifest.files.values() for a in entry.alternatives}
    choices = [manifest.files] + [
        {
            role: next((a for a in entry.alternatives if a.precision == precision), entry)
            for role, entry in manifest.files.items()
        }
        for precision in sorted(further, key=str)
    ]
    try:
        for chosen in choices:
            other = manifest.model_copy(update={"files": chosen})
            with Bundle(other, provider=bundle.provider, threads=bundle.threads) as variant:
                _run_once(variant)
                check_golden(variant)
    except VsrEdgeError:
        raise
    except Exception as error:  # whatever onnxruntime, NumPy and tokenizers raise
        raise BundleDamaged(
            f"{bundle.bundle_id} does not compute what its manifest says ({error}): export it again"
        ) from error


def _run_once(bundle: Bundle) -> None:
    dims = bundle.manifest.dimensions
    # The smallest picture first: a wrong image side is then found before anything of that size is
    # made. It is the graph that is asked, the manifest's numbers are not yet believed.
    dot = np.zeros((1, 8, 8, 3), np.uint8)
    bundle.encode_images(dot)
    vectors, regions = bundle.encode_frames(dot)
    query = bundle.encode_queries(["a " * min(dims.max_tokens, LONGEST_QUERY)])
    if regions is None:  # nor are there heads then
        return
    frame = Footage(vectors[:, None], regions[:, None], np.ones((1, 1), np.float32))
    if GROUNDING in bundle.manifest.files:
        bundle.judge(query, frame)
    if REFINER in bundle.manifest.files:
        none_yet = np.zeros(1, np.float32)
        soft_tokens = bundle.refine(query, frame, none_yet, none_yet)
        if soft_tokens.shape != (1, dims.soft_tokens, dims.hidden):
            raise BundleDamaged(
                f"the refiner gives soft tokens {list(soft_tokens.shape)}, the manifest says "
                f"{dims.soft_tokens} of {dims.hidden}"
            )
    _ = bundle.concepts
