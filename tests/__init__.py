"""The tests, in the rooms of what they test."""

import vsr_edge  # noqa: F401  (switches telemetry off before anything imports onnxruntime)
