"""Another bundle than the one in use, without training one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from vsr_edge.config import load_settings
from vsr_edge.runtime.bundle import find_bundle

ENCODERS = "other-encoders"


def other_bundle(folder: Path, encoders: str = ENCODERS) -> Path:
    """A copy of the bundle in use that sees other colours, and so makes other vectors."""
    shutil.copytree(find_bundle(load_settings().bundle), folder)
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    manifest |= {"id": f"{encoders}-and-heads", "encoders": encoders}
    manifest["preprocessing"]["mean"] = [90.0, 120.0, 150.0]
    # They were computed with other numbers.
    manifest["golden"]["images"] = []
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    return folder
