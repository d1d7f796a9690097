"""Another bundle than the one in use, without training one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests.manifests import edit_manifest
from vsr_edge.bundle.locate import find_bundle
from vsr_edge.config import load_settings

ENCODERS = "other-encoders"


def other_bundle(folder: Path, encoders: str = ENCODERS) -> Path:
    """A copy of the bundle in use that sees other colours, and so makes other vectors."""
    shutil.copytree(find_bundle(load_settings().bundle), folder)

    def change(manifest: dict[str, Any]) -> None:
        manifest |= {"id": f"{encoders}-and-heads", "encoders": encoders}
        manifest["preprocessing"]["mean"] = [90.0, 120.0, 150.0]
        # They were computed with other numbers.
        manifest["golden"]["images"] = []

    edit_manifest(folder, change)
    return folder
