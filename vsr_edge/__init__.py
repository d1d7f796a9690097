"""Search a private video archive by text on the machine where it lies."""

from typing import TYPE_CHECKING, Any

from vsr_edge.archive import Archive, open_archive
from vsr_edge.config import Settings
from vsr_edge.errors import VsrEdgeError
from vsr_edge.types import Candidate, Moment, SearchResult, StoredVideo, Turn, Verdict, Video

if TYPE_CHECKING:
    from vsr_edge.runtime.encoder import load_bundle

__all__ = [
    "Archive",
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


def __getattr__(name: str) -> Any:
    # Importing onnxruntime takes longer than `vsr-edge --help` may.
    if name == "load_bundle":
        from vsr_edge.runtime.encoder import load_bundle

        return load_bundle
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
