"""Pictures as pixels, and the number that a frame of an archive's video shows."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from tests.hits.conftest import NUMBERED
from tests.ingest.archives import RATE
from vsr_edge.types import Pixels


def opened(picture: bytes | None) -> Pixels:
    """A picture's file as uint8 [H, W, 3] RGB."""
    assert picture is not None
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))


def number_at(video: Path, seconds: float) -> int:
    return NUMBERED[video.name] + round(seconds * RATE)
