"""Search a private video archive by text on the machine where it lies."""

from __future__ import annotations

from importlib import import_module

from vsr_edge import privacy as _privacy  # noqa: F401  (before anything that it switches off)

# As typing's: to import that takes longer than all of this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vsr_edge.archive import Archive, open_archive
    from vsr_edge.config import Settings
    from vsr_edge.errors import VsrEdgeError
    from vsr_edge.runtime.encoder import Bundle, load_bundle
    from vsr_edge.types import Candidate, Moment, SearchResult, StoredVideo, Turn, Verdict, Video

__all__ = [
    "Archive",
    "Bundle",
    "Candidate",
    "Moment",
    "SearchResult",
    "Settings",
    "StoredVideo",
    "Turn",
    "Verdict",
    "Video",
    "VsrEdgeError",
    "load_bundle",
    "open_archive",
]

# Loaded on first use: NumPy and onnxruntime take longer to import than `vsr-edge --help` may.
_HOMES = {
    "archive": ("Archive", "open_archive"),
    "config": ("Settings",),
    "errors": ("VsrEdgeError",),
    "runtime.encoder": ("Bundle", "load_bundle"),
    "types": ("Candidate", "Moment", "SearchResult", "StoredVideo", "Turn", "Verdict", "Video"),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"vsr_edge.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
