"""The tests, in the rooms of what they test."""

import os

# As the command does (vsr_edge/__main__.py), before NumPy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import vsr_edge  # noqa: F401  (switches telemetry off before anything imports onnxruntime)
