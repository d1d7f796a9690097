"""A bundle of encoders alone, as exports of foreign checkpoints are."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests.manifests import edit_manifest
from vsr_edge.bundle.locate import find_bundle
from vsr_edge.bundle.manifest import REQUIRED_ROLES
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
