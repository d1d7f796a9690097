"""Frames per second of int8 against fp32, from the same checkpoint, in the same run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.graphs import export_image_encoder
from export.sources import open_lite
from tests.bench.figures import shortest, show
from vsr_edge.bundle.model import load_bundle
from vsr_edge.runtime.preprocess import to_input
from vsr_edge.runtime.session import PROVIDERS, open_session

BATCH = PROVIDERS["cpu"].batch

CHECKPOINT = Path(__file__).parents[2] / "models" / "checkpoints" / "encoder.safetensors"
FRAMES = 64

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1200)]


def test_int8_against_fp32(tmp_path: Path) -> None:
    source = open_lite(CHECKPOINT)
    export_image_encoder(source.image, tmp_path / "image.onnx", source.side)
    with load_bundle() as bundle:
        side = bundle.image_side
        int8 = bundle.manifest.path("image_encoder")
        frames = np.random.default_rng(0).integers(0, 256, (FRAMES, side, side, 3), dtype=np.uint8)
        whole = shortest(lambda: bundle.encode_frames(frames))
    pixels = to_input(frames, side, source.preprocessing)
    rates = {}
    for precision, path in (("fp32", tmp_path / "image.onnx"), ("int8", int8)):
        session = open_session({precision: path})

        def run() -> None:
            for start in range(0, FRAMES, BATCH):
                session.run(["vector", "regions"], {"pixels": pixels[start : start + BATCH]})  # noqa: B023

        rates[precision] = FRAMES / shortest(run)
    show(
        "encoding, frames/s",
        **rates,
        with_preprocessing=FRAMES / whole,
        ratio_int8_to_fp32=rates["int8"] / rates["fp32"],
    )


def test_batch_sizes() -> None:
    with load_bundle() as bundle:
        side = bundle.image_side
        session = open_session(bundle.manifest.variants("image_encoder"))
    figures = {}
    for batch in (1, 2, 4, 8, 16, 32):
        pixels = np.zeros((batch, 3, side, side), np.float32)
        seconds = shortest(lambda: session.run(["vector", "regions"], {"pixels": pixels}), 8)  # noqa: B023
        figures[f"batch_{batch}"] = batch / seconds
    show("encoding, frames/s", **figures)
