"""Does a bundle from elsewhere do what its manifest says? Every graph is run once."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from vsr_edge.bundle.golden import check_golden
from vsr_edge.bundle.locate import BundleFiles
from vsr_edge.bundle.manifest import GROUNDING, REFINER
from vsr_edge.bundle.model import Bundle
from vsr_edge.errors import BundleDamaged, VsrEdgeError
from vsr_edge.runtime.heads import Footage

# The longest query that is tried; no encoder here takes as many tokens.
LONGEST_QUERY = 4096


def check_sound(bundle: Bundle) -> None:
    """Run every graph on a small input, hold the shapes against the manifest, and check the golden
    vectors.

    What no computation shows (a longer ``max_tokens`` cut short, a calibration, the provenance) is
    vouched for by the manifest's sha256 alone.

    Raises:
        BundleDamaged: something fails, or gives what the manifest does not say.
    """
    try:
        for files in (bundle.files, *_with_alternatives(bundle.files)):
            with Bundle(files, provider=bundle.provider, threads=bundle.threads) as variant:
                _run_once(variant)
                check_golden(variant)
    except VsrEdgeError:
        raise
    except Exception as error:  # whatever onnxruntime, NumPy and tokenizers raise
        raise BundleDamaged(
            f"{bundle.bundle_id} does not compute what its manifest says ({error}): export it again"
        ) from error


def _with_alternatives(files: BundleFiles) -> list[BundleFiles]:
    """The bundle once for each further precision, its graphs in place of the first ones."""
    entries = files.manifest.files
    further = {one.precision for entry in entries.values() for one in entry.alternatives}
    swapped = []
    for precision in sorted(further, key=str):
        chosen = {
            role: next((a for a in entry.alternatives if a.precision == precision), entry)
            for role, entry in entries.items()
        }
        swapped.append(BundleFiles(files.folder, replace(files.manifest, files=chosen)))
    return swapped


def _run_once(bundle: Bundle) -> None:
    dims = bundle.manifest.dimensions
    # The smallest picture first: a wrong image side is then found before anything of that size is
    # made. It is the graph that is asked, the manifest's numbers are not yet believed.
    dot = np.zeros((1, 8, 8, 3), np.uint8)
    bundle.encode_images(dot)
    vectors, regions = bundle.encode_frames(dot)
    query = bundle.encode_queries(["a " * min(dims.max_tokens, LONGEST_QUERY)])
    cells = cast("NDArray[np.float32]", regions)  # None only where they were not asked for
    frame = Footage(vectors[:, None], cells[:, None], np.ones((1, 1), np.float32))
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
