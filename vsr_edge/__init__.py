"""Search a private video archive by text on the machine where it lies.

No network means no network: libraries that report home by themselves are told not to. Each reads
its switch when it is imported, so importing this package throws all of them before anything else;
``models``, ``export`` and ``tests`` import it first. Only the environment reaches these libraries;
child processes inherit it.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

# onnxruntime imported before, by the caller's program, may already have begun.
TELEMETRY_OFF_IN_TIME = (
    "onnxruntime" not in sys.modules or os.environ.get("ORT_DISABLE_TELEMETRY") == "1"
)
os.environ |= {
    # onnxruntime 1.32 keeps a device's id and a database of events in the home folder and sends
    # them to Microsoft. Its function `disable_telemetry_events` stops neither the files nor the
    # look-up of the collector, which is why the environment must say it first.
    "ORT_DISABLE_TELEMETRY": "1",
    # huggingface_hub names the versions of what else is installed with each request.
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # Ray sends what a cluster is made of, and what runs on it.
    "RAY_USAGE_STATS_ENABLED": "0",
    # Transformers asks the hub to convert a checkpoint that has no safetensors.
    "DISABLE_SAFETENSORS_CONVERSION": "true",
}

# As typing's: to import that takes longer than all of this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vsr_edge.answer import Candidate, Moment, SearchResult, Turn, Verdict
    from vsr_edge.archive import Archive, open_archive
    from vsr_edge.bundle.model import Bundle, load_bundle
    from vsr_edge.config import Settings
    from vsr_edge.errors import VsrEdgeError
    from vsr_edge.query import Filter, Place, Query, SearchOptions
    from vsr_edge.types import StoredVideo, Video

__all__ = [
    "Archive",
    "Bundle",
    "Candidate",
    "Filter",
    "Moment",
    "Place",
    "Query",
    "SearchOptions",
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
    "bundle.model": ("Bundle", "load_bundle"),
    "query": ("Filter", "Place", "Query", "SearchOptions"),
    "answer": ("Candidate", "Moment", "SearchResult", "Turn", "Verdict"),
    "types": ("StoredVideo", "Video"),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"vsr_edge.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
