"""The head that knows no encoder, written into the package: graph, id, and what its logits mean.

python -m export.universal runs/universal/head.safetensors --calibration runs/calibration.json
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch

from export.graphs import export_universal
from models.universal import UniversalHead, load_head
from vsr_edge.bundle.manifest import GRAPH_INPUTS, GRAPH_OUTPUTS, UNIVERSAL, Calibration
from vsr_edge.bundle.universal_head import ABOUT_FILE, HEAD_FILE, package_folder
from vsr_edge.runtime.evidence import PER_CANDIDATE, PER_FRAME, PER_PHRASE, PER_SENTENCE
from vsr_edge.runtime.heads import Floats

TOLERANCE = 1e-3


def write_universal(head: UniversalHead, calibration: Calibration, folder: Path) -> str:
    """Write head and numbers; gives the head's id.

    Raises:
        ValueError: the graph says something else than the module.
    """
    with tempfile.TemporaryDirectory() as unfinished:
        path = Path(unfinished) / HEAD_FILE
        export_universal(head, path)
        worst = difference(head, path)
        if not worst <= TOLERANCE:
            raise ValueError(f"the graph differs from the head by {worst:.2g}")
        content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    about = {
        "id": f"universal-{sha256[:12]}",
        "sha256": sha256,
        "calibration": calibration.model_dump(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / HEAD_FILE).write_bytes(content)
    (folder / ABOUT_FILE).write_text(json.dumps(about, indent=1) + "\n", "utf-8")
    return str(about["id"])


def difference(head: UniversalHead, path: Path) -> float:
    """The largest between module and graph, for batches of two sizes."""
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    worst = 0.0
    for pairs, phrases, frames in ((1, 1, 1), (5, 9, 25)):
        given = example(pairs, phrases, frames)
        found = session.run(list(GRAPH_OUTPUTS[UNIVERSAL]), given)
        with torch.inference_mode():
            wanted = head(*(torch.from_numpy(given[name]) for name in GRAPH_INPUTS[UNIVERSAL]))
        for one, other in zip(found, wanted, strict=True):
            worst = max(worst, float(np.abs(one - other.numpy()).max()))
    return worst


def example(pairs: int, phrases: int, frames: int) -> dict[str, Floats]:
    """Evidence of no meaning, the last frame of every other candidate none."""
    random = np.random.default_rng(0)
    mask = np.ones((pairs, frames), np.float32)
    mask[1::2, -1] = 0
    keep = mask[..., None]
    given = {
        "sentence": 2 * random.normal(size=(pairs, frames, PER_SENTENCE)) * keep,
        "phrases": 2 * random.normal(size=(pairs, phrases, frames, PER_PHRASE)) * keep[:, None],
        "phrase_mask": np.ones((pairs, phrases)),
        "neighbours": random.normal(size=(pairs, frames, PER_FRAME)) * keep,
        "frame_mask": mask,
        "candidate": 2 * random.normal(size=(pairs, PER_CANDIDATE)),
    }
    return {name: np.asarray(values, np.float32) for name, values in given.items()}


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("head", type=Path)
    p.add_argument("--calibration", type=Path, required=True, help="of models.universal_calibrate")
    p.add_argument("--out", type=Path, default=package_folder())
    args = p.parse_args()
    calibration = Calibration.model_validate(json.loads(args.calibration.read_text("utf-8")))
    print(write_universal(load_head(args.head), calibration, args.out))


if __name__ == "__main__":
    main()
