"""PyTorch or Transformers → ONNX → int8 → parity gate → calibration → bundle."""

import vsr_edge  # noqa: F401  (switches telemetry off before anything imports onnxruntime)
