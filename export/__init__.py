"""PyTorch or Transformers → ONNX → int8 → parity gate → calibration → bundle."""

import os
from pathlib import Path

import platformdirs

import vsr_edge  # noqa: F401  (switches telemetry off before anything imports onnxruntime)
from vsr_edge.config import APPLICATION

# PyTorch makes a folder for what it might compile when it is imported: not beside us.
os.environ.setdefault(
    "TORCHINDUCTOR_CACHE_DIR",
    str(Path(platformdirs.user_cache_dir(APPLICATION, appauthor=False)) / "torch"),
)
