"""Read a generated file back: the time of each frame, and the number that its picture shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.media_files import is_upright, number_of
from vsr_edge.media.decode import FrameReader
from vsr_edge.media.plan import VideoPlan, plan_video
from vsr_edge.media.source import SourceFile
from vsr_edge.types import Sampling


@dataclass(frozen=True)
class Reading:
    plan: VideoPlan
    times: list[float]
    numbers: list[int]
    upright: bool
    shape: tuple[int, ...]
    partial: str | None


def read_back(
    path: Path, fps: float = 1.0, *, size: tuple[int, int] | None = None, threads: int = 1
) -> Reading:
    plan = plan_video(path, Sampling(fps=fps))
    with FrameReader(plan, size=size, threads=threads) as reader:
        batches = list(reader)
    frames = [frame for batch in batches for frame in batch.pixels]
    times = np.concatenate([batch.times for batch in batches])
    assert (np.diff(times) > 0).all()
    return Reading(
        plan,
        times.tolist(),
        [number_of(frame) for frame in frames],
        all(is_upright(frame) for frame in frames),
        frames[0].shape,
        reader.partial,
    )


def fingerprint(path: Path) -> str:
    with SourceFile(path) as source:
        return source.fingerprint()
