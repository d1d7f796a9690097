"""The tests, in the rooms of what they test."""

import os

# As the command does (vsr_edge/__main__.py), before NumPy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# The workers of pytest-xdist are as many as the cores: PyTorch's threads would wait for each other
# at those that others use.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import vsr_edge  # noqa: F401  (switches telemetry off before anything imports onnxruntime)
