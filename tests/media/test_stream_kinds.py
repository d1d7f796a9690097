"""What a plan reads of a stream, held against decoding all of it, for every kind of stream.

A plan decodes a few packets; a frame that comes out otherwise than in a full decode is a fault of
the plan, whatever the file. Codecs, containers, structures of pictures.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.media_files import constant_rate, picture, write_unseekable, write_video
from vsr_edge.media.decode import FrameReader
from vsr_edge.media.plan import plan_video
from vsr_edge.types import Sampling

SIZE = (80, 48)


@dataclass(frozen=True)
class Kind:
    """How to write one kind of stream: 80 frames, eight seconds."""

    name: str
    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    rate: int = 10
    how: dict[str, Any] = field(default_factory=dict)
    unseekable: str | None = None

    def write(self, folder: Path) -> Path:
        times = constant_rate(8 * self.rate, self.rate)
        how: dict[str, Any] = {
            "codec": self.codec,
            "pixel_format": self.pixel_format,
            "rate": self.rate,
            **self.how,
        }
        path = folder / self.name
        if self.unseekable is not None:
            return write_unseekable(path, times, self.unseekable, **how)
        return write_video(path, times, draw=moving, **how)


def moving(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """The number, and a slope that moves, so that every frame differs from its neighbours."""
    image = picture(number, width, height)
    ramp = (np.arange(width) * 2 + number * 7) % 256
    image[-height // 8 :] = ramp[None, :, None]
    return image


def x264(params: str, preset: str = "veryfast") -> dict[str, Any]:
    return {"options": {"preset": preset, "x264-params": params + ":threads=1"}}


def x265(params: str) -> dict[str, Any]:
    return {"options": {"x265-params": params + ":log-level=none:pools=1:frame-threads=1"}}


VPX = {"deadline": "realtime", "cpu-used": "8"}
SVT = {"preset": "12", "svtav1-params": "keyint=20:lp=1"}
OPEN_GOP = "open-gop=1:keyint=10:min-keyint=10:bframes=3:b-adapt=0:scenecut=0"
PYRAMID = "keyint=20:min-keyint=20:bframes=5:b-pyramid=normal:b-adapt=0:ref=4:scenecut=0"
REFRESH = "intra-refresh=1:keyint=20:bframes=0:scenecut=0"
OPEN_HEVC = "open-gop=1:keyint=10:min-keyint=10:bframes=3"
BROADCAST = {"b_frames": 2, "keyframe_interval": 12}
CIF = {"width": 352, "height": 288}
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}

KINDS = {
    "h264, closed groups": Kind("a.mp4"),
    "h264, b-frames": Kind("a.mp4", how={"b_frames": 2, "keyframe_interval": 20}),
    "h264, open groups, mp4": Kind("a.mp4", how=x264(OPEN_GOP)),
    "h264, open groups, mkv": Kind("a.mkv", how=x264(OPEN_GOP)),
    "h264, open groups, ts": Kind("a.ts", how=x264(OPEN_GOP)),
    "h264, open groups, raw": Kind("a.h264", how={"container": "h264", **x264(OPEN_GOP)}, rate=25),
    "h264, open groups, flv": Kind("a.flv", how=x264(OPEN_GOP)),
    "h264, pyramid": Kind("a.mp4", how=x264(PYRAMID)),
    "h264, pyramid, ts": Kind("a.ts", how=x264(PYRAMID)),
    "h264, open pyramid": Kind("a.ts", how=x264(OPEN_GOP + ":b-pyramid=normal:ref=4")),
    "h264, refreshed column by column, mp4": Kind("a.mp4", how=x264(REFRESH)),
    "h264, refreshed column by column, ts": Kind("a.ts", how=x264(REFRESH)),
    "h264, refreshed column by column, mkv": Kind("a.mkv", how=x264(REFRESH)),
    "h264, interlaced": Kind("a.ts", how=x264("keyint=20:tff=1:bframes=2:scenecut=0")),
    "h264, keyframes alone": Kind("a.mp4", how={"keyframe_interval": 1}),
    "h264, one keyframe": Kind("a.mp4", how={"keyframe_interval": 999}),
    "h264, many references": Kind("a.mp4", how=x264("keyint=40:ref=8:bframes=0:scenecut=0")),
    "h264, 4:4:4": Kind("a.mp4", pixel_format="yuv444p", how=x264("keyint=10")),
    "h264, fragments": Kind("a.mp4", how={"container_options": FRAGMENTS}),
    "h264, avi": Kind("a.avi", how={"b_frames": 2}),
    "h264, written to a pipe, mkv": Kind("a.mkv", unseekable="matroska"),
    "h264, written to a pipe, ts": Kind("a.ts", unseekable="mpegts"),
    "hevc": Kind("a.mp4", "libx265", how=x265("keyint=20")),
    "hevc, open groups": Kind(
        "a.mp4",
        "libx265",
        how=x265(OPEN_HEVC),
    ),
    "hevc, open groups, ts": Kind(
        "a.ts",
        "libx265",
        how=x265(OPEN_HEVC),
    ),
    "hevc, refreshed bit by bit": Kind(
        "a.mkv",
        "libx265",
        how=x265("intra-refresh=1:keyint=20:bframes=0"),
    ),
    "mpeg-2, ts": Kind("a.ts", "mpeg2video", rate=25, how={"b_frames": 2, "keyframe_interval": 12}),
    "mpeg-2, ps": Kind(
        "a.mpg", "mpeg2video", rate=25, how={"b_frames": 2, "keyframe_interval": 12}
    ),
    "mpeg-2, raw": Kind(
        "a.m2v", "mpeg2video", rate=25, how={"container": "mpeg2video", "keyframe_interval": 12}
    ),
    "mpeg-2, mxf": Kind("a.mxf", "mpeg2video", rate=25, how={"keyframe_interval": 12}),
    "mpeg-1": Kind("a.mpg", "mpeg1video", rate=25, how={"keyframe_interval": 12}),
    "mpeg-4, mp4": Kind("a.mp4", "mpeg4", how={"b_frames": 2}),
    "mpeg-4, mkv": Kind("a.mkv", "mpeg4"),
    "mpeg-4, avi": Kind("a.avi", "mpeg4", how={"b_frames": 2}),
    "mpeg-4, raw": Kind("a.m4v", "mpeg4", rate=25, how={"container": "m4v"}),
    "h263, raw": Kind("a.h263", "h263", rate=25, how={"container": "h263", **CIF}),
    "h263, 3gp": Kind("a.3gp", "h263", how=CIF),
    "h261, raw": Kind("a.h261", "h261", rate=25, how={"container": "h261", **CIF}),
    "sorenson, flv": Kind("a.flv", "flv"),
    "wmv 1": Kind("a.wmv", "wmv1", rate=25),
    "wmv 2": Kind("a.wmv", "wmv2", rate=25),
    "ms-mpeg-4, avi": Kind("a.avi", "msmpeg4"),
    "ms-mpeg-4, asf": Kind("a.asf", "msmpeg4", rate=25),
    "realvideo 1": Kind("a.rm", "rv10", rate=25, how=CIF),
    "realvideo 2": Kind("a.rm", "rv20", rate=25, how=CIF),
    "vp8": Kind("a.webm", "libvpx", how={"options": VPX}),
    "vp9": Kind("a.webm", "libvpx-vp9", how={"options": VPX}),
    "vp9, mp4": Kind("a.mp4", "libvpx-vp9", how={"options": VPX}),
    "vp9, ivf": Kind("a.ivf", "libvpx-vp9", how={"container": "ivf", "options": VPX}),
    "av1, mp4": Kind("a.mp4", "libsvtav1", how={"options": SVT}),
    "av1, mkv": Kind("a.mkv", "libsvtav1", how={"options": SVT}),
    "snow": Kind("a.avi", "snow", how={"options": {"strict": "experimental"}}),
    "snow, nut": Kind("a.nut", "snow", how={"options": {"strict": "experimental"}}),
    "ffv1": Kind("a.mkv", "ffv1", how={"keyframe_interval": 10}),
    "motion jpeg, avi": Kind("a.avi", "mjpeg", "yuvj420p"),
    "motion jpeg, mkv": Kind("a.mkv", "mjpeg", "yuvj420p"),
    "motion jpeg, mov": Kind("a.mov", "mjpeg", "yuvj420p"),
    "prores": Kind("a.mov", "prores", "yuv422p10le"),
    "huffyuv": Kind("a.avi", "huffyuv", "yuv422p"),
    "uncompressed": Kind("a.avi", "rawvideo", "yuv420p"),
    "y4m": Kind("a.y4m", "rawvideo", "yuv420p", how={"container": "yuv4mpegpipe"}),
    "gif": Kind("a.gif", "gif", "rgb8"),
    "apng": Kind("a.apng", "apng", "rgb24", how={"container": "apng"}),
    "quicktime animation": Kind("a.mov", "qtrle", "rgb24", how={"keyframe_interval": 20}),
    "cinepak": Kind("a.avi", "cinepak", "rgb24"),
    "cinepak, mov": Kind("a.mov", "cinepak", "rgb24", how={"keyframe_interval": 20}),
    "screen capture, flv": Kind("a.flv", "flashsv", "bgr24", how={"keyframe_interval": 20}),
    "screen capture, avi": Kind("a.avi", "zmbv", "bgr0"),
    "sorenson 1, mov": Kind("a.mov", "svq1", "yuv410p", how={"keyframe_interval": 20}),
    "msvideo1, avi": Kind("a.avi", "msvideo1", "rgb555le"),
}


@dataclass(frozen=True)
class Decoded:
    times: NDArray[np.float64]
    pixels: NDArray[np.uint8]


def full_decode(path: Path) -> Decoded:
    """Every frame by PyAV alone, in the order in which it is shown."""
    times: list[float] = []
    pixels: list[NDArray[Any]] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        rate = stream.average_rate or stream.guessed_rate
        assert rate is not None
        for number, frame in enumerate(container.decode(stream)):
            # Where a container stores no presentation time, frames come at its rate.
            guessed = container.format.name == "avi" or frame.pts is None
            shown = number / rate if guessed else (frame.pts or 0) * (frame.time_base or 0)
            times.append(float(shown))
            small = frame.reformat(*SIZE, format="rgb24", interpolation="AREA")
            pixels.append(small.to_ndarray())
    order = np.argsort(times, kind="stable")
    return Decoded(np.array(times)[order] - min(times), np.array(pixels)[order])


@pytest.mark.parametrize("fps", [1.0, 0.4, 3.0])
@pytest.mark.parametrize("kind", KINDS)
def test_a_plan_gives_the_frames_of_a_full_decode(
    kind: str, fps: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = written(kind, tmp_path_factory)
    truth = full_decode(path)
    plan = plan_video(path, Sampling(fps=fps))
    with FrameReader(plan, size=SIZE, threads=2) as reader:
        batches = list(reader)
    times = np.concatenate([batch.times for batch in batches])
    pixels = np.concatenate([batch.pixels for batch in batches])
    assert reader.partial is None
    assert len(times) == len(plan)
    for time, picture_read in zip(times, pixels, strict=True):
        # FFmpeg gives two frames the same time where a program stream stores one for both.
        same = np.flatnonzero(np.abs(truth.times - time) < 0.002)
        assert any((truth.pixels[frame] == picture_read).all() for frame in same), time


_WRITTEN: dict[str, Path] = {}


def written(kind: str, factory: pytest.TempPathFactory) -> Path:
    """The file of a kind, made once."""
    if kind not in _WRITTEN:
        try:
            _WRITTEN[kind] = KINDS[kind].write(factory.mktemp("kind"))
        except av.codec.codec.UnknownCodecError:
            pytest.skip(f"this PyAV has no encoder for {kind}")
    return _WRITTEN[kind]


def test_the_corpus_is_broad() -> None:
    assert len(KINDS) >= 60
