"""A bundle of encoders alone, as exports of foreign checkpoints are."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests.manifests import edit_manifest
from vsr_edge.bundle.locate import find_bundle, sha256_of
from vsr_edge.bundle.manifest import IMAGE_ENCODER, REQUIRED_ROLES
from vsr_edge.bundle.universal_head import UNIVERSAL_CALIBRATION, shipped


def headless_bundle(folder: Path, **calibration: float) -> Path:
    """The built-in encoders without all else; what the universal head's logits mean with it may be
    changed.
    """
    shutil.copytree(find_bundle("lite"), folder)

    def change(manifest: dict[str, Any]) -> None:
        manifest["files"] = {role: manifest["files"][role] for role in REQUIRED_ROLES}
        manifest["calibration"] = {"threshold": None}
        if calibration:
            manifest[UNIVERSAL_CALIBRATION] = shipped().calibration.model_dump() | calibration

    edit_manifest(folder, change)
    return folder


def regionless_bundle(folder: Path) -> Path:
    """The built-in encoders without all else, and without the regions of pictures."""
    import onnx  # of an extra

    headless_bundle(folder)

    def change(manifest: dict[str, Any]) -> None:
        entry = manifest["files"][IMAGE_ENCODER]
        path = folder / entry["file"]
        model = onnx.load(path)
        for output in [one for one in model.graph.output if one.name == "regions"]:
            model.graph.output.remove(output)
        onnx.save(model, path)
        entry |= {"sha256": sha256_of(path), "bytes": path.stat().st_size, "alternatives": []}
        manifest["graphs"][IMAGE_ENCODER]["outputs"] = ["vector"]
        manifest["dims"]["regions"] = 0

    edit_manifest(folder, change)
    return folder
