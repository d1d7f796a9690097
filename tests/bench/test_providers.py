"""Every execution provider that is here, against the CPU: the same vectors, and how many a second.

A machine without another provider measures the CPU against itself.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.feeds import load_pictures
from export.graphs import make_encoder_graphs
from export.quantize import convert_to_half
from export.sources import open_lite
from tests.bench.figures import shortest, show
from vsr_edge.bundle.manifest import IMAGE_ENCODER
from vsr_edge.runtime.preprocess import to_input
from vsr_edge.runtime.session import PROVIDERS, available_providers, open_session

CHECKPOINT = Path(__file__).parents[2] / "models" / "checkpoints" / "encoder.safetensors"
FRAMES = 128
# TensorRT computes in half precision where it likes to.
LEAST_COSINE = {"fp32": 0.999, "fp16": 0.99}

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("graphs")
    fp32 = make_encoder_graphs(open_lite(CHECKPOINT), folder)[IMAGE_ENCODER]
    convert_to_half(fp32, folder / "half.onnx")
    return {"fp32": fp32, "fp16": folder / "half.onnx"}


@pytest.mark.parametrize("short", available_providers())
def test_a_provider_against_the_cpu(short: str, graphs: dict[str, Path]) -> None:
    source = open_lite(CHECKPOINT)
    pictures = load_pictures(None, source.side, FRAMES)
    pixels = to_input(pictures, source.side, source.preprocessing)
    cpu = open_session({"fp32": graphs["fp32"]})
    batch = PROVIDERS[short].batch

    def vectors(session: object, size: int) -> np.ndarray:
        parts = (pixels[i : i + size] for i in range(0, len(pixels), size))
        return np.concatenate(
            [session.run(["vector"], {"pixels": part})[0] for part in parts]  # type: ignore[attr-defined]
        )

    expected = vectors(cpu, PROVIDERS["cpu"].batch)
    rates = {"cpu_fp32": FRAMES / shortest(lambda: vectors(cpu, PROVIDERS["cpu"].batch), 2)}
    for precision, graph in graphs.items():
        session = open_session({precision: graph}, provider=short)
        found = vectors(session, batch)
        cosine = float((expected * found).sum(1).min())
        assert cosine >= LEAST_COSINE[precision]
        seconds = shortest(lambda: vectors(session, batch), 2)  # noqa: B023
        rates |= {f"{short}_{precision}": FRAMES / seconds, f"cosine_{precision}": cosine}
    show(f"frames/s on {short}", **rates)
