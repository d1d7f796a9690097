"""Which of several video streams is read, and what else lies in a file that is no video."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

from tests.media.reading import fingerprint, read_back
from tests.media_files import constant_rate, picture, write_video
from vsr_edge.errors import UnreadableMedia
from vsr_edge.media.opening import streams_of
from vsr_edge.media.plan import plan_video
from vsr_edge.types import Sampling


def write_streams(
    path: Path, streams: list[tuple[int, int, int, int]], *, codecs: tuple[str, ...] = ()
) -> Path:
    """Several video streams in one file; each is (width, height, frames, first number shown)."""
    with av.open(str(path), "w") as output:
        made = []
        for number, (width, height, _, _) in enumerate(streams):
            codec = codecs[number] if codecs else "libx264"
            stream = output.add_stream(codec, rate=10)
            assert isinstance(stream, VideoStream)
            stream.width, stream.height = width, height
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            stream.gop_size = 10
            if codec == "libx264":
                stream.codec_context.options = {"preset": "ultrafast", "bf": "0"}
            made.append(stream)
        for index in range(max(count for _, _, count, _ in streams)):
            for stream, (width, height, count, first) in zip(made, streams, strict=True):
                if index < count:
                    image = picture(first + index, width, height)
                    frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                    frame = frame.reformat(format=stream.pix_fmt)
                    frame.pts = index
                    output.mux(stream.encode(frame))
        for stream in made:
            output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov"])
def test_a_still_picture_of_more_pixels_is_not_the_video(name: str, tmp_path: Path) -> None:
    path = write_streams(
        tmp_path / name,
        [(640, 384, 1, 2000), (160, 96, 60, 0)],
        codecs=("mjpeg", "libx264"),
    )
    found = read_back(path)
    assert found.numbers == [0, 10, 20, 30, 40, 50]
    assert found.plan.index.left_out is None


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.mov"])
def test_two_cameras_in_one_file_are_told_apart(name: str, tmp_path: Path) -> None:
    path = write_streams(tmp_path / name, [(160, 96, 60, 0), (160, 96, 60, 1000)])
    front, rear = streams_of(path)
    assert (front, rear) == (path, tmp_path / f"{name}#1")
    found = read_back(front)
    assert found.numbers == [0, 10, 20, 30, 40, 50]
    assert found.plan.index.left_out == "video stream 1 (160×96, h264)"
    other = read_back(rear)
    assert other.numbers == [1000, 1010, 1020, 1030, 1040, 1050]
    assert other.plan.index.left_out is None
    assert other.plan.video.path == rear
    assert other.plan.video.size_bytes == path.stat().st_size
    assert fingerprint(rear) == fingerprint(front) + "#1"


def test_of_two_streams_that_run_the_larger_is_meant(tmp_path: Path) -> None:
    path = write_streams(tmp_path / "a.ts", [(160, 96, 60, 0), (320, 192, 50, 1000)])
    assert read_back(path).numbers[0] == 1000
    assert streams_of(path) == [path, tmp_path / "a.ts#0"]


def test_a_file_with_one_stream_has_one(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", constant_rate(30))
    assert streams_of(path) == [path]
    with pytest.raises(UnreadableMedia, match="no video stream 1 in"):
        plan_video(tmp_path / "a.mp4#1", Sampling())


def test_a_file_whose_name_ends_like_a_stream_is_that_file(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", constant_rate(30))
    path = write_video(
        tmp_path / "a.mp4#1",
        constant_rate(30),
        container="mp4",
        draw=lambda n, w, h: np.ascontiguousarray(picture(n + 500, w, h)),
    )
    assert read_back(path).numbers[0] == 500
