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
from tests.bench.figures import percentiles, shortest, show
from vsr_edge.bundle.manifest import IMAGE_ENCODER, TEXT_ENCODER
from vsr_edge.bundle.model import load_bundle
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


@pytest.mark.parametrize("short", [s for s in available_providers() if s != "cpu"] or ["cpu"])
def test_what_the_golden_vectors_cost_at_every_start(
    short: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the first run of each graph, which is needed anyway. A machine without another
    provider asks the CPU as if it were one.
    """
    monkeypatch.setattr("vsr_edge.bundle.model.CPU", "none is trusted")
    with load_bundle(provider=short) as bundle:
        bundle.encode_text([""])
        bundle.encode_images(np.zeros((1, 8, 8, 3), np.uint8))
        sessions = {role: bundle._session(role) for role in (TEXT_ENCODER, IMAGE_ENCODER)}
        figures: dict[str, float] = {}
        for role, session in sessions.items():
            median, worst = percentiles(lambda: bundle._check(session, role), 20)  # noqa: B023
            figures |= {f"{role}_p50": median, f"{role}_p95": worst}
    show(f"checking golden vectors on {short}, milliseconds", **figures)
