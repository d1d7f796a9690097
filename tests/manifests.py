"""Change a bundle's manifest as somebody would who knows how to seal it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vsr_edge.bundle.manifest import MANIFEST_FILE, SEAL, digest_of

Change = Callable[[dict[str, Any]], object]


def sealed(manifest: dict[str, Any]) -> dict[str, Any]:
    try:
        return {**manifest, SEAL: digest_of(manifest)}
    except (ValueError, RecursionError):  # what has no digest has no seal
        return manifest


def edit_manifest(folder: Path, change: Change) -> dict[str, Any]:
    """Apply the change, and seal what comes of it."""
    path = folder / MANIFEST_FILE
    manifest: dict[str, Any] = json.loads(path.read_text("utf-8"))
    change(manifest)
    path.write_text(json.dumps(sealed(manifest)), "utf-8")
    return manifest
