"""Indexing against bare decoding and bare encoding of the same frames; memory over an hour."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.bench.figures import peak_memory, shortest, show
from vsr_edge import open_archive
from vsr_edge.bundle.model import load_bundle
from vsr_edge.media.decode import FrameReader
from vsr_edge.media.plan import plan_video
from vsr_edge.types import Sampling

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]


def write_footage(
    path: Path, *, seconds: int, size: tuple[int, int], rate: int, keyframes: int
) -> Path:
    """A moving, noisy picture as h264, a keyframe every so many frames."""
    width, height = size
    random = np.random.default_rng(0)
    noise = random.integers(0, 60, (height, width + 512, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "ultrafast", "g": str(keyframes), "crf": "30"}
        for number in range(seconds * rate):
            shift = (number * 3) % 512
            level = np.uint8(60 + 60 * np.sin(number / rate / 20))
            picture = np.ascontiguousarray(noise[:, shift : shift + width]) + level
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "size", "keyframes"),
    [("720p, keyframes 1 s apart", (1280, 720), 25), ("720p, 10 s apart", (1280, 720), 250)],
)
def test_indexing_against_its_parts(
    tmp_path: Path, name: str, size: tuple[int, int], keyframes: int
) -> None:
    seconds = 120
    path = write_footage(
        tmp_path / "v.mp4", seconds=seconds, size=size, rate=25, keyframes=keyframes
    )
    with load_bundle() as bundle:
        side = bundle.image_side

        def decode_all() -> list[np.ndarray]:
            """What PyAV alone takes: every frame decoded, one a second converted."""
            pictures = []
            with av.open(str(path)) as container:
                stream = container.streams.video[0]
                stream.thread_type = "AUTO"
                for number, frame in enumerate(container.decode(stream)):
                    if number % 25 == 0:
                        pictures.append(frame.reformat(side, side, "rgb24").to_ndarray())
            return pictures

        def decode_planned() -> int:
            with FrameReader(plan_video(path, Sampling()), size=(side, side)) as reader:
                return sum(len(batch) for batch in reader)

        frames = np.stack(decode_all())
        bundle.encode_frames(frames[: bundle.image_batch])
        bare_decoding = shortest(decode_all)
        planned_decoding = shortest(decode_planned)
        bare_encoding = shortest(lambda: bundle.encode_frames(frames))
    runs = iter(range(10))

    def index() -> None:
        with open_archive(tmp_path / f"archive{next(runs)}") as archive:
            archive.bundle.encode_frames(frames[:1])
            assert archive.index(path).indexed == 1

    indexing = shortest(index)
    show(
        f"indexing 120 s of {name}, seconds",
        decode_every_frame=bare_decoding,
        decode_as_planned=planned_decoding,
        encode=bare_encoding,
        index=indexing,
        gain_of_planned_decoding=bare_decoding / planned_decoding,
        ratio_to_longer_bare_part=indexing / max(bare_decoding, bare_encoding),
        ratio_to_longer_own_part=indexing / max(planned_decoding, bare_encoding),
        real_time_factor=seconds / indexing,
    )


def test_memory_of_indexing_an_hour(tmp_path: Path) -> None:
    path = write_footage(
        tmp_path / "hour.mp4", seconds=3600, size=(640, 360), rate=10, keyframes=100
    )
    arguments = ["-m", "vsr_edge", "index", str(path), "--archive", str(tmp_path / "archive")]
    show("indexing an hour of video", peak_memory_MB=peak_memory(arguments))
