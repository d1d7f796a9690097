"""PyTorch: what is trained, and how it is measured."""

import vsr_edge  # noqa: F401  (switches telemetry off before anything imports onnxruntime)
