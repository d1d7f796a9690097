"""fp32 → fp16, for execution providers that compute in half precision.

On a processor such a graph is half the file and slower: it widens and narrows around each operator.
What goes in and comes out stays float32.
"""

from __future__ import annotations

from pathlib import Path

import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16

from export.quantize import quiet


def convert_to_half(source: Path, target: Path) -> None:
    """Write the graph with float16 weights and arithmetic."""
    model = onnx.load(source)
    # The exporter's notes of inner types would contradict the converted ones.
    del model.graph.value_info[:]
    with quiet():
        converted = convert_float_to_float16(model, keep_io_types=True)
    onnx.save(converted, target)
