"""Indexing still against moving footage, with folding and without, and by keyframes alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.bench.figures import show
from tests.ingest.archives import index, open_for
from vsr_edge.bundle.model import Bundle
from vsr_edge.cli.demo import demo_videos
from vsr_edge.media.decode import FrameReader
from vsr_edge.media.plan import plan_video
from vsr_edge.types import Pixels, Sampling

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

SIZE, SECONDS, RATE = (1280, 720), 120, 10


def write_h264(
    path: Path, draw: Callable[[int], Pixels], *, keyframes: int, bitrate: int = 300_000
) -> Path:
    """720p at a camera's low rate, a keyframe every so many frames."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height = SIZE
        stream.pix_fmt, stream.bit_rate = "yuv420p", bitrate
        stream.options = {"preset": "ultrafast", "g": str(keyframes), "sc_threshold": "0"}
        for number in range(SECONDS * RATE):
            frame = av.VideoFrame.from_ndarray(draw(number), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def street() -> Pixels:
    """The first picture of real footage, as large as a camera's."""
    with av.open(str(demo_videos()[0])) as container:
        frame = next(container.decode(video=0))
        return frame.reformat(*SIZE, "rgb24").to_ndarray().astype(np.uint8)


def still(number: int, street: Pixels, noise: Pixels) -> Pixels:
    """A camera that stands still, with noise; every tenth second somebody walks through."""
    picture = street.copy()
    if number // RATE % 10 == 5:
        x = 100 * (number % RATE) + 100
        picture[400:520, x : x + 40] = (50, 55, 70)
    shift = number * 37 % 256
    noisy = picture.astype(np.int16) + noise[: SIZE[1], shift : shift + SIZE[0], None] - 8
    seen: Pixels = np.clip(noisy, 0, 255).astype(np.uint8)
    return seen


def moving(number: int, street: Pixels) -> Pixels:
    """The same street, as from a car."""
    return np.ascontiguousarray(np.roll(street, 24 * number, axis=1))


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder, picture = tmp_path_factory.mktemp("footage"), street()
    random = np.random.default_rng(0)
    noise = random.binomial(16, 0.5, (SIZE[1], SIZE[0] + 256)).astype(np.uint8)
    made = {
        f"still, keyframes {apart} s apart": write_h264(
            folder / f"still{apart}.mp4",
            lambda number: still(number, picture, noise),
            keyframes=apart * RATE,
        )
        for apart in (1, 2, 10)
    }
    made["moving"] = write_h264(
        folder / "moving.mp4",
        lambda number: moving(number, picture),
        keyframes=RATE,
        bitrate=4_000_000,
    )
    return made


def test_folding_and_keyframes(footage: dict[str, Path], bundle: Bundle, tmp_path: Path) -> None:
    usual = Sampling(fold=False)
    kinds = {
        "every_frame": usual,
        "folded": Sampling(),
        "keyframes": replace(usual, keyframes="on"),
        "folded_keyframes": Sampling(keyframes="on"),
    }
    for name, path in footage.items():
        figures: dict[str, float] = {}
        for kind, sampling in kinds.items():
            for again in range(2):
                folder = tmp_path / f"{path.stem} {kind} {again}"
                started, spent = time.perf_counter(), time.process_time()
                index(bundle, folder, path, sampling)
                wall, spent = time.perf_counter() - started, time.process_time() - spent
                figures[f"{kind}_s"] = min(wall, figures.get(f"{kind}_s", wall))
                figures[f"{kind}_cpu_s"] = min(spent, figures.get(f"{kind}_cpu_s", spent))
            with open_for(bundle, folder) as store:
                frames = store.frames(store.videos()[0].video_id)
            figures[f"{kind}_frames"] = len(frames)
            figures[f"{kind}_share_folded"] = 1 - frames.changes.mean()
        show(f"indexing {SECONDS} s of 720p, {name}", **figures)


def test_how_far_keyframes_move_what_is_sampled(footage: dict[str, Path]) -> None:
    for name, path in footage.items():
        for mode in ("auto", "on"):
            plan = plan_video(path, Sampling(keyframes=mode))
            wanted = np.arange(float(SECONDS))
            away = np.abs(plan.times[:, None] - wanted).min(axis=0)
            show(
                f"keyframes {mode}, {name}", frames=len(plan), mean_s=away.mean(), most_s=away.max()
            )


def test_comparing_costs_little(footage: dict[str, Path], bundle: Bundle) -> None:
    from vsr_edge.ingest.fold import fold

    side = bundle.image_side
    with FrameReader(plan_video(footage["moving"], Sampling()), size=(side, side)) as reader:
        batches = list(reader)
    frames = sum(map(len, batches))
    started = time.process_time()
    list(fold(batches))
    compared = time.process_time() - started
    started = time.process_time()
    for batch in batches:
        bundle.encode_frames(batch.pixels)
    encoded = time.process_time() - started
    show("comparing", ms_a_frame=1000 * compared / frames, share_of_encoding=compared / encoded)
