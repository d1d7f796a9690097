"""No network means no network: libraries that report home by themselves are told not to.

Each reads its switch when it is imported, so ``vsr_edge`` throws all of them before anything else,
and so do ``models``, ``export`` and ``tests`` by importing it first. Only the environment reaches
them; child processes inherit it.
"""

from __future__ import annotations

import os
import sys

SWITCHES = {
    # onnxruntime 1.32 keeps a device's id and a database of events in the home folder and sends
    # them to Microsoft. Its function `disable_telemetry_events` stops neither the files nor the
    # look-up of the collector, which is why the environment must say it first.
    "ORT_DISABLE_TELEMETRY": "1",
    # huggingface_hub names the versions of what else is installed with each request.
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # Transformers asks the hub to convert a checkpoint that has no safetensors.
    "DISABLE_SAFETENSORS_CONVERSION": "true",
}


def switch_off() -> bool:
    """Set the switches; False if onnxruntime was imported before, by the caller's program, when it
    may already have begun.
    """
    in_time = "onnxruntime" not in sys.modules or os.environ.get("ORT_DISABLE_TELEMETRY") == "1"
    os.environ.update(SWITCHES)
    return in_time


IN_TIME = switch_off()
TOO_LATE = (
    "onnxruntime was imported before vsr_edge, so its telemetry may have begun: import vsr_edge "
    "first, or set ORT_DISABLE_TELEMETRY=1"
)
